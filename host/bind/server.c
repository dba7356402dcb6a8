/* server.c - host.server: HTTP serving for lua/driver/server.lua.
 *
 * A userdata of Lua and the engine's object meet in a struct of the host's memory with one reference for each of: the
 * userdata, the engine, a wait under way. So a callback never finds its object collected. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "hostlibs.h"
#include "httpd/httpd_impl.h"
#include "loop/op.h"

#define SERVER      "host.server"
#define EXCHANGE    "host.exchange"
#define HEADERS_MAX 128
/* Bytes that the engine may hold for one client before its writer waits: a share of what all may have together. */
#define HELD_ALL   (64 * 1024 * 1024)
#define HELD_MOST  (1024 * 1024)
#define HELD_LEAST (16 * 1024)
#define MB         (1024 * 1024)

struct lserver {
  struct host *host;
  struct server *server;               /* NULL when down */
  struct lexchange *left, **left_tail; /* whose clients have left, not reported yet */
  struct op *accepting, *closing;      /* waits under way, or NULL */
  struct timer limit;                  /* of a close: abort then */
  size_t open;                         /* exchanges given out and not ended */
  lua_Integer ids;
  int refs;
  bool stopped;
};

struct lexchange {
  struct lserver *owner; /* a reference */
  struct exchange *x;    /* NULL when ended */
  struct lexchange *left_next;
  lua_Integer id;
  struct op *writing;
  int refs;
  bool in_left;
};

/* One wait of either. */
struct wait {
  struct op op;
  struct host *host;
  struct lserver *server;     /* a reference, or NULL */
  struct lexchange *exchange; /* likewise */
  lua_Integer next;           /* of a write: the place of the first byte that was not taken */
};

/* --- references ----------------------------------------------------------------------------------------------------- */

static void server_unref(struct lserver *s) {
  if (--s->refs == 0) mem_free(&s->host->mem, s);
}

static void exchange_unref(struct lexchange *lx) {
  if (--lx->refs > 0) return;
  struct host *h = lx->owner->host;
  server_unref(lx->owner);
  mem_free(&h->mem, lx);
}

static struct wait *wait_of(struct op *op) {
  return CONTAINER_OF(op, struct wait, op);
}

static void wait_free(struct op *op) {
  struct wait *w = wait_of(op);
  if (w->server) server_unref(w->server);
  if (w->exchange) exchange_unref(w->exchange);
  mem_free(&w->host->mem, w);
}

static struct wait *wait_new(const struct op_class *cls, struct lserver *s, struct lexchange *lx) {
  struct host *h = s ? s->host : lx->owner->host;
  struct wait *w = mem_calloc(&h->mem, sizeof *w);
  if (!w) return NULL;
  op_init(&w->op, cls);
  w->host = h;
  w->server = s;
  w->exchange = lx;
  if (s) s->refs++;
  if (lx) lx->refs++;
  return w;
}

static void wake(struct op **waiting) {
  struct op *op = *waiting;
  if (!op) return;
  *waiting = NULL;
  op_done(op);
  op_unref(op);
}

static int out_of_memory(lua_State *L) {
  return err_pushf(L, "os", "out of memory in the HTTP server");
}

static struct lserver *check_server(lua_State *L) {
  return *(struct lserver **)luaL_checkudata(L, 1, SERVER);
}

static struct lexchange *check_exchange(lua_State *L) {
  return *(struct lexchange **)luaL_checkudata(L, 1, EXCHANGE);
}

/* --- the end of an exchange ----------------------------------------------------------------------------------------- */

static void forget_left(struct lexchange *lx) {
  struct lserver *s = lx->owner;
  if (!lx->in_left) return;
  struct lexchange **link = &s->left;
  while (*link != lx) link = &(*link)->left_next;
  *link = lx->left_next;
  if (s->left_tail == &lx->left_next) s->left_tail = link;
  lx->in_left = false;
}

