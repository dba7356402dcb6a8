/* stdio.c - host.stdio: the standard streams, for lua/stdio.lua. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>

#include "loop/binding.h"
#include "sys/console.h"
#include "loop/host.h"
#include "loop/op.h"
#include "loop/task.h"
#include "sys/tty.h"

int luaopen_host_stdio(lua_State *L);

static int push_error(lua_State *L, const struct err *e) {
  int n = err_push(L, e);
  lua_pushboolean(L, e->code == EPIPE); /* the reader is gone: not worth a message */
  lua_setfield(L, -2, "pipe");
  return n;
}

static int push_oom(lua_State *L) {
  return err_pushf(L, "os", "out of memory: cannot wait for the terminal");
}

/* --- write ------------------------------------------------------------------------------------ */

struct room_op {
  struct op op;
  struct console_wait wait;
  struct host *host;
  int fd;
};

static void room_ready(struct console_wait *w) {
  struct room_op *o = CONTAINER_OF(w, struct room_op, wait);
  o->host->inflight--;
  op_done(&o->op);
  op_unref(&o->op);
}

static int room_push(lua_State *L, struct op *op) {
  (void)op;
  lua_pushboolean(L, 1);
  return 1;
}

static void room_cancel(struct op *op) {
  struct room_op *o = CONTAINER_OF(op, struct room_op, op);
  console_forget_room(o->host, o->fd, &o->wait);
  o->host->inflight--;
  op_unref(op);
}

static void room_free(struct op *op) {
  struct room_op *o = CONTAINER_OF(op, struct room_op, op);
  mem_free(&o->host->mem, o);
}

static const struct op_class room_class = {"stdio.write", room_push, room_cancel, room_free};

