/* binding.h - what a file that talks to Lua needs of the loop: whose host a state is, and errors as Lua has them. */
#ifndef STOKE_BINDING_H
#define STOKE_BINDING_H

#include <lua.h>

#include "host.h"

/* Of the metatable of error objects, in the registry. */
#define ERR_METATABLE "stoke.error"

/* The host of any lua_State of it: the allocator's userdata is host->mem. */
static inline struct host *host_of(lua_State *L) {
  void *ud;
  (void)lua_getallocf(L, &ud);
  return CONTAINER_OF(ud, struct host, mem);
}

/* Push nil and an error object; both return 2, for `return err_push(...)`. */
int err_push(lua_State *L, const struct err *e);
int err_pushf(lua_State *L, const char *kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Raise kind `argument`: a bug of the caller. Never after an allocation. */
int err_argument(lua_State *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
