/* rng.h - the randomness seam: xoshiro256** seeded through splitmix64, the same numbers on every
 * platform. Not for secrets: a few outputs are enough to compute the rest. Knows no Lua and
 * allocates nothing. */
#ifndef STOKE_RNG_H
#define STOKE_RNG_H

#include "base.h"

struct rng {
  uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_entropy(void); /* a seed from the system; never fails */
uint64_t rng_next(struct rng *r);
double rng_float(struct rng *r);                           /* [0, 1), 53 bits */
int64_t rng_int(struct rng *r, int64_t low, int64_t high); /* [low, high], every value as likely; low <= high */
void rng_bytes(struct rng *r, unsigned char *out, size_t len);

#endif
