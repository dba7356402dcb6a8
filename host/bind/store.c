/* store.c - host.store: databases of SQLite. lua/driver/db.lua gives them to scripts; lua/store.lua keeps the host's own records. */
#include <string.h>

#include "bind_store.h"
#include "hostlibs.h"
#include "loop/host.h"
#include "store/fault.h"
#include "store/vfs_fault.h"

#define BUSY_SECONDS 5.0
#define RESULT_LIMIT ((size_t)64 << 20)
#define QUEUE_LIMIT  ((size_t)16 << 20)

/* --- a job's life ----------------------------------------------------------------------------------------------------------------- */

struct store_db *store_check_db(lua_State *L, int index) {
  struct store_db **box = luaL_checkudata(L, index, STORE_DB_TYPE);
  if (!*box) err_argument(L, "this database was never open");
  return *box;
}

int store_no_memory(lua_State *L) {
  return err_pushf(L, "os", "out of memory: cannot use a database");
}

int store_push_error(lua_State *L, const struct err *e) {
  const char *name = store_code_name(e->code);
  err_push(L, e);
  if (name) {
    lua_pushstring(L, name);
    lua_setfield(L, -2, "code");
  }
  if (name && strncmp(name, "SQLITE_BUSY", 11) == 0) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "retryable");
  }
  return 2;
}

void store_call_done(struct store_job *job) {
  struct call *c = CONTAINER_OF(job, struct call, job);
  op_done(&c->op);
  op_unref(&c->op);
}

struct call *store_call(lua_State *L, const struct op_class *cls, struct store_db *db, enum store_what what,
                        size_t request_len) {
  struct host *h = host_of(L);
  struct call *c = mem_alloc(&h->mem, sizeof *c + request_len);
  if (!c) return NULL;
  memset(c, 0, sizeof *c);
  op_init(&c->op, cls);
  c->host = h;
  c->db = db;
  if (db) store_hold(db);
  c->job.what = what;
  c->job.done = store_call_done;
  c->job.request = c->request;
  c->job.request_len = request_len;
  c->job.statements = 1;
  return c;
}

int store_await(lua_State *L, struct call *c) {
  if (!store_submit(c->db, &c->job, &c->job.err)) {
    op_done(&c->op);
    op_unref(&c->op);
  }
  return op_await(L, &c->op);
}

void store_call_cancel(struct op *op) {
  store_cancel(&call_of(op)->job);
}

void store_call_free(struct op *op) {
  struct call *c = call_of(op);
  store_rows_free(&c->job.rows);
  struct store_db *db = c->db;
  mem_free(&c->host->mem, c);
  if (db) store_release(db);
}

/* --- results ------------------------------------------------------------------------------------------------------------------------ */

static int push_result(lua_State *L, struct op *op) {
  struct store_job *job = &call_of(op)->job;
  if (job->err.kind) return store_push_error(L, &job->err);
  lua_createtable(L, 0, 3);
  store_set_rows(L, &job->rows, call_of(op)->named);
  lua_pushboolean(L, job->rows.more);
  lua_setfield(L, -2, "more");
  return 1;
}

static int push_written(lua_State *L, struct op *op) {
  struct store_job *job = &call_of(op)->job;
  if (job->err.kind) return store_push_error(L, &job->err);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, job->changes);
  lua_setfield(L, -2, "changes");
  lua_pushinteger(L, job->last_id);
  lua_setfield(L, -2, "last_id");
  if (job->rows.columns > 0) store_set_rows(L, &job->rows, false);
  return 1;
}

int store_push_true(lua_State *L, struct op *op) {
  struct store_job *job = &call_of(op)->job;
  if (job->err.kind) return store_push_error(L, &job->err);
  lua_pushboolean(L, 1);
  return 1;
}

static int push_version(lua_State *L, struct op *op) {
  struct store_job *job = &call_of(op)->job;
  if (job->err.kind) return store_push_error(L, &job->err);
  lua_pushinteger(L, job->version);
  return 1;
}

