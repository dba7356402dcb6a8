/* json_encode.c - Lua values to JSON text. The order of keys is the table's own or sorted, never
 * that of `next`. No metamethod runs. The C memory it uses belongs to the json_state, a userdata:
 * a raise out of Lua leaks nothing. */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json_encoder.h"

/* Up to this many members lie on the stack while an object is written; a larger one keeps a list
 * of its keys. */
enum { MEMBERS_ON_STACK = 64, ENTRIES_KEPT = 1024 };

/* A table being written, and the member of it that is. */
struct level {
  const struct level *up;
  const void *table;
  enum json_mark mark;
  const char *key; /* NULL: an item of an array, at `index` */
  size_t len;
  lua_Integer index;
};

/* ---- errors name the path ---- */

static bool is_name(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++) {
    char c = s[i];
    if (!(c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (i && c >= '0' && c <= '9'))) return false;
  }
  return len > 0;
}

static void put_step(const struct level *l, char *path, size_t size) {
  size_t used = strlen(path);
  int shown = l->len > 40 ? 40 : (int)l->len;
  if (size - used < 64) { /* it is deep: the first steps are enough */
    if (used >= 3 && path[used - 1] != '.') memcpy(path + used, "...", 4);
  } else if (!l->key) {
    snprintf(path + used, size - used, "[%lld]", (long long)l->index);
  } else if (is_name(l->key, l->len)) {
    snprintf(path + used, size - used, ".%.*s", shown, l->key);
  } else {
    snprintf(path + used, size - used, "[\"%.*s\"]", shown, l->key);
    for (char *c = path + used; *c; c++)
      if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7E) *c = '?';
  }
}

/* The path from the root to the member being written at `l`: ".messages[2].content"; "" is the
 * root itself. */
static void describe_path(const struct level *l, char *path, size_t size) {
  const struct level *chain[JSON_DEPTH_MAX + 1];
  size_t n = 0;
  path[0] = '\0';
  for (; l; l = l->up)
    if (n < COUNT_OF(chain)) chain[n++] = l;
  while (n > 0) put_step(chain[--n], path, size);
}

static bool refuse(struct encoder *w, const struct level *l, const char *what, const char *detail) {
  char path[160];
  describe_path(l, path, sizeof path);
  err_set(w->e, "argument", 0, "cannot encode %s%s%s%s", what, detail, path[0] ? " at " : "", path);
  return false;
}

/* Did the writer do it? */
static inline bool wrote(struct encoder *w, const struct level *l, enum json_put put) {
  if (put == JSON_PUT_OK) return true;
  if (put == JSON_PUT_UTF8) return refuse(w, l, "a string that is not UTF-8", "");
  if (put == JSON_PUT_CAP)
    err_set(w->e, "limit", 0, "JSON text of more than %zu bytes", w->out->cap);
  else
    err_set(w->e, "os", 0, "out of memory while encoding JSON");
  return false;
}

/* The table at level l has a key of this type, where it should not. */
static bool refuse_key(struct encoder *w, const struct level *l, int type) {
  const char *name = lua_typename(w->L, type);
  if (l->mark == JSON_MARK_ARRAY) return refuse(w, l->up, "an array with a key that is a ", name);
  if (l->mark != JSON_UNMARKED) return refuse(w, l->up, "an object with a key that is a ", name);
  if (type == LUA_TSTRING || type == LUA_TNUMBER)
    return refuse(w, l->up, "a table that mixes list items with other keys", "");
  return refuse(w, l->up, "a table with a key that is a ", name);
}

/* ---- keys in order ---- */

/* Notes the key at stack index `idx`. */
static bool add_entry(struct encoder *w, const struct level *l, int idx, int slot) {
  struct json_state *s = w->s;
  if (s->entry_count == s->entry_size) {
    size_t size = s->entry_size ? s->entry_size * 2 : 64;
    struct json_entry *entries = mem_grow(s->out.mem, s->entries, size * sizeof *entries);
    if (!entries) return wrote(w, l, JSON_PUT_MEMORY);
    s->entries = entries;
    s->entry_size = size;
  }
  struct json_entry *e = &s->entries[s->entry_count++];
  e->key = lua_tolstring(w->L, idx, &e->len);
  e->prefix = json_prefix(e->key, e->len);
  e->slot = slot;
  return true;
}

/* ---- layout ---- */

