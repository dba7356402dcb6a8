/* vectors.c - sets of vectors where memory ends, and searches on another thread while the set changes. The seed is printed when
 * something is wrong; vectors SEED repeats it. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "loop/mem.h"
#include "store/vectors.h"
#include "sys/rng.h"

#define DIM    9
#define IDS    700
#define STEPS  20000
#define ROUNDS 300

struct world {
  struct mem mem;
  struct rng rng;
  struct vectors *set;
  bool there[IDS];
  float first[IDS]; /* number 0 of each row */
  size_t count, failed;
};

static unsigned below(struct world *w, unsigned n) {
  return (unsigned)(rng_next(&w->rng) % n);
}

static void fill(struct world *w, float *values) {
  for (size_t j = 0; j < DIM; j++) values[j] = (float)rng_float(&w->rng) - 0.3f;
}

static size_t id_text(char *out, unsigned id) {
  return (size_t)snprintf(out, 16, "row %u", id);
}

/* One addition or deletion, which may fail, and then has changed nothing. */
static void change(struct world *w) {
  char text[16], tags[8] = {3, 0, 0, 0, 'a', '=', '1'};
  unsigned id = below(w, IDS);
  float values[DIM];
  struct err e = {0};
  struct vectors_row row = {.id = text, .id_len = id_text(text, id), .tags = tags, .tags_len = below(w, 2) * 7, .values = values};
  fill(w, values);
  if (below(w, 3) == 0) {
    bool dropped = vectors_drop(w->set, text, row.id_len, &e);
    CHECK(dropped ? w->there[id] : !w->there[id] || (e.kind && strcmp(e.kind, "os") == 0));
    w->failed += !dropped && e.kind;
    w->count -= dropped;
    w->there[id] = w->there[id] && !dropped;
    return;
  }
  bool added;
  if (!vectors_put(w->set, &row, &added, &e)) {
    CHECK(strcmp(e.kind, "os") == 0);
    w->failed++;
    return;
  }
  CHECK(added == !w->there[id]);
  w->count += added;
  w->there[id] = true;
  w->first[id] = values[0];
}

static void compare(struct world *w) {
  CHECK(vectors_count(w->set) == w->count);
  for (unsigned id = 0; id < IDS; id++) {
    char text[16];
    struct vectors_row row;
    bool found = vectors_get(w->set, text, id_text(text, id), &row);
    CHECK(found == w->there[id]);
    CHECK(!found || row.values[0] == w->first[id]);
  }
}

static struct vectors_search *search(struct world *w, const float *query) {
  struct err e;
  return vectors_search_new(w->set, query, 10, -INFINITY, NULL, 0, &e);
}

/* Every fifth step an allocation soon fails; now and then a search holds the blocks, so that changes have to copy them. */
static void hard_times(struct world *w) {
  struct vectors_search *held = NULL;
  float query[DIM];
  for (size_t i = 0; i < STEPS; i++) {
    if (i % 5 == 0) w->mem.fail_at = w->mem.calls + 1 + below(w, 4);
    if (i % 50 == 0) {
      vectors_search_free(held);
      fill(w, query);
      held = search(w, query); /* or NULL */
    }
    change(w);
    if (i % 500 == 0) compare(w);
  }
  w->mem.fail_at = 0;
  compare(w);
  CHECK(w->failed > 100);
  if (held) vectors_search_run(held);
  vectors_search_free(held);
}

static void *run(void *s) {
  vectors_search_run(s);
  return NULL;
}

/* Two searches of one moment: one in place, one on another thread while rows come and go. */
static void beside(struct world *w) {
  float query[DIM];
  struct err e;
  fill(w, query);
  struct vectors_search *here = search(w, query), *there = search(w, query);
  pthread_t thread;
  CHECK(here && there && pthread_create(&thread, NULL, run, there) == 0);
  for (int i = 0; i < 40; i++) change(w);
  vectors_search_run(here);
  CHECK(pthread_join(thread, NULL) == 0);
  size_t n, m;
  const struct vectors_found *a = vectors_search_found(here, &n, &e), *b = vectors_search_found(there, &m, &e);
  CHECK(a && b && n == m);
  for (size_t i = 0; i < n; i++) {
    CHECK(a[i].score == b[i].score && a[i].row.order == b[i].row.order);
    CHECK(a[i].row.id_len == b[i].row.id_len && memcmp(a[i].row.id, b[i].row.id, a[i].row.id_len) == 0);
  }
  vectors_search_free(here);
  vectors_search_free(there);
}

static void cancelled(struct world *w) {
  float query[DIM];
  struct err e;
  size_t n;
  fill(w, query);
  struct vectors_search *s = search(w, query);
  vectors_search_cancel(s);
  vectors_search_run(s);
  CHECK(!vectors_search_found(s, &n, &e) && strcmp(e.kind, "cancelled") == 0);
  vectors_search_free(s);
}

int main(int argc, char **argv) {
  struct world w = {0};
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : rng_entropy();
  fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
  rng_seed(&w.rng, seed);
  mem_init(&w.mem);
  w.set = vectors_new(&w.mem, DIM, VECTORS_COSINE, (struct vectors_limits){1u << 20, SIZE_MAX});
  CHECK(w.set);
  hard_times(&w);
  for (int i = 0; i < ROUNDS; i++) beside(&w);
  compare(&w);
  cancelled(&w);
  vectors_free(w.set);
  CHECK(w.mem.used == 0);
  mem_release(&w.mem);
  return 0;
}
