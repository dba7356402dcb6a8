/* plain.c - host.plain: plain data as text that reads back as exactly the same (bind_plain.h says how it is written).
 *
 *   encode(value, sink?, loose?, max?, hollow?) -> text | nil | nil, err   nil: it is not plain data. sink[hash] = string: long
 *                                         ones, which stand in the text by their hash. loose: objects of classes are the tables they
 *                                         are. max: bytes in all (kind `limit`). hollow: a table that is written as if it were empty;
 *                                         then the second result is how often it came up
 *   decode(text, contents?) -> value | nil, err   contents[hash] is what stands by its hash: a string, or the text of a value
 *   hash(text) -> hash | nil, err         of a string as it stands in a text
 *   pack(hex) -> bytes, unpack(bytes) -> hex   64 digits as 32 bytes; any other text stays as it is
 *   squeeze(bytes) -> bytes               with what repeats itself at a short distance written once; stretch(bytes, size) -> bytes |
 *                                         nil: the same again, size bytes
 *   unusual(t, usual, apart) -> true | table | nil   what of t is not as in `usual`, of which it has all names and no others but those
 *                                         apart; true: nothing; nil: it is no such table
 *   name(key) -> name                     of an effect: what stands in its key between the last slash and the hash mark behind it */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bind_plain.h"
#include "hostlibs.h"
#include "loop/binding.h"

#define BUFFERS "host.plain.buffers"

enum { PENDING = 64, INSIDE_MAX = 16, SIZE_MAX_DEFAULT = 512 << 20, HEX_SIZE = HASH_HEX_SIZE - 1 };

/* ---- reading ---- */

struct reader {
  lua_State *L;
  struct json_reader r;
  int contents, marks; /* stack indices; 0 = no contents */
  unsigned inside;     /* values that stand by their hash, inside each other */
  const char *wrong;
};

static bool wrong(struct reader *d, const char *what) {
  if (!d->wrong) d->wrong = what;
  return false;
}

static bool get(struct reader *d, enum json_token token);

static bool get_next(struct reader *d) {
  return get(d, json_next(&d->r));
}

static bool expect(struct reader *d, enum json_token token) {
  return json_next(&d->r) == token || wrong(d, "something else is expected");
}

static void push_text(lua_State *L, const struct json_reader *r) {
  luaL_Buffer b;
  if (!r->escaped) {
    lua_pushlstring(L, r->text, r->len);
    return;
  }
  char *dst = luaL_buffinitsize(L, &b, r->len);
  luaL_pushresultsize(&b, json_unescape(dst, r->text, r->len));
}

static unsigned blanks(const struct reader *d) {
  unsigned n = 0;
  while (n < 2 && d->r.at + n < d->r.end && d->r.at[n] == ' ') n++;
  return n;
}

/* Marks the table on top of the stack: 1 = array, 2 = object. */
static void set_mark(struct reader *d, int which) {
  lua_getiuservalue(d->L, d->marks, which);
  lua_setmetatable(d->L, -2);
}

/* The values above `base` go to the end of the list there, which has `count` items. */
static void flush_list(lua_State *L, int base, lua_Integer *count) {
  int n = lua_gettop(L) - base;
  if (!*count) {
    lua_createtable(L, n, 0);
    lua_replace(L, base);
  }
  for (int i = n; i > 0; i--) lua_rawseti(L, base, *count + i);
  *count += n;
}

static bool get_list(struct reader *d) {
  lua_State *L = d->L;
  bool marked = blanks(d) > 0;
  lua_Integer count = 0;
  enum json_token token;
  lua_pushnil(L);
  int base = lua_gettop(L);
  while ((token = json_next(&d->r)) != JSON_ARRAY_END) {
    if (!get(d, token)) return false;
    if (lua_gettop(L) - base >= PENDING) flush_list(L, base, &count);
  }
  if (!count || lua_gettop(L) > base) flush_list(L, base, &count);
  if (marked) set_mark(d, 1);
  return true;
}

