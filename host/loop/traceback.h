/* traceback.h - tracebacks whose cost does not grow with the stack. luaL_traceback counts the levels and looks up the lowest ones,
 * and each look-up walks the stack from its top: for a stack that overflowed, tens of milliseconds. */
#ifndef STOKE_TRACEBACK_H
#define STOKE_TRACEBACK_H

#include <lua.h>

/* As luaL_traceback. Of a deep stack only the innermost levels are shown. */
void traceback_push(lua_State *L, lua_State *L1, const char *message, int level);

/* lua_CFunction: as debug.traceback. */
int traceback_lua(lua_State *L);

#endif
