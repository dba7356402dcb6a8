/* base.h - the few macros every file may use. Knows nothing of the rest. */
#ifndef STOKE_BASE_H
#define STOKE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Both stand nowhere else: packages, pages of the manual and archives read them here. */
#define STOKE_VERSION "0.2.0"
#define STOKE_DATE "2026-12-01" /* of that version */

/* Aborts on the impossible, in release builds too: a broken invariant must not run on. */
#define CHECK(cond)                                                                                                    \
  do {                                                                                                                 \
    if (__builtin_expect(!(cond), 0)) {                                                                                \
      fprintf(stderr, "stoke: internal error at %s:%d: %s\n", __FILE__, __LINE__, #cond);                              \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* The structure of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define NS_PER_SECOND 1000000000ull

#endif
