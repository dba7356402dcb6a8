/* call.c - one protected call for the whole program. */
#include "call.h"

#include <lauxlib.h>

#include "traceback.h"

static int handler(lua_State *L) {
  const char *message = luaL_tolstring(L, 1, NULL);
  traceback_push(L, L, message, 1);
  return 1;
}

bool call_protected(lua_State *L, int nargs, int nresults, struct err *e) {
  int base = lua_gettop(L) - nargs;
  lua_pushcfunction(L, handler);
  lua_insert(L, base);
  int status = lua_pcall(L, nargs, nresults, base);
  if (status != LUA_OK) {
    const char *message = status == LUA_ERRMEM ? "out of memory" : lua_tostring(L, -1);
    err_set(e, status == LUA_ERRMEM ? "os" : "script", 0, "%s", message ? message : "?");
    lua_settop(L, base - 1);
    return false;
  }
  lua_remove(L, base);
  return true;
}
