/* call.h - the only lua_pcall of the program: start-up code, before there is a task to run in. */
#ifndef STOKE_CALL_H
#define STOKE_CALL_H

#include <lua.h>

#include "err.h"

/* Calls the function below nargs arguments on top of L's stack; false and e filled if it raised. Results are on the
 * stack only on success. */
bool call_protected(lua_State *L, int nargs, int nresults, struct err *e);

#endif
