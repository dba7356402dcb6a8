/* plain_write.c - plain data to text, in one pass: what is not plain is found on the way. No metamethod runs. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bind_plain.h"
#include "loop/binding.h"

struct writer {
  lua_State *L;
  struct plain_buffers *b;
  struct json_out *out;
  struct json_state *marks;
  struct err *e;
  size_t elsewhere, max; /* bytes of long strings in the sink; of everything, at most */
  int sink, depth;
  bool loose, failed;
  bool bad_name; /* the table being written has a name that is not UTF-8 */
};

void plain_buffers_open(struct plain_buffers *b, struct mem *m) {
  memset(b, 0, sizeof *b);
  json_out_init(&b->out, m);
}

void plain_buffers_close(struct plain_buffers *b) {
  if (!b->out.mem) return;
  mem_free(b->out.mem, b->entries);
  json_out_close(&b->out);
  memset(b, 0, sizeof *b);
}

enum plain_tag plain_tag(const char *s, size_t len) {
  static const struct {
    const char *name;
    enum plain_tag tag;
  } tags[] = {{"$bytes", PLAIN_BYTES}, {"$number", PLAIN_NUMBER}, {"$error", PLAIN_ERROR}, {"$pairs", PLAIN_PAIRS},
              {"$text", PLAIN_TEXT},   {"$value", PLAIN_VALUE},   {"$mark", PLAIN_MARK}};
  if (!len || s[0] != '$') return PLAIN_NO_TAG;
  for (size_t i = 0; i < COUNT_OF(tags); i++)
    if (strlen(tags[i].name) == len && memcmp(tags[i].name, s, len) == 0) return tags[i].tag;
  return PLAIN_NO_TAG;
}

bool plain_hash(const char *bytes, size_t len, char out[PLAIN_HASH_SIZE + 1]) {
  unsigned char digest[HASH_SIZE];
  if (!hash_sha256_raw(bytes, len, digest)) return false;
  hash_base64(digest, PLAIN_HASH_SIZE / 4 * 3, out);
  for (char *c = out; *c; c++) *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
  return true;
}

/* ---- pieces of text ---- */

static bool fail(struct writer *w, enum json_put put) {
  w->failed = true;
  if (put == JSON_PUT_CAP)
    err_set(w->e, "limit", 0, "a value of more than %zu bytes", w->max);
  else
    err_set(w->e, "os", 0, "out of memory while a value is written");
  return false;
}

static inline bool put(struct writer *w, const char *bytes, size_t len) {
  enum json_put how = json_put_raw(w->out, bytes, len);
  return how == JSON_PUT_OK || fail(w, how);
}

static inline bool put_byte(struct writer *w, char c) {
  enum json_put how = json_put_byte(w->out, c);
  return how == JSON_PUT_OK || fail(w, how);
}

static bool put_words(struct writer *w, const char *words) {
  return put(w, words, strlen(words));
}

static bool put_base64(struct writer *w, const char *s, size_t len) {
  char text[84];
  if (!hash_open(w->e)) return false; /* nothing may have needed libcrypto before */
  if (!put_words(w, "{\"$bytes\":\"")) return false;
  for (size_t i = 0, n; i < len; i += n) {
    n = len - i < 60 ? len - i : 60;
    if (!put(w, text, hash_base64(s + i, n, text))) return false;
  }
  return put_words(w, "\"}");
}

/* A string that goes elsewhere. */
static bool put_far(struct writer *w, int idx, const char *s, size_t len) {
  char hash[PLAIN_HASH_SIZE + 1];
  w->elsewhere += len;
  if (w->elsewhere + w->out->len > w->max) return fail(w, JSON_PUT_CAP);
  if (!plain_hash(s, len, hash)) return fail(w, JSON_PUT_MEMORY);
  luaL_checkstack(w->L, 4, "no memory for plain data");
  lua_pushvalue(w->L, idx);
  lua_setfield(w->L, w->sink, hash);
  return put_words(w, "{\"$text\":\"") && put(w, hash, PLAIN_HASH_SIZE) && put_words(w, "\"}");
}

