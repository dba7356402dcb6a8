/* proc.c - host.proc: child processes as objects. spawn{argv=, env=, cwd=, stdin=, stderr=,
 * capture=, tail=, cap=, timeout=, fenced=} -> p; lua/driver/proc.lua builds on it. */
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <string.h>

#include "loop/binding.h"
#include "sys/console.h"
#include "loop/host.h"
#include "loop/op.h"
#include "sys/proc.h"
#include "fence/sandbox.h"

#define PROC_TYPE   "host.proc.process"
#define TIMEOUT_MAX 1e9 /* seconds; keeps the cast to milliseconds in range */

int luaopen_host_proc(lua_State *L);

/* One wait on a process. */
struct proc_op {
  struct op op;
  struct proc_wait wait;
  struct host *host;
  struct proc *proc;
  enum proc_output which;
  size_t max;
  int status;
};

static struct proc_op *of_op(struct op *op) {
  return CONTAINER_OF(op, struct proc_op, op);
}

static struct proc_op *proc_op_new(lua_State *L, const struct op_class *cls, struct proc *p) {
  struct host *h = host_of(L);
  struct proc_op *o = mem_calloc(&h->mem, sizeof *o);
  if (!o) return NULL;
  op_init(&o->op, cls);
  o->host = h;
  o->proc = p;
  proc_hold(p);
  return o;
}

static void proc_op_free(struct op *op) {
  struct proc_op *o = of_op(op);
  proc_unhold(o->proc);
  mem_free(&o->host->mem, o);
}

static void proc_op_over(struct proc_op *o) {
  op_done(&o->op);
  op_unref(&o->op);
}

static void proc_op_ready(struct proc_wait *w) {
  proc_op_over(CONTAINER_OF(w, struct proc_op, wait));
}

static int out_of_memory(lua_State *L) {
  return err_pushf(L, "os", "out of memory: cannot wait for a process");
}

static struct proc *check_proc(lua_State *L) {
  struct proc **box = luaL_checkudata(L, 1, PROC_TYPE);
  if (!*box) err_argument(L, "the process is closed");
  return *box;
}

/* --- spawn ------------------------------------------------------------------------------------ */

static const char *check_text(lua_State *L, int index, const char *what) {
  if (lua_type(L, index) != LUA_TSTRING) err_argument(L, "%s must be a string, not %s", what, luaL_typename(L, index));
  size_t len;
  const char *s = lua_tolstring(L, index, &len);
  if (strlen(s) != len) err_argument(L, "%s holds a NUL byte", what);
  return s;
}

/* The array in field `name` as a NULL-terminated vector: a userdata left on the stack. The strings
 * stay the table's. */
static char **check_vector(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  if (!lua_istable(L, -1)) err_argument(L, "%s must be an array of strings", name);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  char **vector = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *vector, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -2, i);
    vector[i - 1] = (char *)(uintptr_t)check_text(L, -1, name);
    lua_pop(L, 1);
  }
  vector[n] = NULL;
  lua_remove(L, -2);
  return vector;
}

static void read_options(lua_State *L, struct proc_options *o) {
  static const char *const modes[] = {"capture", "inherit", "merge", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  o->argv = check_vector(L, "argv");
  o->env = check_vector(L, "env");
  if (!o->argv[0] || !o->argv[0][0]) err_argument(L, "argv names no program");
  if (lua_getfield(L, 1, "cwd") != LUA_TNIL) o->cwd = check_text(L, -1, "cwd");
  lua_getfield(L, 1, "stdin");
  o->in = lua_toboolean(L, -1);
  lua_getfield(L, 1, "capture");
  o->capture = lua_toboolean(L, -1);
  lua_getfield(L, 1, "tail");
  o->tail = o->capture && lua_toboolean(L, -1);
  lua_getfield(L, 1, "fenced");
  o->fenced = lua_toboolean(L, -1);
  lua_getfield(L, 1, "stderr");
  o->err = (enum proc_stderr)luaL_checkoption(L, -1, "capture", modes);
  lua_getfield(L, 1, "cap");
  lua_Integer cap = luaL_checkinteger(L, -1);
  if (cap < 1) err_argument(L, "the output cap must be at least one byte");
  o->cap = (size_t)cap;
  lua_getfield(L, 1, "timeout");
  o->timeout = luaL_optnumber(L, -1, 0);
  if (!(o->timeout >= 0)) err_argument(L, "the timeout must not be negative");
  if (o->timeout > TIMEOUT_MAX) o->timeout = TIMEOUT_MAX;
}

static int l_spawn(lua_State *L) {
  struct proc_options o = {0};
  read_options(L, &o);
  struct proc **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, PROC_TYPE);
  struct err e;
  /* What was said before comes before what the child says on the same terminal. */
  if (o.err == PROC_STDERR_INHERIT) console_push(host_of(L));
  *box = proc_start(host_of(L), &o, &e);
  return *box ? 1 : err_push(L, &e);
}

