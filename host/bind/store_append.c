/* store_append.c - host.store: appends, which nobody waits for unless they ask their ticket; locks. */
#include <string.h>

#include "bind_store.h"
#include "loop/host.h"

struct waiter {
  struct op op;
  struct waiter *next, **prev; /* prev: NULL = not in the list */
  struct ticket *ticket;
  struct err err; /* what came of it: the ticket may be handed over again before this is seen */
};

/* Two may hold it: its userdata and the engine; and each that waits for it. */
struct ticket {
  struct store_job job;
  struct host *host;
  unsigned refs;
  bool done;
  struct waiter *waiters;
  char request[];
};

static void release(struct ticket *t) {
  if (--t->refs == 0) mem_free(&t->host->mem, t);
}

static void leave(struct waiter *w) {
  if (!w->prev) return;
  *w->prev = w->next;
  if (w->next) w->next->prev = w->prev;
  w->prev = NULL;
}

static void appended(struct store_job *job) {
  struct ticket *t = CONTAINER_OF(job, struct ticket, job);
  t->done = true;
  store_rows_free(&job->rows);
  while (t->waiters) {
    struct waiter *w = t->waiters;
    leave(w);
    w->err = job->err;
    op_done(&w->op);
    op_unref(&w->op);
  }
  release(t);
}

static int push_ticket_result(lua_State *L, const struct err *e) {
  if (e->kind) return store_push_error(L, e);
  lua_pushboolean(L, 1);
  return 1;
}

static int push_waited(lua_State *L, struct op *op) {
  return push_ticket_result(L, &CONTAINER_OF(op, struct waiter, op)->err);
}

static void waiter_cancel(struct op *op) {
  struct waiter *w = CONTAINER_OF(op, struct waiter, op);
  leave(w);
  op_unref(op);
}

static void waiter_free(struct op *op) {
  struct waiter *w = CONTAINER_OF(op, struct waiter, op);
  struct ticket *t = w->ticket;
  mem_free(&t->host->mem, w);
  release(t);
}

static const struct op_class wait_class = {"db.append", push_waited, waiter_cancel, waiter_free};

static struct ticket *check_ticket(lua_State *L) {
  return *(struct ticket **)luaL_checkudata(L, 1, STORE_TICKET_TYPE);
}

/* ticket:wait() -> true, when its batch is committed */
static int ticket_wait(lua_State *L) {
  struct ticket *t = check_ticket(L);
  if (t->done) return push_ticket_result(L, &t->job.err);
  op_enter(L, "db.append");
  struct waiter *w = mem_calloc(&t->host->mem, sizeof *w);
  if (!w) return store_no_memory(L);
  op_init(&w->op, &wait_class);
  w->ticket = t;
  t->refs++;
  w->next = t->waiters;
  w->prev = &t->waiters;
  if (w->next) w->next->prev = &w->next;
  t->waiters = w;
  return op_await(L, &w->op);
}

/* ticket:again(db) -> true: a batch that has failed is handed over once more, as it is. After db:mend(chain), and in the order of
 * the tickets. */
static int ticket_again(lua_State *L) {
  struct ticket *t = check_ticket(L);
  struct store_db *db = store_check_db(L, 2);
  struct err e;
  if (!t->done || !t->job.err.kind) return err_argument(L, "this batch has not failed");
  if (!store_submit(db, &t->job, &e)) return store_push_error(L, &e);
  t->done = false;
  t->refs++;
  lua_pushboolean(L, 1);
  return 1;
}

static int ticket_index(lua_State *L) {
  struct ticket *t = check_ticket(L);
  const char *key = lua_tostring(L, 2);
  if (key && strcmp(key, "wait") == 0)
    lua_pushcfunction(L, ticket_wait);
  else if (key && strcmp(key, "done") == 0)
    lua_pushboolean(L, t->done);
  else if (key && strcmp(key, "again") == 0)
    lua_pushcfunction(L, ticket_again);
  else
    lua_pushnil(L);
  return 1;
}

static int ticket_gc(lua_State *L) {
  struct ticket **box = luaL_checkudata(L, 1, STORE_TICKET_TYPE);
  if (*box) release(*box);
  *box = NULL;
  return 0;
}

/* db:append({ { sql, value, ... }, ... } or a batch, durable?, chain?) -> ticket. One transaction, all or none of it, in the order of
 * appends; the batch is empty again. After a failure all later appends of the same chain (an integer) fail, until db:mend(chain). Does
 * not wait. */