static bool put_break(struct encoder *w, const struct level *l) {
  static const char spaces[] = "                                ";
  enum json_put put = json_put_raw(w->out, "\n", 1);
  for (size_t n = (size_t)w->depth * 2; n > 0 && put == JSON_PUT_OK;) {
    size_t some = n < sizeof spaces - 1 ? n : sizeof spaces - 1;
    put = json_put_raw(w->out, spaces, some);
    n -= some;
  }
  return wrote(w, l, put);
}

/* What stands before an item: a comma unless it is the first. */
static inline bool put_comma(struct encoder *w, const struct level *l, bool first) {
  if (!first && !wrote(w, l, json_put_byte(w->out, ','))) return false;
  return !w->pretty || put_break(w, l);
}

static bool put_close(struct encoder *w, const struct level *l, char bracket) {
  w->depth--;
  if (w->pretty && !put_break(w, l)) return false;
  return wrote(w, l, json_put_byte(w->out, bracket));
}

static bool put_value(struct encoder *w, int idx, const struct level *up);

/* A key, its colon, and the value at idx. */
static bool put_member(struct encoder *w, struct level *l, int idx, bool first) {
  if (!put_comma(w, l, first)) return false;
  enum json_put put = json_put_string(w->out, l->key, l->len);
  if (put == JSON_PUT_UTF8) return refuse(w, l, "a key that is not UTF-8", "");
  if (put == JSON_PUT_OK) put = json_put_byte(w->out, ':');
  if (put == JSON_PUT_OK && w->pretty) put = json_put_byte(w->out, ' ');
  return wrote(w, l, put) && put_value(w, idx, l);
}

/* ---- arrays ---- */

static bool put_item(struct encoder *w, struct level *l, lua_Integer index) {
  l->index = index;
  return put_comma(w, l, index == 1) && put_value(w, lua_gettop(w->L), l);
}

/* An array whose items `next` does not give in order: they are in the table's hash. Or no array at
 * all. */
static bool put_scattered(struct encoder *w, int idx, struct level *l) {
  lua_State *L = w->L;
  lua_Integer count = 0, largest = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (!lua_isinteger(L, -2)) return refuse_key(w, l, lua_type(L, -2));
    lua_Integer i = lua_tointeger(L, -2);
    if (i < 1) return refuse(w, l->up, "a table with an index below 1", "");
    if (i > largest) largest = i;
    count++;
  }
  if (count != largest) {
    char detail[64];
    snprintf(detail, sizeof detail, " (%lld items, the last at %lld)", (long long)count, (long long)largest);
    return refuse(w, l->up, "a sparse list", detail);
  }
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, idx, i);
    if (!put_item(w, l, i)) return false;
    lua_pop(L, 1);
  }
  return true;
}

/* The first key and value are on the stack. Leaves the stack anyhow, as all of these do; put_table
 * tidies up. */
static bool put_array(struct encoder *w, int idx, struct level *l) {
  lua_State *L = w->L;
  lua_Integer expected = 1;
  enum json_put put = json_put_byte(w->out, '[');
  size_t start = w->out->len;
  if (!wrote(w, l, put)) return false;
  w->depth++;
  do {
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != expected) {
      w->out->len = start;
      if (!put_scattered(w, idx, l)) return false;
      break;
    }
    if (!put_item(w, l, expected++)) return false;
    lua_pop(L, 1);
  } while (lua_next(L, idx));
  return put_close(w, l->up, ']');
}

/* ---- objects ---- */

/* The members noted as entries from `from` on: their keys are in the list at stack index `keys`,
 * or with their values on the stack when keys is 0. Sorts, writes and forgets them. */
static bool put_entries(struct encoder *w, int idx, struct level *l, size_t from, int keys, bool first) {
  lua_State *L = w->L;
  size_t end = w->s->entry_count;
  json_sort(w->s->entries + from, end - from);
  for (size_t i = from; i < end; i++, first = false) {
    struct json_entry e = w->s->entries[i];
    int value = e.slot + 1;
    l->key = e.key;
    l->len = e.len;
    if (keys) {
      lua_rawgeti(L, keys, e.slot);
      lua_rawget(L, idx);
      value = lua_gettop(L);
    }
    if (!put_member(w, l, value, first)) return false;
    if (keys) lua_pop(L, 1);
  }
  w->s->entry_count = from;
  return true;
}

