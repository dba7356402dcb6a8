/* vectors_ids.c - which row an id has: a hash table of row numbers with linear probing. A removal moves the entries behind it up, so
 * there are no marks of what was. */
#include <string.h>

#include "vectors_impl.h"

static const struct vectors_label *label_at(const struct vectors *v, uint32_t slot) {
  size_t row = slot - 1;
  return block_of(v, row)->label[row % BLOCK_ROWS];
}

size_t vectors_ids_find(const struct vectors *v, const char *id, size_t len, uint64_t hash) {
  if (v->ids.room == 0) return NO_ROW;
  size_t mask = v->ids.room - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    uint32_t slot = v->ids.slots[i];
    if (slot == 0) return NO_ROW;
    const struct vectors_label *l = label_at(v, slot);
    if (l->hash == hash && l->id_len == len && memcmp(l->bytes, id, len) == 0) return slot - 1;
  }
}

static void place(uint32_t *slots, size_t room, uint64_t hash, uint32_t slot) {
  size_t i = hash & (room - 1);
  while (slots[i]) i = (i + 1) & (room - 1);
  slots[i] = slot;
}

static size_t wanted(const struct vectors_ids *ids) {
  if ((ids->count + 1) * 4 <= ids->room * 3) return ids->room;
  return ids->room ? ids->room * 2 : 16;
}

size_t vectors_ids_growth(const struct vectors *v) {
  return (wanted(&v->ids) - v->ids.room) * sizeof *v->ids.slots;
}

bool vectors_ids_reserve(struct vectors *v) {
  struct vectors_ids *ids = &v->ids;
  size_t room = wanted(ids);
  if (room == ids->room) return true;
  uint32_t *slots = mem_calloc(v->mem, room * sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; i < ids->room; i++) {
    if (ids->slots[i]) place(slots, room, label_at(v, ids->slots[i])->hash, ids->slots[i]);
  }
  v->bytes += (room - ids->room) * sizeof *slots;
  mem_free(v->mem, ids->slots);
  ids->slots = slots;
  ids->room = room;
  return true;
}

void vectors_ids_insert(struct vectors *v, size_t row, uint64_t hash) {
  place(v->ids.slots, v->ids.room, hash, (uint32_t)row + 1);
  v->ids.count++;
}

void vectors_ids_remove(struct vectors *v, size_t row, uint64_t hash) {
  size_t mask = v->ids.room - 1, gap = hash & mask;
  uint32_t *slots = v->ids.slots;
  while (slots[gap] != row + 1) gap = (gap + 1) & mask;
  for (size_t i = (gap + 1) & mask; slots[i]; i = (i + 1) & mask) {
    size_t home = label_at(v, slots[i])->hash & mask;
    if (((i - home) & mask) < ((i - gap) & mask)) continue; /* its own place is behind the gap */
    slots[gap] = slots[i];
    gap = i;
  }
  slots[gap] = 0;
  v->ids.count--;
}

void vectors_ids_free(struct vectors *v) {
  v->bytes -= v->ids.room * sizeof *v->ids.slots;
  mem_free(v->mem, v->ids.slots);
  v->ids = (struct vectors_ids){0};
}
