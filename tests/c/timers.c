/* timers.c - the heap of deadlines against a plain array: random starts, restarts, stops and turns of the clock.
 * The seed is printed when something differs; timers SEED repeats it. */
#include <string.h>
#include <time.h>

#include "loop/host.h"
#include "sys/rng.h"

#define TIMERS 200
#define ROUNDS 60
#define STEPS  2000

struct item {
  struct timer timer;
  bool armed;
  uint64_t at, order; /* what the array says */
  int kind;           /* when fired: 0 nothing, 1 start again, 2 stop another, 3 start another */
};

struct world {
  struct host host;
  struct item items[TIMERS];
  struct rng rng;
  uint64_t order, limit; /* `limit`: those started during a turn wait for the next */
  size_t fired;
  const char *wrong;
};

static struct world *the_world; /* `fire` gets nothing but its timer */

static unsigned below(struct world *w, unsigned n) {
  return (unsigned)(rng_next(&w->rng) % n);
}

static void fire(struct timer *t);

static void start(struct world *w, struct item *it) {
  double seconds = (double)below(w, 50); /* many equal ones */
  if (below(w, 20) == 0) seconds = -1;
  timer_start(&w->host, &it->timer, seconds, fire);
  it->armed = true;
  it->at = w->host.virtual_now + (seconds > 0 ? (uint64_t)seconds * NS_PER_SECOND : 0);
  it->order = ++w->order;
}

static void stop(struct world *w, struct item *it) {
  timer_stop(&w->host, &it->timer);
  it->armed = false;
}

/* The one that is due next by the array, among those with an order up to `limit`. */
static struct item *expected(struct world *w, uint64_t limit) {
  struct item *best = NULL;
  for (size_t i = 0; i < TIMERS; i++) {
    struct item *it = &w->items[i];
    if (!it->armed || it->order > limit) continue;
    if (!best || it->at < best->at || (it->at == best->at && it->order < best->order)) best = it;
  }
  return best;
}

static void fire(struct timer *t) {
  struct world *w = the_world;
  struct item *it = CONTAINER_OF(t, struct item, timer);
  w->fired++;
  if (it != expected(w, w->limit)) w->wrong = "fired out of order";
  if (it->at > w->host.virtual_now) w->wrong = "fired too early";
  it->armed = false;
  struct item *other = &w->items[below(w, TIMERS)];
  if (it->kind == 1) start(w, it);
  if (it->kind == 2) stop(w, other);
  if (it->kind == 3) start(w, other);
}

static void check(struct world *w) {
  size_t armed = 0;
  for (size_t i = 0; i < TIMERS; i++) armed += w->items[i].armed;
  struct item *next = expected(w, UINT64_MAX);
  uint64_t at = 0;
  bool any = timers_next(&w->host, &at);
  if (armed != w->host.timers.count) w->wrong = "the count differs";
  if (any != (next != NULL) || (next && at != next->at)) w->wrong = "the next deadline differs";
}

static void turn(struct world *w) {
  w->host.virtual_now += (uint64_t)below(w, 20) * NS_PER_SECOND;
  w->limit = w->order;
  timers_run(&w->host);
  struct item *next = expected(w, w->limit);
  if (next && next->at <= w->host.virtual_now) w->wrong = "one that is due did not fire";
}

static bool round_of(uint64_t seed) {
  static struct world world;
  struct world *w = the_world = &world;
  memset(w, 0, sizeof *w);
  rng_seed(&w->rng, seed);
  w->host.clock = CLOCK_VIRTUAL;
  CHECK(uv_loop_init(&w->host.loop) == 0);
  uv_timer_init(&w->host.loop, &w->host.uv_timer);
  for (size_t i = 0; i < TIMERS; i++) w->items[i].kind = (int)below(w, 6);
  for (int step = 0; step < STEPS && !w->wrong; step++) {
    struct item *it = &w->items[below(w, TIMERS)];
    unsigned what = below(w, 10);
    if (what < 6)
      start(w, it);
    else if (what < 9)
      stop(w, it);
    else
      turn(w);
    check(w);
  }
  for (size_t i = 0; i < TIMERS; i++) stop(w, &w->items[i]);
  if (!w->wrong) check(w);
  uv_close((uv_handle_t *)&w->host.uv_timer, NULL);
  uv_run(&w->host.loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&w->host.loop) == 0);
  if (!w->wrong && w->fired == 0) w->wrong = "nothing ever fired";
  if (w->wrong) printf("timers: %s, seed %llu\n", w->wrong, (unsigned long long)seed);
  return !w->wrong;
}

/* A long list of children under one root, and then its removal: must neither recurse nor take for ever. */
static bool many(void) {
  static struct host h;
  static struct timer timers[200000];
  h.clock = CLOCK_VIRTUAL;
  CHECK(uv_loop_init(&h.loop) == 0);
  uv_timer_init(&h.loop, &h.uv_timer);
  for (size_t i = 0; i < COUNT_OF(timers); i++) timer_start(&h, &timers[i], (double)(i % 1000), fire);
  for (size_t i = 0; i < COUNT_OF(timers); i += 2) timer_stop(&h, &timers[i]);
  for (size_t i = COUNT_OF(timers); i > 0; i--) timer_stop(&h, &timers[i - 1]);
  uv_close((uv_handle_t *)&h.uv_timer, NULL);
  uv_run(&h.loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&h.loop) == 0);
  return h.timers.count == 0 && !h.timers.root;
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  for (uint64_t i = 0; i < (argc > 1 ? 1 : ROUNDS); i++)
    if (!round_of(seed + i)) return 1;
  if (many()) return 0;
  printf("timers: many are not all gone\n");
  return 1;
}
