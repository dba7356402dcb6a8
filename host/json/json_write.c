/* json_write.c - writes JSON values into one growable buffer. The buffer stays with its owner
 * between texts, and shrinks again after a big one. */
#include "json.h"
#include "json_scan.h"

enum { OUT_FIRST = 1024, OUT_KEPT = 256 * 1024 };

void json_out_init(struct json_out *o, struct mem *m) {
  o->mem = m;
  o->buf = NULL;
  o->len = o->size = 0;
  o->cap = JSON_SIZE_DEFAULT;
}

void json_out_close(struct json_out *o) {
  mem_free(o->mem, o->buf);
  o->buf = NULL;
  o->len = o->size = 0;
}

void json_out_reset(struct json_out *o, size_t cap) {
  if (o->size > OUT_KEPT) json_out_close(o);
  o->len = 0;
  o->cap = cap;
}

static enum json_put grow(struct json_out *o, size_t more) {
  if (more > o->cap || o->len > o->cap - more) return JSON_PUT_CAP;
  size_t need = o->len + more, size = o->size ? o->size : OUT_FIRST;
  while (size < need) size = size > SIZE_MAX / 2 ? need : size * 2;
  char *buf = mem_grow(o->mem, o->buf, size);
  if (!buf) return JSON_PUT_MEMORY;
  o->buf = buf;
  o->size = size;
  return JSON_PUT_OK;
}

/* Room for `more` bytes, within the cap. */
static inline enum json_put reserve(struct json_out *o, size_t more) {
  if (o->size - o->len >= more && o->len + more <= o->cap) return JSON_PUT_OK;
  return grow(o, more);
}

enum json_put json_put_raw(struct json_out *o, const char *bytes, size_t len) {
  enum json_put put = reserve(o, len);
  if (put != JSON_PUT_OK) return put;
  if (len) memcpy(o->buf + o->len, bytes, len);
  o->len += len;
  return JSON_PUT_OK;
}

static enum json_put put_escape(struct json_out *o, json_byte c) {
  static const char hex[] = "0123456789abcdef";
  char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
  size_t len = 2;
  switch (c) {
    case '"':
    case '\\': text[1] = (char)c; break;
    case '\b': text[1] = 'b'; break;
    case '\f': text[1] = 'f'; break;
    case '\n': text[1] = 'n'; break;
    case '\r': text[1] = 'r'; break;
    case '\t': text[1] = 't'; break;
    default: len = 6; break;
  }
  return json_put_raw(o, text, len);
}

/* A string in which not everything is plain, and its closing quote. */
static enum json_put put_rest(struct json_out *o, const json_byte *p, const json_byte *end) {
  const json_byte *run = p; /* the first byte not yet written */
  for (;;) {
    enum json_put put;
    p = json_plain(p, end);
    while (p < end && *p >= 0x80) {
      unsigned n = json_utf8(p, end);
      if (!n) return JSON_PUT_UTF8;
      p += n;
    }
    if (p < end && json_is_plain(*p)) continue;
    put = json_put_raw(o, (const char *)run, (size_t)(p - run));
    if (put != JSON_PUT_OK) return put;
    if (p == end) return json_put_raw(o, "\"", 1);
    put = put_escape(o, *p++);
    if (put != JSON_PUT_OK) return put;
    run = p;
  }
}

enum json_put json_put_string(struct json_out *o, const char *s, size_t len) {
  const json_byte *p = (const json_byte *)s;
  enum json_put put = reserve(o, len + 2);
  if (put != JSON_PUT_OK) return put;
  char *out = o->buf + o->len;
  *out++ = '"';
  if (!json_all_plain(p, len)) {
    o->len++;
    return put_rest(o, p, p + len);
  }
  memcpy(out, s, len);
  out[len] = '"';
  o->len += len + 2;
  return JSON_PUT_OK;
}

enum json_put json_put_integer(struct json_out *o, int64_t i) {
  char text[JSON_FLOAT_MAX];
  return json_put_raw(o, text, json_print_integer(text, i));
}

enum json_put json_put_float(struct json_out *o, double x) {
  char text[JSON_FLOAT_MAX];
  return json_put_raw(o, text, json_print_float(text, x));
}
