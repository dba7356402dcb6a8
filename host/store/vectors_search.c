/* vectors_search.c - a search: all codes, then from f32 those rows whose bound reaches the best. */
#include <math.h>
#include <string.h>

#include "vectors_impl.h"

struct candidate {
  double upper; /* no score of this row is above */
  uint32_t block, at;
};

struct best {
  double score;
  uint64_t order;
  struct candidate *row;
};

struct vectors_search {
  struct mem *mem;
  size_t dim, stride, k;
  double min;
  vectors_scan *scan;
  struct vectors_block **blocks; /* held */
  size_t block_count;
  char *filter;
  size_t filter_len;
  uint64_t *only; /* rows to look at, by bits; NULL = all */

  float *query;
  int16_t *code;
  double scale, length, error, inverse; /* of the query's code, as of a row */
  atomic_bool cancelled;

  /* while it runs: malloc'ed, as another thread does it */
  struct candidate *candidates;
  size_t candidate_count, candidate_room;
  double *lower; /* a heap of the k largest lower bounds, the least first */
  size_t lower_count;
  struct best *best; /* a heap of the k best scores, the worst first */
  size_t best_count, scored;
  struct vectors_found *found;
  struct err err;
};

/* --- its life --------------------------------------------------------------------------------------------------------------------- */

static bool encode_query(struct vectors_search *s, enum vectors_metric metric, struct err *e) {
  double norm = sqrt(vectors_dot(s->query, s->query, s->dim)), largest = 0, rest = 0;
  if (!vectors_finite(s->query, s->dim)) {
    err_set(e, "argument", 0, "a number of the vector is not finite, or too large for f32");
    return false;
  }
  if (norm == 0 && metric == VECTORS_COSINE) {
    err_set(e, "argument", 0, "the vector is zero: it has no direction to compare by cosine");
    return false;
  }
  s->inverse = metric == VECTORS_COSINE ? 1 / norm : 1;
  for (size_t j = 0; j < s->dim; j++) largest = fmax(largest, fabs((double)s->query[j]));
  double most = query_max(s->stride), scale = largest / most, unit = largest > 0 ? most / largest : 0;
  for (size_t j = 0; j < s->stride; j++) {
    double value = j < s->dim ? s->query[j] : 0, code = nearbyint(value * unit), left = value - code * scale;
    s->code[j] = (int16_t)code;
    rest += left * left;
  }
  s->scale = scale * s->inverse;
  s->length = norm * s->inverse * (1 + 1e-9);
  s->error = (sqrt(rest) * (1 + 1e-9) + norm * 1e-12) * s->inverse;
  return true;
}

static bool take_snapshot(struct vectors_search *s, const struct vectors *v) {
  s->blocks = mem_alloc(s->mem, (v->block_count + 1) * sizeof *s->blocks);
  if (!s->blocks) return false;
  for (size_t i = 0; i < v->block_count; i++) {
    s->blocks[i] = v->blocks[i];
    s->blocks[i]->refs++;
  }
  s->block_count = v->block_count;
  return true;
}

struct vectors_search *vectors_search_new(const struct vectors *v, const float *query, size_t k, double min, const char *filter,
                                          size_t filter_len, struct err *e) {
  struct vectors_search *s = mem_calloc(v->mem, sizeof *s);
  if (!s) goto no_memory;
  s->mem = v->mem;
  s->dim = v->dim;
  s->stride = v->stride;
  s->k = k < v->count ? k : v->count;
  s->min = min;
  s->scan = vectors_scan_chosen();
  s->filter_len = filter_len;
  s->query = mem_alloc(s->mem, s->dim * sizeof *s->query);
  s->code = mem_alloc(s->mem, s->stride * sizeof *s->code);
  if (filter_len) s->filter = mem_alloc(s->mem, filter_len);
  if (!s->query || !s->code || (filter_len && !s->filter) || !take_snapshot(s, v)) goto no_memory;
  memcpy(s->query, query, s->dim * sizeof *query);
  if (filter_len) memcpy(s->filter, filter, filter_len);
  if (encode_query(s, v->metric, e)) return s;
  vectors_search_free(s);
  return NULL;
no_memory:
  vectors_search_free(s);
  err_set(e, "os", 0, "out of memory: cannot search the set of vectors");
  return NULL;
}

bool vectors_search_only_begin(struct vectors_search *s) {
  if (!s->only) s->only = mem_calloc(s->mem, (s->block_count * BLOCK_ROWS / 64 + 1) * sizeof *s->only);
  return s->only != NULL;
}

void vectors_search_only(struct vectors_search *s, const struct vectors *v, const char *id, size_t len) {
  size_t row = vectors_ids_find(v, id, len, vectors_hash(id, len));
  if (row != NO_ROW && row / BLOCK_ROWS < s->block_count) s->only[row / 64] |= (uint64_t)1 << (row % 64);
}

void vectors_search_cancel(struct vectors_search *s) {
  atomic_store(&s->cancelled, true);
}

