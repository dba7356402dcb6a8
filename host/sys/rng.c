/* rng.c - see rng.h. The generator is Blackman and Vigna's xoshiro256**, in the public domain. */
#include "rng.h"

#include <uv.h>

static uint64_t rotl(uint64_t x, int k) {
  return (x << k) | (x >> (64 - k));
}

static uint64_t splitmix(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void rng_seed(struct rng *r, uint64_t seed) {
  for (size_t i = 0; i < COUNT_OF(r->s); i++) r->s[i] = splitmix(&seed);
}

uint64_t rng_entropy(void) {
  uint64_t seed = 0;
  if (uv_random(NULL, NULL, &seed, sizeof seed, 0, NULL) == 0) return seed;
  /* No entropy source at all (a chroot without /dev on an old kernel): the clock is better than a
   * constant. */
  seed = uv_hrtime() ^ ((uint64_t)uv_os_getpid() << 32);
  return splitmix(&seed);
}

uint64_t rng_next(struct rng *r) {
  uint64_t *s = r->s;
  uint64_t result = rotl(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotl(s[3], 45);
  return result;
}

double rng_float(struct rng *r) {
  return (double)(rng_next(r) >> 11) * 0x1.0p-53;
}

int64_t rng_int(struct rng *r, int64_t low, int64_t high) {
  uint64_t span = (uint64_t)high - (uint64_t)low + 1; /* 0 = all 2^64 values */
  if (span == 0) return (int64_t)rng_next(r);
  /* The first `skip` values would make the small results likelier: draw again. */
  uint64_t skip = (0 - span) % span;
  uint64_t x = rng_next(r);
  while (x < skip) x = rng_next(r);
  return (int64_t)((uint64_t)low + x % span);
}

void rng_bytes(struct rng *r, unsigned char *out, size_t len) {
  uint64_t x = 0;
  for (size_t i = 0; i < len; i++) {
    if (i % 8 == 0) x = rng_next(r);
    out[i] = (unsigned char)(x >> (i % 8 * 8)); /* little end first on every machine */
  }
}