/* Notes all keys of the table but those that the set at stack index `but` (0 = none) holds, in a
 * new list of keys, and writes their members. */
static bool put_listed(struct encoder *w, int idx, struct level *l, int but, bool first) {
  lua_State *L = w->L;
  size_t from = w->s->entry_count;
  int n = 0, keys = lua_gettop(L) + 1;
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) return refuse_key(w, l, lua_type(L, -2));
    if (but) {
      lua_pushvalue(L, -2);
      bool skip = lua_rawget(L, but) != LUA_TNIL;
      lua_pop(L, 1);
      if (skip) continue;
    }
    lua_pushvalue(L, -2);
    lua_rawseti(L, keys, ++n);
    if (!add_entry(w, l, -2, n)) return false;
  }
  return put_entries(w, idx, l, from, keys, first);
}

/* The first key and value are on the stack. */
static bool put_sorted(struct encoder *w, int idx, struct level *l) {
  lua_State *L = w->L;
  size_t from = w->s->entry_count;
  int n = 0, base = lua_gettop(L) - 2;
  w->depth++;
  if (!wrote(w, l, json_put_byte(w->out, '{'))) return false;
  do {
    if (lua_type(L, -2) != LUA_TSTRING) return refuse_key(w, l, lua_type(L, -2));
    if (++n > MEMBERS_ON_STACK) {
      lua_settop(L, base);
      w->s->entry_count = from;
      return put_listed(w, idx, l, 0, true) && put_close(w, l->up, '}');
    }
    if (n % 8 == 0) luaL_checkstack(L, 24, "no memory for JSON");
    if (!add_entry(w, l, -2, base + n * 2 - 1)) return false;
    lua_pushvalue(L, -2);
  } while (lua_next(L, idx));
  return put_entries(w, idx, l, from, 0, true) && put_close(w, l->up, '}');
}

/* The metatable with the order is on top of the stack. */
static bool put_in_order(struct encoder *w, int idx, struct level *l) {
  lua_State *L = w->L;
  int order = lua_gettop(L);
  size_t written = 0, total = 0;
  if (!wrote(w, l, json_put_byte(w->out, '{'))) return false;
  w->depth++;
  for (lua_Integer i = 2; lua_rawgeti(L, order, i) == LUA_TSTRING; i++) {
    l->key = lua_tolstring(L, -1, &l->len);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, idx) != LUA_TNIL && !put_member(w, l, order + 2, written++ == 0)) return false;
    lua_settop(L, order);
  }
  lua_settop(L, order);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) total++;
  if (total > written) { /* keys the order does not name */
    lua_newtable(L);
    for (lua_Integer i = 2; lua_rawgeti(L, order, i) == LUA_TSTRING; i++) {
      lua_pushboolean(L, 1);
      lua_rawset(L, order + 1);
    }
    lua_settop(L, order + 1);
    if (!put_listed(w, idx, l, order + 1, written == 0)) return false;
  }
  if (total == 0) { /* {} keeps to one line */
    w->depth--;
    return wrote(w, l, json_put_byte(w->out, '}'));
  }
  return put_close(w, l->up, '}');
}

/* ---- forms ---- */

/* The form of a table has been written from `start` on: one that is long makes room for its SHA-256. */
static bool cut_form(struct encoder *w, const struct level *up, size_t start) {
  struct json_out *out = w->out;
  unsigned char digest[HASH_SIZE];
  if (out->len - start <= JSON_FORM_INLINE) return true;
  if (!hash_sha256_raw(out->buf + start, out->len - start, digest)) return wrote(w, up, JSON_PUT_MEMORY);
  out->buf[start] = JSON_FORM_HASH;
  memcpy(out->buf + start + 1, digest, sizeof digest);
  out->len = start + 1 + sizeof digest;
  return true;
}

/* Writes the string on top of the stack when it is one. */
static bool put_known_form(struct encoder *w, const struct level *up, bool *known) {
  size_t len;
  *known = lua_type(w->L, -1) == LUA_TSTRING;
  const char *form = *known ? lua_tolstring(w->L, -1, &len) : NULL;
  return !form || wrote(w, up, json_put_raw(w->out, form, len));
}

