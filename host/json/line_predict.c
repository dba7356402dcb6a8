/* line_predict.c - see line_predict.h. */
#include "line_predict.h"

#include "json_scan.h"

/* The end of the string whose contents begin at p: its closing quote. */
static const char *closing(const char *p, const char *end) {
  return memchr(p, '"', (size_t)(end - p));
}

/* Adds the bytes from `from` to `to` as one part; false when there is no room. */
static bool add_part(struct shape *s, size_t *used, const char *from, const char *to) {
  size_t len = (size_t)(to - from);
  if (s->parts == SHAPE_PARTS_MAX || len > SHAPE_BYTES_MAX - *used) return false;
  memcpy(s->bytes + *used, from, len);
  s->lens[s->parts++] = (uint16_t)len;
  *used += len;
  return true;
}

void shape_learn(struct shape *out, const char *line, size_t len, const char *text) {
  struct shape s = {.text = UINT8_MAX};
  const char *end = line + len, *from = line, *p = line;
  size_t used = 0;
  if (len > SHAPE_BYTES_MAX * 4 || memchr(line, '\\', len)) return;
  while ((p = closing(p, end))) {
    const char *value = p + 1, *close = closing(value, end);
    if (!close || close + 1 == end) return;
    p = close + 1;
    if (*p == ':') continue; /* a key */
    if (*p != ',' && *p != '}') return;
    if (close == value) continue; /* an empty one stays empty: it may be the other text */
    if (value == text) s.text = s.parts;
    if (!add_part(&s, &used, from, value)) return;
    from = close;
  }
  if (s.text == UINT8_MAX || !add_part(&s, &used, from, end)) return;
  s.settled = out->settled || out->narrowed;
  if (len <= SHAPE_LINE_MAX) {
    memcpy(s.line, line, len);
    s.line_len = (uint16_t)len;
  }
  *out = s;
}

void shape_narrow(struct shape *out, const char *line, size_t len) {
  struct shape s = {.text = UINT8_MAX, .narrowed = true};
  const char *end = line + len, *from = line, *p = line, *old = out->line, *old_end = old + out->line_len;
  size_t used = 0;
  if (out->narrowed || out->settled || out->line_len == 0) return;
  out->settled = true; /* where there is no room it is not tried again */
  for (unsigned i = 0; i + 1 < out->parts; i++) {
    p += out->lens[i];
    old += out->lens[i];
    const char *close = closing(p, end), *old_close = closing(old, old_end);
    if (!close || !old_close) return;
    size_t hole = (size_t)(close - p);
    bool same = hole == (size_t)(old_close - old) && memcmp(p, old, hole) == 0;
    if (i == out->text || !same) {
      if (i == out->text) s.text = s.parts;
      if (!add_part(&s, &used, from, p)) return;
      from = close;
    }
    p = close;
    old = old_close;
  }
  if (add_part(&s, &used, from, end)) *out = s;
}

/* Where the text ends; NULL when it has escapes or is broken. */
static const json_byte *text_end(const json_byte *p, const json_byte *end) {
  for (;;) {
    p = json_plain(p, end);
    if (p == end) return NULL;
    if (*p == '"') return p;
    unsigned n = *p >= 0x80 ? json_utf8(p, end) : 0;
    if (!n) return NULL;
    p += n;
  }
}

enum shape_fit shape_match(const struct shape *s, const char *line, size_t len, const char **text, size_t *text_len) {
  const char *bytes = s->bytes;
  const json_byte *p = (const json_byte *)line, *end = p + len;
  for (int i = 0; i < s->parts; i++) {
    size_t fixed = s->lens[i];
    if ((size_t)(end - p) < fixed || memcmp(p, bytes, fixed) != 0) return SHAPE_MISS;
    p += fixed;
    bytes += fixed;
    if (i == s->parts - 1) return p == end ? SHAPE_HIT : SHAPE_MISS;
    const json_byte *hole = p;
    if (i == s->text) {
      p = text_end(p, end);
      if (!p) return SHAPE_ESCAPED;
      *text = (const char *)hole;
      *text_len = (size_t)(p - hole);
    } else {
      p = json_plain(p, end);
      if (p == end || *p != '"') return SHAPE_MISS;
    }
  }
  return SHAPE_MISS;
}