/* The first column of each row. */
static int push_lines(lua_State *L, struct op *op) {
  struct store_job *job = &call_of(op)->job;
  const char *at = job->rows.bytes;
  const char *name = job->err.kind ? store_code_name(job->err.code) : NULL;
  if (name && strncmp(name, "SQLITE_CORRUPT", 14) == 0) { /* so damaged that it cannot be checked */
    lua_createtable(L, 1, 0);
    lua_pushstring(L, job->err.message);
    lua_rawseti(L, -2, 1);
    return 1;
  }
  if (job->err.kind) return store_push_error(L, &job->err);
  lua_createtable(L, (int)job->rows.rows, 0);
  for (size_t i = 1; i <= job->rows.rows; i++) {
    struct store_value v;
    at = store_value_read(at, &v);
    lua_pushlstring(L, v.type == STORE_TEXT ? v.bytes : "", v.type == STORE_TEXT ? v.len : 0);
    lua_rawseti(L, -2, (lua_Integer)i);
  }
  return 1;
}

static const struct op_class query_class = {"db.query", push_result, store_call_cancel, store_call_free};
static const struct op_class write_class = {"db.write", push_written, store_call_cancel, store_call_free};
static const struct op_class true_class = {"db", store_push_true, store_call_cancel, store_call_free};
static const struct op_class version_class = {"db.version", push_version, store_call_cancel, store_call_free};
static const struct op_class lines_class = {"db.check", push_lines, store_call_cancel, store_call_free};

/* --- opening and closing ------------------------------------------------------------------------------------------------------------ */

static int push_db(lua_State *L, struct op *op) {
  struct call *c = call_of(op);
  if (c->job.err.kind) return store_push_error(L, &c->job.err);
  struct store_db **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, STORE_DB_TYPE);
  *box = c->db; /* the reference goes over */
  c->db = NULL;
  return 1;
}

static const struct op_class open_class = {"db.open", push_db, store_call_cancel, store_call_free};