/* What stands for a piece in a form: worked out once. */
static bool put_piece_form(struct encoder *w, int idx, const struct json_piece *p, const struct level *up) {
  lua_State *L = w->L;
  size_t start = w->out->len;
  int top = lua_gettop(L);
  bool known, is_table = p->text[0] == '{' || p->text[0] == '[';
  luaL_checkstack(L, 8, "no memory for JSON");
  lua_getiuservalue(L, idx, 1);
  bool ok = put_known_form(w, up, &known);
  if (!known && p->formal) {
    ok = wrote(w, up, json_put_raw(w->out, p->text, p->len));
  } else if (!known) {
    ok = json_push(L, p->text, p->len, NULL, w->e) && put_value(w, lua_gettop(L), NULL);
  }
  if (ok && !known && is_table) ok = cut_form(w, up, start);
  if (ok && !known && !(p->formal && p->len <= JSON_FORM_INLINE)) {
    lua_pushlstring(L, w->out->buf + start, w->out->len - start);
    lua_setiuservalue(L, idx, 1);
  }
  lua_settop(L, top);
  return ok;
}

/* ---- values ---- */

static bool put_piece(struct encoder *w, int idx, const struct json_piece *p, const struct level *up) {
  lua_State *L = w->L;
  if (w->depth + p->depth > w->max_depth) return refuse(w, up, "tables nested deeper than the limit", "");
  if (w->canonical) return put_piece_form(w, idx, p, up);
  if (w->pretty) {
    struct json_options o = {.ordered = p->ordered};
    luaL_checkstack(L, 8, "no memory for JSON");
    bool ok = json_push(L, p->text, p->len, &o, w->e);
    if (!ok) return false;
    ok = put_value(w, lua_gettop(L), up);
    lua_pop(L, 1);
    return ok;
  }
  if (w->depth + p->depth > w->deepest) w->deepest = w->depth + p->depth;
  if (!p->formal || p->len > JSON_FORM_INLINE) w->informal = true;
  if (p->ordered) w->ordered = true;
  return wrote(w, up, json_put_raw(w->out, p->text, p->len));
}

/* A list that does not change: its metatable, on top of the stack, holds its text. */
static bool put_fixed(struct encoder *w, const struct level *up) {
  size_t len;
  lua_rawgeti(w->L, -1, 2);
  const char *text = lua_tolstring(w->L, -1, &len);
  w->informal = w->ordered = true; /* assume both */
  return wrote(w, up, json_put_raw(w->out, text, len));
}

/* The same in a form: the metatable keeps what stands for it. */
static bool put_fixed_form(struct encoder *w, int idx, struct level *here) {
  lua_State *L = w->L;
  size_t start = w->out->len;
  int mark = lua_gettop(L);
  bool known;
  lua_rawgeti(L, mark, 3);
  bool ok = put_known_form(w, here->up, &known);
  if (known) return ok;
  here->mark = JSON_MARK_ARRAY;
  lua_pushnil(L);
  if (!lua_next(L, idx)) return wrote(w, here->up, json_put_raw(w->out, "[]", 2));
  ok = put_array(w, idx, here) && cut_form(w, here->up, start);
  if (ok) {
    lua_pushlstring(L, w->out->buf + start, w->out->len - start);
    lua_rawseti(L, mark, 3);
  }
  return ok;
}

/* Writes what is kept, `now`, and the items after it; then `now` is all of them. `start` is where the first item began. */
static bool put_more(struct encoder *w, int idx, struct level *here, struct json_kept *now, lua_Integer count, size_t start) {
  w->deepest = w->depth + now->depth;
  w->informal = now->informal;
  w->ordered = now->ordered;
  for (lua_Integer i = now->count + 1; i <= count; i++) {
    lua_rawgeti(w->L, idx, i);
    if (!put_item(w, here, i)) return false;
    lua_pop(w->L, 1);
  }
  *now = (struct json_kept){.len = w->out->len - start, .count = count, .depth = w->deepest - w->depth,
                            .informal = w->informal, .ordered = w->ordered};
  return true;
}

