/* store_tx.c - host.store: transactions, and results that are read piece by piece. Both end when their userdata does, without anybody
 * waiting: the job for that is part of them. */
#include <stdlib.h>
#include <string.h>

#include "bind_store.h"
#include "loop/host.h"

/* --- transactions ----------------------------------------------------------------------------------------------------------------------- */

struct transaction {
  struct store_job job; /* to roll back, unasked */
  struct host *host;
  struct store_db *db; /* held */
  struct store_tx *tx;
};

static void transaction_free(struct transaction *t) {
  struct store_db *db = t->db;
  mem_free(&t->host->mem, t);
  store_release(db);
}

static void rolled_back(struct store_job *job) {
  transaction_free(CONTAINER_OF(job, struct transaction, job));
}

static void abandon(struct transaction *t) {
  struct err e;
  if (t->tx) {
    t->job = (struct store_job){.what = STORE_ROLLBACK, .done = rolled_back, .tx = t->tx};
    t->tx = NULL;
    if (store_submit(t->db, &t->job, &e)) return;
  }
  transaction_free(t);
}

/* Also when nobody waits any more: then it is rolled back. */
static void begun(struct store_job *job) {
  struct call *c = CONTAINER_OF(job, struct call, job);
  struct transaction *t = c->subject;
  t->tx = job->tx;
  job->tx = NULL;
  if (c->op.verdict != OP_PENDING) {
    c->subject = NULL;
    abandon(t);
  }
  store_call_done(job);
}

static void begin_free(struct op *op) {
  struct transaction *t = call_of(op)->subject;
  if (t) abandon(t); /* its waiter never came */
  store_call_free(op);
}

static int push_tx(lua_State *L, struct op *op) {
  struct call *c = call_of(op);
  if (c->job.err.kind) return store_push_error(L, &c->job.err);
  struct transaction **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, STORE_TX_TYPE);
  *box = c->subject;
  c->subject = NULL;
  return 1;
}

static const struct op_class begin_class = {"db.begin", push_tx, store_call_cancel, begin_free};
static const struct op_class end_class = {"db.commit", store_push_true, store_call_cancel, store_call_free};

/* db:begin(durable?) -> tx. Other writers wait until it ends. */
int store_l_begin(lua_State *L) {
  op_enter(L, "db.begin");
  struct store_db *db = store_check_db(L, 1);
  bool durable = lua_isnoneornil(L, 2) ? store_durable(db) : lua_toboolean(L, 2);
  struct call *c = store_call(L, &begin_class, db, STORE_BEGIN, 0);
  if (!c) return store_no_memory(L);
  struct transaction *t = mem_calloc(&c->host->mem, sizeof *t);
  if (!t) {
    op_unref(&c->op);
    op_unref(&c->op);
    return store_no_memory(L);
  }
  t->host = c->host;
  t->db = db;
  store_hold(db);
  c->subject = t;
  c->job.done = begun;
  c->job.durable = durable;
  return store_await(L, c);
}

static struct transaction *check_tx(lua_State *L) {
  struct transaction *t = *(struct transaction **)luaL_checkudata(L, 1, STORE_TX_TYPE);
  if (!t || !t->tx) err_argument(L, "this transaction is over");
  return t;
}

static int push_run(lua_State *L, struct op *op) {
  struct store_job *job = &call_of(op)->job;
  if (job->err.kind) return store_push_error(L, &job->err);
  lua_createtable(L, 0, 5);
  store_set_rows(L, &job->rows, false);
  lua_pushboolean(L, job->rows.more);
  lua_setfield(L, -2, "more");
  lua_pushinteger(L, job->changes);
  lua_setfield(L, -2, "changes");
  lua_pushinteger(L, job->last_id);
  lua_setfield(L, -2, "last_id");
  return 1;
}

static const struct op_class run_class = {"db.run", push_run, store_call_cancel, store_call_free};