/* The names and values above `base` go into the table there; with their order into the list below it. */
static void flush_names(lua_State *L, int base, lua_Integer *count, bool ordered) {
  int top = lua_gettop(L), n = (top - base) / 2;
  if (!*count) {
    lua_createtable(L, 0, n);
    lua_replace(L, base);
  }
  for (int i = 0; i < n && ordered; i++) {
    lua_pushvalue(L, base + 1 + 2 * i);
    lua_rawseti(L, base - 1, *count + i + 2);
  }
  *count += n;
  for (; top > base; top -= 2) lua_rawset(L, base);
}

/* A table with names; its first key, or its end, was read. */
static bool get_names(struct reader *d, enum json_token token, unsigned blank) {
  lua_State *L = d->L;
  bool ordered = blank == 2;
  lua_Integer count = 0;
  if (ordered) {
    lua_newtable(L);
    lua_pushlightuserdata(L, (void *)&json_order_mark);
    lua_rawseti(L, -2, 1);
  }
  lua_pushnil(L);
  int base = lua_gettop(L);
  for (; token == JSON_KEY; token = json_next(&d->r)) {
    push_text(L, &d->r);
    if (!get_next(d)) return false;
    if (lua_gettop(L) - base >= 2 * PENDING) flush_names(L, base, &count, ordered);
  }
  if (token != JSON_OBJECT_END) return wrong(d, "an object does not end");
  if (!count || lua_gettop(L) > base) flush_names(L, base, &count, ordered);
  if (blank == 1) set_mark(d, 2);
  if (ordered) {
    lua_insert(L, -2);
    lua_setmetatable(L, -2);
  }
  return true;
}

/* ---- what JSON does not say ---- */

static int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool get_bytes(struct reader *d) {
  luaL_Buffer b;
  size_t n = 0, len;
  unsigned bits = 0, have = 0;
  if (!expect(d, JSON_STRING)) return false;
  const char *s = d->r.text;
  for (len = d->r.len; len > 0 && s[len - 1] == '='; len--) {
  }
  char *out = luaL_buffinitsize(d->L, &b, len);
  bool ok = true;
  for (size_t i = 0; i < len && ok; i++) {
    int digit = base64_digit(s[i]);
    ok = digit >= 0;
    bits = bits << 6 | (unsigned)(digit & 63);
    have += 6;
    if (have >= 8) out[n++] = (char)(bits >> (have -= 8));
  }
  luaL_pushresultsize(&b, n);
  return ok || wrong(d, "no base64");
}

static bool get_number(struct reader *d) {
  static const struct {
    const char *name;
    double value;
  } numbers[] = {{"inf", INFINITY}, {"-inf", -INFINITY}, {"nan", NAN}};
  if (!expect(d, JSON_STRING)) return false;
  double x = copysign(NAN, -1.0);
  for (size_t i = 0; i < COUNT_OF(numbers); i++)
    if (strlen(numbers[i].name) == d->r.len && memcmp(numbers[i].name, d->r.text, d->r.len) == 0) x = numbers[i].value;
  lua_pushnumber(d->L, x);
  return true;
}

static bool get_error(struct reader *d) {
  if (!expect(d, JSON_OBJECT) || !get(d, JSON_OBJECT)) return false;
  luaL_getmetatable(d->L, ERR_METATABLE);
  lua_setmetatable(d->L, -2);
  return true;
}

