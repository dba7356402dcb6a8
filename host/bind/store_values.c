/* store_values.c - host.store: Lua values packed for a statement, and results as tables. Whole numbers, floats, texts and bytes come
 * back as they went in; json.null is NULL. */
#include <math.h>
#include <string.h>

#include "bind_store.h"

static bool is_utf8(const char *s, size_t len) {
  const unsigned char *p = (const unsigned char *)s, *end = p + len;
  while (p < end) {
    unsigned c = *p++;
    if (c < 0x80) { /* mostly all of it is ASCII */
      for (uint64_t eight; end - p >= 8; p += 8) {
        memcpy(&eight, p, 8);
        if (eight & 0x8080808080808080u) break;
      }
      continue;
    }
    unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
    if (c < 0xc2 || c > 0xf4 || (size_t)(end - p) < more) return false;
    unsigned point = c & (0x3fu >> more);
    for (unsigned i = 0; i < more; i++, p++) {
      if ((*p & 0xc0) != 0x80) return false;
      point = point << 6 | (*p & 0x3f);
    }
    if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
  }
  return true;
}

void store_pack_open(lua_State *L, struct pack *p, size_t room) {
  *p = (struct pack){.L = L, .room = room};
  p->bytes = lua_newuserdatauv(L, room, 0);
  p->slot = lua_gettop(L);
}

static void grow(struct pack *p, size_t more) {
  size_t room = p->room * 2 + more;
  char *bytes = lua_newuserdatauv(p->L, room, 0);
  memcpy(bytes, p->bytes, p->size);
  lua_replace(p->L, p->slot);
  p->bytes = bytes;
  p->room = room;
}

static void put(struct pack *p, const struct store_value *v) {
  if (p->at) {
    p->at = store_value_write(p->at, v);
    return;
  }
  size_t size = store_value_size(v);
  if (p->L) {
    if (p->room - p->size < size) grow(p, size);
    (void)store_value_write(p->bytes + p->size, v);
  }
  p->size += size;
}

void store_pack_text(struct pack *p, const char *s, size_t len) {
  struct store_value v = {.type = STORE_TEXT, .bytes = s, .len = len};
  put(p, &v);
}

static void pack_count(struct pack *p, size_t n) {
  struct store_value v = {.type = STORE_INTEGER, .integer = (int64_t)n};
  put(p, &v);
}

/* Where a value stands: a name, or else a place. */
static const char *words_for(lua_State *L, const char *name, lua_Integer place) {
  return name ? name : lua_pushfstring(L, "%I", (LUAI_UACINT)place);
}

static int refuse_value(lua_State *L, int value, const char *where) {
  return err_argument(
      L, "parameter %s is a %s: a statement takes nil, json.null, booleans, numbers, strings and store.blob", where,
      luaL_typename(L, value));
}

static void pack_string(lua_State *L, int index, struct store_value *v, bool blob) {
  v->bytes = lua_tolstring(L, index, &v->len);
  if (v->len > STORE_LEN_MAX) err_argument(L, "a string of more than 2 GiB is no parameter of a statement");
  v->type = blob || !is_utf8(v->bytes, v->len) ? STORE_BLOB : STORE_TEXT;
}

static bool pack_blob(lua_State *L, int index, struct store_value *v) {
  if (!lua_getmetatable(L, index)) return false;
  luaL_getmetatable(L, STORE_BLOB_TYPE);
  bool is = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  if (!is) return false;
  lua_pushliteral(L, "blob");
  lua_rawget(L, index);
  is = lua_type(L, -1) == LUA_TSTRING;
  if (is) pack_string(L, -1, v, true);
  lua_pop(L, 1); /* the table keeps it */
  return is;
}

