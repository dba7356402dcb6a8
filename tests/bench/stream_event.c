/* stream_event.c - the floor of a streamed token that is an event of its own: a C function gives { type = "text", text = } and a
 * generic `for` reads it, with nothing of a stream around them. Lua's collector is as patient as stoke's for a small heap.
 *
 *   stream_event N     prints event_ns=: CPU of each */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TYPE = 1, TEXT, LEFT };

static int next_event(lua_State *L) {
  lua_Integer left = lua_tointeger(L, lua_upvalueindex(LEFT));
  if (left == 0) return 0;
  lua_pushinteger(L, left - 1);
  lua_replace(L, lua_upvalueindex(LEFT));
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, lua_upvalueindex(TYPE));
  lua_pushvalue(L, lua_upvalueindex(TEXT));
  lua_rawset(L, -3);
  lua_pushvalue(L, lua_upvalueindex(TEXT));
  lua_pushlstring(L, " word", 5);
  lua_rawset(L, -3);
  return 1;
}

static const char reader[] = "local next_event, bytes = ..., 0\n"
                             "for ev in next_event do\n"
                             "  if ev.type == 'text' then bytes = bytes + #ev.text end\n"
                             "end\n"
                             "return bytes";

int main(int argc, char **argv) {
  long n = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
  lua_State *L = luaL_newstate();
  if (L == NULL || n < 1) return 2;
  luaL_openlibs(L);
  lua_gc(L, LUA_GCINC, 400, 0, 0);
  if (luaL_loadstring(L, reader) != LUA_OK) return 1;
  lua_pushliteral(L, "type");
  lua_pushliteral(L, "text");
  lua_pushinteger(L, n);
  lua_pushcclosure(L, next_event, 3);
  clock_t began = clock();
  if (lua_pcall(L, 1, 1, 0) != LUA_OK || lua_tointeger(L, -1) != 5 * (lua_Integer)n) return 1;
  printf("event_ns=%.1f\n", (double)(clock() - began) / CLOCKS_PER_SEC * 1e9 / (double)n);
  lua_close(L);
  return 0;
}
