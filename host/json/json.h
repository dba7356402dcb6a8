/* json.h - strict JSON (RFC 8259): a tokenizer, a writer, sorting of keys, string formats such as dates, and a picker that reads
 * a few fields of a stream's line. Knows no Lua (host/bind/bind_json.h does). Nothing here depends on the locale. */
#ifndef STOKE_JSON_H
#define STOKE_JSON_H

#include "base.h"
#include "loop/mem.h"

#define JSON_DEPTH_MAX    1000        /* containers inside each other */
#define JSON_SIZE_DEFAULT (64u << 20) /* bytes of text, unless the caller says otherwise */

/* ---- reading (json_read.c) ---- */

enum json_token {
  JSON_ERROR, /* stays so; json_describe says what and where */
  JSON_END,   /* the whole text was one value */
  JSON_NULL,
  JSON_FALSE,
  JSON_TRUE,
  JSON_INTEGER, /* no point, no exponent, fits int64: r->integer */
  JSON_FLOAT,   /* every other number: r->number, finite */
  JSON_DIGITS,  /* JSON_EXACT alone: a number that neither of them holds, as it is written: r->text, r->len */
  JSON_STRING,  /* r->text, r->len, r->escaped */
  JSON_KEY,     /* the same; its colon is read too */
  JSON_OBJECT,
  JSON_OBJECT_END,
  JSON_ARRAY,
  JSON_ARRAY_END,
};

/* Options of a reader; the caller sets r->flags after json_open. */
enum {
  JSON_EXACT = 1, /* an integer that a float would round, and a number beyond every float, are JSON_DIGITS */
  JSON_ANY_BYTES =
      2, /* strings may hold bytes that are no UTF-8, and halves of surrogate pairs: both pass as they are, a
                       * half in the three bytes that UTF-8 would have for it (json_unescape) */
};

/* Caller-owned, holds no memory. The bytes stay the caller's and must outlive it; they need no
 * NUL. */
struct json_reader {
  const char *bytes, *at, *end;

  /* the token */
  const char *text; /* points into bytes: between the quotes, still escaped when `escaped` */
  size_t len;
  bool escaped;
  int64_t integer;
  double number;

  /* after JSON_ERROR */
  const char *error; /* static */
  size_t offset;     /* of the offending byte, from 0 */

  uint8_t state, flags;
  bool in_object;
  unsigned depth, max_depth;
  uint8_t kinds[JSON_DEPTH_MAX / 8 + 1]; /* bit d: the container at depth d is an object */
};

/* max_depth 0 = JSON_DEPTH_MAX; a larger one is cut to it. */
void json_open(struct json_reader *r, const char *bytes, size_t len, unsigned max_depth);
enum json_token json_next(struct json_reader *r);

/* "invalid JSON at byte 17: expected ':' after a key, found '}'"; bytes count from 1. */
void json_describe(const struct json_reader *r, char *message, size_t size);

/* Writes the value of an escaped text that the reader (or pick_line) accepted; dst holds at least
 * len bytes. Returns how many were written, never more than len. */
size_t json_unescape(char *dst, const char *text, size_t len);

/* ---- numbers (json_num.c) ---- */

#define JSON_FLOAT_MAX 32

/* The double nearest to digits * 10^exponent; infinity when it is out of range. `digits` are n
 * decimal digits. */
double json_decimal(const char *digits, size_t n, int64_t exponent);

/* The double nearest to a positive number as the reader found it: its text up to the exponent
 * (digits and at most one point), all those digits as one integer (whatever it is when they are
 * more than 19), the power of ten that this integer is to be scaled by, and the exponent as
 * written. Infinity when it is out of range. */
double json_scaled(const char *text, size_t len, uint64_t mantissa, int64_t scale, int64_t exponent);

/* The fewest digits that read back as the same double, with a point or an exponent always: 1.0,
 * 0.1, 1e+300. x is finite. Plain notation from 1e-6 up to below 1e21, as Go and JavaScript write.
 * Returns the length; no NUL. */
