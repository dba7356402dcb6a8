/* http_read.c - the answer of one request, read by Lua: head, chunk, line, event, body. What is there is returned at
 * once; else the task waits, and the sink wakes it when it is. */
#include "bind_http.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/host.h"

#define HIGH_WATER (1024 * 1024) /* unread bytes: beyond it the sender has to wait */
#define LOW_WATER  (256 * 1024)

static size_t held(const struct rq *r) {
  return r->lines.end - r->lines.start;
}

static const struct err no_memory = {.kind = "os", .code = ENOMEM, .message = "not enough memory for the answer"};

/* --- life --------------------------------------------------------------------------------------------------------- */

void rq_unref(struct rq *r) {
  if (--r->refs > 0) return;
  CHECK(!r->net);
  struct mem *m = &r->host->mem;
  lines_close(&r->lines);
  sse_close(&r->sse);
  mem_free(m, r->head);
  if (r->err != &no_memory) mem_free(m, (void *)r->err);
  mem_free(m, r);
}

/* The first reason stays. */
static void set_error(struct rq *r, const struct err *e) {
  if (r->err) return;
  struct err *copy = e == &no_memory ? NULL : mem_alloc(&r->host->mem, sizeof *copy);
  if (copy) *copy = *e;
  r->err = copy ? copy : &no_memory;
}

static void wake(struct rq *r) {
  if (!r->armed) return;
  r->armed = false;
  op_done(&r->op);
  op_unref(&r->op);
}

static void cut(struct rq *r) {
  struct net_request *net = r->net;
  r->net = NULL;
  if (net) net_cancel(net);
}

void rq_fail(struct rq *r, const struct err *e) {
  cut(r);
  set_error(r, e);
  r->ended = true;
  wake(r);
}

void rq_close(struct rq *r) {
  struct err e;
  err_set(&e, "incomplete", 0, "this request was closed before its answer was read to the end");
  if (!r->ended || held(r)) rq_fail(r, &e);
  lines_close(&r->lines);
}

/* --- what comes --------------------------------------------------------------------------------------------------- */

bool rq_next_line(struct rq *r, const char **line, size_t *len) {
  struct err e;
  switch (lines_next(&r->lines, line, len)) {
    case LINES_LINE: return true;
    case LINES_MORE: return false;
    default: break;
  }
  err_set(&e, "limit", 0, "a line of the answer is longer than max_line (%zu bytes)", r->lines.max_line);
  rq_fail(r, &e);
  return false;
}

void rq_put_back(struct rq *r, const char *line) {
  r->lines.start = (size_t)(line - r->lines.buf);
  r->lines.scanned = 0;
  r->lines.taken--;
}

static bool next_event(struct rq *r) {
  const char *line;
  size_t len;
  while (!r->event && rq_next_line(r, &line, &len)) {
    r->event = sse_line(&r->sse, line, len);
    if (r->sse.failed) {
      rq_fail(r, &no_memory);
      return false;
    }
  }
  return r->event;
}

static void on_head(void *ud, int status, const char *block, size_t len) {
  struct rq *r = ud;
  r->head = mem_strndup(&r->host->mem, block, len);
  if (!r->head) {
    rq_fail(r, &no_memory);
    return;
  }
  r->head_len = len;
  r->status = status;
  if (r->want == RQ_HEAD) wake(r);
}

static bool satisfied(struct rq *r, const char *bytes, size_t len) {
  switch (r->want) {
    case RQ_CHUNK: return true;
    case RQ_LINE: return memchr(bytes, '\n', len) || held(r) > r->lines.max_line;
    case RQ_EVENT: return next_event(r);
    default: return false;
  }
}

static bool on_data(void *ud, const char *bytes, size_t len) {
  struct rq *r = ud;
  /* a reader that still waits has read all there is for it: it needs more, however much is held */
  if (!r->armed && held(r) >= HIGH_WATER) {
    r->paused = true;
    return false;
  }
  if (!lines_feed(&r->lines, bytes, len)) {
    rq_fail(r, &no_memory);
    return false;
  }
  if (r->armed && satisfied(r, bytes, len)) wake(r);
  return true;
}