/* The value at an index, which is no relative one. */
static void pack_value(lua_State *L, struct pack *p, int index, const char *name, lua_Integer place) {
  struct store_value v = {.type = STORE_NULL};
  switch (lua_type(L, index)) {
    case LUA_TNIL: break;
    case LUA_TBOOLEAN: v.type = STORE_INTEGER, v.integer = lua_toboolean(L, index); break;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) {
        v.type = STORE_INTEGER, v.integer = lua_tointeger(L, index);
      } else {
        v.type = STORE_FLOAT, v.number = lua_tonumber(L, index);
        if (isnan(v.number))
          err_argument(L, "parameter %s is not a number (nan): SQLite would keep NULL instead",
                       words_for(L, name, place));
      }
      break;
    case LUA_TSTRING: pack_string(L, index, &v, false); break;
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, index)) refuse_value(L, index, words_for(L, name, place));
      break;
    case LUA_TTABLE:
      if (!pack_blob(L, index, &v)) refuse_value(L, index, words_for(L, name, place));
      break;
    default: refuse_value(L, index, words_for(L, name, place));
  }
  put(p, &v);
}

static void pack_places(lua_State *L, struct pack *p, int table, lua_Integer from, lua_Integer to) {
  pack_count(p, (size_t)(to >= from ? to - from + 1 : 0));
  for (lua_Integer i = from; i <= to; i++) {
    lua_rawgeti(L, table, i);
    pack_value(L, p, lua_gettop(L), NULL, i - from + 1);
    lua_pop(L, 1);
  }
}

static void pack_names(lua_State *L, struct pack *p, int table) {
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) err_argument(L, "parameters are an array, or a table by name");
    n++;
  }
  pack_count(p, n);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    struct store_value name = {.type = STORE_NAME};
    name.bytes = lua_tolstring(L, -2, &name.len);
    if (name.len > 200) err_argument(L, "the name of a parameter is too long");
    put(p, &name);
    pack_value(L, p, lua_gettop(L), name.bytes, 0);
  }
}

/* How many: its field n, as of table.pack, where it has one. */
static lua_Integer length_of(lua_State *L, int table) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, table);
  lua_pushliteral(L, "n");
  lua_rawget(L, table);
  if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= n) n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (n > 40000)
    n = lua_rawlen(L, table) > 0 ? err_argument(L, "%lld parameters are more than a statement can have", (long long)n)
                                 : 0;
  return n;
}

/* { n = 2 } alone is two times nil, as of table.pack, unless the statement has a parameter named n. */
static bool by_place(lua_State *L, const char *sql, int table) {
  lua_Integer n = length_of(L, table);
  if (n == 0) return false;
  for (lua_Integer i = 1; i <= n; i++) {
    bool there = lua_rawgeti(L, table, i) != LUA_TNIL;
    lua_pop(L, 1);
    if (there) return true;
  }
  return !strstr(sql, ":n") && !strstr(sql, "@n") && !strstr(sql, "$n");
}

static void check_statement(lua_State *L, const char *text, size_t len) {
  if (len > STORE_LEN_MAX) err_argument(L, "a statement of more than 2 GiB");
  if (strlen(text) != len) err_argument(L, "a statement must not contain a zero byte: give it as a parameter");
}

void store_pack(lua_State *L, struct pack *p, int sql, int params) {
  size_t len;
  const char *text = luaL_checklstring(L, sql, &len);
  check_statement(L, text, len);
  store_pack_text(p, text, len);
  if (lua_isnoneornil(L, params)) {
    pack_count(p, 0);
    return;
  }
  luaL_checktype(L, params, LUA_TTABLE);
  if (by_place(L, text, params))
    pack_places(L, p, params, 1, length_of(L, params));
  else
    pack_names(L, p, params);
}

static void pack_statement(lua_State *L, struct pack *p, int index) {
  size_t len = 0;
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
  if (!text) err_argument(L, "a batch is an array of { statement, parameter, ... }");
  check_statement(L, text, len);
  store_pack_text(p, text, len);
}

void store_pack_batch_item(lua_State *L, struct pack *p, int statement) {
  if (!lua_istable(L, statement)) err_argument(L, "a batch is an array of { statement, parameter, ... }");
  lua_rawgeti(L, statement, 1);
  pack_statement(L, p, lua_gettop(L));
  lua_pop(L, 1); /* the table keeps it */
  pack_places(L, p, statement, 2, length_of(L, statement));
}

void store_pack_places(lua_State *L, struct pack *p, int sql, int last) {
  pack_statement(L, p, sql);
  pack_count(p, (size_t)(last - sql));
  for (int i = sql + 1; i <= last; i++) pack_value(L, p, i, NULL, i - sql);
}