static bool put_text(struct writer *w, int idx) {
  size_t len, start = w->out->len;
  const char *s = lua_tolstring(w->L, idx, &len);
  if (w->sink && len >= PLAIN_LONG) return put_far(w, idx, s, len);
  enum json_put how = json_put_string(w->out, s, len);
  if (how == JSON_PUT_OK) return true;
  if (how != JSON_PUT_UTF8) return fail(w, how);
  w->out->len = start;
  return put_base64(w, s, len);
}

static bool put_number(struct writer *w, int idx) {
  enum json_put how;
  double x = lua_tonumber(w->L, idx);
  if (lua_isinteger(w->L, idx)) {
    how = json_put_integer(w->out, lua_tointeger(w->L, idx));
  } else if (isfinite(x)) {
    how = json_put_float(w->out, x);
  } else {
    return put_words(w, "{\"$number\":\"") && put_words(w, signbit(x) ? "-" : "") &&
           put_words(w, isnan(x) ? "nan\"}" : "inf\"}");
  }
  return how == JSON_PUT_OK || fail(w, how);
}

static bool is_scalar(lua_State *L, int idx) {
  int type = lua_type(L, idx);
  return type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING;
}

static bool put_value(struct writer *w, int idx, bool loose);

/* ---- tables ---- */

static bool add_entry(struct writer *w, int idx) {
  struct plain_buffers *b = w->b;
  if (b->entry_count == b->entry_size) {
    size_t size = b->entry_size ? b->entry_size * 2 : 64;
    struct json_entry *entries = mem_grow(b->out.mem, b->entries, size * sizeof *entries);
    if (!entries) return fail(w, JSON_PUT_MEMORY);
    b->entries = entries;
    b->entry_size = size;
  }
  struct json_entry *e = &b->entries[b->entry_count++];
  e->key = lua_tolstring(w->L, idx, &e->len);
  e->prefix = json_prefix(e->key, e->len);
  return true;
}

/* One name and its value. What is not plain of an error is left out; *none says that nothing was written. */
static bool put_member(struct writer *w, int idx, const struct json_entry *e, bool of_error, bool first, bool *none) {
  lua_State *L = w->L;
  size_t start = w->out->len;
  if (!first && !put_byte(w, ',')) return false;
  enum json_put how = json_put_string(w->out, e->key, e->len);
  w->bad_name = how == JSON_PUT_UTF8;
  if (how != JSON_PUT_OK) return !w->bad_name && fail(w, how);
  lua_pushlstring(L, e->key, e->len);
  lua_rawget(L, idx);
  bool ok = put_byte(w, ':') && put_value(w, lua_gettop(L), w->loose && !of_error);
  lua_pop(L, 1);
  *none = !ok;
  if (!ok && of_error && !w->failed) {
    w->out->len = start;
    return true;
  }
  return ok;
}

/* The names noted from `from` on, in order. */
static bool put_members(struct writer *w, int idx, size_t from, const char *open, bool of_error) {
  struct plain_buffers *b = w->b;
  size_t count = b->entry_count - from;
  bool first = true, none;
  if (!put_words(w, open)) return false;
  json_sort(b->entries + from, count);
  for (size_t i = from; i < from + count; i++) {
    struct json_entry e = b->entries[i];
    if (!put_member(w, idx, &e, of_error, first, &none)) return false;
    first = first && none;
  }
  b->entry_count = from;
  return put_byte(w, '}');
}

/* What the keys of a table are. */
enum shape { SHAPE_EMPTY, SHAPE_LIST, SHAPE_NAMES, SHAPE_OTHER, SHAPE_ODD, SHAPE_FAILED };

/* Names are noted as entries, *count is how many keys there are. */
static enum shape shape_of(struct writer *w, int idx, lua_Integer *count) {
  lua_State *L = w->L;
  lua_Integer n = 0, last = (lua_Integer)lua_rawlen(L, idx);
  bool list = true, names = true;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    size_t len;
    int type = lua_type(L, -2);
    n++;
    if (type == LUA_TSTRING) {
      const char *s = lua_tolstring(L, -2, &len);
      list = false;
      names = names && plain_tag(s, len) == PLAIN_NO_TAG;
      if (names && !add_entry(w, lua_gettop(L) - 1)) return SHAPE_FAILED;
      continue;
    }
    names = false;
    if (type != LUA_TNUMBER && type != LUA_TBOOLEAN) return SHAPE_ODD;
    if (list && (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > last)) list = false;
  }
  *count = n;
  if (!n) return SHAPE_EMPTY;
  if (list && n == last) return SHAPE_LIST;
  return names ? SHAPE_NAMES : SHAPE_OTHER;
}