/* A list that grows. Its metatable, on top of the stack, keeps what was written of it: the text at 2, the form at 3. */
static bool put_growing(struct encoder *w, int idx, struct level *here) {
  lua_State *L = w->L;
  int mark = lua_gettop(L), slot = w->canonical ? 3 : 2;
  lua_Integer count = (lua_Integer)lua_rawlen(L, idx);
  unsigned deepest = w->deepest;
  bool informal = w->informal, ordered = w->ordered;
  struct json_kept now = {.count = 0};
  const struct json_kept *kept = json_kept_at(L, mark, slot);
  if (kept && kept->count <= count) now = *kept;
  here->mark = JSON_MARK_ARRAY;
  w->depth++;
  if (w->depth + now.depth > w->max_depth) return refuse(w, here->up, "tables nested deeper than the limit", "");
  if (!wrote(w, here->up, json_put_byte(w->out, '['))) return false;
  size_t start = w->out->len, old = now.len;
  if (old && !wrote(w, here->up, json_put_raw(w->out, kept->text, old))) return false;
  if (!put_more(w, idx, here, &now, count, start)) return false;
  if (!kept || kept->count != count) json_keep(L, mark, slot, &now, w->out->buf + start, old);
  if (w->deepest < deepest) w->deepest = deepest;
  w->informal |= informal;
  w->ordered |= ordered;
  return put_close(w, here->up, ']');
}

static bool put_table(struct encoder *w, int idx, const struct level *up) {
  lua_State *L = w->L;
  struct level here = {.up = up, .table = lua_topointer(L, idx)};
  int top = lua_gettop(L);
  size_t start = w->out->len;
  bool ok;
  for (const struct level *l = up; l; l = l->up)
    if (l->table == here.table) return refuse(w, up, "a table that contains itself", "");
  if (w->depth >= w->max_depth) return refuse(w, up, "tables nested deeper than the limit", "");
  luaL_checkstack(L, 32, "no memory for JSON");
  enum json_mark mark = here.mark = json_mark_of(L, idx, w->s);
  if (w->depth >= w->deepest) w->deepest = w->depth + 1;
  if ((mark == JSON_MARK_FIXED && (w->pretty || (w->canonical && !up))) || (mark == JSON_MARK_GROWING && w->pretty)) {
    lua_settop(L, top);
    mark = here.mark = JSON_MARK_ARRAY;
  } else if (mark == JSON_MARK_ORDERED && w->canonical) {
    lua_settop(L, top);
    mark = here.mark = JSON_MARK_OBJECT;
  }
  if (mark == JSON_MARK_FIXED) {
    ok = w->canonical ? put_fixed_form(w, idx, &here) : put_fixed(w, up);
  } else if (mark == JSON_MARK_GROWING) {
    ok = put_growing(w, idx, &here);
  } else if (mark == JSON_MARK_ORDERED) {
    w->informal = w->ordered = true;
    ok = put_in_order(w, idx, &here);
  } else {
    lua_pushnil(L);
    if (!lua_next(L, idx)) return wrote(w, up, json_put_raw(w->out, mark == JSON_MARK_ARRAY ? "[]" : "{}", 2));
    bool string = lua_type(L, -2) == LUA_TSTRING;
    if (mark == JSON_MARK_OBJECT || (mark == JSON_UNMARKED && string))
      ok = put_sorted(w, idx, &here);
    else if (mark == JSON_UNMARKED && lua_type(L, -2) != LUA_TNUMBER)
      ok = refuse_key(w, &here, lua_type(L, -2));
    else
      ok = put_array(w, idx, &here);
  }
  lua_settop(L, top);
  if (ok && up && w->out->len - start > JSON_FORM_INLINE) {
    w->informal = true;
    if (w->canonical) ok = cut_form(w, up, start);
  }
  return ok;
}

static bool put_value(struct encoder *w, int idx, const struct level *up) {
  lua_State *L = w->L;
  int type = lua_type(L, idx);
  switch (type) {
    case LUA_TSTRING: {
      size_t len;
      const char *s = lua_tolstring(L, idx, &len);
      return wrote(w, up, json_put_string(w->out, s, len));
    }
    case LUA_TNUMBER: {
      if (lua_isinteger(L, idx)) return wrote(w, up, json_put_integer(w->out, lua_tointeger(L, idx)));
      double x = lua_tonumber(L, idx);
      if (isfinite(x)) return wrote(w, up, json_put_float(w->out, x));
      return refuse(w, up, isnan(x) ? "NaN" : "an infinite number", "");
    }
    case LUA_TBOOLEAN: {
      bool yes = lua_toboolean(L, idx);
      return wrote(w, up, json_put_raw(w->out, yes ? "true" : "false", yes ? 4 : 5));
    }
    case LUA_TLIGHTUSERDATA:
      if (!lua_touserdata(L, idx)) return wrote(w, up, json_put_raw(w->out, "null", 4));
      return refuse(w, up, "a light userdata other than json.null", "");
    case LUA_TTABLE: return put_table(w, idx, up);
    case LUA_TUSERDATA: {
      const struct json_piece *p = json_piece_at(L, idx, w->s);
      return p ? put_piece(w, idx, p, up) : refuse(w, up, "a ", lua_typename(L, type));
    }
    case LUA_TNIL: return refuse(w, up, "nil", " (json.null is null)");
    default: return refuse(w, up, "a ", lua_typename(L, type));
  }
}

