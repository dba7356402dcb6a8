/* transcript.c - fuzz target: any bytes at all as the transcript of a stream, read as lua/stream.lua does. What is read lies inside
 * the bytes, piece after piece; noted again, it is the same pieces. */
#include <lauxlib.h>

#include "bind/hostlibs.h"
#include "loop/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* On the stack. */
enum { READ = 1, NOTES, PUT, BYTES, TOP = BYTES };

/* The piece at a position: kind, wait and bytes above TOP; 0 = there is none, -1 = this is no transcript. */
static lua_Integer piece_at(lua_State *L, int from, lua_Integer position) {
  size_t len, size = lua_rawlen(L, from);
  int top = lua_gettop(L);
  lua_pushvalue(L, READ);
  lua_pushvalue(L, from);
  lua_pushinteger(L, position);
  lua_call(L, 2, LUA_MULTRET);
  if (lua_gettop(L) == top) return 0;
  lua_Integer after = lua_isboolean(L, top + 1) ? -1 : lua_tointeger(L, top + 1);
  lua_remove(L, top + 1);
  if (after < 0) return -1;
  CHECK(lua_gettop(L) == top + 3 && lua_tointeger(L, top + 2) >= 0 && lua_rawlen(L, top + 1) == 1);
  (void)lua_tolstring(L, top + 3, &len);
  CHECK(after > position && (size_t)after <= size && (size_t)(after - position) >= len + 3);
  return after;
}

/* put(notes, kind, bytes, at) */
static void note(lua_State *L, double at) {
  lua_pushvalue(L, PUT);
  lua_pushvalue(L, NOTES);
  lua_pushvalue(L, TOP + 1);
  lua_pushvalue(L, TOP + 3);
  lua_pushnumber(L, at);
  lua_call(L, 4, 1);
  CHECK(lua_toboolean(L, -1));
}

static void read_and_note(lua_State *L) {
  lua_Integer position = 0, after;
  double at = 0;
  while ((after = piece_at(L, BYTES, position)) > 0) {
    at += (double)lua_tointeger(L, TOP + 2) / 1e6;
    note(L, at);
    lua_settop(L, TOP);
    position = after;
  }
  CHECK(after < 0 || (size_t)position == lua_rawlen(L, BYTES));
  lua_settop(L, TOP);
}

/* The transcript that was made, and the bytes it was made of. */
static void compare(lua_State *L) {
  lua_Integer a = 0, b = 0, next;
  lua_getfield(L, NOTES, "text");
  lua_pushvalue(L, NOTES);
  lua_call(L, 1, 1);
  while ((next = piece_at(L, TOP + 1, b)) > 0) {
    b = next;
    a = piece_at(L, BYTES, a);
    CHECK(a > 0 && lua_rawequal(L, TOP + 2, TOP + 5) && lua_rawequal(L, TOP + 4, TOP + 7));
    lua_settop(L, TOP + 1);
  }
  CHECK(next == 0 && piece_at(L, BYTES, a) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct host h = {.clock = CLOCK_VIRTUAL};
  mem_init(&h.mem);
  lua_State *L = lua_newstate(mem_lua_alloc, &h.mem);
  CHECK(L);
  luaL_requiref(L, "host.transcript", luaopen_host_transcript, 0);
  lua_getfield(L, 1, "new");
  lua_pushnumber(L, 0);
  lua_call(L, 1, 1);
  lua_getfield(L, NOTES, "put");
  lua_pushlstring(L, (const char *)data, size);
  lua_getfield(L, 1, "read");
  lua_replace(L, READ);
  read_and_note(L);
  compare(L);
  lua_close(L);
  CHECK(h.mem.used == 0);
  mem_release(&h.mem);
  return 0;
}