static void on_end(void *ud, const struct err *e) {
  struct rq *r = ud;
  r->net = NULL;
  r->ended = true;
  if (e) set_error(r, e);
  wake(r);
}

const struct net_sink rq_sink = {on_head, on_data, on_end};

/* --- waiting ------------------------------------------------------------------------------------------------------ */

struct rq *rq_check(lua_State *L) {
  struct rq **box = lua_touserdata(L, 1);
  if (!box || !lua_getmetatable(L, 1)) err_argument(L, "want a request here, got %s", luaL_typename(L, 1));
  if (!lua_rawequal(L, -1, lua_upvalueindex(1))) err_argument(L, "want a request here, got another userdata");
  lua_pop(L, 1);
  if (!*box) err_argument(L, "this request was collected already");
  return *box;
}

struct rq *rq_begin(lua_State *L, const char *name) {
  struct rq *r = rq_check(L);
  op_enter(L, name);
  if (r->waiting) err_argument(L, "%s: another task reads from this request", name);
  return r;
}

void rq_took(struct rq *r) {
  if (!r->paused || held(r) >= LOW_WATER) return;
  r->paused = false;
  if (r->net) net_resume(r->net);
}

int rq_wait(lua_State *L, struct rq *r, const struct op_class *cls, enum rq_want want) {
  op_init(&r->op, cls);
  r->refs++;
  r->waiting = r->armed = true;
  r->want = (uint8_t)want;
  if (r->paused) {
    r->paused = false;
    if (r->net) net_resume(r->net);
  }
  return op_await(L, &r->op);
}

void rq_cancel_wait(struct op *op) {
  struct rq *r = CONTAINER_OF(op, struct rq, op);
  if (r->shared)
    wake(r); /* the native half lets go of this wait; the next one is another reader's */
  else
    rq_close(r); /* wakes no task, since the result is in; drops the native half */
}

void rq_free_wait(struct op *op) {
  struct rq *r = CONTAINER_OF(op, struct rq, op);
  r->waiting = false;
  rq_unref(r);
}

int rq_push_end(lua_State *L, struct rq *r) {
  if (r->err) return err_push(L, r->err);
  lua_pushnil(L);
  return 1;
}

/* --- the reads: each takes what is there (0 = nothing yet), or waits ------------------------------------------------- */

#define READ(NAME, LABEL, WANT)                                                                                        \
  static int push_##NAME(lua_State *L, struct op *op) {                                                                \
    int n = take_##NAME(L, CONTAINER_OF(op, struct rq, op));                                                           \
    CHECK(n > 0); /* the sink wakes for this alone */                                                                  \
    return n;                                                                                                          \
  }                                                                                                                    \
  static const struct op_class class_##NAME = {LABEL, push_##NAME, rq_cancel_wait, rq_free_wait};                      \
  static int l_##NAME(lua_State *L) {                                                                                  \
    struct rq *r = rq_begin(L, LABEL);                                                                                 \
    int n = take_##NAME(L, r);                                                                                         \
    return n ? n : rq_wait(L, r, &class_##NAME, WANT);                                                                 \
  }

void rq_drop_head(struct rq *r) {
  mem_free(&r->host->mem, r->head);
  r->head = NULL;
  r->head_len = 0;
}

/* head() -> status, "Name: value\n" lines | nil, err. May be called again. */
static int take_head(lua_State *L, struct rq *r) {
  if (!r->status) return r->ended ? rq_push_end(L, r) : 0;
  lua_pushinteger(L, r->status);
  lua_pushlstring(L, r->head ? r->head : "", r->head_len);
  return 2;
}
READ(head, "http.head", RQ_HEAD)

/* chunk() -> bytes | nil (the end) | nil, err */
static int take_chunk(lua_State *L, struct rq *r) {
  size_t len = held(r);
  if (!len) return r->ended ? rq_push_end(L, r) : 0;
  lua_pushlstring(L, r->lines.buf + r->lines.start, len);
  r->lines.start = r->lines.end;
  r->lines.scanned = 0;
  rq_took(r);
  return 1;
}
READ(chunk, "http.chunk", RQ_CHUNK)

