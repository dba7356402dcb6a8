/* http.c - host.http: makes requests out of Lua tables. start{} gives a request to read from (l_http_read.c), fetch{}
 * waits for the whole answer, with one suspension. */
#include "bind_http.h"
#include "bind_stream_pick.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "hostlibs.h"
#include "net/net_impl.h"

#define HEADERS_MAX 100
#define ALLOW_MAX   64
#define RESOLVE_MAX 256

/* --- options -------------------------------------------------------------------------------------------------------- */

/* All strings stay the table's, which the caller keeps on its stack. */
struct request {
  struct net_options net;
  const char *headers[HEADERS_MAX + 1], *allow[ALLOW_MAX + 1], *resolve[RESOLVE_MAX + 1];
  size_t max_line;
};

static const char *opt_string(lua_State *L, const char *name, const char *otherwise, size_t *len) {
  int type = lua_getfield(L, 1, name);
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    if (len) *len = 0;
    return otherwise;
  }
  if (type != LUA_TSTRING) err_argument(L, "%s must be a string, got %s", name, luaL_typename(L, -1));
  const char *s = lua_tolstring(L, -1, len);
  lua_pop(L, 1);
  return s;
}

static double opt_number(lua_State *L, const char *name) {
  int type = lua_getfield(L, 1, name);
  double number = lua_tonumber(L, -1);
  if (type != LUA_TNIL && (type != LUA_TNUMBER || !(number >= 0)))
    err_argument(L, "%s must be a number, zero or more", name);
  lua_pop(L, 1);
  return number;
}

static uint64_t opt_count(lua_State *L, const char *name, uint64_t most) {
  double number = opt_number(L, name);
  return number < (double)most ? (uint64_t)number : most;
}

static bool opt_bool(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  bool set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

static bool is_token(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c))) return false;
  }
  return len > 0;
}

/* A line break in a header would be a way to smuggle in another one, or another request. */
static void check_header(lua_State *L, const char *line, size_t len) {
  const char *colon = memchr(line, ':', len);
  if (!colon || !is_token(line, (size_t)(colon - line)))
    err_argument(L, "bad header '%.60s': want 'Name: value'", line);
  for (size_t i = 0; i < len; i++)
    if (line[i] == '\n' || line[i] == '\r' || line[i] == 0)
      err_argument(L, "header %.*s: a line break or NUL in its value", (int)(colon - line), line);
}

static void read_headers(lua_State *L, struct request *q) {
  size_t n = 0;
  int type = lua_getfield(L, 1, "headers");
  if (type != LUA_TNIL && type != LUA_TTABLE) err_argument(L, "headers must be a list of strings");
  while (type == LUA_TTABLE) {
    size_t len;
    int item = lua_rawgeti(L, -1, (lua_Integer)n + 1);
    if (item == LUA_TNIL) {
      lua_pop(L, 1);
      break;
    }
    if (item != LUA_TSTRING) err_argument(L, "headers[%zu] must be a string 'Name: value'", n + 1);
    if (n == HEADERS_MAX) err_argument(L, "more than %d headers", HEADERS_MAX);
    const char *line = lua_tolstring(L, -1, &len);
    check_header(L, line, len);
    q->headers[n++] = line;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  q->headers[n] = NULL;
  q->net.headers = q->headers;
}

/* A list of at most `most` strings into `out`, which has room for one more; NULL when the option is not given. */
static const char *const *opt_list(lua_State *L, const char *name, const char **out, size_t most) {
  size_t n = 0;
  int type = lua_getfield(L, 1, name);
  if (type != LUA_TNIL && type != LUA_TTABLE) err_argument(L, "%s must be a list of strings", name);
  while (type == LUA_TTABLE) {
    int item = lua_rawgeti(L, -1, (lua_Integer)n + 1);
    if (item != LUA_TNIL && item != LUA_TSTRING) err_argument(L, "%s[%d] must be a string", name, (int)n + 1);
    if (item != LUA_TNIL && n == most) err_argument(L, "%s has more than %d entries", name, (int)most);
    out[n] = lua_tostring(L, -1);
    lua_pop(L, 1);
    if (item == LUA_TNIL) break;
    n++;
  }
  lua_pop(L, 1);
  return type == LUA_TNIL ? NULL : out;
}

static void check_url(lua_State *L, const char *url, size_t len) {
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)url[i] <= ' ' || url[i] == 0x7f)
      err_argument(L, "a URL cannot hold blanks or control characters; percent-encode them: '%.100s'", url);
}

