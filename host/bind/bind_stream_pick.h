/* bind_stream_pick.h - three functions of host.http; the first upvalue of the last two: the metatable of requests. */
#ifndef STOKE_BIND_STREAM_PICK_H
#define STOKE_BIND_STREAM_PICK_H

#include <lua.h>

int l_pick_compile(lua_State *L);  /* http.pick */
int l_pick_plain(lua_State *L);    /* http.plain */
int l_pick_iterator(lua_State *L); /* http.iterator */

#endif