/* tx:run(sql, params?, max?) -> { columns, rows, more, changes, last_id } */
static int tx_run(lua_State *L) {
  op_enter(L, "db.run");
  struct transaction *t = check_tx(L);
  lua_Integer max = luaL_optinteger(L, 4, 0);
  if (max < 0) return err_argument(L, "the number of rows must not be negative");
  struct pack p = {0};
  store_pack(L, &p, 2, 3);
  struct call *c = store_call(L, &run_class, t->db, STORE_RUN, p.size);
  if (!c) return store_no_memory(L);
  p.at = c->request;
  store_pack(L, &p, 2, 3);
  c->job.max = (size_t)max;
  c->job.tx = t->tx;
  return store_await(L, c);
}

static const struct op_class batch_class = {"db.run", store_push_true, store_call_cancel, store_call_free};

/* tx:batch({ { sql, value, ... }, ... } or a batch) -> true. All of it or none, in one hand-over to the writer; the batch is empty
 * again. */
static int tx_batch(lua_State *L) {
  op_enter(L, "db.run");
  struct transaction *t = check_tx(L);
  lua_settop(L, 2);
  struct pack p;
  size_t n = store_pack_batch(L, 2, &p);
  struct call *c = store_call(L, &batch_class, t->db, STORE_RUN, p.size);
  if (!c) return store_no_memory(L);
  memcpy(c->request, p.bytes, p.size);
  store_batch_taken(L, 2);
  c->job.statements = (unsigned)n;
  c->job.tx = t->tx;
  return store_await(L, c);
}

static int end(lua_State *L, enum store_what what) {
  op_enter(L, what == STORE_COMMIT ? "db.commit" : "db.rollback");
  struct transaction *t = check_tx(L);
  struct call *c = store_call(L, &end_class, t->db, what, 0);
  if (!c) return store_no_memory(L);
  c->job.tx = t->tx;
  t->tx = NULL;
  return store_await(L, c);
}

/* tx:commit() -> true */
static int tx_commit(lua_State *L) {
  return end(L, STORE_COMMIT);
}

/* tx:rollback() -> true */
static int tx_rollback(lua_State *L) {
  return end(L, STORE_ROLLBACK);
}

static int tx_gc(lua_State *L) {
  struct transaction **box = luaL_checkudata(L, 1, STORE_TX_TYPE), *t = *box;
  *box = NULL;
  if (t) abandon(t);
  return 0;
}

void store_tx_open(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"run", tx_run}, {"batch", tx_batch}, {"commit", tx_commit}, {"rollback", tx_rollback}, {NULL, NULL}};
  store_type(L, STORE_TX_TYPE, methods, tx_gc);
}

/* --- piece by piece ---------------------------------------------------------------------------------------------------------------------- */

struct pieces {
  struct store_job job; /* to end it */
  struct host *host;
  struct store_db *db; /* held */
  struct store_cursor *cursor;
  char *names;     /* of its columns, packed; malloc'ed */
  unsigned refs;   /* its userdata, and the job under way */
  bool busy, over; /* a job of it is under way; no more jobs but the last */
};

static void pieces_release(struct pieces *p) {
  if (--p->refs > 0) return;
  struct store_db *db = p->db;
  free(p->names);
  mem_free(&p->host->mem, p);
  store_release(db);
}

static void ended(struct store_job *job) {
  pieces_release(CONTAINER_OF(job, struct pieces, job));
}

/* One job at a time: two readers would share its connection. */
static void pieces_end(struct pieces *p) {
  struct err e;
  p->over = true;
  if (p->busy || !p->cursor) return;
  p->job = (struct store_job){.what = STORE_END, .done = ended, .cursor = p->cursor};
  p->cursor = NULL;
  p->refs++;
  if (!store_submit(p->db, &p->job, &e)) pieces_release(p); /* closed: it ends with the database */
}

static void came(struct store_job *job) {
  struct call *c = CONTAINER_OF(job, struct call, job);
  struct pieces *p = c->subject;
  p->busy = false;
  if (job->what == STORE_EACH) p->cursor = job->cursor;
  if (p->over || c->op.verdict != OP_PENDING) pieces_end(p); /* what was read for a wait that is over is lost */
  store_call_done(job);
}