static bool put_list(struct writer *w, int idx, lua_Integer count, const char *open) {
  if (!put_words(w, open)) return false;
  for (lua_Integer i = 1; i <= count; i++) {
    if (i > 1 && !put_byte(w, ',')) return false;
    lua_rawgeti(w->L, idx, i);
    if (!put_value(w, lua_gettop(w->L), w->loose)) return false;
    lua_pop(w->L, 1);
  }
  return put_byte(w, ']');
}

/* The order that the metatable on top of the stack declares, as a list of strings. */
static bool put_order(struct writer *w) {
  int order = lua_gettop(w->L);
  if (!put_byte(w, '[')) return false;
  for (lua_Integer i = 2; lua_rawgeti(w->L, order, i) == LUA_TSTRING; i++) {
    if ((i > 2 && !put_byte(w, ',')) || !put_value(w, order + 1, false)) return false;
    lua_settop(w->L, order);
  }
  lua_settop(w->L, order);
  return put_byte(w, ']');
}

/* Any table; when it is marked with an order, its metatable is on top of the stack. */
static bool put_pairs(struct writer *w, int idx, enum json_mark mark, bool of_error) {
  lua_State *L = w->L;
  int top = lua_gettop(L);
  bool first = true;
  if (!put_words(w, "{\"$pairs\":[")) return false;
  for (lua_pushnil(L); lua_next(L, idx); lua_settop(L, top + 1)) {
    size_t start = w->out->len;
    bool ok = is_scalar(L, top + 1) && (first || put_byte(w, ',')) && put_byte(w, '[') &&
              put_value(w, top + 1, false) && put_byte(w, ',') && put_value(w, top + 2, w->loose && !of_error) &&
              put_byte(w, ']');
    if (!ok && (w->failed || !of_error)) return false;
    if (ok)
      first = false;
    else
      w->out->len = start;
  }
  lua_settop(L, top);
  if (!put_byte(w, ']')) return false;
  if (mark == JSON_MARK_ORDERED) {
    if (!put_words(w, ",\"$mark\":") || !put_order(w)) return false;
  } else if (mark != JSON_UNMARKED) {
    if (!put_words(w, mark == JSON_MARK_ARRAY ? ",\"$mark\":\"array\"" : ",\"$mark\":\"object\"")) return false;
  }
  return put_byte(w, '}');
}

/* A table with names whose metatable, on top of the stack, says their order. Where that is not exactly these names, false in
 * *exact. */
static bool put_in_order(struct writer *w, int idx, lua_Integer count, bool *exact) {
  lua_State *L = w->L;
  int order = lua_gettop(L);
  size_t start = w->out->len;
  lua_Integer n = 0;
  if (!put_words(w, "{  ")) return false;
  for (lua_Integer i = 2; lua_rawgeti(L, order, i) == LUA_TSTRING; i++) {
    size_t len;
    const char *s = lua_tolstring(L, -1, &len);
    struct json_entry e = {.key = s, .len = len};
    bool none;
    lua_pushvalue(L, -1);
    *exact = lua_rawget(L, idx) != LUA_TNIL;
    lua_settop(L, order + 1);
    if (!*exact) break;
    if (!put_member(w, idx, &e, false, n++ == 0, &none)) return false;
    lua_settop(L, order);
  }
  lua_settop(L, order);
  *exact = *exact && n == count;
  if (!*exact) w->out->len = start;
  return !*exact || put_byte(w, '}');
}

/* A table with names. *fits = false: it is to be written as pairs. */
static bool put_names(struct writer *w, int idx, enum json_mark mark, lua_Integer count, bool of_error, size_t from,
                      bool *fits) {
  size_t start = w->out->len;
  int top = lua_gettop(w->L);
  bool ok;
  if (mark == JSON_MARK_ORDERED) {
    w->b->entry_count = from;
    ok = put_in_order(w, idx, count, fits);
  } else {
    ok = put_members(w, idx, from, mark == JSON_MARK_OBJECT ? "{ " : "{", of_error);
  }
  if (ok || !w->bad_name) return ok;
  w->bad_name = *fits = false;
  w->out->len = start;
  lua_settop(w->L, top);
  return true;
}

