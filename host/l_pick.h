/* l_pick.h - two functions of host.http. */
#ifndef STOKE_L_PICK_H
#define STOKE_L_PICK_H

#include <lua.h>

int l_pick_compile(lua_State *L);  /* http.pick */
int l_pick_iterator(lua_State *L); /* rq:iterator; first upvalue: the metatable of requests */

#endif