static void each_free(struct op *op) {
  struct pieces *p = call_of(op)->subject;
  if (p) {
    pieces_end(p); /* nobody took it */
    pieces_release(p);
  }
  store_call_free(op);
}

static int push_cursor(lua_State *L, struct op *op) {
  struct call *c = call_of(op);
  if (c->job.err.kind) return store_push_error(L, &c->job.err);
  struct pieces **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, STORE_CURSOR_TYPE);
  struct pieces *p = *box = c->subject;
  c->subject = NULL;
  store_push_columns(L, &c->job.rows);
  p->names = c->job.rows.names; /* they go over */
  c->job.rows.names = NULL;
  return 2;
}

static int push_piece(lua_State *L, struct op *op) {
  struct store_job *job = &call_of(op)->job;
  const struct pieces *p = call_of(op)->subject;
  if (job->err.kind) return store_push_error(L, &job->err);
  if (job->rows.rows == 0) return 0;
  if (call_of(op)->named && p->names)
    store_push_named(L, &job->rows, p->names);
  else
    store_push_rows(L, &job->rows);
  return 1;
}

static const struct op_class each_class = {"db.each", push_cursor, store_call_cancel, each_free};
static void next_free(struct op *op) {
  pieces_release(call_of(op)->subject);
  store_call_free(op);
}

static const struct op_class next_class = {"db.each", push_piece, store_call_cancel, next_free};

/* db:each(sql, params?) -> cursor, names of columns. It sees the file as it was when the first rows were read. */
int store_l_each(lua_State *L) {
  op_enter(L, "db.each");
  struct store_db *db = store_check_db(L, 1);
  struct pack pack = {0};
  store_pack(L, &pack, 2, 3);
  struct call *c = store_call(L, &each_class, db, STORE_EACH, pack.size);
  if (!c) return store_no_memory(L);
  struct pieces *p = mem_calloc(&c->host->mem, sizeof *p);
  if (!p) {
    op_unref(&c->op);
    op_unref(&c->op);
    return store_no_memory(L);
  }
  p->host = c->host;
  p->db = db;
  store_hold(db);
  p->refs = 1;
  c->subject = p;
  c->job.done = came;
  pack.at = c->request;
  store_pack(L, &pack, 2, 3);
  return store_await(L, c);
}

static int piece_over(lua_State *L) {
  lua_pushnil(L);
  return 1;
}

/* cursor:next(n, named?) -> up to n rows, as of db:query; nil at the end */
static int cursor_next(lua_State *L) {
  op_enter(L, "db.each");
  struct pieces *p = *(struct pieces **)luaL_checkudata(L, 1, STORE_CURSOR_TYPE);
  lua_Integer n = luaL_checkinteger(L, 2);
  if (n < 1 || n > 1000000) return err_argument(L, "a cursor gives 1 to 1000000 rows at a time");
  if (!p || p->over) return piece_over(L);
  if (p->busy) return err_argument(L, "another task reads from this cursor just now");
  struct call *c = store_call(L, &next_class, p->db, STORE_NEXT, 0);
  if (!c) return store_no_memory(L);
  c->subject = p;
  c->named = lua_toboolean(L, 3);
  p->refs++;
  c->job.done = came;
  c->job.cursor = p->cursor;
  c->job.max = (size_t)n;
  p->busy = !store_closing(p->db);
  return store_await(L, c);
}

/* cursor:close() */
static int cursor_close(lua_State *L) {
  struct pieces **box = luaL_checkudata(L, 1, STORE_CURSOR_TYPE), *p = *box;
  *box = NULL;
  if (!p) return 0;
  pieces_end(p);
  pieces_release(p);
  return 0;
}

void store_each_open(lua_State *L) {
  static const luaL_Reg methods[] = {{"next", cursor_next}, {"close", cursor_close}, {NULL, NULL}};
  store_type(L, STORE_CURSOR_TYPE, methods, cursor_close);
}
