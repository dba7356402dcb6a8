/* vectors.c - the search in a set of vectors, one thread, beside the plain comparison with every f32.
 *
 *   vectors ROWS DIM [even]
 *
 * Rows lie around 200 centres, as those of texts do; even: in no direction more than in others, the hardest for codes. Prints
 * search_ms= (CPU, the median of 15), least_ms=, brute_ms=, read_ms= (as many bytes as the
 * codes are, read once), recall= of the ten best of 10 searches against sums in double, scored= rows scored from f32 on average,
 * bytes= a row, kernel=. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "loop/mem.h"
#include "store/vectors.h"
#include "sys/rng.h"

#define CENTRES  200
#define SEARCHES 15
#define JUDGED   10
#define K        10

static struct rng rng;
static float *centres;
static size_t dim;
static bool even;

/* Of this thread: what others do on the machine counts only as far as they use its memory and caches. */
static double ms_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Close to a normal distribution, of deviation 1. */
static float noise(void) {
  uint64_t bits = rng_next(&rng);
  return ((float)(bits & 0xffff) + (float)(bits >> 16 & 0xffff) + (float)(bits >> 32 & 0xffff) - 98302.5f) / 32768.0f;
}

static void draw(float *out) {
  const float *c = centres + rng_next(&rng) % CENTRES * dim;
  for (size_t j = 0; j < dim; j++) out[j] = noise() + (even ? 0 : 1.5f * c[j]);
}

static double dot(const float *a, const float *b) {
  double sum = 0;
  for (size_t j = 0; j < dim; j++) sum += (double)a[j] * (double)b[j];
  return sum;
}

/* 16 sums side by side, for vector instructions. */
static float quick_dot(const float *a, const float *b) {
  float sums[16] = {0}, sum = 0;
  for (size_t j = 0; j + 16 <= dim; j += 16)
    for (size_t i = 0; i < 16; i++) sums[i] += a[j + i] * b[j + i];
  for (size_t i = 0; i < 16; i++) sum += sums[i];
  return sum;
}

/* The ten best scores, the least first. */
static void best_scores(const struct vectors *v, const float *query, double best[K]) {
  struct vectors_row row;
  double length = sqrt(dot(query, query));
  size_t at = 0;
  for (int i = 0; i < K; i++) best[i] = -2;
  while (vectors_next(v, &at, &row)) {
    double score = dot(row.values, query) / sqrt(dot(row.values, row.values)) / length;
    if (score <= best[0]) continue;
    int i = 0;
    for (; i + 1 < K && best[i + 1] < score; i++) best[i] = best[i + 1];
    best[i] = score;
  }
}

static double brute(const struct vectors *v, const float *query) {
  struct vectors_row row;
  float most = 0;
  size_t at = 0;
  double began = ms_now();
  while (vectors_next(v, &at, &row)) {
    float score = quick_dot(row.values, query);
    if (score > most) most = score;
  }
  double took = ms_now() - began;
  return most > 0 ? took : -1;
}

/* As fast as this machine's memory gives it to one thread. */
static double reading(size_t bytes) {
  uint64_t *words = malloc(bytes), sums[8] = {0}, sum = 0;
  double least = 1e9;
  CHECK(words);
  memset(words, 1, bytes);
  for (int round = 0; round < 5; round++) {
    double began = ms_now();
    for (size_t i = 0; i + 8 <= bytes / 8; i += 8)
      for (size_t n = 0; n < 8; n++) sums[n] += words[i + n];
    double took = ms_now() - began;
    if (took < least) least = took;
  }
  for (size_t n = 0; n < 8; n++) sum += sums[n];
  free(words);
  return sum ? least : -1;
}

static int by_number(const void *a, const void *b) {
  const double *x = a, *y = b;
  return *x < *y ? -1 : *x > *y;
}

static double median(double *list, size_t n) {
  qsort(list, n, sizeof *list, by_number);
  return list[n / 2];
}

static void measure(struct vectors *v) {
  double took[SEARCHES], plain[5], right = 0, scored = 0;
  float *query = malloc(dim * sizeof *query);
  CHECK(query);
  for (int i = 0; i < SEARCHES; i++) {
    struct err e;
    size_t n;
    double best[K];
    draw(query);
    double began = ms_now();
    struct vectors_search *s = vectors_search_new(v, query, K, -INFINITY, NULL, 0, &e);
    CHECK(s);
    vectors_search_run(s);
    took[i] = ms_now() - began;
    const struct vectors_found *found = vectors_search_found(s, &n, &e);
    scored += (double)vectors_search_scored(s) / SEARCHES;
    if (i < 5) plain[i] = brute(v, query);
    if (i < JUDGED) best_scores(v, query, best);
    for (size_t j = 0; i < JUDGED && j < n; j++) right += found[j].score >= best[0] - 1e-12;
    vectors_search_free(s);
  }
  double usual = median(took, SEARCHES);
  printf("search_ms=%.3f least_ms=%.3f brute_ms=%.3f read_ms=%.3f recall=%.4f scored=%.0f bytes=%.0f kernel=%s\n", usual, took[0], median(plain, 5),
         reading(vectors_count(v) * dim),
         right / (JUDGED * K), scored, (double)vectors_bytes(v) / (double)vectors_count(v), vectors_kernel(0));
  free(query);
}

int main(int argc, char **argv) {
  CHECK(argc > 2);
  size_t rows = strtoul(argv[1], NULL, 10);
  struct mem mem;
  struct err e;
  dim = strtoul(argv[2], NULL, 10);
  even = argc > 3 && strcmp(argv[3], "even") == 0;
  rng_seed(&rng, 7);
  mem_init(&mem);
  centres = malloc(CENTRES * dim * sizeof *centres);
  float *values = malloc(dim * sizeof *values);
  struct vectors *v = vectors_new(&mem, dim, VECTORS_COSINE, (struct vectors_limits){1u << 30, SIZE_MAX});
  CHECK(centres && values && v);
  for (size_t i = 0; i < CENTRES * dim; i++) centres[i] = noise();
  for (size_t i = 0; i < rows; i++) {
    char id[24];
    bool added;
    draw(values);
    struct vectors_row row = {.id = id, .id_len = (size_t)snprintf(id, sizeof id, "%zu", i), .tags = "", .values = values};
    CHECK(vectors_put(v, &row, &added, &e));
  }
  measure(v);
  vectors_free(v);
  free(values);
  free(centres);
  return 0;
}