void vectors_search_free(struct vectors_search *s) {
  if (!s) return;
  for (size_t i = 0; i < s->block_count; i++) vectors_block_release(s->mem, s->blocks[i]);
  mem_free(s->mem, s->blocks);
  mem_free(s->mem, s->filter);
  mem_free(s->mem, s->only);
  mem_free(s->mem, s->query);
  mem_free(s->mem, s->code);
  free(s->candidates);
  free(s->lower);
  free(s->best);
  free(s->found);
  mem_free(s->mem, s);
}

const struct vectors_found *vectors_search_found(const struct vectors_search *s, size_t *count, struct err *e) {
  *count = s->best_count;
  if (!s->err.kind) return s->found;
  *e = s->err;
  return NULL;
}

size_t vectors_search_scored(const struct vectors_search *s) {
  return s->scored;
}

/* --- filters ---------------------------------------------------------------------------------------------------------------------- */

static uint32_t read_count(const char **at) {
  uint32_t n;
  memcpy(&n, *at, sizeof n);
  *at += sizeof n;
  return n;
}

static bool has_piece(const struct vectors_label *l, const char *piece, uint32_t len) {
  const char *at = l->bytes + l->id_len, *end = at + l->tags_len;
  while (at < end) {
    uint32_t n = read_count(&at);
    if (n == len && memcmp(at, piece, len) == 0) return true;
    at += n;
  }
  return false;
}

static bool passes(const struct vectors_search *s, const struct vectors_label *l) {
  const char *at = s->filter, *end = at + s->filter_len;
  while (at < end) {
    bool any = false;
    for (uint32_t n = read_count(&at); n > 0; n--) {
      uint32_t len = read_count(&at);
      any = any || has_piece(l, at, len);
      at += len;
    }
    if (!any) return false;
  }
  return true;
}

/* For each group the bits of its pieces: a row without any of them fails. Up to `max` groups; the others are compared only. */
static size_t filter_signatures(const struct vectors_search *s, uint64_t *sigs, size_t max) {
  if (s->filter_len == 0) return 0;
  const char *at = s->filter, *end = at + s->filter_len;
  size_t groups = 0;
  while (at < end && groups < max) {
    uint64_t sig = 0;
    for (uint32_t n = read_count(&at); n > 0; n--) {
      uint32_t len = read_count(&at);
      sig |= vectors_signature(at, len);
      at += len;
    }
    sigs[groups++] = sig;
  }
  return groups;
}

/* --- the scan --------------------------------------------------------------------------------------------------------------------- */

/* Moves the least of a heap, which was exchanged, down to its place. */
static void sift_lower(double *heap, size_t n) {
  for (size_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && heap[child + 1] < heap[child]) child++;
    if (heap[i] <= heap[child]) return;
    double kept = heap[i];
    heap[i] = heap[child];
    heap[child] = kept;
  }
}

/* What a row's upper bound must reach. */
static double threshold(const struct vectors_search *s) {
  return s->lower_count == s->k && s->lower[0] > s->min ? s->lower[0] : s->min;
}

static void keep_lower(struct vectors_search *s, double lower) {
  if (s->lower_count == s->k) {
    if (lower <= s->lower[0]) return;
    s->lower[0] = lower;
    sift_lower(s->lower, s->k);
    return;
  }
  size_t i = s->lower_count++;
  for (; i > 0 && s->lower[(i - 1) / 2] > lower; i = (i - 1) / 2) s->lower[i] = s->lower[(i - 1) / 2];
  s->lower[i] = lower;
}

static void drop_candidates(struct vectors_search *s) {
  double least = threshold(s);
  size_t kept = 0;
  for (size_t i = 0; i < s->candidate_count; i++) {
    if (s->candidates[i].upper >= least) s->candidates[kept++] = s->candidates[i];
  }
  s->candidate_count = kept;
}

/* Room for the candidates of one block. */
static bool reserve(struct vectors_search *s) {
  if (s->candidate_room - s->candidate_count >= BLOCK_ROWS) return true;
  drop_candidates(s);
  if (s->candidate_room - s->candidate_count >= s->candidate_room / 2 + BLOCK_ROWS) return true;
  size_t room = s->candidate_room ? s->candidate_room * 2 : 16 * BLOCK_ROWS;
  struct candidate *grown = realloc(s->candidates, room * sizeof *grown);
  if (!grown) return false;
  s->candidates = grown;
  s->candidate_room = room;
  return true;
}

/* Which rows of a block are looked at; returns how many. */
static size_t choose(const struct vectors_search *s, size_t at, const uint64_t *sigs, size_t groups, bool *chosen) {
  const struct vectors_block *b = s->blocks[at];
  size_t count = 0;
  for (size_t i = 0; i < b->used; i++) {
    size_t row = at * BLOCK_ROWS + i;
    bool take = b->order[i] != 0 && (!s->only || (s->only[row / 64] >> (row % 64) & 1));
    for (size_t g = 0; take && g < groups; g++) take = (b->sig[i] & sigs[g]) != 0;
    take = take && (!s->filter_len || passes(s, b->label[i]));
    chosen[i] = take;
    count += take;
  }
  return count;
}