size_t json_print_float(char dst[JSON_FLOAT_MAX], double x);
size_t json_print_integer(char dst[JSON_FLOAT_MAX], int64_t i);

/* ---- writing (json_write.c) ---- */

struct json_out {
  struct mem *mem;
  char *buf; /* owned; the text so far is buf[0, len) */
  size_t len, size;
  size_t cap; /* longest text allowed */
};

enum json_put { JSON_PUT_OK, JSON_PUT_MEMORY, JSON_PUT_CAP, JSON_PUT_UTF8 };

void json_out_init(struct json_out *o, struct mem *m);
void json_out_close(struct json_out *o);
void json_out_reset(struct json_out *o, size_t cap); /* empties it, and shrinks it after a large text */

enum json_put json_put_raw(struct json_out *o, const char *bytes, size_t len);
static inline enum json_put json_put_byte(struct json_out *o, char c) {
  if (o->len >= o->size || o->len >= o->cap) return json_put_raw(o, &c, 1);
  o->buf[o->len++] = c;
  return JSON_PUT_OK;
}
/* Quoted and escaped. */
enum json_put json_put_string(struct json_out *o, const char *s, size_t len);
enum json_put json_put_integer(struct json_out *o, int64_t i);
enum json_put json_put_float(struct json_out *o, double x); /* x is finite */

/* ---- keys in order (json_sort.c) ---- */

/* A key to sort: comparing the first 8 bytes as a number is fast. */
struct json_entry {
  uint64_t prefix;
  const char *key; /* the caller's */
  size_t len;
  int slot; /* the caller's: where the key's value is */
};

uint64_t json_prefix(const char *s, size_t len);
void json_sort(struct json_entry *e, size_t n); /* by their bytes */

/* ---- formats of strings (json_format.c) ---- */

enum json_format { JSON_FORMAT_NONE, JSON_FORMAT_DATE, JSON_FORMAT_TIME, JSON_FORMAT_DATE_TIME, JSON_FORMAT_UUID };

enum json_format json_format_named(const char *name); /* as JSON Schema calls it; JSON_FORMAT_NONE = not one of these */
bool json_has_format(enum json_format format, const char *s, size_t len);

/* ---- picking (json_pick.c) ----
 *
 * Most lines of a stream carry one short text and nothing else worth a table. A spec names the
 * members such a line may have; pick_line reads exactly those lines, and leaves every other line
 * to a full decode. The spec is words, best in the order the members have on the wire:
 *
 *   "model created_at message.role message.content:text message.thinking:second done=false"
 *
 * PATH: may be there, a string, an integer or a literal, and is skipped. PATH:text and
 * PATH:second: the two texts; one of them must be there. PATH=LITERAL: must be there and be
 * exactly this (true, false, null or an integer). */

#define PICK_NODES_MAX 24
#define PICK_NAMES_MAX 256

struct pick_node {
  uint8_t kind;
  uint8_t name, name_len;       /* in names[] */
  uint8_t literal, literal_len; /* in names[] */
  int8_t child, next;           /* -1 = none */
};

/* Caller-owned, holds no memory. */
struct pick_spec {
  struct pick_node nodes[PICK_NODES_MAX]; /* 0 is the line's own object */
  char names[PICK_NAMES_MAX];
  uint8_t count, names_len;
  uint32_t required; /* bit per node: the literals */
};

enum pick_result { PICK_PLAIN, PICK_OTHER };

struct pick {
  const char *text; /* into the line, or into scratch when it was escaped */
  size_t len;
  bool second; /* it came from PATH:second */
};

/* False when the spec is malformed or too large; *why is then a static string. */
bool pick_compile(struct pick_spec *spec, const char *words, const char **why);

/* PICK_PLAIN: the line is valid JSON with these members only and at most one of the two texts
 * non-empty; p says which, the first when both are empty. Anything else, and a scratch too small
 * (the line's length always does), is PICK_OTHER. */
enum pick_result pick_line(const struct pick_spec *spec, const char *line, size_t len, char *scratch,
                           size_t scratch_size, struct pick *p);

#endif