/* The mark of the table on top of the stack. */
static bool get_mark(struct reader *d) {
  lua_State *L = d->L;
  if (!get_next(d)) return false;
  if (lua_type(L, -1) == LUA_TSTRING) {
    bool array = strcmp(lua_tostring(L, -1), "array") == 0;
    lua_pop(L, 1);
    set_mark(d, array ? 1 : 2);
    return true;
  }
  if (lua_type(L, -1) != LUA_TTABLE) return wrong(d, "no mark");
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  lua_createtable(L, (int)n + 1, 0);
  lua_pushlightuserdata(L, (void *)&json_order_mark);
  lua_rawseti(L, -2, 1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -2, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
  return true;
}

static bool get_pairs(struct reader *d) {
  lua_State *L = d->L;
  enum json_token token;
  if (!expect(d, JSON_ARRAY)) return false;
  lua_newtable(L);
  while ((token = json_next(&d->r)) == JSON_ARRAY) {
    if (!get_next(d) || !get_next(d) || !expect(d, JSON_ARRAY_END)) return false;
    if (lua_isnil(L, -2) || (lua_isnumber(L, -2) && lua_tonumber(L, -2) != lua_tonumber(L, -2)))
      return wrong(d, "no key");
    lua_rawset(L, -3);
  }
  return token == JSON_ARRAY_END || wrong(d, "no pairs");
}

/* What stands by its hash: a string, or a value. */
static bool get_far(struct reader *d, bool value) {
  lua_State *L = d->L;
  if (!expect(d, JSON_STRING)) return false;
  push_text(L, &d->r);
  int type = d->contents ? lua_gettable(L, d->contents) : LUA_TNIL;
  if (type != LUA_TSTRING) return wrong(d, "what it refers to is not there");
  if (!value) return true;
  if (d->inside >= INSIDE_MAX) return wrong(d, "values inside each other");
  size_t len;
  const char *s = lua_tolstring(L, -1, &len);
  struct reader inner = {.L = L, .contents = d->contents, .marks = d->marks, .inside = d->inside + 1};
  json_open(&inner.r, s, len, 0);
  if (!get_next(&inner) || json_next(&inner.r) != JSON_END) return wrong(d, inner.wrong ? inner.wrong : "no value");
  lua_remove(L, -2);
  return true;
}

static bool get_tagged(struct reader *d, enum plain_tag tag) {
  bool ok = false;
  switch (tag) {
    case PLAIN_BYTES: ok = get_bytes(d); break;
    case PLAIN_NUMBER: ok = get_number(d); break;
    case PLAIN_ERROR: ok = get_error(d); break;
    case PLAIN_PAIRS: ok = get_pairs(d); break;
    case PLAIN_TEXT: ok = get_far(d, false); break;
    case PLAIN_VALUE: ok = get_far(d, true); break;
    default: return wrong(d, "a mark alone");
  }
  if (!ok) return false;
  enum json_token token = json_next(&d->r);
  if (tag == PLAIN_PAIRS && token == JSON_KEY) {
    if (plain_tag(d->r.text, d->r.len) != PLAIN_MARK || !get_mark(d)) return wrong(d, "no mark");
    token = json_next(&d->r);
  }
  return token == JSON_OBJECT_END || wrong(d, "more than one tag");
}

static bool get(struct reader *d, enum json_token token) {
  lua_State *L = d->L;
  luaL_checkstack(L, 8, "no memory for plain data");
  switch (token) {
    case JSON_STRING: push_text(L, &d->r); return true;
    case JSON_INTEGER: lua_pushinteger(L, (lua_Integer)d->r.integer); return true;
    case JSON_FLOAT: lua_pushnumber(L, (lua_Number)d->r.number); return true;
    case JSON_NULL: lua_pushlightuserdata(L, NULL); return true;
    case JSON_TRUE:
    case JSON_FALSE: lua_pushboolean(L, token == JSON_TRUE); return true;
    case JSON_ARRAY: return get_list(d);
    case JSON_OBJECT: {
      unsigned blank = blanks(d);
      enum json_token first = json_next(&d->r);
      enum plain_tag tag = first == JSON_KEY ? plain_tag(d->r.text, d->r.len) : PLAIN_NO_TAG;
      return tag ? get_tagged(d, tag) : get_names(d, first, blank);
    }
    default: return wrong(d, "no JSON");
  }
}

static int l_decode(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 1, &len);
  lua_settop(L, 2);
  json_push_state(L, false);
  struct reader d = {.L = L, .contents = lua_istable(L, 2) ? 2 : 0, .marks = 3};
  json_open(&d.r, s, len, 0);
  if (get_next(&d) && json_next(&d.r) == JSON_END) return 1;
  return err_pushf(L, "protocol", "a value that is kept as text is damaged at byte %zu: %s",
                   (size_t)(d.r.at - d.r.bytes), d.wrong ? d.wrong : "it goes on");
}

/* ---- the module ---- */

static int buffers_gc(lua_State *L) {
  plain_buffers_close(luaL_checkudata(L, 1, BUFFERS));
  return 0;
}

static struct plain_buffers *new_buffers(lua_State *L) {
  struct plain_buffers *b = lua_newuserdatauv(L, sizeof *b, 0);
  memset(b, 0, sizeof *b);
  luaL_setmetatable(L, BUFFERS);
  plain_buffers_open(b, &host_of(L)->mem);
  return b;
}