/* --- read ------------------------------------------------------------------------------------- */

static enum proc_output check_output(lua_State *L, int arg) {
  static const char *const names[] = {"stdout", "stderr", "report", NULL};
  return (enum proc_output)luaL_checkoption(L, arg, "stdout", names);
}

static int read_push(lua_State *L, struct op *op) {
  struct proc_op *o = of_op(op);
  size_t len;
  bool ended;
  const char *bytes = proc_peek(o->proc, o->which, &len, &ended);
  if (len == 0 && ended) {
    int error = proc_read_error(o->proc, o->which);
    if (error == UV_ENOBUFS) return err_pushf(L, "os", "out of memory: cannot read what the process says");
    lua_pushnil(L);
    return 1;
  }
  if (len > o->max) len = o->max;
  lua_pushlstring(L, bytes, len); /* may raise; nothing is taken then */
  proc_take(o->proc, o->which, len);
  return 1;
}

static void read_cancel(struct op *op) {
  proc_forget_output(of_op(op)->proc, of_op(op)->which);
  op_unref(op);
}

static const struct op_class read_class = {"proc.read", read_push, read_cancel, proc_op_free};

/* p:read("stdout" | "stderr" | "report", max?) -> what is there, at most max bytes ("" when another reader
 * took it); nil at the end */
static int proc_l_read(lua_State *L) {
  op_enter(L, "proc.read");
  struct proc *p = check_proc(L);
  enum proc_output which = check_output(L, 2);
  lua_Integer max = luaL_optinteger(L, 3, 65536);
  if (max < 1) return err_argument(L, "read(max): max must be at least 1, not %lld", (long long)max);
  struct proc_op *o = proc_op_new(L, &read_class, p);
  if (!o) return out_of_memory(L);
  o->which = which;
  o->max = (size_t)max;
  o->wait.ready = proc_op_ready;
  size_t len;
  bool ended;
  (void)proc_peek(p, which, &len, &ended);
  if (len > 0 || ended) {
    proc_op_over(o);
  } else if (!proc_await_output(p, which, &o->wait)) {
    op_unref(&o->op);
    op_unref(&o->op);
    return err_argument(L, "another task is reading from this process already");
  }
  return op_await(L, &o->op);
}

/* p:output() -> stdout, stderr, truncated: what was captured */
static int proc_l_output(lua_State *L) {
  struct proc *p = check_proc(L);
  for (int which = PROC_OUT; which <= PROC_ERR; which++) {
    size_t len;
    bool ended;
    const char *bytes = proc_peek(p, (enum proc_output)which, &len, &ended);
    if (proc_read_error(p, (enum proc_output)which) == UV_ENOBUFS)
      return err_pushf(L, "os", "out of memory: cannot keep what the process says");
    lua_pushlstring(L, len ? bytes : "", len);
  }
  lua_pushboolean(L, proc_truncated(p));
  return 3;
}

/* --- write ------------------------------------------------------------------------------------ */

static bool reads_no_more(int status) {
  return status == UV_EPIPE || status == UV_ECANCELED || status == UV_ECONNRESET;
}

static int write_push(lua_State *L, struct op *op) {
  int status = of_op(op)->status;
  if (status == 0 || reads_no_more(status)) {
    lua_pushboolean(L, status == 0);
    return 1;
  }
  struct err e;
  err_set(&e, "os", -status, "cannot write to the process: %s", uv_strerror(status));
  return err_push(L, &e);
}

static void write_done(void *ud, int status) {
  struct proc_op *o = ud;
  o->status = status;
  proc_op_over(o);
}

/* No cancel hook: a write that the pipe has accepted completes without a waiter. */
static const struct op_class write_class = {"proc.write", write_push, NULL, proc_op_free};

/* p:write(bytes) -> true when the pipe has taken all of it; false when the child reads no more */
static int proc_l_write(lua_State *L) {
  op_enter(L, "proc.write");
  struct proc *p = check_proc(L);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  if (len > INT32_MAX) return err_argument(L, "one write to a process is at most 2 GB");
  struct proc_op *o = proc_op_new(L, &write_class, p);
  if (!o) return out_of_memory(L);
  int rc = proc_write(p, bytes, len, write_done, o);
  if (rc != 0) write_done(o, rc);
  return op_await(L, &o->op);
}

