/* bind_store.h - what the files of host.store share. */
#ifndef STOKE_BIND_STORE_H
#define STOKE_BIND_STORE_H

#include <lauxlib.h>
#include <lua.h>

#include "loop/binding.h"
#include "loop/op.h"
#include "store/store.h"

#define STORE_DB_TYPE     "host.store.db"
#define STORE_TX_TYPE     "host.store.tx"
#define STORE_CURSOR_TYPE "host.store.cursor"
#define STORE_TICKET_TYPE "host.store.ticket"
#define STORE_LOCK_TYPE   "host.store.lock"
#define STORE_BLOB_TYPE   "host.store.blob"
#define STORE_BATCH_TYPE  "host.store.batch"

/* One wait for one job. */
struct call {
  struct op op;
  struct store_job job;
  struct host *host;
  struct store_db *db; /* held */
  void *subject;       /* of the class */
  bool named;          /* rows are tables with names */
  char request[];
};

static inline struct call *call_of(struct op *op) {
  return CONTAINER_OF(op, struct call, op);
}

/* store.c */
struct store_db *store_check_db(lua_State *L, int index);
/* NULL: out of memory. The call holds the database. */
struct call *store_call(lua_State *L, const struct op_class *cls, struct store_db *db, enum store_what what,
                        size_t request_len);
int store_await(lua_State *L, struct call *c); /* submits it and waits */
void store_call_done(struct store_job *job);
void store_call_free(struct op *op);
void store_call_cancel(struct op *op);
int store_no_memory(lua_State *L);
int store_push_error(lua_State *L, const struct err *e); /* nil, error */
int store_push_true(lua_State *L, struct op *op);        /* true; or nil, error */

/* store_values.c. Statements, packed: first with `at` NULL, which checks the arguments (raises `argument`) and counts; then for
 * real. Or at once, into a userdata that grows: store_pack_open. */
struct pack {
  char *at;
  size_t size;
  lua_State *L; /* NULL = the first way */
  char *bytes;
  size_t room;
  int slot; /* where the userdata stands on the stack */
};
void store_pack_open(lua_State *L, struct pack *p, size_t room); /* pushes the userdata */
void store_pack(lua_State *L, struct pack *p, int sql, int params); /* params: an array, a table by name, or nothing */
void store_pack_batch_item(lua_State *L, struct pack *p, int statement); /* { sql, value, ... } */
void store_pack_places(lua_State *L, struct pack *p, int sql, int last);  /* of the stack: sql, and values up to `last` */
void store_pack_text(struct pack *p, const char *s, size_t len);
void store_push_rows(lua_State *L, const struct store_rows *r);    /* array of arrays */
/* Array of tables with the names of columns, packed as those of a result, without what is NULL; a name that ends with ? is that of a
 * boolean. */
void store_push_named(lua_State *L, const struct store_rows *r, const char *names);
void store_push_columns(lua_State *L, const struct store_rows *r); /* array of names */
void store_set_rows(lua_State *L, const struct store_rows *r, bool named); /* both, in the table on top of the stack */
int store_l_blob(lua_State *L);

/* store_batch.c */
/* Packs the batch at `index`: an array of statements, or one of store.batch(). Returns how many statements it has. */
size_t store_pack_batch(lua_State *L, int index, struct pack *p);
void store_batch_taken(lua_State *L, int index); /* it is empty again, if it is one of store.batch() */
int store_l_batch(lua_State *L);
void store_batch_open(lua_State *L); /* its metatable */

/* store_append.c, store_tx.c */
int store_l_append(lua_State *L);
int store_l_begin(lua_State *L);
int store_l_each(lua_State *L);
int store_l_lock(lua_State *L);
int store_l_held(lua_State *L);
int store_l_mend(lua_State *L);
int store_l_room(lua_State *L);
int store_l_failed(lua_State *L);
int store_l_stuck(lua_State *L);
void store_append_open(lua_State *L); /* their metatables */
void store_tx_open(lua_State *L);
void store_each_open(lua_State *L);

void store_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close);

#endif