/* Too much is kept: wait, where one can. Where not (inside table.sort, ...), memory has to do. */
static int await_room(lua_State *L, struct host *h, int fd) {
  struct task *t = task_current(h);
  if (!t || !lua_isyieldable(L)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  op_enter(L, "stdio.write");
  struct room_op *o = mem_calloc(&h->mem, sizeof *o);
  if (!o) return push_oom(L);
  op_init(&o->op, &room_class);
  o->host = h;
  o->fd = fd;
  o->wait.ready = room_ready;
  h->inflight++;
  console_await_room(h, fd, &o->wait);
  return op_await(L, &o->op);
}

/* write(fd, ...) -> true; returns before a slow reader has taken the strings and numbers, unless a
 * megabyte is kept already. nil and an error of kind `os` when they cannot go; its field `pipe` is
 * true when the other end is closed. */
static int l_write(lua_State *L) {
  lua_Integer fd = luaL_checkinteger(L, 1);
  int count = lua_gettop(L);
  for (int i = 2; i <= count; i++) luaL_checkstring(L, i);
  if (fd != 1 && fd != 2) return err_argument(L, "write: the descriptor is 1 or 2, not %lld", (long long)fd);
  struct host *h = host_of(L);
  for (int i = 2; i <= count; i++) {
    struct err e;
    size_t len;
    const char *bytes = lua_tolstring(L, i, &len);
    if (!console_write(h, (int)fd, bytes, len, &e)) return push_error(L, &e);
  }
  if (console_kept(h, (int)fd) >= CONSOLE_HIGH) return await_room(L, h, (int)fd);
  lua_pushboolean(L, 1);
  return 1;
}

/* flush(seconds?) -> true: writes what is kept, blocking the loop for at most that long (0: what
 * goes at once) */
static int l_flush(lua_State *L) {
  double seconds = luaL_optnumber(L, 1, 0);
  struct err e;
  struct host *h = host_of(L);
  if (!console_flush(h, seconds > 0 ? seconds : 0) && console_lost(h, &e)) return push_error(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

/* --- read ------------------------------------------------------------------------------------- */

struct read_op {
  struct op op;
  struct console_read read;
  struct host *host;
  size_t taken;
};

static void read_ready(struct console_wait *w) {
  struct console_read *r = CONTAINER_OF(w, struct console_read, wait);
  struct read_op *o = CONTAINER_OF(r, struct read_op, read);
  op_done(&o->op);
  op_unref(&o->op);
}

static int read_push(lua_State *L, struct op *op) {
  struct read_op *o = CONTAINER_OF(op, struct read_op, op);
  const char *bytes;
  size_t len;
  int error;
  if (!console_take(o->host, &o->read, &bytes, &len, &error)) {
    if (error) return err_pushf(L, "os", "cannot read standard input: %s", uv_strerror(uv_translate_sys_error(error)));
    lua_pushnil(L);
    return 1;
  }
  bool line = o->read.want == CONSOLE_LINE && len > 0 && bytes[len - 1] == '\n';
  lua_pushlstring(L, bytes, line ? len - 1 : len);
  o->taken = len;
  return 1;
}

static void read_cancel(struct op *op) {
  struct read_op *o = CONTAINER_OF(op, struct read_op, op);
  console_forget(o->host, &o->read, 0);
  op_unref(op);
}

static void read_free(struct op *op) {
  struct read_op *o = CONTAINER_OF(op, struct read_op, op);
  console_forget(o->host, &o->read, o->taken);
  mem_free(&o->host->mem, o);
}

static const struct op_class read_class = {"stdio.read", read_push, read_cancel, read_free};

static int start_read(lua_State *L, enum console_want want, size_t count) {
  struct host *h = host_of(L);
  struct read_op *o = mem_calloc(&h->mem, sizeof *o);
  if (!o) return push_oom(L);
  op_init(&o->op, &read_class);
  o->op.urgent = want == CONSOLE_SOME;
  o->host = h;
  o->read.want = want;
  o->read.count = count;
  o->read.wait.ready = read_ready;
  console_read(h, &o->read);
  return op_await(L, &o->op);
}

/* read_line() -> the next line without its LF; nil at the end */
static int l_read_line(lua_State *L) {
  op_enter(L, "stdio.read");
  return start_read(L, CONSOLE_LINE, 0);
}

/* read(n) -> n bytes, fewer only at the end; nil at the end */
static int l_read(lua_State *L) {
  op_enter(L, "stdio.read");
  lua_Integer n = luaL_checkinteger(L, 1);
  if (n < 0) return err_argument(L, "read: the number of bytes cannot be negative");
  return start_read(L, CONSOLE_COUNT, (size_t)n);
}

/* read_all() -> all that is left; nil when nothing is */
static int l_read_all(lua_State *L) {
  op_enter(L, "stdio.read");
  return start_read(L, CONSOLE_ALL, 0);
}

/* read_some() -> the bytes that are there, at least one; nil at the end */
static int l_read_some(lua_State *L) {
  op_enter(L, "stdio.keys");
  return start_read(L, CONSOLE_SOME, 0);
}

/* --- editing lines ---------------------------------------------------------------------------- */

/* raw(farewell) -> true: keys one by one, without echo; `farewell` is written when the terminal's modes are given back,
 * whatever way the program ends. News come as events of kind "terminal" (tty.h). nil and an error where there is none. */
static int l_raw(lua_State *L) {
  size_t len;
  const char *farewell = luaL_checklstring(L, 1, &len);
  struct err e;
  if (len > TTY_FAREWELL) return err_argument(L, "raw: the farewell is longer than %d bytes", TTY_FAREWELL);
  if (!tty_raw(host_of(L), farewell, len, &e)) return err_push(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

/* cooked(): the modes as they were */
static int l_cooked(lua_State *L) {
  tty_cooked(host_of(L));
  return 0;
}

/* interrupts(on): while raw, whether Ctrl-C is a signal or a byte */
static int l_interrupts(lua_State *L) {
  tty_interrupts(host_of(L), lua_toboolean(L, 1));
  return 0;
}

/* suspend(): stops the process as Ctrl-Z does; returns when it continues */
static int l_suspend(lua_State *L) {
  tty_suspend(host_of(L));
  return 0;
}

/* forget_typed(): discards input typed ahead on a terminal: it cannot answer a question that was not shown yet */
static int l_forget_typed(lua_State *L) {
  console_forget_typed(host_of(L));
  return 0;
}

/* --- looking ---------------------------------------------------------------------------------- */

static int l_is_tty(lua_State *L) {
  lua_Integer fd = luaL_checkinteger(L, 1);
  lua_pushboolean(L, fd >= 0 && fd <= 2 && console_is_tty((int)fd));
  return 1;
}

/* columns() -> columns, rows of the terminal; nil if there is no terminal */
static int l_columns(lua_State *L) {
  int columns, rows;
  if (!console_size(&columns, &rows)) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, columns);
  lua_pushinteger(L, rows);
  return 2;
}

int luaopen_host_stdio(lua_State *L) {
  static const luaL_Reg functions[] = {{"write", l_write},
                                       {"flush", l_flush},
                                       {"read_line", l_read_line},
                                       {"read", l_read},
                                       {"read_all", l_read_all},
                                       {"is_tty", l_is_tty},
                                       {"columns", l_columns},
                                       {"read_some", l_read_some},
                                       {"raw", l_raw},
                                       {"cooked", l_cooked},
                                       {"suspend", l_suspend},
                                       {"interrupts", l_interrupts},
                                       {"forget_typed", l_forget_typed},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