/* Buffers stay busy where Lua ran out of memory in between, and while a finalizer encodes: then new ones take their place. */
static struct plain_buffers *push_buffers(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  struct plain_buffers *b = lua_touserdata(L, -1);
  if (!b->busy) return b;
  b = new_buffers(L);
  lua_copy(L, -1, lua_upvalueindex(1));
  return b;
}

static int l_encode(lua_State *L) {
  struct err e = {0};
  luaL_checkany(L, 1);
  lua_settop(L, 5);
  bool sink = !lua_isnil(L, 2), hollow = lua_istable(L, 5);
  if (sink) luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer max = luaL_optinteger(L, 4, SIZE_MAX_DEFAULT);
  struct plain_buffers *b = push_buffers(L);
  if (sink && !hash_open(&e)) return err_push(L, &e);
  b->busy = true;
  b->hollow = hollow ? lua_topointer(L, 5) : NULL;
  b->hollowed = 0;
  enum plain_result result = plain_write(L, 1, sink ? 2 : 0, lua_toboolean(L, 3), max > 0 ? (size_t)max : 0, b, &e);
  b->busy = false;
  if (result == PLAIN_FAILED) return err_push(L, &e);
  if (result == PLAIN_ODD)
    lua_pushnil(L);
  else
    lua_pushlstring(L, b->out.buf, b->out.len);
  if (!hollow) return 1;
  lua_pushinteger(L, (lua_Integer)b->hollowed);
  return 2;
}

static int l_hash(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 1, &len);
  char hash[PLAIN_HASH_SIZE + 1];
  struct err e;
  if (!hash_open(&e)) return err_push(L, &e);
  if (!plain_hash(s, len, hash)) return err_pushf(L, "os", "out of memory: cannot hash");
  lua_pushlstring(L, hash, PLAIN_HASH_SIZE);
  return 1;
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int l_pack(lua_State *L) {
  size_t len;
  char bytes[HASH_SIZE];
  const char *s = luaL_checklstring(L, 1, &len);
  bool hex = len == HEX_SIZE;
  for (int i = 0; hex && i < HASH_SIZE; i++) {
    int high = hex_digit(s[2 * i]), low = hex_digit(s[2 * i + 1]);
    hex = high >= 0 && low >= 0;
    if (hex) bytes[i] = (char)(high << 4 | low);
  }
  lua_settop(L, 1);
  if (hex) lua_pushlstring(L, bytes, sizeof bytes);
  return 1;
}

/* ---- bytes that repeat themselves ----
 *
 * A log of deliveries says the same again and again: one task reads a stream. A head is a number n of seven bits a byte; even: n / 2
 * bytes follow; odd: n / 2 bytes that are those `distance` bytes before, which is the byte that follows. */

enum { DISTANCE_MAX = 64, REPEAT_MIN = 8, REPEAT_LONG = 1024 };

static size_t put_head(char *out, size_t n) {
  size_t len = 0;
  for (; n >= 0x80; n >>= 7) out[len++] = (char)(n | 0x80);
  out[len++] = (char)n;
  return len;
}

/* The longest repetition at `at`, and its distance. */
static size_t repeats(const char *s, size_t len, size_t at, size_t *distance) {
  size_t best = 0;
  for (size_t d = 1; d <= DISTANCE_MAX && d <= at; d++) {
    size_t n = 0;
    while (at + n < len && s[at + n] == s[at + n - d]) n++;
    if (n > best) {
      best = n;
      *distance = d;
    }
    if (n >= REPEAT_LONG) break;
  }
  return best;
}

static int l_squeeze(lua_State *L) {
  size_t len, used = 0, literal = 0, distance = 0;
  luaL_Buffer b;
  const char *s = luaL_checklstring(L, 1, &len);
  char *out = luaL_buffinitsize(L, &b, len + len / REPEAT_MIN * 4 + 32);
  for (size_t at = 0; at <= len;) {
    size_t n = at < len ? repeats(s, len, at, &distance) : 0;
    if (at < len && n < REPEAT_MIN) {
      at++;
      continue;
    }
    if (at > literal) {
      used += put_head(out + used, (at - literal) << 1);
      memcpy(out + used, s + literal, at - literal);
      used += at - literal;
    }
    if (at == len) break;
    used += put_head(out + used, n << 1 | 1);
    out[used++] = (char)distance;
    literal = at += n;
  }
  luaL_pushresultsize(&b, used);
  return 1;
}