static bool option(lua_State *L, const char *name, bool otherwise) {
  bool is = otherwise;
  if (lua_istable(L, 2)) {
    lua_getfield(L, 2, name);
    if (!lua_isnil(L, -1)) is = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  return is;
}

static double number_option(lua_State *L, const char *name, double otherwise, double least) {
  double n = otherwise;
  if (lua_istable(L, 2)) {
    lua_getfield(L, 2, name);
    if (!lua_isnil(L, -1)) n = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    if (!(n >= least && n <= 1e12)) err_argument(L, "store.open: %s must be a number from %.3g", name, least);
  }
  return n;
}

static const char *check_path(lua_State *L, int index) {
  size_t len;
  const char *path = luaL_checklstring(L, index, &len);
  if (len == 0 || strlen(path) != len) err_argument(L, "a path must not be empty or contain a zero byte");
  if (len > 3000) err_argument(L, "a path of %d bytes is too long", (int)len);
  return path;
}

/* open(path, { readonly?, create?, host?, durable?, busy?, limit?, queue? }) -> db. ":memory:" is one that is nowhere else. create
 * (true): made when it is not there. durable (true): write() and transactions are synced. busy (5): seconds to wait for the locks of
 * other programs. limit (64 MiB): bytes of a result. queue (16 MiB): bytes of appends beyond which room() is false. host: the host's
 * own file. */
static int l_open(lua_State *L) {
  op_enter(L, "store.open");
  const char *path = check_path(L, 1);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  struct store_options o = {.readonly = option(L, "readonly", false),
                            .host = option(L, "host", false),
                            .durable = option(L, "durable", true),
                            .busy = number_option(L, "busy", BUSY_SECONDS, 0),
                            .result_limit = (size_t)number_option(L, "limit", (double)RESULT_LIMIT, 1),
                            .queue_limit = (size_t)number_option(L, "queue", (double)QUEUE_LIMIT, 0)};
  o.create = option(L, "create", true) && !o.readonly;
  struct call *c = store_call(L, &open_class, NULL, STORE_OPEN, 0);
  if (!c) return store_no_memory(L);
  c->db = store_open(c->host, path, &o, &c->job, &c->job.err);
  if (!c->db) {
    op_done(&c->op);
    op_unref(&c->op);
  }
  return op_await(L, &c->op);
}

/* db:close() -> true. What was queued is written first. Waits; a second call does not. */
static int db_close(lua_State *L) {
  op_enter(L, "db.close");
  struct store_db *db = store_check_db(L, 1);
  if (store_closing(db)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  struct call *c = store_call(L, &true_class, db, STORE_CLOSE, 0);
  if (!c) return store_no_memory(L);
  (void)store_close(db, &c->job);
  return op_await(L, &c->op);
}

static int db_shut(lua_State *L) { /* __close: without waiting */
  struct store_db **box = luaL_checkudata(L, 1, STORE_DB_TYPE);
  if (*box) (void)store_close(*box, NULL);
  return 0;
}

static int db_gc(lua_State *L) {
  struct store_db **box = luaL_checkudata(L, 1, STORE_DB_TYPE);
  struct store_db *db = *box;
  *box = NULL;
  if (db) store_release(db);
  return 0;
}

/* --- statements ----------------------------------------------------------------------------------------------------------------------- */

static size_t check_max(lua_State *L, int index) {
  lua_Integer max = luaL_optinteger(L, index, 0);
  if (max < 0) err_argument(L, "the number of rows must not be negative");
  return (size_t)max;
}

static struct call *statement_call(lua_State *L, const struct op_class *cls, struct store_db *db,
                                   enum store_what what) {
  struct pack p = {0};
  store_pack(L, &p, 2, 3);
  struct call *c = store_call(L, cls, db, what, p.size);
  if (!c) return NULL;
  p.at = c->request;
  store_pack(L, &p, 2, 3);
  c->job.durable = store_durable(db);
  return c;
}

/* db:query(sql, params?, max?, named?) -> { columns, rows, more }. Rows are arrays; named: tables as of store_push_named */
static int db_query(lua_State *L) {
  op_enter(L, "db.query");
  struct store_db *db = store_check_db(L, 1);
  size_t max = check_max(L, 4);
  bool named = lua_toboolean(L, 5);
  struct call *c = statement_call(L, &query_class, db, STORE_QUERY);
  if (!c) return store_no_memory(L);
  c->job.max = max;
  c->named = named;
  return store_await(L, c);
}

/* db:write(sql, params?, durable?) -> { changes, last_id, columns?, rows? }. Several statements in one text, without parameters, are
 * done all or none. */
static int db_write(lua_State *L) {
  op_enter(L, "db.write");
  struct store_db *db = store_check_db(L, 1);
  struct call *c = statement_call(L, &write_class, db, STORE_WRITE);
  if (!c) return store_no_memory(L);
  if (!lua_isnoneornil(L, 4)) c->job.durable = lua_toboolean(L, 4);
  return store_await(L, c);
}

/* db:version() -> an integer that changes when another program has written to the file */
static int db_version(lua_State *L) {
  op_enter(L, "db.version");
  struct call *c = store_call(L, &version_class, store_check_db(L, 1), STORE_VERSION, 0);
  return c ? store_await(L, c) : store_no_memory(L);
}

static struct call *text_call(lua_State *L, const struct op_class *cls, struct store_db *db, enum store_what what,
                              const char *text) {
  struct store_value v = {.type = STORE_TEXT, .bytes = text, .len = strlen(text)}, none = {.type = STORE_INTEGER};
  struct call *c = store_call(L, cls, db, what, store_value_size(&v) + store_value_size(&none));
  if (c) store_value_write(store_value_write(c->request, &v), &none);
  return c;
}

/* db:backup(path) -> true. The file is there whole, or not at all. */
static int db_backup(lua_State *L) {
  op_enter(L, "db.backup");
  struct call *c = text_call(L, &true_class, store_check_db(L, 1), STORE_BACKUP, check_path(L, 2));
  return c ? store_await(L, c) : store_no_memory(L);
}

/* db:check() -> lines: "ok" alone when the file is sound */
static int db_check(lua_State *L) {
  op_enter(L, "db.check");
  struct call *c = text_call(L, &lines_class, store_check_db(L, 1), STORE_CHECK, "PRAGMA integrity_check");
  return c ? store_await(L, c) : store_no_memory(L);
}

/* db:interrupt(): what runs now fails with SQLITE_INTERRUPT */
static int db_interrupt(lua_State *L) {
  store_interrupt(store_check_db(L, 1));
  return 0;
}

static int db_path(lua_State *L) {
  lua_pushstring(L, store_path(store_check_db(L, 1)));
  return 1;
}

/* --- the module ----------------------------------------------------------------------------------------------------------------------- */

/* fault_point(name): a place where a test can kill the process, see host/store/fault.h; false where no test wants that */
static int l_fault_point(lua_State *L) {
  const char *point = luaL_checkstring(L, 1);
  FAULT_POINT(point);
  (void)point;
  return 0;
}

/* fault { full?, error?, times?, read?, sync?, open?, cut?, cut_write?, seed?, slow?, gone?, folder?, unnoted?, lie?, early?, drop? }: databases opened from now
 * on use a file system that fails in this way (host/store/vfs_fault.h); fault() ends that. For tests. */
static int l_fault(lua_State *L) {
  struct store_faults f = {0};
  bool any = !lua_isnoneornil(L, 1);
  if (any) luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_pushnil(L); any && lua_next(L, 1); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || !store_fault_key(lua_tostring(L, -2), (uint64_t)lua_tointeger(L, -1), &f))
      return err_argument(L, "store.fault: no such fault");
  }
  store_fault_set(any ? &f : NULL);
  return 0;
}