static void exchange_over(struct lexchange *lx, bool clean) {
  struct exchange *x = lx->x;
  struct lserver *s = lx->owner;
  if (!x) return;
  lx->x = NULL;
  forget_left(lx);
  wake(&lx->writing);
  if (clean)
    exchange_end(x);
  else
    exchange_reset(x);
  s->open--;
  if (s->stopped && s->open == 0) wake(&s->accepting);
  exchange_unref(lx); /* the engine's */
}

/* --- calls back of the engine --------------------------------------------------------------------------------------- */

static void on_accepted(void *ud) {
  wake(&((struct lserver *)ud)->accepting);
}

static void on_drained(void *ud) {
  wake(&((struct lexchange *)ud)->writing);
}

static void on_left(void *ud) {
  struct lexchange *lx = ud;
  struct lserver *s = lx->owner;
  wake(&lx->writing);
  lx->in_left = true;
  lx->left_next = NULL;
  *s->left_tail = lx;
  s->left_tail = &lx->left_next;
  wake(&s->accepting);
}

static void on_closed(void *ud) {
  struct lserver *s = ud;
  s->server = NULL;
  timer_stop(s->host, &s->limit);
  wake(&s->closing);
  server_unref(s); /* the engine's */
}

/* --- open ------------------------------------------------------------------------------------------------------------ */

static lua_Integer opt_integer(lua_State *L, const char *name, lua_Integer otherwise, lua_Integer most) {
  int is_integer;
  lua_getfield(L, 1, name);
  lua_Integer n = lua_isnil(L, -1) ? otherwise : lua_tointegerx(L, -1, &is_integer);
  if (!lua_isnil(L, -1) && (!is_integer || n < 0 || n > most))
    err_argument(L, "%s must be an integer from 0 to %lld", name, (long long)most);
  lua_pop(L, 1);
  return n;
}

static const char *opt_string(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
    err_argument(L, "%s must be a string, got %s", name, luaL_typename(L, -1));
  const char *s = lua_tostring(L, -1);
  lua_pop(L, 1); /* stays the table's */
  return s;
}

/* open{ port=, address=, mem=, path=, max_body=, max_header=, max_connections=, header_timeout=, background= } -> server | nil, err */
static int l_open(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  struct httpd_options o = {.address = opt_string(L, "address"),
                            .mem = opt_string(L, "mem"),
                            .path = opt_string(L, "path"),
                            .port = (int)opt_integer(L, "port", 0, 65535),
                            .max_body = (size_t)opt_integer(L, "max_body", 16 * MB, (lua_Integer)1 << 40),
                            .max_header = (size_t)opt_integer(L, "max_header", 16384, 16 * MB),
                            .max_connections = (int)opt_integer(L, "max_connections", 10000, 1 << 20)};
  lua_getfield(L, 1, "background");
  o.background = lua_toboolean(L, -1);
  lua_getfield(L, 1, "header_timeout");
  o.header_timeout = luaL_optnumber(L, -1, 60);
  struct host *h = host_of(L);
  struct lserver **box = lua_newuserdatauv(L, sizeof(struct lserver *), 0);
  *box = NULL;
  luaL_setmetatable(L, SERVER);
  struct lserver *s = mem_calloc(&h->mem, sizeof *s);
  if (!s) return out_of_memory(L);
  struct err e;
  s->host = h;
  s->refs = 2; /* the userdata, the engine */
  s->left_tail = &s->left;
  s->server = server_open(h, &o, on_accepted, s, &e);
  if (!s->server) {
    mem_free(&h->mem, s);
    return err_push(L, &e);
  }
  *box = s;
  return 1;
}

static int l_port(lua_State *L) {
  struct lserver *s = check_server(L);
  lua_pushinteger(L, s->server ? server_port(s->server) : 0);
  return 1;
}

/* --- accept ---------------------------------------------------------------------------------------------------------- */

/* An exchange as userdata; the server keeps it when memory runs out. */
static int push_exchange(lua_State *L, struct lserver *s) {
  struct lexchange **box = lua_newuserdatauv(L, sizeof(struct lexchange *), 0);
  *box = NULL;
  luaL_setmetatable(L, EXCHANGE);
  struct lexchange *lx = mem_calloc(&s->host->mem, sizeof *lx);
  if (!lx) return out_of_memory(L);
  *box = lx;
  lx->refs = 2; /* the userdata, the engine */
  lx->owner = s;
  s->refs++;
  s->open++;
  lx->id = ++s->ids;
  lx->x = server_accept(s->server);
  exchange_watch(lx->x, HELD_LEAST / 4, on_drained, on_left, lx);
  lua_pushinteger(L, lx->id);
  return 2;
}