static bool put_shape(struct writer *w, int idx, enum json_mark mark, bool of_error, size_t from) {
  lua_Integer count = 0;
  enum shape shape = shape_of(w, idx, &count);
  bool fits = true, ordered = mark == JSON_MARK_ORDERED;
  if (shape == SHAPE_FAILED || (shape == SHAPE_ODD && !of_error)) return false;
  if ((shape == SHAPE_NAMES && mark != JSON_MARK_ARRAY) || (shape == SHAPE_EMPTY && ordered)) {
    if (!put_names(w, idx, mark, count, of_error, from, &fits)) return false;
    if (fits) return true;
  } else if (shape == SHAPE_LIST && (mark == JSON_MARK_ARRAY || mark == JSON_UNMARKED)) {
    return put_list(w, idx, count, mark == JSON_MARK_ARRAY ? "[ " : "[");
  } else if (shape == SHAPE_EMPTY) {
    return put_words(w, mark == JSON_MARK_ARRAY ? "[ ]" : mark == JSON_MARK_OBJECT ? "{ }" : "{}");
  }
  w->b->entry_count = from;
  return put_pairs(w, idx, mark, of_error);
}

/* What its metatable says of a table: marked, an error, or a class, which is only a table where that does not matter. A mark with an
 * order leaves its metatable on the stack. */
static bool put_table(struct writer *w, int idx, bool loose) {
  lua_State *L = w->L;
  int top = lua_gettop(L);
  size_t from = w->b->entry_count;
  bool was = w->loose, of_error = false, ok;
  if (w->depth >= PLAIN_DEPTH_MAX) return false;
  luaL_checkstack(L, 16, "no memory for plain data");
  enum json_mark mark = json_mark_of(L, idx, w->marks);
  if (mark == JSON_MARK_FIXED || mark == JSON_MARK_GROWING) {
    lua_settop(L, top);
    mark = JSON_UNMARKED;
  } else if (mark == JSON_UNMARKED && lua_getmetatable(L, idx)) {
    luaL_getmetatable(L, ERR_METATABLE);
    of_error = lua_rawequal(L, -1, -2);
    bool marked = lua_rawgeti(L, top + 1, 1) != LUA_TNIL;
    lua_settop(L, top);
    if (!of_error && !loose && !marked) return false;
  }
  if (w->b->hollow && lua_topointer(L, idx) == w->b->hollow) {
    lua_settop(L, top);
    w->b->hollowed++;
    return put_words(w, mark == JSON_MARK_ARRAY ? "[ ]" : mark == JSON_MARK_OBJECT ? "{ }" : "{}");
  }
  w->depth++;
  w->loose = loose;
  ok = (!of_error || put_words(w, "{\"$error\":")) && put_shape(w, idx, mark, of_error, from) &&
       (!of_error || put_byte(w, '}'));
  w->loose = was;
  w->depth--;
  w->b->entry_count = from;
  lua_settop(L, top);
  return ok;
}

static bool put_value(struct writer *w, int idx, bool loose) {
  switch (lua_type(w->L, idx)) {
    case LUA_TSTRING: return put_text(w, idx);
    case LUA_TNUMBER: return put_number(w, idx);
    case LUA_TBOOLEAN: return put_words(w, lua_toboolean(w->L, idx) ? "true" : "false");
    case LUA_TTABLE: return put_table(w, idx, loose);
    case LUA_TLIGHTUSERDATA: return !lua_touserdata(w->L, idx) && put_words(w, "null");
    default: return false;
  }
}

enum plain_result plain_write(lua_State *L, int idx, int sink, bool loose, size_t max, struct plain_buffers *b,
                              struct err *e) {
  int top = lua_gettop(L);
  struct writer w = {.L = L, .b = b, .out = &b->out, .e = e, .max = max, .sink = sink, .loose = loose};
  luaL_checkstack(L, 16, "no memory for plain data");
  w.marks = json_push_state(L, false);
  json_out_reset(&b->out, max);
  b->entry_count = 0;
  bool ok = put_value(&w, idx, loose);
  lua_settop(L, top);
  return ok ? PLAIN_DONE : w.failed ? PLAIN_FAILED : PLAIN_ODD;
}