/* fault_counts() -> { writes, bytes, reads, syncs, opens, appends, cut }, of what such databases have done */
static int l_fault_counts(lua_State *L) {
  struct store_counts c;
  store_fault_counts(&c);
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, (lua_Integer)c.writes);
  lua_setfield(L, -2, "writes");
  lua_pushinteger(L, (lua_Integer)c.bytes);
  lua_setfield(L, -2, "bytes");
  lua_pushinteger(L, (lua_Integer)c.reads);
  lua_setfield(L, -2, "reads");
  lua_pushinteger(L, (lua_Integer)c.syncs);
  lua_setfield(L, -2, "syncs");
  lua_pushinteger(L, (lua_Integer)c.opens);
  lua_setfield(L, -2, "opens");
  lua_pushinteger(L, (lua_Integer)c.appends);
  lua_setfield(L, -2, "appends");
  lua_pushboolean(L, c.cut);
  lua_setfield(L, -2, "cut");
  return 1;
}

void store_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  if (close) {
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
  }
  lua_pushstring(L, strrchr(name, '.') + 1);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

int luaopen_host_store(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"query", db_query},        {"write", db_write},      {"begin", store_l_begin}, {"each", store_l_each},
      {"append", store_l_append}, {"mend", store_l_mend},   {"room", store_l_room},   {"failed", store_l_failed},
      {"version", db_version},    {"backup", db_backup},    {"check", db_check},      {"interrupt", db_interrupt},
      {"path", db_path},          {"stuck", store_l_stuck}, {"close", db_close},      {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", l_open},
                                       {"blob", store_l_blob},
                                       {"batch", store_l_batch},
                                       {"lock", store_l_lock},
                                       {"held", store_l_held},
                                       {"fault_point", l_fault_point},
                                       {"fault", l_fault},
                                       {"fault_counts", l_fault_counts},
                                       {NULL, NULL}};
  fault_init();
  store_type(L, STORE_DB_TYPE, methods, db_gc);
  luaL_getmetatable(L, STORE_DB_TYPE);
  lua_pushcfunction(L, db_shut);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  luaL_newmetatable(L, STORE_BLOB_TYPE);
  lua_pop(L, 1);
  store_batch_open(L);
  store_append_open(L);
  store_tx_open(L);
  store_each_open(L);
  luaL_newlib(L, functions);
  if (!fault_armed) {
    lua_pushboolean(L, 0); /* so that Lua code tests a field and calls nothing */
    lua_setfield(L, -2, "fault_point");
  }
  return 1;
}
