/* json_piece.c - pieces: values encoded once, which later texts take as they are. A piece is made from a value alone, never from
 * a text somebody gives: there is no way to put into a request what is not JSON. And lists that grow, of which each item is written
 * once. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "json_encoder.h"
#include "loop/binding.h"

/* What it was made from, decoded: lists stay lists, and objects keep the order in which they were written. */
static int l_value(lua_State *L) {
  struct err e;
  struct json_piece *p = json_piece_at(L, 1, json_push_state(L, false));
  if (!p) err_argument(L, "piece:value: expected a piece of JSON, got %s", luaL_typename(L, 1));
  struct json_options o = {.ordered = p->ordered};
  if (json_push(L, p->text, p->len, &o, &e)) return 1;
  return err_push(L, &e);
}

static int l_len(lua_State *L) {
  struct json_piece *p = json_piece_at(L, 1, json_push_state(L, false));
  if (!p) err_argument(L, "expected a piece of JSON, got %s", luaL_typename(L, 1));
  lua_pushinteger(L, (lua_Integer)p->len);
  return 1;
}

static int l_tostring(lua_State *L) {
  struct json_piece *p = json_piece_at(L, 1, json_push_state(L, false));
  if (!p) err_argument(L, "expected a piece of JSON, got %s", luaL_typename(L, 1));
  lua_pushlstring(L, p->text, p->len);
  return 1;
}

void json_push_piece_metatable(lua_State *L) {
  static const luaL_Reg events[] = {{"__len", l_len}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"value", l_value}, {NULL, NULL}};
  luaL_newlib(L, events);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "json.piece");
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "piece");
  lua_setfield(L, -2, "__metatable");
}

struct json_piece *json_push_piece(lua_State *L, const char *text, size_t len) {
  struct json_piece *p = lua_newuserdatauv(L, sizeof *p + len, 1);
  *p = (struct json_piece){.len = len};
  memcpy(p->text, text, len);
  return p;
}

struct json_piece *json_piece_at(lua_State *L, int idx, const struct json_state *s) {
  if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) return NULL;
  bool is = lua_topointer(L, -1) == s->piece_mt;
  lua_pop(L, 1);
  return is ? lua_touserdata(L, idx) : NULL;
}

/* piece(value) -> piece | nil, err; a piece is its own. The value may change afterwards: the piece does not. */
static int l_piece(lua_State *L) {
  struct err e;
  if (lua_isnoneornil(L, 1)) err_argument(L, "json.piece: expected a value, got nil (json.null is null)");
  lua_settop(L, 1);
  if (json_piece_at(L, 1, json_push_state(L, false))) {
    lua_settop(L, 1);
    return 1;
  }
  if (json_encode_piece(L, 1, &e)) return 1;
  return err_push(L, &e);
}

static int l_is_piece(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, json_piece_at(L, 1, json_push_state(L, false)) != NULL);
  return 1;
}

/* ---- lists that grow ---- */

const struct json_kept *json_kept_at(lua_State *L, int idx, int slot) {
  lua_rawgeti(L, idx, slot);
  const struct json_kept *kept = lua_touserdata(L, -1);
  return lua_rawlen(L, -1) >= sizeof *kept && kept && kept->self == kept ? kept : NULL;
}

/* A quarter more than is needed: a list of n items is copied about log(n) times while it grows. */
void json_keep(lua_State *L, int idx, int slot, const struct json_kept *now, const char *text, size_t from) {
  struct json_kept *kept = (struct json_kept *)json_kept_at(L, idx, slot);
  bool room = from > 0 && kept && kept->len == from && kept->size >= now->len;
  size_t size = room ? kept->size : now->len + now->len / 4;
  if (!room) {
    from = 0;
    kept = lua_newuserdatauv(L, sizeof *kept + size, 0);
    lua_rawseti(L, idx, slot);
  }
  kept->self = kept;
  kept->len = now->len;
  kept->size = size;
  kept->count = now->count;
  kept->depth = now->depth;
  kept->informal = now->informal;
  kept->ordered = now->ordered;
  memcpy(kept->text + from, text + from, now->len - from); /* the text begins inside the struct's size: no assignment of it */
  lua_pop(L, 1);
}

/* growing(list) -> list: items are added to its end, and those there are do not change any more, so what was written of them is
 * written once. A list that has become shorter is written anew. */
static int l_growing(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  enum json_mark mark = json_mark_of(L, 1, json_push_state(L, false));
  if (mark == JSON_UNMARKED && lua_getmetatable(L, 1)) err_argument(L, "json.growing: the table has a metatable of its own");
  if (mark != JSON_MARK_GROWING) {
    lua_createtable(L, 3, 0);
    lua_pushlightuserdata(L, (void *)&json_growing_mark);
    lua_rawseti(L, -2, 1);
    lua_setmetatable(L, 1);
  }
  lua_settop(L, 1);
  return 1;
}

void json_piece_functions(lua_State *L) {
  static const luaL_Reg functions[] = {{"piece", l_piece}, {"is_piece", l_is_piece}, {"growing", l_growing}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
