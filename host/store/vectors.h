/* vectors.h - sets of vectors in memory, searched exactly. Knows neither Lua nor SQLite.
 *
 * Each row has the vector as it was given (f32), and a code of 8 bits a number with the distance between the two. A search looks at
 * all codes with one multiplication a number; code and distance give an upper bound of each row's score, and the rows whose bound
 * reaches the best are scored again from f32, in double, until no bound is left above the k-th score. So what is found is exactly
 * what a comparison with every vector finds, by proof and not by a chosen number of candidates. Scores do not depend on the kernel or
 * the machine: products of two f32 are exact in double, and are added in a fixed order.
 *
 * A set belongs to the loop thread. A search takes a snapshot: rows stand in blocks, a block counts who holds it, and one that a
 * search holds is copied before it is changed. So a search may run on another thread while the set changes, and sees nothing of that.
 * The counts are touched by the loop thread alone: at the snapshot, and when the search is given back.
 *
 * Ids and tags are bytes, which the caller encodes. Tags are pieces, each behind its length (uint32_t): a filter compares whole
 * pieces. */
#ifndef STOKE_VECTORS_H
#define STOKE_VECTORS_H

#include <stdatomic.h>

#include "loop/err.h"

struct mem;
struct vectors;

#define VECTORS_DIM_MAX 16384u /* numbers of a vector */
#define VECTORS_ID_MAX  1024u  /* bytes of an id */
#define VECTORS_TAGS_MAX 65536u

enum vectors_metric { VECTORS_COSINE, VECTORS_DOT };

struct vectors_limits {
  size_t rows;  /* at most 2^31 */
  size_t bytes; /* of the set, as vectors_bytes counts */
};

/* NULL = out of memory. The caller owns the set; a search goes on after vectors_free. 1 <= dim <= VECTORS_DIM_MAX. */
struct vectors *vectors_new(struct mem *m, size_t dim, enum vectors_metric metric, struct vectors_limits limits);
void vectors_free(struct vectors *v);

struct vectors_row {
  const char *id, *tags; /* the set's: valid until it is changed */
  size_t id_len, tags_len;
  const float *values;
  uint64_t order;
};

/* Adds a row, or replaces the one with this id. order: which of two rows with equal scores comes first, the smaller; 0 = behind all
 * others, or the place the row has. False with e filled, and the set is as it was: a number that is not finite or a vector without a
 * direction (`argument`), a limit (`limit`), memory (`os`). *added: it was not there before. */
bool vectors_put(struct vectors *v, const struct vectors_row *row, bool *added, struct err *e);
/* False: there is no such row, or, with e->kind set, no memory to copy a block that a search holds. */
bool vectors_drop(struct vectors *v, const char *id, size_t len, struct err *e);
bool vectors_get(const struct vectors *v, const char *id, size_t len, struct vectors_row *row);
/* The row at or behind *at, which is moved behind it; in no order of meaning. */
bool vectors_next(const struct vectors *v, size_t *at, struct vectors_row *row);
void vectors_clear(struct vectors *v);
size_t vectors_dim(const struct vectors *v);
size_t vectors_count(const struct vectors *v);
size_t vectors_bytes(const struct vectors *v); /* all it holds, with what searches hold of it only if it is still its own */

/* --- searching ------------------------------------------------------------------------------------------------------------------- */

struct vectors_found {
  struct vectors_row row; /* the search's: valid until it is given back */
  double score;
};

struct vectors_search;

/* Takes the snapshot. query: dim numbers. filter: groups, each a count (uint32_t) and so many pieces; a row passes if it has a piece
 * of each group. min: scores below it are left out; -INFINITY = none. All is copied. NULL with e filled: the query (`argument`), or
 * memory (`os`). */
struct vectors_search *vectors_search_new(const struct vectors *v, const float *query, size_t k, double min, const char *filter,
                                          size_t filter_len, struct err *e);
/* Before it runs: looks at no row but those that vectors_search_only names from now on. False = out of memory. An id that the set
 * does not have is left out. */
bool vectors_search_only_begin(struct vectors_search *s);
void vectors_search_only(struct vectors_search *s, const struct vectors *v, const char *id, size_t len);
/* Does the work: any thread. */
void vectors_search_run(struct vectors_search *s);
void vectors_search_cancel(struct vectors_search *s); /* any thread: it ends soon, with an error of kind `cancelled` */
/* What was found, the best first; NULL with e filled. */
const struct vectors_found *vectors_search_found(const struct vectors_search *s, size_t *count, struct err *e);
size_t vectors_search_scored(const struct vectors_search *s); /* how many rows were scored from f32 */
void vectors_search_free(struct vectors_search *s); /* loop thread; after it has run, or without that */

/* --- kernels --------------------------------------------------------------------------------------------------------------------- */

/* The name of the kernel at `i`, the fastest first; NULL: there are no more. For tests and figures. */
const char *vectors_kernel(size_t i);
bool vectors_use(const char *kernel); /* for searches from now on; NULL = the fastest. False: this machine has none of that name */

#endif
