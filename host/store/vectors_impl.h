/* vectors_impl.h - what the files of vectors share: blocks of rows, labels, the index of ids, kernels. */
#ifndef STOKE_VECTORS_IMPL_H
#define STOKE_VECTORS_IMPL_H

#include "loop/mem.h"
#include "vectors.h"

#define BLOCK_ROWS 256u /* a full block: what a change copies while a search holds it */
#define CODE_PAD   64u  /* a row of codes is a multiple of this many, filled with zeros, so that a kernel has no rest */

/* An id with its tags. Does not change; held by rows. */
struct vectors_label {
  uint32_t refs;
  uint32_t id_len, tags_len;
  uint64_t hash; /* of the id */
  uint64_t sig;  /* a bit for each tag, by its hash: most rows that a filter leaves out fail here */
  char bytes[];  /* the id, the tags */
};

struct vectors_block {
  uint32_t refs; /* the set, and searches */
  uint32_t room; /* rows there is memory for */
  uint32_t used; /* rows below this have been in use */
  uint32_t live;
  /* by row, in this one piece of memory; order 0 = a free row */
  uint64_t *order, *sig;
  struct vectors_label **label;
  double *scale;  /* of a code: what 1 is worth in the score */
  double *error;  /* length of what the code leaves out, rounded up, in the same measure */
  double *length; /* of the coded vector */
  double *inverse; /* cosine: 1 / length of the vector; dot: 1 */
  float *values;
  int8_t *codes;
};

/* id -> row: open addressing, in the set. */
struct vectors_ids {
  uint32_t *slots; /* row + 1; 0 = empty */
  size_t room;     /* a power of two, or 0 */
  size_t count;
};

struct vectors {
  struct mem *mem;
  size_t dim, stride; /* stride: codes of a row, with the filling */
  enum vectors_metric metric;
  struct vectors_limits limits;
  struct vectors_block **blocks;
  size_t block_count, block_room;
  size_t hole; /* blocks before this one have no free row */
  size_t count, bytes;
  uint64_t last_order;
  struct vectors_ids ids;
};

static inline struct vectors_block *block_of(const struct vectors *v, size_t row) {
  return v->blocks[row / BLOCK_ROWS];
}

/* vectors_block.c */
uint64_t vectors_hash(const char *s, size_t len);
uint64_t vectors_signature(const char *piece, size_t len); /* its bit */
struct vectors_label *vectors_label_new(struct mem *m, const struct vectors_row *row); /* NULL = out of memory */
void vectors_label_release(struct mem *m, struct vectors_label *l);
size_t vectors_label_size(const struct vectors_label *l);
size_t vectors_block_size(const struct vectors *v, uint32_t room);
/* A copy of `old` with more room, or an empty one. NULL = out of memory. */
struct vectors_block *vectors_block_new(const struct vectors *v, uint32_t room, const struct vectors_block *old);
void vectors_block_release(struct mem *m, struct vectors_block *b);
/* Code and measures of a row whose values are there; norm: their length. */
void vectors_block_encode(const struct vectors *v, struct vectors_block *b, size_t i, double norm);
void vectors_row_of(const struct vectors_block *b, size_t i, size_t dim, struct vectors_row *row);

/* vectors_ids.c. The index holds rows, and finds their ids through the blocks. */
#define NO_ROW SIZE_MAX
size_t vectors_ids_find(const struct vectors *v, const char *id, size_t len, uint64_t hash);
size_t vectors_ids_growth(const struct vectors *v); /* bytes that vectors_ids_reserve is going to take */
bool vectors_ids_reserve(struct vectors *v); /* room for one more; false = out of memory */
void vectors_ids_insert(struct vectors *v, size_t row, uint64_t hash);
void vectors_ids_remove(struct vectors *v, size_t row, uint64_t hash); /* while the row still has its label */
void vectors_ids_free(struct vectors *v);

/* vectors_score.c: sums in double, in one order whatever the machine. */
double vectors_dot(const float *a, const float *b, size_t n);
bool vectors_finite(const float *a, size_t n);

/* vectors_scan.c. dots[i] = sum of codes[i * stride + j] * query[j], for `rows` rows. stride is a multiple of CODE_PAD; no sum of a
 * part of the products leaves int32_t: |query[j]| <= query_max(stride). */
typedef void vectors_scan(const int8_t *codes, size_t stride, size_t rows, const int16_t *query, int32_t *dots);
vectors_scan *vectors_scan_chosen(void);

static inline int32_t query_max(size_t stride) {
  size_t most = INT32_MAX / (127 * stride);
  return most < 32767 ? (int32_t)most : 32767;
}

struct vectors_kernel {
  const char *name;
  vectors_scan *scan;
};
/* vectors_scan_x86.c: those of this processor, the fastest first; returns how many, 0 elsewhere. */
size_t vectors_scan_x86(struct vectors_kernel out[4]);

#endif
