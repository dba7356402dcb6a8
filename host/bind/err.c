/* err.c - host.err: the metatable that all error objects share; lua/errors.lua fills it with behaviour. */
#include <lauxlib.h>

#include "hostlibs.h"
#include "loop/binding.h"

int luaopen_host_err(lua_State *L) {
  lua_createtable(L, 0, 1);
  luaL_newmetatable(L, ERR_METATABLE);
  lua_setfield(L, -2, "metatable");
  return 1;
}
