/* pg.c - host.pg: connections to PostgreSQL; lua/engine/postgres.lua builds on it. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "hostlibs.h"
#include "loop/binding.h"

#ifdef HAVE_LIBPQ
#include "bind_pg.h"
#include "loop/host.h"
#include "loop/op.h"
#include "loop/timers.h"

#define PG_TYPE "host.pg"

#define CONNECT_SECONDS 10.0
#define ANSWER_SECONDS  30.0
#define ROOM            ((size_t)64 << 20)

/* One wait for one job, or for the connection. */
struct call {
  struct op op;
  struct pg_job job;
  struct host *host;
  struct pg *conn; /* held */
  void *results[PG_STATEMENTS_MAX];
  char request[];
};

static struct call *call_of(struct op *op) {
  return CONTAINER_OF(op, struct call, op);
}

static struct pg *check_conn(lua_State *L) {
  struct pg **box = luaL_checkudata(L, 1, PG_TYPE);
  if (!*box) err_argument(L, "this connection is closed");
  return *box;
}

static int no_memory(lua_State *L) {
  return err_pushf(L, "os", "out of memory: cannot ask PostgreSQL");
}

/* nil, error; `sqlstate` and `unsure` are fields of it. */
static int push_error(lua_State *L, const struct pg_job *job) {
  err_push(L, &job->err);
  if (job->sqlstate[0]) {
    lua_pushstring(L, job->sqlstate);
    lua_setfield(L, -2, "sqlstate");
  }
  if (job->unsure) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "unsure");
  }
  return 2;
}

static void on_done(struct pg_job *job) {
  struct call *c = CONTAINER_OF(job, struct call, job);
  op_done(&c->op);
  op_unref(&c->op);
}

static void free_call(struct op *op) {
  struct call *c = call_of(op);
  struct host *h = c->host;
  pg_results_free(&c->job);
  if (c->conn) pg_release(c->conn);
  mem_free(&h->mem, c);
}

static struct call *new_call(struct host *h, const struct op_class *cls, size_t request_len) {
  struct call *c = mem_alloc(&h->mem, sizeof *c + request_len);
  if (!c) return NULL;
  memset(c, 0, sizeof *c);
  op_init(&c->op, cls);
  c->host = h;
  c->job.done = on_done;
  c->job.request = c->request;
  c->job.request_len = request_len;
  c->job.results = c->results;
  return c;
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static int push_conn(lua_State *L, struct op *op) {
  struct call *c = call_of(op);
  if (c->job.err.kind) return push_error(L, &c->job);
  struct pg **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, PG_TYPE);
  *box = c->conn; /* the reference goes over */
  c->conn = NULL;
  return 1;
}

static void cancel_open(struct op *op) {
  struct call *c = call_of(op);
  if (c->conn) pg_close(c->conn);
}

static const struct op_class open_class = {"pg.connect", push_conn, cancel_open, free_call};

static double seconds_option(lua_State *L, const char *name, double otherwise) {
  double n = otherwise;
  if (!lua_istable(L, 2)) return n;
  lua_getfield(L, 2, name);
  if (!lua_isnil(L, -1)) n = lua_tonumber(L, -1);
  lua_pop(L, 1);
  if (!(n > 0 && n <= 1e9)) err_argument(L, "pg.connect: %s must be a number above 0", name);
  return n;
}