static int l_stretch(lua_State *L) {
  size_t len, used = 0;
  luaL_Buffer b;
  const char *s = luaL_checklstring(L, 1, &len);
  lua_Integer wanted = luaL_checkinteger(L, 2);
  size_t size = wanted >= 0 && wanted <= SIZE_MAX_DEFAULT ? (size_t)wanted : 0;
  char *out = luaL_buffinitsize(L, &b, size + 1);
  bool ok = (size_t)wanted == size;
  for (size_t at = 0; ok && at < len;) {
    size_t n = 0;
    unsigned shift = 0;
    while (at < len && shift < 56 && (s[at] & 0x80)) {
      n |= (size_t)(s[at++] & 0x7f) << shift;
      shift += 7;
    }
    if (at < len) n |= (size_t)(s[at++] & 0x7f) << shift;
    size_t count = n >> 1, distance = (n & 1) && at < len ? (size_t)(unsigned char)s[at++] : 0;
    ok = count <= size - used && ((n & 1) ? distance > 0 && distance <= used : count <= len - at);
    if (!ok) break;
    for (size_t i = 0; i < count; i++, used++) out[used] = (n & 1) ? out[used - distance] : s[at + i];
    if (!(n & 1)) at += count;
  }
  luaL_pushresultsize(&b, used);
  if (!ok || used != size) lua_pushnil(L);
  return 1;
}

/* Is the value on top of the stack that of the same name in the table below its key? */
static bool is_usual(lua_State *L, int usual, bool *known) {
  lua_pushvalue(L, -2);
  *known = lua_rawget(L, usual) != LUA_TNIL;
  bool same = *known && lua_rawequal(L, -1, -2) && lua_isinteger(L, -1) == lua_isinteger(L, -2);
  lua_pop(L, 1);
  return same;
}

static int l_unusual(lua_State *L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  lua_Integer names = 0, wanted = 0;
  if (!lua_istable(L, 1) || lua_getmetatable(L, 1)) return 0;
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) wanted++;
  lua_pushboolean(L, 1);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    bool known, same = is_usual(L, 2, &known);
    names += known;
    if (same) continue;
    lua_pushvalue(L, -2);
    if (!known && lua_rawget(L, 3) == LUA_TNIL) return 0;
    lua_pop(L, 1);
    if (!known) continue;
    if (!lua_istable(L, 4)) {
      lua_newtable(L);
      lua_replace(L, 4);
    }
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 4);
  }
  lua_settop(L, 4);
  return names == wanted;
}

static int l_name(lua_State *L) {
  size_t len, end;
  const char *key = luaL_checklstring(L, 1, &len);
  for (end = len; end > 0 && key[end - 1] != '#'; end--) {
  }
  if (end > 0) end--;
  size_t from = end;
  while (from > 0 && key[from - 1] != '/') from--;
  lua_pushlstring(L, key + from, end - from);
  return 1;
}

static int l_unpack(lua_State *L) {
  size_t len;
  char hex[HASH_HEX_SIZE];
  const char *s = luaL_checklstring(L, 1, &len);
  if (len != HASH_SIZE) {
    lua_settop(L, 1);
    return 1;
  }
  hash_to_hex((const unsigned char *)s, hex);
  lua_pushlstring(L, hex, HEX_SIZE);
  return 1;
}

int luaopen_host_plain(lua_State *L) {
  static const luaL_Reg functions[] = {{"decode", l_decode},   {"hash", l_hash}, {"pack", l_pack},
                                       {"unpack", l_unpack},   {"name", l_name}, {"squeeze", l_squeeze},
                                       {"stretch", l_stretch}, {"unusual", l_unusual}, {NULL, NULL}};
  if (luaL_newmetatable(L, BUFFERS)) {
    lua_pushcfunction(L, buffers_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  new_buffers(L);
  lua_pushcclosure(L, l_encode, 1);
  lua_setfield(L, -2, "encode");
  return 1;
}
