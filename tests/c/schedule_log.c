/* schedule_log.c - the bytes of a run's order: random deliveries come back as they went in; damaged bytes are said to be so and
 * read nothing beyond them. The seed is printed when something differs; schedule_log SEED repeats it. */
#include <string.h>
#include <time.h>

#include "loop/mem.h"
#include "loop/schedule_log.h"
#include "sys/rng.h"

#define MANY 500

static const char text[] = "from outside, with a reason that is a little longer";

static uint64_t number(struct rng *rng, unsigned bits) {
  return rng_next(rng) >> (64 - 1 - rng_next(rng) % bits);
}

static int come_back(struct mem *m, struct rng *rng) {
  static struct delivery sent[MANY];
  struct schedule_log out = {.max = 1u << 20}, in;
  uint64_t count = 0;
  for (size_t i = 0; i < MANY; i++) {
    struct delivery *d = &sent[i];
    count += rng_next(rng) % 3 ? rng_next(rng) % 3 : number(rng, 40);
    *d = (struct delivery){.count = count, .target = (uint32_t)number(rng, 32), .kind = (enum delivery_kind)(rng_next(rng) % 5)};
    if (d->kind == DELIVERY_CANCEL) d->text = text, d->text_len = rng_next(rng) % sizeof text;
    if (schedule_log_add(m, &out, d) != LOG_DONE) return printf("delivery %zu does not fit\n", i);
  }
  if (!schedule_log_set(m, &in, out.bytes, out.len, 0)) return printf("no memory\n");
  for (size_t i = 0; i < MANY; i++) {
    struct delivery d, *s = &sent[i];
    if (schedule_log_next(&in, &d) != LOG_DONE || d.count != s->count || d.target != s->target || d.kind != s->kind ||
        d.text_len != s->text_len || (d.text_len && memcmp(d.text, s->text, d.text_len) != 0))
      return printf("delivery %zu came back as another one\n", i);
  }
  struct delivery d;
  if (schedule_log_next(&in, &d) != LOG_END) return printf("more came back than went in\n");
  mem_free(m, in.bytes);
  mem_free(m, out.bytes);
  return 0;
}

/* Under the sanitizers, reading beyond the bytes is found. */
static int survives(struct mem *m, struct rng *rng) {
  unsigned char bytes[40];
  size_t len = rng_next(rng) % sizeof bytes, n = 0;
  for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)rng_next(rng);
  struct schedule_log log;
  struct delivery d;
  if (!schedule_log_set(m, &log, bytes, len, 0)) return printf("no memory\n");
  enum log_status status;
  while ((status = schedule_log_next(&log, &d)) == LOG_DONE)
    if (++n > len || (size_t)(d.text - (const char *)log.bytes) + d.text_len > len) return printf("it reads beyond its bytes\n");
  mem_free(m, log.bytes);
  return status == LOG_END || status == LOG_DAMAGED ? 0 : printf("status %d\n", (int)status);
}

static int is_limited(struct mem *m) {
  struct schedule_log log = {.max = 10};
  struct delivery d = {.kind = DELIVERY_OUTCOME, .target = 1};
  for (int i = 0; i < 5; i++)
    if (schedule_log_add(m, &log, &d) != LOG_DONE) return printf("five deliveries of two bytes do not fit into ten\n");
  if (schedule_log_add(m, &log, &d) != LOG_FULL || log.len != 10) return printf("the log grew beyond its limit\n");
  mem_free(m, log.bytes);
  return 0;
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  struct rng rng;
  static struct mem m;
  mem_init(&m);
  rng_seed(&rng, seed);
  int bad = is_limited(&m);
  for (int i = 0; !bad && i < 50; i++) bad = come_back(&m, &rng);
  for (int i = 0; !bad && i < 20000; i++) bad = survives(&m, &rng);
  if (bad) printf("seed %llu\n", (unsigned long long)seed);
  mem_release(&m);
  return bad != 0;
}
