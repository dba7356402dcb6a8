/* mem.c - counted allocation, and for small blocks a pool: free lists by size over large chunks. Lua makes and drops short
 * strings and tables all the time and tells each block's size, so a pool needs neither headers nor searching; malloc would merge
 * and split the same blocks over and over. The small blocks of C lie there too: between the stacks of coroutines they would keep
 * malloc from joining what was given back. Memory checkers see every block apart: they build with MEM_POOLED 0. */
#include "mem.h"

#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifndef MEM_POOLED
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEM_POOLED 0
#elif defined(__has_feature)
#define MEM_POOLED (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer))
#else
#define MEM_POOLED 1
#endif
#endif

#define HEADER 16 /* of a C block: its size; keeps malloc's alignment */
#define CHUNK  (32 * 1024)

struct mem_free {
  struct mem_free *next;
};

struct mem_chunk {
  struct mem_chunk *next;
  size_t unused; /* keeps what follows aligned to 16 */
};

void mem_tune(void) {
#ifdef __GLIBC__
  mallopt(M_TRIM_THRESHOLD, 32 << 20);
  mallopt(M_TOP_PAD, 1 << 20);
#endif
}

void mem_init(struct mem *m) {
  memset(m, 0, sizeof *m);
  m->mark = SIZE_MAX;
}

#define ROOM_LEAST (16u << 20)

void mem_set_limit(struct mem *m, size_t limit) {
  size_t room = limit / 8 > ROOM_LEAST ? limit / 8 : ROOM_LEAST;
  m->limit = limit;
  m->mark = limit ? limit : SIZE_MAX;
  m->cap = limit ? limit + room : 0;
}

void mem_release(struct mem *m) {
  while (m->chunks) {
    struct mem_chunk *c = m->chunks;
    m->chunks = c->next;
    free(c);
  }
  memset(m->free, 0, sizeof m->free);
  m->fresh = m->fresh_end = NULL;
}

static bool mem_admit_beyond(struct mem *m, size_t more) {
  if (m->cap != 0 && m->used + more > m->cap) {
    m->refused = more;
    return false;
  }
  if (m->on_mark) m->on_mark(m);
  return true;
}

/* true when this allocation may happen. */
static bool mem_admit(struct mem *m, size_t more) {
  m->calls++;
  /* two in a row: Lua tries again after a collection */
  if (__builtin_expect(m->fail_at != 0 && m->calls - m->fail_at < 2, 0)) return false;
  return __builtin_expect(m->used + more <= m->mark, 1) || mem_admit_beyond(m, more);
}

static void mem_count(struct mem *m, size_t less, size_t more) {
  m->used += more - less;
  if (m->used > m->peak) m->peak = m->used;
}

/* --- blocks, small ones from the pool -------------------------------------------------------------------------------- */

static inline size_t class_of(size_t size) {
  return (size - 1) / MEM_STEP;
}

static inline bool is_small(size_t size) {
  return MEM_POOLED && size <= MEM_STEP * MEM_CLASSES;
}

/* Carves blocks of one class; what is left of the old chunk becomes a block of its own. */
static void *pool_fresh(struct mem *m, size_t size) {
  size_t left = (size_t)(m->fresh_end - m->fresh);
  if (left < size) {
    struct mem_chunk *c = malloc(CHUNK);
    if (!c) return NULL;
    if (left >= MEM_STEP) {
      struct mem_free *f = (void *)m->fresh;
      f->next = m->free[left / MEM_STEP - 1];
      m->free[left / MEM_STEP - 1] = f;
    }
    c->next = m->chunks;
    m->chunks = c;
    m->fresh = (char *)(c + 1);
    m->fresh_end = (char *)c + CHUNK;
  }
  void *p = m->fresh;
  m->fresh += size;
  return p;
}

static inline void *raw_alloc(struct mem *m, size_t size) {
  if (!is_small(size)) return malloc(size);
  size_t class = class_of(size);
  struct mem_free *f = m->free[class];
  if (!f) return pool_fresh(m, (class + 1) * MEM_STEP);
  m->free[class] = f->next;
  return f;
}

static inline void raw_free(struct mem *m, void *block, size_t size) {
  if (!is_small(size)) {
    free(block);
    return;
  }
  struct mem_free *f = block;
  f->next = m->free[class_of(size)];
  m->free[class_of(size)] = f;
}

static void *raw_resize(struct mem *m, void *block, size_t old_size, size_t new_size) {
  bool small = is_small(old_size);
  if (!small && !is_small(new_size)) return realloc(block, new_size);
  if (small && is_small(new_size) && class_of(old_size) == class_of(new_size)) return block;
  void *p = raw_alloc(m, new_size);
  if (!p) return NULL;
  memcpy(p, block, old_size < new_size ? old_size : new_size);
  raw_free(m, block, old_size);
  return p;
}

/* --- blocks of C: the size is in front ------------------------------------------------------------------------------ */

void *mem_grow(struct mem *m, void *block, size_t size) {
  char *old = block ? (char *)block - HEADER : NULL;
  size_t old_size = 0;
  if (old) memcpy(&old_size, old, sizeof old_size);
  if (size > SIZE_MAX - HEADER) return NULL;
  if (size > old_size && !mem_admit(m, size - old_size)) return NULL;
  char *p = old ? raw_resize(m, old, old_size + HEADER, size + HEADER) : raw_alloc(m, size + HEADER);
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
  raw_free(m, p, size + HEADER);
}

/* --- blocks of Lua --------------------------------------------------------------------------------------------------- */

void *mem_lua_alloc(void *ud, void *block, size_t old_size, size_t new_size) {
  struct mem *m = ud;
  if (!block || old_size == 0) { /* without a block, old_size is a type tag */
    if (new_size == 0 || !mem_admit(m, new_size)) return NULL;
    void *p = raw_alloc(m, new_size);
    if (p) mem_count(m, 0, new_size);
    return p;
  }
  if (new_size == 0) {
    mem_count(m, old_size, 0);
    raw_free(m, block, old_size);
    return NULL;
  }
  if (new_size > old_size && !mem_admit(m, new_size - old_size)) return NULL;
  void *p = raw_resize(m, block, old_size, new_size);
  if (!p) return new_size <= old_size ? block : NULL; /* Lua requires that shrinking never fails */
  mem_count(m, old_size, new_size);
  return p;
}
