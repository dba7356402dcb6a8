/* mem.c - counted allocation. Each block carries its size in a header, so that C blocks can be counted when they are freed;
 * Lua tells the old size itself and needs none. */
#include "mem.h"

#include <string.h>

#define HEADER 16 /* keeps malloc's alignment */

void mem_init(struct mem *m) {
  memset(m, 0, sizeof *m);
}

/* true when this allocation may happen. */
static bool mem_admit(struct mem *m, size_t more) {
  m->calls++;
  if (__builtin_expect(m->fail_at != 0 && m->calls == m->fail_at, 0)) return false;
  return m->cap == 0 || m->used + more <= m->cap;
}

static void mem_count(struct mem *m, size_t less, size_t more) {
  m->used += more - less;
  if (m->used > m->peak) m->peak = m->used;
}

void *mem_grow(struct mem *m, void *block, size_t size) {
  char *old = block ? (char *)block - HEADER : NULL;
  size_t old_size = 0;
  if (old) memcpy(&old_size, old, sizeof old_size);
  if (size > SIZE_MAX - HEADER) return NULL;
  if (size > old_size && !mem_admit(m, size - old_size)) return NULL;
  char *p = realloc(old, size + HEADER);
  if (!p) return NULL;
  memcpy(p, &size, sizeof size);
  mem_count(m, old_size, size);
  return p + HEADER;
}

void *mem_alloc(struct mem *m, size_t size) {
  return mem_grow(m, NULL, size);
}

void *mem_calloc(struct mem *m, size_t size) {
  void *p = mem_grow(m, NULL, size);
  if (p) memset(p, 0, size);
  return p;
}

char *mem_strndup(struct mem *m, const char *s, size_t len) {
  char *p = mem_alloc(m, len + 1);
  if (!p) return NULL;
  memcpy(p, s, len);
  p[len] = 0;
  return p;
}

void mem_free(struct mem *m, void *block) {
  if (!block) return;
  char *p = (char *)block - HEADER;
  size_t size;
  memcpy(&size, p, sizeof size);
  mem_count(m, size, 0);
  free(p);
}

void *mem_lua_alloc(void *ud, void *block, size_t old_size, size_t new_size) {
  struct mem *m = ud;
  if (!block) old_size = 0; /* then it is a type tag, not a size */
  if (new_size == 0) {
    mem_count(m, old_size, 0);
    free(block);
    return NULL;
  }
  /* Lua requires that shrinking never fails. */
  if (new_size > old_size && !mem_admit(m, new_size - old_size)) return NULL;
  void *p = realloc(block, new_size);
  if (!p) return NULL;
  mem_count(m, old_size, new_size);
  return p;
}
