/* hostlibs.h - every native module, once. To add one: host/bind/NAME.c with luaopen_host_NAME, its name here, and a file of
 * lua/ that requires "host.NAME" (README, "How to add a primitive"). */
#ifndef STOKE_HOSTLIBS_H
#define STOKE_HOSTLIBS_H

#include <lua.h>

#define HOSTLIBS(X)                                                                                                    \
  X(err)                                                                                                               \
  X(task) X(schedule)                                                                                                  \
  X(time) X(json) X(hash) X(http) X(transcript) X(server) X(fs) X(watch) X(jail) X(proc) X(stdio) X(env) X(rand)       \
      X(about) X(embedder) X(plain) X(store) X(vectors) X(nats) X(pg)

#define DECLARE_LIB(name) int luaopen_host_##name(lua_State *L);
HOSTLIBS(DECLARE_LIB)
#undef DECLARE_LIB

#endif
