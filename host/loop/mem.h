/* mem.h - the allocation seam. One `struct mem` per host counts what Lua and the engines hold, enforces the cap, and
 * can fail the Nth allocation on purpose (make oom). Loop thread only; code on other threads uses malloc. */
#ifndef STOKE_MEM_H
#define STOKE_MEM_H

#include "base.h"

#define MEM_STEP    16u /* pooled sizes are multiples of this */
#define MEM_CLASSES 24u /* up to 384 bytes */

struct mem_free;
struct mem_chunk;

struct mem {
  size_t used;    /* bytes held now */
  size_t peak;    /* most bytes ever held */
  size_t limit;   /* what the user allows; 0 = no limit */
  size_t mark;    /* beyond it `on_mark` is called: the limit, or more if no task was responsible; SIZE_MAX = never */
  size_t cap;     /* refuse beyond this; 0 = no cap */
  size_t refused; /* size of the last block refused by the cap, until it is read */
  void (*on_mark)(struct mem *m);
  uint64_t calls;   /* allocations and growths asked for so far */
  uint64_t fail_at; /* fail the allocation with this number and the next; 0 = none */

  /* the pool of small blocks; its chunks go back to the system with mem_release */
  struct mem_free *free[MEM_CLASSES];
  struct mem_chunk *chunks;
  char *fresh, *fresh_end;
};

/* Once a process: large buffers come and go with each request, and giving them back to the system in between costs more than
 * the requests. */
void mem_tune(void);

void mem_init(struct mem *m);
/* The user's limit, 0 = none. There is a reserve above it for tasks that did not grow the heap, and to unwind the one that did. */
void mem_set_limit(struct mem *m, size_t limit);
void mem_release(struct mem *m); /* after the last block was given back */

/* NULL when the cap is reached, the system refuses, or the failure is on purpose. The caller owns the block and gives it
 * back with mem_free. mem_calloc zeroes. mem_grow keeps the old block untouched when it fails. */
void *mem_alloc(struct mem *m, size_t size);
void *mem_calloc(struct mem *m, size_t size);
void *mem_grow(struct mem *m, void *block, size_t size);
char *mem_strndup(struct mem *m, const char *s, size_t len);
void mem_free(struct mem *m, void *block);

/* lua_Alloc over the same counters; ud is the struct mem. */
void *mem_lua_alloc(void *ud, void *block, size_t old_size, size_t new_size);

#endif
