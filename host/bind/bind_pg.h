/* bind_pg.h - what the files of host.pg share. */
#ifndef STOKE_BIND_PG_H
#define STOKE_BIND_PG_H

#include <lua.h>

#include "pg/pg.h"

/* Packs the statements at `index`, an array of { text, parameter, ... }, as pg.h says, into a userdata that it pushes.
 * Raises `argument`. Returns the bytes of it. */
size_t pg_pack(lua_State *L, int index, unsigned *statements);

/* An array of results, each an array of rows, each an array of values; a NULL is a hole. `changes`: of a statement
 * without rows. */
void pg_push_results(lua_State *L, const struct pg_job *job);

#endif