/* Rows i to end, which stand side by side and are all chosen. */
static void scan_rows(struct vectors_search *s, size_t at, size_t i, size_t end, int32_t *dots) {
  const struct vectors_block *b = s->blocks[at];
  s->scan(b->codes + i * s->stride, s->stride, end - i, s->code, dots + i);
  double least = threshold(s);
  for (; i < end; i++) {
    double about = dots[i] * b->scale[i] * s->scale, margin = b->error[i] * s->length + b->length[i] * s->error;
    if (!(about + margin >= least)) continue;
    s->candidates[s->candidate_count++] = (struct candidate){about + margin, (uint32_t)at, (uint32_t)i};
    keep_lower(s, about - margin);
    least = threshold(s);
  }
}

static bool scan_all(struct vectors_search *s) {
  uint64_t sigs[8];
  size_t groups = filter_signatures(s, sigs, COUNT_OF(sigs));
  for (size_t at = 0; at < s->block_count; at++) {
    bool chosen[BLOCK_ROWS];
    int32_t dots[BLOCK_ROWS];
    if (atomic_load_explicit(&s->cancelled, memory_order_relaxed)) return true;
    if (choose(s, at, sigs, groups, chosen) == 0) continue;
    if (!reserve(s)) return false;
    for (size_t i = 0, used = s->blocks[at]->used; i < used;) {
      size_t end = i;
      while (end < used && chosen[end] == chosen[i]) end++;
      if (chosen[i]) scan_rows(s, at, i, end, dots);
      i = end;
    }
  }
  drop_candidates(s);
  return true;
}

/* --- the scores ------------------------------------------------------------------------------------------------------------------- */

static int by_upper(const void *x, const void *y) {
  const struct candidate *a = x, *b = y;
  if (a->upper != b->upper) return a->upper > b->upper ? -1 : 1;
  if (a->block != b->block) return a->block < b->block ? -1 : 1;
  return a->at < b->at ? -1 : a->at > b->at;
}

static bool worse(const struct best *a, const struct best *b) {
  return a->score != b->score ? a->score < b->score : a->order > b->order;
}

static int by_score(const void *x, const void *y) {
  return worse(x, y) ? 1 : worse(y, x) ? -1 : 0;
}

static void keep_best(struct vectors_search *s, struct best row) {
  struct best *heap = s->best;
  size_t i;
  if (s->best_count < s->k) {
    i = s->best_count++;
    for (; i > 0 && worse(&row, &heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = row;
    return;
  }
  if (!worse(&heap[0], &row)) return;
  i = 0;
  for (size_t child; (child = 2 * i + 1) < s->k; i = child) {
    if (child + 1 < s->k && worse(&heap[child + 1], &heap[child])) child++;
    if (!worse(&heap[child], &row)) break;
    heap[i] = heap[child];
  }
  heap[i] = row;
}

/* From the highest bound down, until none can reach the k-th score any more. */
static void score(struct vectors_search *s) {
  if (s->candidate_count == 0) return;
  qsort(s->candidates, s->candidate_count, sizeof *s->candidates, by_upper);
  for (size_t i = 0; i < s->candidate_count; i++) {
    struct candidate *c = &s->candidates[i];
    const struct vectors_block *b = s->blocks[c->block];
    if (s->best_count == s->k && c->upper < s->best[0].score) break;
    if (i % BLOCK_ROWS == 0 && atomic_load_explicit(&s->cancelled, memory_order_relaxed)) return;
    double dot = vectors_dot(b->values + c->at * s->dim, s->query, s->dim) * b->inverse[c->at] * s->inverse;
    s->scored++;
    if (dot >= s->min) keep_best(s, (struct best){dot, b->order[c->at], c});
  }
  qsort(s->best, s->best_count, sizeof *s->best, by_score);
}

static bool give(struct vectors_search *s) {
  s->found = malloc((s->best_count + 1) * sizeof *s->found);
  if (!s->found) return false;
  for (size_t i = 0; i < s->best_count; i++) {
    const struct candidate *c = s->best[i].row;
    vectors_row_of(s->blocks[c->block], c->at, s->dim, &s->found[i].row);
    s->found[i].score = s->best[i].score;
  }
  return true;
}

void vectors_search_run(struct vectors_search *s) {
  bool done = true;
  if (s->k > 0) {
    s->lower = malloc(s->k * sizeof *s->lower);
    s->best = malloc(s->k * sizeof *s->best);
    done = s->lower && s->best && scan_all(s);
    if (done) score(s);
  }
  done = done && give(s);
  if (atomic_load(&s->cancelled)) {
    err_set(&s->err, "cancelled", 0, "the search was cancelled");
  } else if (!done) {
    err_set(&s->err, "os", 0, "out of memory: cannot search the set of vectors");
  }
}
