/* vectors.c - the set: rows come, change and go. */
#include <math.h>
#include <string.h>

#include "vectors_impl.h"

#define FIRST_ROOM 8u /* rows of a new block, which grows until it is full */

struct vectors *vectors_new(struct mem *m, size_t dim, enum vectors_metric metric, struct vectors_limits limits) {
  struct vectors *v = mem_calloc(m, sizeof *v);
  if (!v) return NULL;
  v->mem = m;
  v->dim = dim;
  v->stride = (dim + CODE_PAD - 1) / CODE_PAD * CODE_PAD;
  v->metric = metric;
  v->limits = limits;
  v->bytes = sizeof *v;
  return v;
}

void vectors_clear(struct vectors *v) {
  for (size_t i = 0; i < v->block_count; i++) vectors_block_release(v->mem, v->blocks[i]);
  mem_free(v->mem, v->blocks);
  vectors_ids_free(v);
  v->blocks = NULL;
  v->block_count = v->block_room = v->hole = v->count = 0;
  v->bytes = sizeof *v;
}

void vectors_free(struct vectors *v) {
  if (!v) return;
  vectors_clear(v);
  mem_free(v->mem, v);
}

size_t vectors_dim(const struct vectors *v) {
  return v->dim;
}

size_t vectors_count(const struct vectors *v) {
  return v->count;
}

size_t vectors_bytes(const struct vectors *v) {
  return v->bytes;
}

/* --- room ------------------------------------------------------------------------------------------------------------------------- */

static bool no_memory(struct err *e, const char *what) {
  err_set(e, "os", 0, "out of memory: %s", what);
  return false;
}

/* Puts a copy with so much room in the block's place. */
static bool exchange(struct vectors *v, size_t at, uint32_t room, struct err *e) {
  struct vectors_block *old = v->blocks[at], *b = vectors_block_new(v, room, old);
  if (!b) return no_memory(e, "the set of vectors is as it was");
  v->blocks[at] = b;
  v->bytes += vectors_block_size(v, room) - vectors_block_size(v, old->room);
  vectors_block_release(v->mem, old);
  return true;
}

/* The block may be changed. */
static bool own(struct vectors *v, size_t at, struct err *e) {
  struct vectors_block *b = v->blocks[at];
  return b->refs == 1 || exchange(v, at, b->room, e);
}

static size_t block_list_room(const struct vectors *v) {
  return v->block_room ? v->block_room * 2 : 4;
}

static bool append_block(struct vectors *v, struct err *e) {
  if (v->block_count == v->block_room) {
    size_t room = block_list_room(v);
    struct vectors_block **blocks = mem_grow(v->mem, v->blocks, room * sizeof *blocks);
    if (!blocks) return no_memory(e, "the set of vectors is as it was");
    v->bytes += (room - v->block_room) * sizeof *blocks;
    v->blocks = blocks;
    v->block_room = room;
  }
  struct vectors_block *b = vectors_block_new(v, FIRST_ROOM, NULL);
  if (!b) return no_memory(e, "the set of vectors is as it was");
  v->blocks[v->block_count++] = b;
  v->bytes += vectors_block_size(v, FIRST_ROOM);
  return true;
}

static void find_hole(struct vectors *v) {
  while (v->hole < v->block_count && v->blocks[v->hole]->live == BLOCK_ROWS) v->hole++;
}

/* Bytes that free_row and vectors_ids_reserve are going to take. */
static size_t growth(struct vectors *v) {
  size_t bytes = vectors_ids_growth(v);
  find_hole(v);
  if (v->hole == v->block_count) {
    if (v->block_count == v->block_room) bytes += (block_list_room(v) - v->block_room) * sizeof(struct vectors_block *);
    return bytes + vectors_block_size(v, FIRST_ROOM);
  }
  uint32_t room = v->blocks[v->hole]->room;
  if (v->blocks[v->hole]->live < room) return bytes;
  return bytes + vectors_block_size(v, room * 2) - vectors_block_size(v, room);
}

/* A free row, in a block that may be changed. NO_ROW = out of memory. */
static size_t free_row(struct vectors *v, struct err *e) {
  find_hole(v);
  if (v->hole == v->block_count && !append_block(v, e)) return NO_ROW;
  size_t at = v->hole;
  struct vectors_block *b = v->blocks[at];
  if (b->live == b->room) {
    if (!exchange(v, at, b->room * 2, e)) return NO_ROW;
  } else if (!own(v, at, e)) {
    return NO_ROW;
  }
  b = v->blocks[at];
  size_t i = b->used;
  if (b->live < b->used) {
    for (i = 0; b->order[i]; i++) {}
  }
  return at * BLOCK_ROWS + i;
}

/* --- changes ---------------------------------------------------------------------------------------------------------------------- */

/* The vector's length, if it may be in the set; < 0: e is filled. */
static double checked_norm(const struct vectors *v, const struct vectors_row *row, struct err *e) {
  if (!vectors_finite(row->values, v->dim)) {
    err_set(e, "argument", 0, "a number of the vector is not finite, or too large for f32");
    return -1;
  }
  double norm = sqrt(vectors_dot(row->values, row->values, v->dim));
  if (norm == 0 && v->metric == VECTORS_COSINE) {
    err_set(e, "argument", 0, "the vector is zero: it has no direction to compare by cosine");
    return -1;
  }
  return norm;
}

