/* startup.c - the yardstick of start-up: a program linked to the very libraries that stoke is linked to, which makes a Lua
 * state with the standard libraries, runs one line and ends. What it takes is the price of the libraries alone. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int main(void) {
  lua_State *L = luaL_newstate();
  if (L == NULL) return 1;
  luaL_openlibs(L);
  return luaL_dostring(L, "print 'first line'");
}
