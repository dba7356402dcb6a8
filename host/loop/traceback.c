/* traceback.c - the innermost levels of a deep stack, in the words of luaL_traceback. */
#include "traceback.h"

#include <lauxlib.h>

#define DEEP  2000 /* levels from which on a stack is not walked to its end */
#define SHOWN 20   /* of a deep one */

static void add_level(luaL_Buffer *b, lua_State *L, lua_State *L1, lua_Debug *ar) {
  lua_getinfo(L1, "Slnt", ar);
  if (ar->currentline > 0)
    lua_pushfstring(L, "\n\t%s:%d: in ", ar->short_src, ar->currentline);
  else
    lua_pushfstring(L, "\n\t%s: in ", ar->short_src);
  luaL_addvalue(b);
  if (*ar->namewhat)
    lua_pushfstring(L, "%s '%s'", ar->namewhat, ar->name);
  else if (*ar->what == 'm')
    lua_pushliteral(L, "main chunk");
  else if (*ar->what != 'C')
    lua_pushfstring(L, "function <%s:%d>", ar->short_src, ar->linedefined);
  else
    lua_pushliteral(L, "?");
  luaL_addvalue(b);
  if (ar->istailcall) luaL_addstring(b, "\n\t(...tail calls...)");
}

void traceback_push(lua_State *L, lua_State *L1, const char *message, int level) {
  lua_Debug ar;
  luaL_Buffer b;
  if (!lua_getstack(L1, level + DEEP, &ar)) {
    luaL_traceback(L, L1, message, level);
    return;
  }
  luaL_buffinit(L, &b);
  if (message) {
    luaL_addstring(&b, message);
    luaL_addchar(&b, '\n');
  }
  luaL_addstring(&b, "stack traceback:");
  for (int i = 0; i < SHOWN && lua_getstack(L1, level + i, &ar); i++) add_level(&b, L, L1, &ar);
  lua_pushfstring(L, "\n\t...\t(more than %d levels)", DEEP);
  luaL_addvalue(&b);
  luaL_pushresult(&b);
}

int traceback_lua(lua_State *L) {
  lua_State *L1 = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  int arg = lua_isthread(L, 1) ? 1 : 0;
  const char *message = lua_tostring(L, arg + 1);
  if (!message && !lua_isnoneornil(L, arg + 1)) {
    lua_pushvalue(L, arg + 1); /* no text: returned as it is */
    return 1;
  }
  traceback_push(L, L1, message, (int)luaL_optinteger(L, arg + 2, L == L1 ? 1 : 0));
  return 1;
}
