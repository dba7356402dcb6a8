/* lines.c - bytes in, lines out. One buffer, owned by the struct; a line is handed out in place. */
#include "lines.h"

#include <string.h>

#define FIRST_SIZE 256
#define KEEP_SIZE  (64 * 1024) /* an empty buffer larger than this is given back */

void lines_init(struct lines *l, struct mem *m, size_t max_line) {
  *l = (struct lines){.mem = m, .max_line = max_line ? max_line : SIZE_MAX};
}

void lines_close(struct lines *l) {
  mem_free(l->mem, l->buf);
  *l = (struct lines){.mem = l->mem, .max_line = l->max_line};
}

/* Room for len more bytes behind `end`. */
static bool make_room(struct lines *l, size_t len) {
  size_t held = l->end - l->start;
  if (l->start) {
    if (held) memmove(l->buf, l->buf + l->start, held);
    l->start = 0;
    l->end = held;
  }
  if (len <= l->size - held) return true;
  size_t size = l->size ? l->size : FIRST_SIZE;
  while (size - held < len) {
    if (size > SIZE_MAX / 2) return false;
    size *= 2;
  }
  char *buf = mem_grow(l->mem, l->buf, size);
  if (!buf) return false;
  l->buf = buf;
  l->size = size;
  return true;
}

bool lines_feed(struct lines *l, const char *bytes, size_t len) {
  if (len == 0) return true;
  if (l->start == l->end) {
    l->start = l->end = l->scanned = 0;
    if (l->size > KEEP_SIZE && len < KEEP_SIZE) {
      mem_free(l->mem, l->buf);
      l->buf = NULL;
      l->size = 0;
    }
  }
  if (len > l->size - l->end && !make_room(l, len)) return false;
  memcpy(l->buf + l->end, bytes, len);
  l->end += len;
  l->fed += len;
  return true;
}

static size_t without_cr(const char *line, size_t len) {
  return len && line[len - 1] == '\r' ? len - 1 : len;
}

enum lines_result lines_next(struct lines *l, const char **line, size_t *len) {
  size_t held = l->end - l->start;
  if (l->scanned == held) return held > l->max_line ? LINES_TOO_LONG : LINES_MORE;
  const char *at = l->buf + l->start;
  const char *lf = memchr(at + l->scanned, '\n', held - l->scanned);
  if (!lf) {
    l->scanned = held;
    return held > l->max_line ? LINES_TOO_LONG : LINES_MORE;
  }
  size_t whole = (size_t)(lf - at);
  if (whole > l->max_line) return LINES_TOO_LONG;
  *line = at;
  *len = without_cr(at, whole);
  l->start += whole + 1;
  l->scanned = 0;
  l->taken++;
  return LINES_LINE;
}

size_t lines_came(const struct lines *l) {
  size_t came = l->taken;
  for (const char *at = l->buf + l->start, *end = l->buf + l->end; at < end; at++) {
    at = memchr(at, '\n', (size_t)(end - at));
    if (!at) break;
    came++;
  }
  return came;
}

bool lines_rest(struct lines *l, const char **line, size_t *len) {
  if (l->start == l->end) return false;
  *line = l->buf + l->start;
  *len = without_cr(*line, l->end - l->start);
  l->start = l->end;
  l->scanned = 0;
  return true;
}