static bool accept_ready(const struct lserver *s) {
  return s->left || (s->server && s->server->head) || (s->stopped && s->open == 0) || !s->server;
}

static int push_ready(lua_State *L, struct lserver *s) {
  struct lexchange *gone = s->left;
  if (gone) {
    forget_left(gone);
    lua_pushinteger(L, gone->id);
    return 1;
  }
  if (s->server && !s->stopped && s->server->head) return push_exchange(L, s);
  if (accept_ready(s)) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushboolean(L, 0); /* the reason to wake is gone */
  return 1;
}

static int accept_push(lua_State *L, struct op *op) {
  return push_ready(L, wait_of(op)->server);
}

static void accept_cancel(struct op *op) {
  struct lserver *s = wait_of(op)->server;
  s->accepting = NULL;
  op_unref(op);
}

static const struct op_class accept_class = {"http.accept", accept_push, accept_cancel, wait_free};

/* server:accept() -> exchange, id | id of an exchange whose client has left | false (ask again) | nil (stopped, and every
 * exchange has ended) | nil, err */
static int l_accept(lua_State *L) {
  op_enter(L, "http.accept");
  struct lserver *s = check_server(L);
  if (s->accepting) return err_argument(L, "another task accepts from this server");
  if (accept_ready(s)) return push_ready(L, s);
  struct wait *w = wait_new(&accept_class, s, NULL);
  if (!w) return out_of_memory(L);
  s->accepting = &w->op;
  return op_await(L, &w->op);
}

/* --- close ----------------------------------------------------------------------------------------------------------- */

static int close_push(lua_State *L, struct op *op) {
  (void)op;
  lua_pushboolean(L, 1);
  return 1;
}

static void close_cancel(struct op *op) {
  struct lserver *s = wait_of(op)->server;
  s->closing = NULL;
  op_unref(op);
}

static const struct op_class close_class = {"http.close", close_push, close_cancel, wait_free};

static void stop(struct lserver *s, bool abort) {
  bool first = !s->stopped;
  s->stopped = true;
  if (s->server && (first || abort)) server_close(s->server, abort, on_closed, s);
  if (s->open == 0) wake(&s->accepting);
}

static void on_limit(struct timer *t) {
  stop(CONTAINER_OF(t, struct lserver, limit), true);
}

/* server:stop(): no new requests; accept continues to report those in progress */
static int l_stop(lua_State *L) {
  stop(check_server(L), false);
  return 0;
}

/* server:close(seconds) -> true: stops, gives requests in progress that time to end, then cuts them; waits until all is closed */
static int l_close(lua_State *L) {
  op_enter(L, "http.close");
  struct lserver *s = check_server(L);
  double seconds = luaL_optnumber(L, 2, 0);
  if (s->closing) return err_argument(L, "another task closes this server");
  if (!s->server) {
    lua_pushboolean(L, 1);
    return 1;
  }
  struct wait *w = wait_new(&close_class, s, NULL);
  if (!w) return out_of_memory(L);
  s->closing = &w->op;
  stop(s, !(seconds > 0));
  if (s->server && seconds > 0) timer_start(s->host, &s->limit, seconds, on_limit);
  return op_await(L, &w->op);
}

static int server_gc(lua_State *L) {
  struct lserver **box = luaL_checkudata(L, 1, SERVER), *s = *box;
  if (!s) return 0;
  *box = NULL;
  timer_stop(s->host, &s->limit);
  stop(s, true);
  server_unref(s);
  return 0;
}

/* --- exchanges: the request ------------------------------------------------------------------------------------------ */

static int gone(lua_State *L) {
  return err_pushf(L, "incomplete", "the client has gone");
}

static int ended(lua_State *L) {
  return err_pushf(L, "argument", "this request has been dealt with: nothing more can be sent");
}

