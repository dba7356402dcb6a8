/* vectors_block.c - blocks of rows, and the labels in them. */
#include <math.h>
#include <string.h>

#include "vectors_impl.h"

/* FNV-1a, and a last turn, because tables look at the low bits and signatures at the high ones. */
uint64_t vectors_hash(const char *s, size_t len) {
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)s[i]) * 1099511628211u;
  hash ^= hash >> 32;
  return hash * 0x9e3779b97f4a7c15u;
}

/* --- labels ----------------------------------------------------------------------------------------------------------------------- */

uint64_t vectors_signature(const char *piece, size_t len) {
  return (uint64_t)1 << (vectors_hash(piece, len) >> 58);
}

static uint64_t signature(const char *tags, size_t len) {
  uint64_t sig = 0;
  for (size_t at = 0; at < len;) {
    uint32_t piece;
    memcpy(&piece, tags + at, sizeof piece);
    at += sizeof piece;
    sig |= vectors_signature(tags + at, piece);
    at += piece;
  }
  return sig;
}

size_t vectors_label_size(const struct vectors_label *l) {
  return sizeof *l + l->id_len + l->tags_len;
}

struct vectors_label *vectors_label_new(struct mem *m, const struct vectors_row *row) {
  struct vectors_label *l = mem_alloc(m, sizeof *l + row->id_len + row->tags_len);
  if (!l) return NULL;
  l->refs = 1;
  l->id_len = (uint32_t)row->id_len;
  l->tags_len = (uint32_t)row->tags_len;
  l->hash = vectors_hash(row->id, row->id_len);
  l->sig = signature(row->tags, row->tags_len);
  memcpy(l->bytes, row->id, row->id_len);
  if (row->tags_len) memcpy(l->bytes + row->id_len, row->tags, row->tags_len);
  return l;
}

void vectors_label_release(struct mem *m, struct vectors_label *l) {
  if (l && --l->refs == 0) mem_free(m, l);
}

/* --- blocks ----------------------------------------------------------------------------------------------------------------------- */

static size_t row_size(const struct vectors *v) {
  return 2 * sizeof(uint64_t) + sizeof(struct vectors_label *) + 4 * sizeof(double) + v->dim * sizeof(float) + v->stride;
}

size_t vectors_block_size(const struct vectors *v, uint32_t room) {
  return sizeof(struct vectors_block) + room * row_size(v);
}

/* The arrays, those of 8 bytes a row first. */
static void lay_out(const struct vectors *v, struct vectors_block *b) {
  size_t room = b->room;
  b->order = (uint64_t *)(b + 1);
  b->sig = b->order + room;
  b->label = (struct vectors_label **)(b->sig + room);
  b->scale = (double *)(b->label + room);
  b->error = b->scale + room;
  b->length = b->error + room;
  b->inverse = b->length + room;
  b->values = (float *)(b->inverse + room);
  b->codes = (int8_t *)(b->values + room * v->dim);
}

struct vectors_block *vectors_block_new(const struct vectors *v, uint32_t room, const struct vectors_block *old) {
  struct vectors_block *b = mem_alloc(v->mem, vectors_block_size(v, room));
  if (!b) return NULL;
  *b = (struct vectors_block){.refs = 1, .room = room};
  lay_out(v, b);
  if (!old) return b;
  size_t n = b->used = old->used;
  b->live = old->live;
  memcpy(b->order, old->order, n * sizeof *b->order);
  memcpy(b->sig, old->sig, n * sizeof *b->sig);
  memcpy(b->label, old->label, n * sizeof *b->label);
  memcpy(b->scale, old->scale, n * sizeof *b->scale);
  memcpy(b->error, old->error, n * sizeof *b->error);
  memcpy(b->length, old->length, n * sizeof *b->length);
  memcpy(b->inverse, old->inverse, n * sizeof *b->inverse);
  memcpy(b->values, old->values, n * v->dim * sizeof *b->values);
  memcpy(b->codes, old->codes, n * v->stride);
  for (size_t i = 0; i < n; i++) {
    if (b->order[i]) b->label[i]->refs++;
  }
  return b;
}

void vectors_block_release(struct mem *m, struct vectors_block *b) {
  if (--b->refs > 0) return;
  for (size_t i = 0; i < b->used; i++) {
    if (b->order[i]) vectors_label_release(m, b->label[i]);
  }
  mem_free(m, b);
}

/* A score is dot * inverse, for a query of length 1. With v = scale * code + rest, the rest adds at most |rest| * |query|; the factor
 * above 1 stands for the rounding of these very numbers, and of the score. */
void vectors_block_encode(const struct vectors *v, struct vectors_block *b, size_t i, double norm) {
  const float *values = b->values + i * v->dim;
  int8_t *codes = b->codes + i * v->stride;
  double inverse = v->metric == VECTORS_COSINE ? 1 / norm : 1, largest = 0, rest = 0, coded = 0;
  for (size_t j = 0; j < v->dim; j++) largest = fmax(largest, fabs((double)values[j]));
  double scale = largest / 127, unit = largest > 0 ? 127 / largest : 0;
  memset(codes + v->dim, 0, v->stride - v->dim);
  for (size_t j = 0; j < v->dim; j++) {
    double code = nearbyint(values[j] * unit), left = values[j] - code * scale;
    codes[j] = (int8_t)code;
    rest += left * left;
    coded += code * code;
  }
  b->scale[i] = scale * inverse;
  b->length[i] = sqrt(coded) * scale * inverse * (1 + 1e-9);
  b->error[i] = sqrt(rest) * inverse * (1 + 1e-9) + norm * inverse * 1e-12;
  b->inverse[i] = inverse;
}

void vectors_row_of(const struct vectors_block *b, size_t i, size_t dim, struct vectors_row *row) {
  const struct vectors_label *l = b->label[i];
  *row = (struct vectors_row){.id = l->bytes,
                              .id_len = l->id_len,
                              .tags = l->bytes + l->id_len,
                              .tags_len = l->tags_len,
                              .values = b->values + i * dim,
                              .order = b->order[i]};
}