static bool within_bytes(const struct vectors *v, size_t more, struct err *e) {
  if (v->bytes + more <= v->limits.bytes) return true;
  err_set(e, "limit", 0, "the set is full: %zu rows in %zu bytes, and it may have %zu (max_bytes)", v->count, v->bytes,
          v->limits.bytes);
  return false;
}

static bool within(struct vectors *v, size_t label, struct err *e) {
  if (v->count < v->limits.rows) return within_bytes(v, label + growth(v), e);
  err_set(e, "limit", 0, "the set is full: %zu rows (max_rows)", v->limits.rows);
  return false;
}

static void fill(struct vectors *v, struct vectors_block *b, size_t i, struct vectors_label *label, const float *values,
                 double norm, uint64_t order) {
  memcpy(b->values + i * v->dim, values, v->dim * sizeof *values);
  vectors_block_encode(v, b, i, norm);
  b->order[i] = order;
  b->label[i] = label;
  b->sig[i] = label->sig;
  v->bytes += vectors_label_size(label);
  if (order > v->last_order) v->last_order = order;
}

static bool replace(struct vectors *v, size_t row, const struct vectors_row *with, struct vectors_label *label, double norm,
                    struct err *e) {
  size_t i = row % BLOCK_ROWS, before = vectors_label_size(block_of(v, row)->label[i]), now = vectors_label_size(label);
  if (now > before && !within_bytes(v, now - before, e)) return false;
  if (!own(v, row / BLOCK_ROWS, e)) return false;
  struct vectors_block *b = block_of(v, row);
  v->bytes -= vectors_label_size(b->label[i]);
  vectors_label_release(v->mem, b->label[i]);
  fill(v, b, i, label, with->values, norm, with->order ? with->order : b->order[i]);
  return true;
}

static bool add(struct vectors *v, const struct vectors_row *row, struct vectors_label *label, double norm, struct err *e) {
  if (!within(v, vectors_label_size(label), e)) return false;
  if (!vectors_ids_reserve(v)) return no_memory(e, "the set of vectors is as it was");
  size_t at = free_row(v, e);
  if (at == NO_ROW) return false;
  struct vectors_block *b = block_of(v, at);
  size_t i = at % BLOCK_ROWS;
  fill(v, b, i, label, row->values, norm, row->order ? row->order : v->last_order + 1);
  if (i == b->used) b->used++;
  b->live++;
  v->count++;
  vectors_ids_insert(v, at, label->hash);
  return true;
}

bool vectors_put(struct vectors *v, const struct vectors_row *row, bool *added, struct err *e) {
  double norm = checked_norm(v, row, e);
  if (norm < 0) return false;
  struct vectors_label *label = vectors_label_new(v->mem, row);
  if (!label) return no_memory(e, "the set of vectors is as it was");
  size_t at = vectors_ids_find(v, row->id, row->id_len, label->hash);
  *added = at == NO_ROW;
  bool done = *added ? add(v, row, label, norm, e) : replace(v, at, row, label, norm, e);
  if (!done) vectors_label_release(v->mem, label);
  return done;
}

bool vectors_drop(struct vectors *v, const char *id, size_t len, struct err *e) {
  uint64_t hash = vectors_hash(id, len);
  size_t row = vectors_ids_find(v, id, len, hash);
  e->kind = NULL;
  if (row == NO_ROW || !own(v, row / BLOCK_ROWS, e)) return false;
  vectors_ids_remove(v, row, hash);
  struct vectors_block *b = block_of(v, row);
  size_t i = row % BLOCK_ROWS;
  v->bytes -= vectors_label_size(b->label[i]);
  vectors_label_release(v->mem, b->label[i]);
  b->order[i] = 0;
  b->live--;
  v->count--;
  if (row / BLOCK_ROWS < v->hole) v->hole = row / BLOCK_ROWS;
  if (v->count == 0) vectors_clear(v);
  return true;
}

/* --- looking ---------------------------------------------------------------------------------------------------------------------- */

bool vectors_get(const struct vectors *v, const char *id, size_t len, struct vectors_row *row) {
  size_t at = vectors_ids_find(v, id, len, vectors_hash(id, len));
  if (at == NO_ROW) return false;
  vectors_row_of(block_of(v, at), at % BLOCK_ROWS, v->dim, row);
  return true;
}

bool vectors_next(const struct vectors *v, size_t *at, struct vectors_row *row) {
  for (size_t i = *at; i / BLOCK_ROWS < v->block_count; i++) {
    const struct vectors_block *b = block_of(v, i);
    if (i % BLOCK_ROWS >= b->used || !b->order[i % BLOCK_ROWS]) continue;
    vectors_row_of(b, i % BLOCK_ROWS, v->dim, row);
    *at = i + 1;
    return true;
  }
  return false;
}
