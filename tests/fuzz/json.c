/* json.c - any bytes at all into the JSON engine: the reader, the writer and the picker must agree
 * with each other. What the reader takes, written and read again, is the same text; what the
 * picker takes, the reader takes, with the same string in the same place. Alone: clang
 * -fsanitize=fuzzer,address,undefined json.c ../../host/json_*.c ../../host/mem.c */
#include <string.h>

#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the tokens of a text; false = the reader refused it. */
static bool copy_text(struct mem *m, const char *bytes, size_t len, struct json_out *out) {
  struct json_reader r;
  enum json_token token, last = JSON_OBJECT;
  size_t depth = 0;
  char *plain = mem_alloc(m, len + 1);
  CHECK(plain);
  json_open(&r, bytes, len, 0);
  while ((token = json_next(&r)) > JSON_END) {
    bool closes = token == JSON_OBJECT_END || token == JSON_ARRAY_END;
    if (closes)
      depth--;
    else if (depth && last != JSON_OBJECT && last != JSON_ARRAY && last != JSON_KEY)
      CHECK(!json_put_byte(out, ','));
    switch (token) {
      case JSON_NULL: CHECK(!json_put_raw(out, "null", 4)); break;
      case JSON_TRUE: CHECK(!json_put_raw(out, "true", 4)); break;
      case JSON_FALSE: CHECK(!json_put_raw(out, "false", 5)); break;
      case JSON_INTEGER: CHECK(!json_put_integer(out, r.integer)); break;
      case JSON_FLOAT: CHECK(!json_put_float(out, r.number)); break;
      case JSON_STRING:
      case JSON_KEY: {
        size_t n = json_unescape(plain, r.text, r.len);
        CHECK(n <= r.len && (r.escaped || n == r.len));
        CHECK(!json_put_string(out, plain, n));
        if (token == JSON_KEY) CHECK(!json_put_byte(out, ':'));
        break;
      }
      default:
        CHECK(!json_put_byte(out, token == JSON_OBJECT       ? '{'
                                  : token == JSON_ARRAY      ? '['
                                  : token == JSON_OBJECT_END ? '}'
                                                             : ']'));
    }
    if (token == JSON_OBJECT || token == JSON_ARRAY) depth++;
    CHECK(depth == r.depth && depth <= JSON_DEPTH_MAX);
    last = token;
  }
  if (token == JSON_ERROR) {
    char message[64];
    CHECK(r.error && r.offset <= len && json_next(&r) == JSON_ERROR);
    json_describe(&r, message, sizeof message);
  }
  mem_free(m, plain);
  return token == JSON_END;
}

/* With every flag the reader takes what it takes without, and more; it gives no more bytes than there are. */
static void any_bytes(struct mem *m, const char *bytes, size_t len, bool accepted) {
  struct json_reader r;
  enum json_token token;
  char *plain = mem_alloc(m, len + 1);
  CHECK(plain);
  json_open(&r, bytes, len, 0);
  r.flags = JSON_EXACT | JSON_ANY_BYTES;
  while ((token = json_next(&r)) > JSON_END) {
    if (token == JSON_STRING || token == JSON_KEY) CHECK(json_unescape(plain, r.text, r.len) <= r.len);
    if (token == JSON_DIGITS) CHECK(r.len > 4 && r.text + r.len <= bytes + len);
  }
  CHECK(token == JSON_END || !accepted);
  mem_free(m, plain);
}

/* Is the member at this path of an accepted text (the last of its name) this string? At most two
 * names deep. */
static bool holds(const char *bytes, size_t len, const char *outer, const char *inner, const struct pick *p,
                  char *room) {
  struct json_reader r;
  enum json_token token;
  bool in_outer = false, here = false, found = false;
  json_open(&r, bytes, len, 0);
  while ((token = json_next(&r)) > JSON_END) {
    if (token == JSON_KEY) {
      size_t n = json_unescape(room, r.text, r.len);
      if (r.depth == 1) in_outer = n == strlen(outer) && memcmp(room, outer, n) == 0;
      here = in_outer && (inner ? r.depth == 2 && n == strlen(inner) && memcmp(room, inner, n) == 0 : r.depth == 1);
    } else {
      if (here && token == JSON_STRING) {
        size_t n = json_unescape(room, r.text, r.len);
        found = n == p->len && memcmp(room, p->text, n) == 0;
      }
      here = false;
    }
  }
  return found;
}

static void pick(struct mem *m, const char *bytes, size_t len, bool valid) {
  static const char *const specs[][5] = {
      {"model created_at message.role message.content:text message.thinking:second done=false", "message", "content",
       "message", "thinking"},
      {"a response:text thinking:second done=false n=12", "response", NULL, "thinking", NULL},
  };
  for (size_t i = 0; i < COUNT_OF(specs); i++) {
    struct pick_spec spec;
    struct pick p;
    const char *why;
    char *scratch = mem_alloc(m, len + 1), *room = mem_alloc(m, len + 1);
    CHECK(scratch && room && pick_compile(&spec, specs[i][0], &why));
    if (pick_line(&spec, bytes, len, scratch, len, &p) == PICK_PLAIN) {
      CHECK(valid);
      CHECK(holds(bytes, len, specs[i][p.second ? 3 : 1], specs[i][p.second ? 4 : 2], &p, room));
    }
    mem_free(m, scratch);
    mem_free(m, room);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct mem m;
  struct json_out once, twice;
  const char *bytes = (const char *)data;
  mem_init(&m);
  json_out_init(&once, &m);
  json_out_init(&twice, &m);
  bool valid = copy_text(&m, bytes, size, &once);
  if (valid) {
    CHECK(copy_text(&m, once.buf, once.len, &twice));
    CHECK(once.len == twice.len && memcmp(once.buf, twice.buf, once.len) == 0);
  }
  pick(&m, bytes, size, valid);
  any_bytes(&m, bytes, size, valid);
  for (int f = JSON_FORMAT_NONE; f <= JSON_FORMAT_UUID; f++)
    CHECK(!json_has_format((enum json_format)f, bytes, size) || f == JSON_FORMAT_NONE || size >= 9);
  if (size < 256) { /* as a spec: any words compile or are refused */
    char words[256];
    struct pick_spec spec;
    const char *why;
    memcpy(words, data, size);
    words[size] = '\0';
    CHECK(pick_compile(&spec, words, &why) || why);
  }
  json_out_close(&once);
  json_out_close(&twice);
  CHECK(m.used == 0);
  return 0;
}