/* { method=, url=, headers={"Name: value", ...}, body=, connect=, first_byte=, idle=, total= (seconds), max_redirects=,
 *   max_bytes=, max_line=, proxy=, ca_file=, insecure=, plain=, socket=, public=, allow=, resolve= }; all but url may be left out. Raises on
 *   bad ones. */
static void read_request(lua_State *L, struct request *q) {
  size_t len;
  if (!lua_istable(L, 1)) err_argument(L, "want a table of options, got %s", luaL_typename(L, 1));
  struct net_options *o = &q->net;
  *o = (struct net_options){0};
  o->url = opt_string(L, "url", NULL, &len);
  if (!o->url) err_argument(L, "url is missing");
  check_url(L, o->url, len);
  o->method = opt_string(L, "method", NULL, &len);
  if (!o->method)
    o->method = "GET";
  else if (!is_token(o->method, len))
    err_argument(L, "bad method '%.60s'", o->method);
  read_headers(L, q);
  o->body = opt_string(L, "body", NULL, &o->body_len);
  o->timeouts.connect = opt_number(L, "connect");
  o->timeouts.first_byte = opt_number(L, "first_byte");
  o->timeouts.idle = opt_number(L, "idle");
  o->timeouts.total = opt_number(L, "total");
  o->max_redirects = (int)opt_count(L, "max_redirects", 1000);
  o->max_bytes = opt_count(L, "max_bytes", 1ull << 52);
  q->max_line = (size_t)opt_count(L, "max_line", 1ull << 52);
  o->proxy = opt_string(L, "proxy", NULL, NULL);
  o->ca_file = opt_string(L, "ca_file", NULL, NULL);
  o->insecure = opt_bool(L, "insecure");
  o->plain = opt_bool(L, "plain");
  o->socket = opt_string(L, "socket", NULL, NULL);
  o->only_public = opt_bool(L, "public");
  if (o->only_public) o->allow = opt_list(L, "allow", q->allow, ALLOW_MAX);
  o->resolve = opt_list(L, "resolve", q->resolve, RESOLVE_MAX);
}

/* --- options read once, for many requests ---------------------------------------------------------------------------- */

#define PREPARED "stoke.http.prepared"

/* Puts a copy of the list at the top of the stack in its place. */
static void copy_list(lua_State *L) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -2, i);
    lua_rawseti(L, -2, i);
  }
  lua_remove(L, -2);
}

/* prepare{...} -> options for start and fetch, which take the body beside them. It keeps a copy of its own, whose strings are
 * those that the struct points to. */
static int l_prepare(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 1);) {
    if (lua_istable(L, -1)) copy_list(L);
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, 2);
  }
  lua_replace(L, 1);
  struct request *q = lua_newuserdatauv(L, sizeof *q, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 2, 1);
  read_request(L, q);
  luaL_setmetatable(L, PREPARED);
  return 1;
}

/* Options, read or prepared; the body may come beside them. */
static void take_request(lua_State *L, struct request *q) {
  const struct request *ready = lua_type(L, 1) == LUA_TUSERDATA ? luaL_testudata(L, 1, PREPARED) : NULL;
  if (ready) {
    q->net = ready->net;
    q->max_line = ready->max_line;
  } else {
    read_request(L, q);
  }
  if (!lua_isnoneornil(L, 2)) q->net.body = luaL_checklstring(L, 2, &q->net.body_len);
}

static int out_of_memory(lua_State *L) {
  return err_pushf(L, "os", "not enough memory for a request");
}

/* --- start ---------------------------------------------------------------------------------------------------------- */

/* start(options or prepared, body | nil) -> request | nil, err */
static int l_start(lua_State *L) {
  struct request q;
  struct err e;
  struct host *h = host_of(L);
  take_request(L, &q);
  struct rq **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setmetatable(L, -2);
  struct rq *r = mem_calloc(&h->mem, sizeof *r);
  if (!r) return out_of_memory(L);
  r->host = h;
  r->refs = 1;
  lines_init(&r->lines, &h->mem, q.max_line);
  sse_init(&r->sse, &h->mem);
  *box = r;
  r->net = net_start(h, &q.net, &rq_sink, r, &e);
  if (r->net) return 1;
  r->ended = true;
  return err_push(L, &e);
}

/* --- fetch ---------------------------------------------------------------------------------------------------------- */

struct fetch {
  struct op op;
  struct host *host;
  struct net_request *net;
  char *head, *body;
  size_t head_len, body_len, body_size;
  int status;
  struct err err;
};

static void fetch_free(struct op *op) {
  struct fetch *f = CONTAINER_OF(op, struct fetch, op);
  struct mem *m = &f->host->mem;
  mem_free(m, f->head);
  mem_free(m, f->body);
  mem_free(m, f);
}

