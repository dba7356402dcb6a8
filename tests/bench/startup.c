/* startup.c - the yardstick of start-up: a program linked to the very libraries that stoke is linked to (those that it opens when they
 * are needed are not among them), which makes a Lua state with the standard libraries, runs one line and ends. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int main(void) {
  lua_State *L = luaL_newstate();
  if (L == NULL) return 1;
  luaL_openlibs(L);
  return luaL_dostring(L, "print 'first line'");
}
