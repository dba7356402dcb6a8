/* strip.c - see strip.h. The format is that of ldump.c and lundump.c of Lua 5.4; what is written is never longer than what is read. */
#include "strip.h"

#include <lua.h>
#include <stdlib.h>
#include <string.h>

#define HEADER   (4 + 1 + 1 + 6 + 3 + sizeof(lua_Integer) + sizeof(lua_Number))
#define DEEP_MAX 200

enum constant { NIL = 0x00, FALSE = 0x01, TRUE = 0x11, INTEGER = 0x03, FLOAT = 0x13, SHORT_STRING = 0x04, LONG_STRING = 0x14 };

struct strip {
  const char *at, *end;
  char *to;
  bool bad;
};

static void skip(struct strip *s, size_t len) {
  if (len > (size_t)(s->end - s->at))
    s->bad = true;
  else
    s->at += len;
}

static void keep(struct strip *s, size_t len) {
  const char *from = s->at;
  skip(s, len);
  if (s->bad) return;
  memmove(s->to, from, len);
  s->to += len;
}

/* Seven bits a byte, the most significant first; the last byte is marked. */
static size_t number(struct strip *s) {
  size_t n = 0;
  while (!s->bad && s->at < s->end && n < SIZE_MAX >> 8) {
    unsigned char byte = (unsigned char)*s->at++;
    n = n << 7 | (byte & 127);
    if (byte & 128) return n;
  }
  s->bad = true;
  return 0;
}

static size_t keep_number(struct strip *s) {
  const char *from = s->at;
  size_t n = number(s), len = (size_t)(s->at - from);
  s->at = from;
  keep(s, len);
  return n;
}

static void put_number(struct strip *s, size_t n) {
  int shift = 0;
  while (n >> shift > 127) shift += 7;
  for (; shift > 0; shift -= 7) *s->to++ = (char)(n >> shift & 127);
  *s->to++ = (char)((n & 127) | 128);
}

static void keep_string(struct strip *s) {
  size_t size = keep_number(s);
  if (size > 0) keep(s, size - 1);
}

static void drop_string(struct strip *s) {
  size_t size = number(s);
  if (size > 0) skip(s, size - 1);
}

static void constants(struct strip *s) {
  for (size_t n = keep_number(s); n > 0 && !s->bad; n--) {
    int type = s->at < s->end ? *s->at : -1;
    keep(s, 1);
    switch (type) {
      case NIL:
      case FALSE:
      case TRUE: break;
      case INTEGER: keep(s, sizeof(lua_Integer)); break;
      case FLOAT: keep(s, sizeof(lua_Number)); break;
      case SHORT_STRING:
      case LONG_STRING: keep_string(s); break;
      default: s->bad = true;
    }
  }
}

static void line_info(struct strip *s) {
  keep(s, keep_number(s));
  for (size_t n = keep_number(s); n > 0 && !s->bad; n--) {
    keep_number(s);
    keep_number(s);
  }
}

/* Parameters are the first variables of a function. */
static void variables(struct strip *s, size_t parameters) {
  size_t n = number(s), kept = n < parameters ? n : parameters;
  if (s->bad) return;
  put_number(s, kept);
  for (size_t i = 0; i < n && !s->bad; i++) {
    if (i < kept) {
      keep_string(s);
      keep_number(s);
      keep_number(s);
    } else {
      drop_string(s);
      number(s);
      number(s);
    }
  }
}

static void upvalue_names(struct strip *s) {
  for (size_t n = keep_number(s); n > 0 && !s->bad; n--) {
    const char *from = s->at;
    size_t size = number(s);
    bool env = size == 5 && s->end - s->at >= 4 && memcmp(s->at, "_ENV", 4) == 0;
    s->at = from;
    if (env) {
      keep_string(s);
    } else {
      drop_string(s);
      if (!s->bad) put_number(s, 0);
    }
  }
}

static void function(struct strip *s, int depth) {
  keep_string(s); /* its source */
  keep_number(s);
  keep_number(s);
  size_t parameters = s->at < s->end ? (unsigned char)*s->at : 0;
  keep(s, 3);
  keep(s, 4 * keep_number(s)); /* instructions */
  constants(s);
  keep(s, 3 * keep_number(s)); /* upvalues */
  if (depth == DEEP_MAX) s->bad = true;
  for (size_t n = keep_number(s); n > 0 && !s->bad; n--) function(s, depth + 1);
  line_info(s);
  variables(s, parameters);
  upvalue_names(s);
}

bool strip_names(char *code, size_t *len) {
  static const char known[] = LUA_SIGNATURE "\x54\x00\x19\x93\r\n\x1a\n\x04";
  char *copy = malloc(*len);
  if (!copy) return false;
  struct strip s = {.at = code, .end = code + *len, .to = copy};
  s.bad = *len < HEADER || memcmp(code, known, sizeof known - 1) != 0;
  keep(&s, HEADER + 1); /* and how many upvalues the whole has */
  if (!s.bad) function(&s, 0);
  bool ok = !s.bad && s.at == s.end;
  if (ok) {
    *len = (size_t)(s.to - copy);
    memcpy(code, copy, *len);
  }
  free(copy);
  return ok;
}