bool json_put_value(struct encoder *w, int idx) {
  return put_value(w, idx, NULL);
}

/* Writes the value into the state's buffer, and takes from there what is wanted: with `digest` the SHA-256, else the text, which is
 * pushed as a string or as a piece. */
static bool take(struct encoder *w, bool piece, unsigned char *digest) {
  lua_State *L = w->L;
  struct json_out *out = w->out;
  if (digest) {
    bool hashed = out->len == 1 + HASH_SIZE && out->buf[0] == JSON_FORM_HASH; /* a piece, and nothing round it */
    if (hashed) memcpy(digest, out->buf + 1, HASH_SIZE);
    return hashed || hash_sha256_raw(out->buf, out->len, digest) || wrote(w, NULL, JSON_PUT_MEMORY);
  }
  if (!piece) {
    lua_pushlstring(L, out->buf, out->len);
    return true;
  }
  struct json_piece *p = json_push_piece(L, out->buf, out->len);
  p->depth = w->deepest;
  p->formal = !w->informal;
  p->ordered = w->ordered;
  return true;
}

static bool encode(struct encoder *w, int idx, size_t max_size, bool piece, unsigned char *digest) {
  struct json_state *s = w->s;
  s->busy = true;
  s->entry_count = 0;
  json_out_reset(&s->out, max_size ? max_size : JSON_SIZE_DEFAULT);
  bool ok = (w->spec ? json_put_spec(w, idx) : put_value(w, idx, NULL)) && take(w, piece, digest);
  json_out_reset(&s->out, 0);
  if (s->entry_size > ENTRIES_KEPT) {
    mem_free(s->out.mem, s->entries);
    s->entries = NULL;
    s->entry_size = 0;
  }
  s->busy = false;
  return ok;
}

/* `how` has what the entry points differ in. */
static bool run(lua_State *L, int idx, struct encoder how, size_t max_size, bool piece, unsigned char *digest) {
  idx = lua_absindex(L, idx);
  luaL_checkstack(L, 16, "no memory for JSON");
  int top = lua_gettop(L);
  struct json_state *s = json_push_state(L, true);
  how.L = L;
  how.s = s;
  how.out = &s->out;
  bool ok = encode(&how, idx, max_size, piece, digest);
  if (!ok || digest) {
    lua_settop(L, top);
    return ok;
  }
  if (piece) {
    lua_getiuservalue(L, top + 1, 3);
    lua_setmetatable(L, -2);
  }
  lua_remove(L, top + 1);
  return true;
}

bool json_encode(lua_State *L, int idx, const struct json_options *opts, struct err *e) {
  unsigned depth = opts && opts->max_depth ? opts->max_depth : JSON_DEPTH_MAX;
  struct encoder how = {.e = e, .max_depth = depth, .pretty = opts && opts->pretty};
  return run(L, idx, how, opts ? opts->max_size : 0, false, NULL);
}

bool json_encode_piece(lua_State *L, int idx, struct err *e) {
  return run(L, idx, (struct encoder){.e = e, .max_depth = JSON_DEPTH_MAX}, 0, true, NULL);
}

bool json_digest(lua_State *L, int idx, unsigned char digest[HASH_SIZE], struct err *e) {
  err_clear(e);
  return hash_open(e) && run(L, idx, (struct encoder){.e = e, .max_depth = JSON_DEPTH_MAX, .canonical = true}, 0, false,
                          digest);
}

bool json_encode_spec(lua_State *L, int idx, const struct spec *spec) {
  struct err e;
  struct encoder how = {.e = &e, .max_depth = JSON_DEPTH_MAX, .spec = spec};
  int top = lua_gettop(L);
  bool ok = run(L, idx, how, 0, false, NULL);
  if (!ok) lua_settop(L, top);
  return ok;
}