int store_l_append(lua_State *L) {
  struct store_db *db = store_check_db(L, 1);
  bool durable = lua_toboolean(L, 3);
  lua_Integer chain = luaL_optinteger(L, 4, 0);
  lua_settop(L, 3);
  struct pack p;
  size_t n = store_pack_batch(L, 2, &p);
  struct ticket **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, STORE_TICKET_TYPE);
  struct host *h = host_of(L);
  struct ticket *t = mem_alloc(&h->mem, sizeof *t + p.size);
  if (!t) return store_no_memory(L);
  memset(t, 0, sizeof *t);
  t->host = h;
  t->refs = 2;
  t->job = (struct store_job){.what = STORE_APPEND,
                              .done = appended,
                              .request = t->request,
                              .request_len = p.size,
                              .durable = durable,
                              .statements = (unsigned)n,
                              .chain = (uint64_t)chain};
  memcpy(t->request, p.bytes, p.size);
  store_batch_taken(L, 2);
  struct err e;
  if (!store_submit(db, &t->job, &e)) {
    mem_free(&h->mem, t);
    return store_push_error(L, &e);
  }
  *box = t;
  return 1;
}

static void mended(struct store_job *job) {
  struct ticket *t = CONTAINER_OF(job, struct ticket, job);
  mem_free(&t->host->mem, t);
}

/* db:mend(chain): appends of the chain that come after this are taken again */
int store_l_mend(lua_State *L) {
  struct store_db *db = store_check_db(L, 1);
  lua_Integer chain = luaL_checkinteger(L, 2);
  struct host *h = host_of(L);
  struct ticket *t = mem_calloc(&h->mem, sizeof *t);
  struct err e;
  if (!t) return store_no_memory(L);
  t->host = h;
  t->job = (struct store_job){.what = STORE_MEND, .done = mended, .chain = (uint64_t)chain};
  if (store_submit(db, &t->job, &e)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  mem_free(&h->mem, t);
  return store_push_error(L, &e);
}

/* db:room() -> false when so much is queued that callers should wait for a ticket first */
int store_l_room(lua_State *L) {
  lua_pushboolean(L, store_room(store_check_db(L, 1)));
  return 1;
}

/* db:failed() -> the error of the last append that failed, or nil; how many have failed */
int store_l_failed(lua_State *L) {
  struct err e;
  uint64_t count;
  if (store_failure(store_check_db(L, 1), &e, &count)) {
    (void)store_push_error(L, &e);
    lua_remove(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_pushinteger(L, (lua_Integer)count);
  return 2;
}

/* db:stuck() -> bytes of its log that a reader keeps from being copied to the file, is it one of this process; nil where they are
 * few */
int store_l_stuck(lua_State *L) {
  bool own;
  uint64_t bytes = store_log_stuck(store_check_db(L, 1), &own);
  if (bytes == 0) return 0;
  lua_pushinteger(L, (lua_Integer)bytes);
  lua_pushboolean(L, own);
  return 2;
}

/* --- locks ------------------------------------------------------------------------------------------------------------------------------ */

/* lock:free() */
static int lock_free(lua_State *L) {
  struct store_lock **box = luaL_checkudata(L, 1, STORE_LOCK_TYPE);
  if (*box) store_unlock(*box);
  *box = NULL;
  return 0;
}

/* lock(path, number) -> lock; nil when somebody else has it; nil, err. Held until lock:free() or the end of the process. */
int store_l_lock(lua_State *L) {
  size_t len;
  const char *path = luaL_checklstring(L, 1, &len);
  lua_Integer number = luaL_checkinteger(L, 2);
  if (len == 0 || strlen(path) != len) return err_argument(L, "a path must not be empty or contain a zero byte");
  if (number < 0) return err_argument(L, "the number of a lock must not be negative");
  struct store_lock **box = lua_newuserdatauv(L, sizeof *box, 0);
  struct err e;
  *box = NULL;
  luaL_setmetatable(L, STORE_LOCK_TYPE);
  *box = store_lock(host_of(L), path, (uint64_t)number, &e);
  if (*box) return 1;
  if (e.kind) return store_push_error(L, &e);
  lua_pushnil(L);
  return 1;
}

/* held(path, number) -> boolean; nil, err: is it locked, by this process or another? */
int store_l_held(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer number = luaL_checkinteger(L, 2);
  struct err e;
  bool held = store_held(host_of(L), path, (uint64_t)number, &e);
  if (e.kind) return store_push_error(L, &e);
  lua_pushboolean(L, held);
  return 1;
}

void store_append_open(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}}, lock[] = {{"free", lock_free}, {NULL, NULL}};
  store_type(L, STORE_TICKET_TYPE, none, ticket_gc);
  luaL_getmetatable(L, STORE_TICKET_TYPE);
  lua_pushcfunction(L, ticket_index);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  store_type(L, STORE_LOCK_TYPE, lock, lock_free);
}