static int fetch_push(lua_State *L, struct op *op) {
  struct fetch *f = CONTAINER_OF(op, struct fetch, op);
  if (f->err.kind) return err_push(L, &f->err);
  lua_pushinteger(L, f->status);
  lua_pushlstring(L, f->head, f->head_len);
  lua_pushlstring(L, f->body_len ? f->body : "", f->body_len);
  return 3;
}

static void fetch_cancel(struct op *op) {
  struct fetch *f = CONTAINER_OF(op, struct fetch, op);
  net_cancel(f->net);
  op_unref(op);
}

static const struct op_class fetch_class = {"http.fetch", fetch_push, fetch_cancel, fetch_free};

static void fetch_done(struct fetch *f) {
  op_done(&f->op);
  op_unref(&f->op);
}

/* From inside a sink call: no end comes after net_cancel. */
static void fetch_fail_memory(struct fetch *f) {
  err_set(&f->err, "os", ENOMEM, "not enough memory for the answer");
  net_cancel(f->net);
  fetch_done(f);
}

static void on_head(void *ud, int status, const char *block, size_t len) {
  struct fetch *f = ud;
  f->head = mem_strndup(&f->host->mem, block, len);
  f->head_len = len;
  f->status = status;
  if (!f->head) fetch_fail_memory(f);
}

static bool on_data(void *ud, const char *bytes, size_t len) {
  struct fetch *f = ud;
  size_t need = f->body_len + len;
  if (need > f->body_size) {
    size_t size = f->body_size ? f->body_size * 2 : len;
    if (size < need) size = need;
    char *body = mem_grow(&f->host->mem, f->body, size);
    if (!body) {
      fetch_fail_memory(f);
      return false;
    }
    f->body = body;
    f->body_size = size;
  }
  memcpy(f->body + f->body_len, bytes, len);
  f->body_len = need;
  return true;
}

static void on_end(void *ud, const struct err *e) {
  struct fetch *f = ud;
  if (e) f->err = *e;
  fetch_done(f);
}

static const struct net_sink fetch_sink = {on_head, on_data, on_end};

/* fetch(options or prepared, body | nil) -> status, "Name: value\n" lines, body | nil, err */
static int l_fetch(lua_State *L) {
  struct request q;
  struct err e;
  struct host *h = host_of(L);
  op_enter(L, "http.fetch");
  take_request(L, &q);
  struct fetch *f = mem_alloc(&h->mem, sizeof *f);
  if (!f) return out_of_memory(L);
  *f = (struct fetch){.host = h};
  op_init(&f->op, &fetch_class);
  f->net = net_start(h, &q.net, &fetch_sink, f, &e);
  if (!f->net) {
    fetch_free(&f->op);
    return err_push(L, &e);
  }
  return op_await(L, &f->op);
}

/* --- the module ----------------------------------------------------------------------------------------------------- */

/* deny(on): from now on only http://NAME.mem/ is answered; for tests. -> true | nil, err */
static int l_deny(lua_State *L) {
  struct host *h = host_of(L);
  net_deny_real(h, lua_toboolean(L, 1));
  if (!h->net) return out_of_memory(L);
  lua_pushboolean(L, 1);
  return 1;
}

/* place(url, location?) -> the URL that location leads to, and its host as curl reads it, in one spelling; nil = no URL */
static int l_place(lua_State *L) {
  size_t base_len, location_len = 0;
  char host[256];
  const char *base = luaL_checklstring(L, 1, &base_len), *location = luaL_optlstring(L, 2, NULL, &location_len);
  size_t size = 3 * (base_len + location_len) + 64; /* all of it may be percent-encoded */
  char *url = lua_newuserdatauv(L, size, 0);
  if (!net_place(base, location, url, size, host, sizeof host)) return 0;
  lua_pushstring(L, url);
  lua_pushstring(L, host);
  return 2;
}

int luaopen_host_http(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"start", l_start}, {"fetch", l_fetch},       {"prepare", l_prepare},        {"deny", l_deny},
      {"place", l_place}, {"pick", l_pick_compile}, {"iterator", l_pick_iterator}, {"plain", l_pick_plain},
      {NULL, NULL}};
  luaL_newmetatable(L, PREPARED);
  lua_pop(L, 1);
  luaL_newlibtable(L, functions);
  luaL_newmetatable(L, "stoke.http.request");
  lua_createtable(L, 0, 8); /* of methods */
  rq_open_methods(L);
  luaL_setfuncs(L, functions, 1);
  return 1;
}