/* The name in lower case, at the top of the stack. */
static void push_name(lua_State *L, const char *name) {
  luaL_Buffer b;
  size_t n = strlen(name);
  char *to = luaL_buffinitsize(L, &b, n);
  for (size_t i = 0; i < n; i++) to[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
  luaL_pushresultsize(&b, n);
}

/* Into the table at the top; a name that comes again adds to its value. */
static void add_header(void *ud, const char *name, const char *value) {
  lua_State *L = ud;
  push_name(L, name);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushstring(L, value);
  } else {
    lua_pushstring(L, httpd_same(name, "Cookie") ? "; " : ", ");
    lua_pushstring(L, value);
    lua_concat(L, 3);
  }
  lua_rawset(L, -3);
}

/* x:request() -> method, target, body (once: it is not kept beside the string), peer, { [name in lower case] = value }; of a name that comes twice, all values */
static int l_request(lua_State *L) {
  struct lexchange *lx = check_exchange(L);
  size_t len;
  if (!lx->x) return ended(L);
  const char *body = exchange_body(lx->x, &len);
  lua_pushstring(L, exchange_method(lx->x));
  lua_pushstring(L, exchange_target(lx->x));
  lua_pushlstring(L, body, len);
  exchange_forget_body(lx->x);
  lua_pushstring(L, exchange_peer(lx->x));
  lua_createtable(L, 0, (int)lx->x->header_count);
  exchange_headers(lx->x, add_header, L);
  return 5;
}

/* --- exchanges: the reply -------------------------------------------------------------------------------------------- */

/* The lines at `index` into headers[HEADERS_MAX + 1]; they stay the table's. Raises `argument`. */
static void check_lines(lua_State *L, int index, const char **headers) {
  size_t n = 0, len;
  luaL_checktype(L, index, LUA_TTABLE);
  while (lua_rawgeti(L, index, (lua_Integer)n + 1) == LUA_TSTRING) {
    if (n == HEADERS_MAX) err_argument(L, "more than %d headers", HEADERS_MAX);
    headers[n] = lua_tolstring(L, -1, &len);
    if (strlen(headers[n]) != len) err_argument(L, "NUL in header '%.60s'", headers[n]);
    n++;
    lua_pop(L, 1);
  }
  headers[n] = NULL;
  lua_pop(L, 1);
}

static int check_status(lua_State *L, int index) {
  lua_Integer status = luaL_checkinteger(L, index);
  return (int)(status < 0 || status > 9999 ? 0 : status);
}

