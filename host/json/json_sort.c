/* json_sort.c - keys in the order of their bytes: by insertion while they are few, else by heap. It neither allocates nor
 * recurses, so that nothing in it can fail. */
#include <string.h>

#include "json.h"
#include "json_scan.h"

enum { SORT_SIMPLY = 20 };

static bool less(const struct json_entry *a, const struct json_entry *b) {
  if (a->prefix != b->prefix) return a->prefix < b->prefix;
  size_t n = a->len < b->len ? a->len : b->len;
  int order = n > 8 ? memcmp(a->key + 8, b->key + 8, n - 8) : 0;
  return order ? order < 0 : a->len < b->len;
}

static void sift(struct json_entry *e, size_t root, size_t n) {
  struct json_entry moved = e[root];
  size_t child;
  while ((child = root * 2 + 1) < n) {
    if (child + 1 < n && less(&e[child], &e[child + 1])) child++;
    if (!less(&moved, &e[child])) break;
    e[root] = e[child];
    root = child;
  }
  e[root] = moved;
}

void json_sort(struct json_entry *e, size_t n) {
  if (n > SORT_SIMPLY) {
    for (size_t i = n / 2; i > 0; i--) sift(e, i - 1, n);
    for (size_t i = n - 1; i > 0; i--) {
      struct json_entry last = e[i];
      e[i] = e[0];
      e[0] = last;
      sift(e, 0, i);
    }
    return;
  }
  for (size_t i = 1; i < n; i++) {
    struct json_entry moved = e[i];
    size_t j = i;
    for (; j > 0 && less(&moved, &e[j - 1]); j--) e[j] = e[j - 1];
    e[j] = moved;
  }
}

uint64_t json_prefix(const char *s, size_t len) {
  uint64_t x = 0;
  if (len >= 8) return __builtin_bswap64(json_load8((const json_byte *)s));
  for (size_t i = 0; i < len; i++) x |= (uint64_t)(json_byte)s[i] << (56 - 8 * i);
  return x;
}