/* line() -> line without its end | nil (the end) | nil, err */
static int take_line(lua_State *L, struct rq *r) {
  const char *line;
  size_t len;
  if (!rq_next_line(r, &line, &len)) {
    if (!r->ended) return 0;
    if (r->err || !lines_rest(&r->lines, &line, &len)) return rq_push_end(L, r);
  }
  lua_pushlstring(L, line, len);
  rq_took(r);
  return 1;
}
READ(line, "http.line", RQ_LINE)

/* ready() -> true once a line is there, which stays | nil (the end) | nil, err */
static int take_ready(lua_State *L, struct rq *r) {
  const char *line;
  size_t len;
  if (rq_next_line(r, &line, &len))
    rq_put_back(r, line);
  else if (!r->ended)
    return 0;
  else if (r->err || !held(r))
    return rq_push_end(L, r);
  lua_pushboolean(L, 1);
  return 1;
}
READ(ready, "http.line", RQ_LINE)

/* event() -> {event=, data=, id=} of a stream of server-sent events | nil (the end) | nil, err */
static int take_event(lua_State *L, struct rq *r) {
  if (!next_event(r)) return r->ended ? rq_push_end(L, r) : 0;
  lua_createtable(L, 0, 3);
  lua_pushstring(L, r->sse.event && *r->sse.event ? r->sse.event : "message");
  lua_setfield(L, -2, "event");
  lua_pushlstring(L, r->sse.data, r->sse.data_len);
  lua_setfield(L, -2, "data");
  if (r->sse.id) {
    lua_pushstring(L, r->sse.id);
    lua_setfield(L, -2, "id");
  }
  r->event = false;
  rq_took(r);
  return 1;
}
READ(event, "http.event", RQ_EVENT)

/* body() -> all the rest as one string | nil, err */
static int take_body(lua_State *L, struct rq *r) {
  if (!r->ended) return 0;
  if (r->err) return rq_push_end(L, r);
  size_t len = held(r);
  lua_pushlstring(L, len ? r->lines.buf + r->lines.start : "", len);
  r->lines.start = r->lines.end;
  r->lines.scanned = 0;
  return 1;
}
READ(body, "http.body", RQ_BODY)

/* close(): cuts the connection at once; may be repeated */
static int l_close(lua_State *L) {
  rq_close(rq_check(L));
  return 0;
}

/* ended() -> has all of the answer come, and been read? */
static int l_ended(lua_State *L) {
  const struct rq *r = rq_check(L);
  lua_pushboolean(L, r->ended && !held(r));
  return 1;
}

/* came() -> how many whole lines have come, and how many bytes, read or not */
static int l_came(lua_State *L) {
  const struct rq *r = rq_check(L);
  lua_pushinteger(L, (lua_Integer)lines_came(&r->lines));
  lua_pushinteger(L, (lua_Integer)r->lines.fed);
  return 2;
}

/* share(): from now on a cancelled wait leaves the request to its other readers; only close() ends it */
static int l_share(lua_State *L) {
  rq_check(L)->shared = true;
  return 0;
}

static int l_gc(lua_State *L) {
  struct rq **box = lua_touserdata(L, 1);
  struct rq *r = *box;
  *box = NULL;
  if (!r) return 0;
  rq_close(r);
  rq_unref(r);
  return 0;
}

void rq_open_methods(lua_State *L) {
  static const luaL_Reg methods[] = {{"head", l_head},   {"chunk", l_chunk}, {"line", l_line},   {"ready", l_ready},
                                     {"event", l_event}, {"body", l_body},   {"ended", l_ended}, {"came", l_came},
                                     {"close", l_close}, {"share", l_share}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_gc}, {"__close", l_close}, {NULL, NULL}};
  lua_pushvalue(L, -2);
  luaL_setfuncs(L, methods, 1);
  lua_pushvalue(L, -2);
  lua_insert(L, -2); /* metatable, metatable, methods */
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -1);
  luaL_setfuncs(L, meta, 1);
  lua_pop(L, 1);
}