/* p:feed(bytes): writes and closes stdin, without waiting */
static int proc_l_feed(lua_State *L) {
  struct proc *p = check_proc(L);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  if (len > INT32_MAX) return err_argument(L, "stdin is at most 2 GB");
  int rc = len > 0 ? proc_write(p, bytes, len, NULL, NULL) : 0;
  proc_close_stdin(p);
  if (rc == 0 || reads_no_more(rc)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  struct err e;
  err_set(&e, "os", -rc, "cannot write to the process: %s", uv_strerror(rc));
  return err_push(L, &e);
}

static int proc_l_close_stdin(lua_State *L) {
  proc_close_stdin(check_proc(L));
  return 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int push_status(lua_State *L, const struct proc *p) {
  struct proc_status s;
  if (!proc_status(p, &s)) return 0;
  lua_createtable(L, 0, 4);
  if (s.signal == 0) {
    lua_pushinteger(L, s.code);
    lua_setfield(L, -2, "code");
  } else {
    const char *name = proc_signal_name(s.signal);
    if (name)
      lua_pushstring(L, name);
    else
      lua_pushfstring(L, "signal %d", s.signal);
    lua_setfield(L, -2, "signal");
  }
  lua_pushboolean(L, s.timed_out);
  lua_setfield(L, -2, "timed_out");
  lua_pushnumber(L, s.seconds);
  lua_setfield(L, -2, "seconds");
  return 1;
}

static int wait_push(lua_State *L, struct op *op) {
  int n = push_status(L, of_op(op)->proc);
  CHECK(n == 1);
  return n;
}

static void wait_cancel(struct op *op) {
  proc_forget_end(of_op(op)->proc, &of_op(op)->wait);
  op_unref(op);
}

static const struct op_class wait_class = {"proc.wait", wait_push, wait_cancel, proc_op_free};

/* p:wait() -> {code= | signal=, timed_out=, seconds=} */
static int proc_l_wait(lua_State *L) {
  op_enter(L, "proc.wait");
  struct proc *p = check_proc(L);
  struct proc_op *o = proc_op_new(L, &wait_class, p);
  if (!o) return out_of_memory(L);
  o->wait.ready = proc_op_ready;
  struct proc_status s;
  if (proc_status(p, &s))
    proc_op_over(o);
  else
    proc_await_end(p, &o->wait);
  return op_await(L, &o->op);
}

/* p:status() -> the same without waiting; nil while it runs */
static int proc_l_status(lua_State *L) {
  if (!push_status(L, check_proc(L))) lua_pushnil(L);
  return 1;
}

static int check_signal(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return SIGTERM;
  int number =
      lua_type(L, arg) == LUA_TNUMBER ? (int)luaL_checkinteger(L, arg) : proc_signal_number(luaL_checkstring(L, arg));
  if (number <= 0 || number >= NSIG) err_argument(L, "there is no signal %s", luaL_tolstring(L, arg, NULL));
  return number;
}

/* p:kill(signal?) -> whether there was a group to hear it */
static int proc_l_kill(lua_State *L) {
  struct proc *p = check_proc(L);
  int number = check_signal(L, 2);
  lua_pushboolean(L, proc_kill(p, number));
  return 1;
}

static int proc_l_stop(lua_State *L) {
  proc_stop(check_proc(L));
  return 0;
}

static int proc_l_pid(lua_State *L) {
  lua_pushinteger(L, proc_pid(check_proc(L)));
  return 1;
}

static int proc_l_close(lua_State *L) {
  struct proc **box = luaL_checkudata(L, 1, PROC_TYPE);
  struct proc *p = *box;
  *box = NULL;
  if (p) proc_release(p);
  return 0;
}

/* sandbox_level(words) -> what a sandbox of these words reaches on this system: "landlock7+seccomp+rlimits(memory=2G)" */
static int l_sandbox_level(lua_State *L) {
  char level[SANDBOX_LEVEL_MAX];
  struct sandbox s = {0};
  struct err e;
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TSTRING; i++) { /* the table keeps the texts alive */
    if (!sandbox_word(&s, lua_tostring(L, -1), &e)) return err_push(L, &e);
    lua_pop(L, 1);
  }
  sandbox_level(&s, level);
  lua_pushstring(L, level);
  return 1;
}

int luaopen_host_proc(lua_State *L) {
  static const luaL_Reg methods[] = {{"read", proc_l_read},
                                     {"output", proc_l_output},
                                     {"write", proc_l_write},
                                     {"feed", proc_l_feed},
                                     {"close_stdin", proc_l_close_stdin},
                                     {"wait", proc_l_wait},
                                     {"status", proc_l_status},
                                     {"kill", proc_l_kill},
                                     {"stop", proc_l_stop},
                                     {"pid", proc_l_pid},
                                     {"close", proc_l_close},
                                     {NULL, NULL}};
  static const luaL_Reg functions[] = {{"spawn", l_spawn}, {"sandbox_level", l_sandbox_level}, {NULL, NULL}};
  if (luaL_newmetatable(L, PROC_TYPE)) {
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, proc_l_close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, proc_l_close);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "process");
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