/* blob(bytes) -> a parameter that is bound as BLOB, also when its bytes are valid UTF-8 */
int store_l_blob(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "blob");
  luaL_setmetatable(L, STORE_BLOB_TYPE);
  return 1;
}

static const char *push_value(lua_State *L, const char *at) {
  struct store_value v;
  at = store_value_read(at, &v);
  switch (v.type) {
    case STORE_INTEGER: lua_pushinteger(L, v.integer); break;
    case STORE_FLOAT: lua_pushnumber(L, v.number); break;
    case STORE_TEXT:
    case STORE_BLOB: lua_pushlstring(L, v.bytes, v.len); break;
    default: lua_pushlightuserdata(L, NULL); break;
  }
  return at;
}

void store_push_columns(lua_State *L, const struct store_rows *r) {
  const char *at = r->names;
  luaL_checkstack(L, 4, "columns");
  lua_createtable(L, (int)r->columns, 0);
  for (size_t i = 1; at && i <= r->columns; i++) {
    at = push_value(L, at);
    lua_rawseti(L, -2, (lua_Integer)i);
  }
}

void store_push_rows(lua_State *L, const struct store_rows *r) {
  const char *at = r->bytes;
  luaL_checkstack(L, 4, "rows");
  lua_createtable(L, (int)r->rows, 0);
  for (size_t i = 1; i <= r->rows; i++) {
    lua_createtable(L, (int)r->columns, 0);
    for (size_t k = 1; k <= r->columns; k++) {
      at = push_value(L, at);
      lua_rawseti(L, -2, (lua_Integer)k);
    }
    lua_rawseti(L, -2, (lua_Integer)i);
  }
}

enum { NAMED_ROOM = 3 }; /* fields that a row has room for beside its columns */

/* The names onto the stack, without their question marks; the first 64 that have one as bits. */
static uint64_t push_names(lua_State *L, const char *names, size_t columns) {
  uint64_t flags = 0;
  luaL_checkstack(L, (int)columns + 8, "names of columns");
  for (size_t i = 0; i < columns; i++) {
    struct store_value v;
    names = store_value_read(names, &v);
    bool flag = v.len > 0 && v.bytes[v.len - 1] == '?';
    if (flag && i < 64) flags |= (uint64_t)1 << i;
    lua_pushlstring(L, v.bytes, v.len - flag);
  }
  return flags;
}

static const char *push_named(lua_State *L, const char *at, size_t columns, int first, uint64_t flags) {
  struct store_value v;
  const char *end = at;
  int fields = NAMED_ROOM;
  for (size_t k = 0; k < columns; k++) {
    end = store_value_read(end, &v);
    fields += v.type != STORE_NULL;
  }
  lua_createtable(L, 0, fields);
  for (size_t k = 0; k < columns; k++) {
    const char *next = store_value_read(at, &v);
    if (v.type != STORE_NULL) {
      lua_pushvalue(L, first + (int)k);
      if (k < 64 && flags >> k & 1)
        lua_pushboolean(L, v.type != STORE_INTEGER || v.integer != 0);
      else
        (void)push_value(L, at);
      lua_rawset(L, -3);
    }
    at = next;
  }
  return end;
}

void store_push_named(lua_State *L, const struct store_rows *r, const char *names) {
  const char *at = r->bytes;
  int first = lua_gettop(L) + 1;
  uint64_t flags = push_names(L, names, r->columns);
  lua_createtable(L, (int)r->rows, 0);
  for (size_t i = 1; i <= r->rows; i++) {
    at = push_named(L, at, r->columns, first, flags);
    lua_rawseti(L, -2, (lua_Integer)i);
  }
  lua_replace(L, first);
  lua_settop(L, first);
}

void store_set_rows(lua_State *L, const struct store_rows *r, bool named) {
  store_push_columns(L, r);
  lua_setfield(L, -2, "columns");
  if (named)
    store_push_named(L, r, r->names);
  else
    store_push_rows(L, r);
  lua_setfield(L, -2, "rows");
}
