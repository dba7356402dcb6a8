/* watch.c - host.watch: new() -> w; lua/driver/watch.lua builds on it. */
#include <lauxlib.h>
#include <lua.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "hostlibs.h"
#include "loop/op.h"
#include "loop/timers.h"
#include "sys/watch.h"

#define WATCH_TYPE "host.watch"

/* One wait for a change. */
struct watch_op {
  struct op op;
  struct watch_wait wait;
  struct timer timer;
  struct host *host;
  struct watch *watch; /* held */
};

static struct watch *check_watch(lua_State *L) {
  struct watch **box = luaL_checkudata(L, 1, WATCH_TYPE);
  if (!*box) err_argument(L, "the watch is closed");
  return *box;
}

static int l_new(lua_State *L) {
  struct watch **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, WATCH_TYPE);
  *box = watch_new(host_of(L));
  return *box ? 1 : err_pushf(L, "os", "out of memory: cannot watch files");
}

/* w:add(folder, name | nil) -> number of the folder, whether the system watches it */
static int watch_l_add(lua_State *L) {
  struct watch *w = check_watch(L);
  const char *folder = luaL_checkstring(L, 2), *name = luaL_optstring(L, 3, NULL);
  if (watch_closed(w)) return err_argument(L, "the watch is closed");
  int status = 0, number = watch_add(w, folder, name, &status);
  if (number == 0) return err_pushf(L, "os", "out of memory: cannot watch files");
  lua_pushinteger(L, number);
  lua_pushboolean(L, status == 0);
  return 2;
}

/* w:again(number) -> whether the folder is watched (anew) */
static int watch_l_again(lua_State *L) {
  struct watch *w = check_watch(L);
  int number = (int)luaL_checkinteger(L, 2);
  lua_pushboolean(L, watch_again(w, number) == 0);
  return 1;
}

/* --- waiting -------------------------------------------------------------------------------------------------------- */

static struct watch_op *of_op(struct op *op) {
  return CONTAINER_OF(op, struct watch_op, op);
}

static void over(struct watch_op *o) {
  timer_stop(o->host, &o->timer);
  watch_forget(o->watch, &o->wait);
  op_done(&o->op);
  op_unref(&o->op);
}

static void on_ready(struct watch_wait *wait) {
  over(CONTAINER_OF(wait, struct watch_op, wait));
}

static void on_time(struct timer *timer) {
  over(CONTAINER_OF(timer, struct watch_op, timer));
}

static int next_push(lua_State *L, struct op *op) {
  struct watch *w = of_op(op)->watch;
  struct watch_change change;
  luaL_checkstack(L, 2, "watch");
  if (watch_closed(w)) return 0;
  if (!watch_take(w, &change)) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_pushinteger(L, change.folder);
  lua_pushstring(L, change.name);
  return 2;
}

static void next_cancel(struct op *op) {
  struct watch_op *o = of_op(op);
  timer_stop(o->host, &o->timer);
  watch_forget(o->watch, &o->wait);
  op_unref(op);
}

static void next_free(struct op *op) {
  struct watch_op *o = of_op(op);
  struct host *h = o->host;
  watch_release(o->watch);
  mem_free(&h->mem, o);
}

static const struct op_class next_class = {"fs.watch", next_push, next_cancel, next_free};

/* w:next(seconds | nil) -> number of a folder, name in it ("" = itself); 0 = changes were lost; false = the time is up; nil =
 * the watch was closed */
static int watch_l_next(lua_State *L) {
  op_enter(L, "fs.watch");
  struct watch *w = check_watch(L);
  double seconds = luaL_optnumber(L, 2, -1);
  struct host *h = host_of(L);
  struct watch_op *o = mem_calloc(&h->mem, sizeof *o);
  if (!o) return err_pushf(L, "os", "out of memory: cannot wait for a change");
  op_init(&o->op, &next_class);
  o->host = h;
  o->watch = w;
  o->wait.ready = on_ready;
  watch_hold(w);
  if (watch_closed(w) || watch_pending(w)) {
    over(o);
  } else if (!watch_await(w, &o->wait)) {
    op_unref(&o->op);
    op_unref(&o->op);
    return err_argument(L, "another task waits for these changes already");
  } else if (seconds >= 0) {
    timer_start(h, &o->timer, seconds, on_time);
  }
  return op_await(L, &o->op);
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

static int watch_l_close(lua_State *L) {
  struct watch **box = luaL_checkudata(L, 1, WATCH_TYPE);
  struct watch *w = *box;
  *box = NULL;
  if (!w) return 0;
  watch_close(w); /* a waiting task is woken */
  watch_release(w);
  return 0;
}

int luaopen_host_watch(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"add", watch_l_add}, {"again", watch_l_again}, {"next", watch_l_next}, {"close", watch_l_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"new", l_new}, {NULL, NULL}};
  if (luaL_newmetatable(L, WATCH_TYPE)) {
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, watch_l_close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, watch_l_close);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "watch");
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