/* x:reply(status, { "Name: value", ... }, length | -1) -> true | nil, err */
static int l_reply(lua_State *L) {
  struct lexchange *lx = check_exchange(L);
  int status = check_status(L, 2);
  lua_Integer len = luaL_optinteger(L, 4, -1);
  const char *headers[HEADERS_MAX + 1];
  check_lines(L, 3, headers);
  struct err e;
  if (!lx->x) return ended(L);
  if (!exchange_reply(lx->x, status, headers, len < 0 ? -1 : len, &e)) return err_push(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static int write_push(lua_State *L, struct op *op) {
  struct lexchange *lx = wait_of(op)->exchange;
  if (!lx->x || lx->x->gone) return gone(L);
  lua_pushinteger(L, wait_of(op)->next);
  return 1;
}

static void write_cancel(struct op *op) {
  wait_of(op)->exchange->writing = NULL;
  op_unref(op);
}

static const struct op_class write_class = {"http.write", write_push, write_cancel, wait_free};

static size_t share_of(const struct lserver *s) {
  size_t share = HELD_ALL / (s->open ? s->open : 1);
  return share > HELD_MOST ? HELD_MOST : share < HELD_LEAST ? HELD_LEAST : share;
}

/* x:write(bytes, from) -> the place of the first byte that was not taken | nil, err; waits while the engine holds more than this
 * client's share */
static int l_write(lua_State *L) {
  op_enter(L, "http.write");
  struct lexchange *lx = check_exchange(L);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  lua_Integer from = luaL_optinteger(L, 3, 1);
  struct exchange *x = lx->x;
  if (!x) return ended(L);
  if (!x->replied) return err_argument(L, "the head of the reply comes before its bytes");
  if (lx->writing) return err_argument(L, "another task writes to this client");
  if (from < 1 || (size_t)from > len + 1) return err_argument(L, "from is not a place in the bytes");
  size_t left = len - (size_t)from + 1, share = share_of(lx->owner);
  if (!x->bodyless && x->announced >= 0 && (uint64_t)left > (uint64_t)(x->announced - x->written))
    return err_argument(L, "more bytes than the announced length, %lld", (long long)x->announced);
  size_t part = left > share && !x->bodyless ? share : left;
  x->low = share / 4;
  int64_t held = exchange_write(x, bytes + from - 1, part);
  if (held < 0) return gone(L);
  lua_Integer next = from + (lua_Integer)part;
  if (held < (int64_t)share) {
    lua_pushinteger(L, next);
    return 1;
  }
  struct wait *w = wait_new(&write_class, NULL, lx);
  if (!w) return out_of_memory(L);
  w->next = next;
  lx->writing = &w->op;
  return op_await(L, &w->op);
}

/* x:answer(status, { "Name: value", ... }, bytes) -> true: replied and ended | false: more bytes than this client's share, so they
 * must be written | nil, err */
static int l_answer(lua_State *L) {
  struct lexchange *lx = check_exchange(L);
  int status = check_status(L, 2);
  const char *headers[HEADERS_MAX + 1];
  size_t len;
  check_lines(L, 3, headers);
  const char *bytes = luaL_checklstring(L, 4, &len);
  struct err e;
  if (!lx->x) return ended(L);
  if (len > 0 && lx->x->gone) return gone(L);
  bool fits = len <= share_of(lx->owner);
  if (fits && !exchange_answer(lx->x, status, headers, bytes, len, &e)) return err_push(L, &e);
  if (fits) exchange_over(lx, true);
  lua_pushboolean(L, fits);
  return 1;
}

/* x:finish(): a clean end */
static int l_finish(lua_State *L) {
  exchange_over(check_exchange(L), true);
  return 0;
}

/* x:reset(): the connection is cut, after what was written has gone out */
static int l_reset(lua_State *L) {
  exchange_over(check_exchange(L), false);
  return 0;
}

/* x:open() -> whether it has not ended yet */
static int l_is_open(lua_State *L) {
  lua_pushboolean(L, check_exchange(L)->x != NULL);
  return 1;
}

static int exchange_gc(lua_State *L) {
  struct lexchange **box = luaL_checkudata(L, 1, EXCHANGE), *lx = *box;
  if (!lx) return 0;
  *box = NULL;
  exchange_over(lx, false);
  exchange_unref(lx);
  return 0;
}

/* --- the module ------------------------------------------------------------------------------------------------------ */

/* cut(seed, max): answers in memory come in pieces of 1 to max bytes; max = 0 ends it. For tests. */
static int l_cut(lua_State *L) {
  lua_Integer seed = luaL_checkinteger(L, 1), max = luaL_checkinteger(L, 2);
  if (max < 0) return err_argument(L, "max must not be negative");
  if (!net_mem_cut(host_of(L), (uint64_t)seed, (size_t)max)) return out_of_memory(L);
  lua_pushboolean(L, 1);
  return 1;
}

static void make_type(lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_host_server(lua_State *L) {
  static const luaL_Reg server[] = {{"port", l_port},   {"accept", l_accept}, {"stop", l_stop},
                                    {"close", l_close}, {"__gc", server_gc},  {NULL, NULL}};
  static const luaL_Reg exchange[] = {{"request", l_request}, {"reply", l_reply},    {"write", l_write},
                                      {"finish", l_finish},   {"reset", l_reset},    {"open", l_is_open},
                                      {"answer", l_answer},   {"__gc", exchange_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", l_open}, {"cut", l_cut}, {NULL, NULL}};
  make_type(L, SERVER, server);
  make_type(L, EXCHANGE, exchange);
  luaL_newlib(L, functions);
  return 1;
}