/* connect(url, { connect?, answer? }) -> connection. Seconds: until it is made (10), for an answer (30). */
static int l_connect(lua_State *L) {
  op_enter(L, "pg.connect");
  size_t len;
  struct pg_options o = {.url = luaL_checklstring(L, 1, &len)};
  if (strlen(o.url) != len) return err_argument(L, "a URL contains no zero byte");
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  o.connect_seconds = seconds_option(L, "connect", CONNECT_SECONDS);
  o.answer_seconds = seconds_option(L, "answer", ANSWER_SECONDS);
  o.room = ROOM;
  struct host *h = host_of(L);
  struct call *c = new_call(h, &open_class, 0);
  if (!c) return no_memory(L);
  c->conn = pg_open(h, &o, &c->job, &c->job.err);
  if (!c->conn) on_done(&c->job);
  return op_await(L, &c->op);
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

static int push_results(lua_State *L, struct op *op) {
  struct call *c = call_of(op);
  if (c->job.err.kind) return push_error(L, &c->job);
  pg_push_results(L, &c->job);
  return 1;
}

/* A wait that is cancelled leaves its job with the server: its answer is dropped when it comes. */
static const struct op_class run_class = {"pg.run", push_results, NULL, free_call};

/* c:run({ { statement, parameter, ... }, ... }, once?) -> results. All of them or none, in one round trip. A parameter
 * is nil, a boolean, a number, a string (its bytes), or { array = "text" | "bytea" | "bigint" | "float8", n = COUNT,
 * ... }; a statement has a field n where its last parameters are nil. once: not prepared. */
static int conn_run(lua_State *L) {
  op_enter(L, "pg.run");
  struct pg *conn = check_conn(L);
  unsigned statements;
  size_t len = pg_pack(L, 2, &statements);
  struct call *c = new_call(host_of(L), &run_class, len);
  if (!c) return no_memory(L);
  memcpy(c->request, lua_touserdata(L, -1), len);
  c->job.statements = statements;
  c->job.once = lua_toboolean(L, 3);
  c->conn = conn;
  pg_hold(conn);
  if (!pg_submit(conn, &c->job, &c->job.err)) on_done(&c->job);
  return op_await(L, &c->op);
}

/* --- notifications ------------------------------------------------------------------------------------------------ */

struct note_op {
  struct op op;
  struct pg_wait wait;
  struct timer timer;
  struct host *host;
  struct pg *conn; /* held */
};

static struct note_op *note_of(struct op *op) {
  return CONTAINER_OF(op, struct note_op, op);
}

static void note_over(struct note_op *o) {
  timer_stop(o->host, &o->timer);
  pg_forget(o->conn, &o->wait);
  op_done(&o->op);
  op_unref(&o->op);
}

static void on_note(struct pg_wait *wait) {
  note_over(CONTAINER_OF(wait, struct note_op, wait));
}

static void on_note_time(struct timer *timer) {
  note_over(CONTAINER_OF(timer, struct note_op, timer));
}

static int note_push(lua_State *L, struct op *op) {
  struct pg *conn = note_of(op)->conn;
  if (!pg_alive(conn)) return err_pushf(L, "refused", "the connection to PostgreSQL at %s is lost", pg_place(conn));
  luaL_checkstack(L, 3, "notification");
  bool lost;
  char *text = pg_take(conn, &lost);
  if (text) {
    char payload[8001]; /* as long as the server lets one be */
    snprintf(payload, sizeof payload, "%s", text);
    pg_note_free(conn, text);
    lua_pushstring(L, payload);
  } else {
    lua_pushboolean(L, 0);
  }
  lua_pushboolean(L, lost);
  return 2;
}

static void note_cancel(struct op *op) {
  struct note_op *o = note_of(op);
  timer_stop(o->host, &o->timer);
  pg_forget(o->conn, &o->wait);
  op_unref(op);
}

static void note_free(struct op *op) {
  struct note_op *o = note_of(op);
  struct host *h = o->host;
  pg_release(o->conn);
  mem_free(&h->mem, o);
}

static const struct op_class note_class = {"pg.next", note_push, note_cancel, note_free};

/* c:next(seconds | nil) -> payload of a notification, false when the time is up; were some lost? nil and an error when
 * the connection is. */
static int conn_next(lua_State *L) {
  op_enter(L, "pg.next");
  struct pg *conn = check_conn(L);
  double seconds = luaL_optnumber(L, 2, -1);
  struct host *h = host_of(L);
  struct note_op *o = mem_calloc(&h->mem, sizeof *o);
  if (!o) return no_memory(L);
  op_init(&o->op, &note_class);
  o->host = h;
  o->conn = conn;
  o->wait.ready = on_note;
  pg_hold(conn);
  if (!pg_alive(conn) || pg_pending(conn)) {
    note_over(o);
  } else if (!pg_await(conn, &o->wait)) {
    op_unref(&o->op);
    op_unref(&o->op);
    return err_argument(L, "another task waits for these notifications already");
  } else if (seconds >= 0) {
    timer_start(h, &o->timer, seconds, on_note_time);
  }
  return op_await(L, &o->op);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static int conn_alive(lua_State *L) {
  struct pg **box = luaL_checkudata(L, 1, PG_TYPE);
  lua_pushboolean(L, *box && pg_alive(*box));
  return 1;
}

/* c:about() -> "user@host:port/database", number of the server's version */
static int conn_about(lua_State *L) {
  struct pg *conn = check_conn(L);
  lua_pushstring(L, pg_place(conn));
  lua_pushinteger(L, pg_server(conn));
  return 2;
}

static int conn_close(lua_State *L) {
  struct pg **box = luaL_checkudata(L, 1, PG_TYPE);
  struct pg *conn = *box;
  *box = NULL;
  if (!conn) return 0;
  pg_close(conn); /* waiting tasks are woken */
  pg_release(conn);
  return 0;
}

static void make_type(lua_State *L) {
  static const luaL_Reg methods[] = {{"run", conn_run},     {"next", conn_next},   {"alive", conn_alive},
                                     {"about", conn_about}, {"close", conn_close}, {NULL, NULL}};
  if (luaL_newmetatable(L, PG_TYPE)) {
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, conn_close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, conn_close);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "pg");
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
}
#else
static int l_connect(lua_State *L) {
  struct err e;
  err_set(&e, "os", 0, "this stoke was built without PostgreSQL");
  e.hint = "install libpq-dev (Debian; libpq, postgresql-dev elsewhere) and build it again";
  return err_push(L, &e);
}

static void make_type(lua_State *L) {
  (void)L;
}
#endif

int luaopen_host_pg(lua_State *L) {
  static const luaL_Reg functions[] = {{"connect", l_connect}, {NULL, NULL}};
  make_type(L);
  luaL_newlib(L, functions);
  return 1;
}
