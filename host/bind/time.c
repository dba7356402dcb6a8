/* time.c - host.time: the clock seam. Waiting is host.task.park. */
#include <lauxlib.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "hostlibs.h"

/* monotonic() -> seconds since some fixed moment */
static int l_monotonic(lua_State *L) {
  lua_pushnumber(L, (double)host_now(host_of(L)) / 1e9);
  return 1;
}

/* wall() -> seconds since 1970 */
static int l_wall(lua_State *L) {
  lua_pushnumber(L, host_wall(host_of(L)));
  return 1;
}

/* cpu() -> seconds of processor time this process used */
static int l_cpu(lua_State *L) {
  uv_rusage_t r;
  if (uv_getrusage(&r) != 0) return 0;
  lua_pushnumber(L, (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
                        (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6);
  return 1;
}

/* virtual(epoch | nil): stop the clock at `epoch`, or give the real one back. Only while no timer is armed. */
static int l_virtual(lua_State *L) {
  struct host *h = host_of(L);
  double epoch = luaL_optnumber(L, 1, -1);
  if (h->timers.count > 0) return err_argument(L, "the clock cannot change while timers run");
  h->clock = epoch >= 0 ? CLOCK_VIRTUAL : CLOCK_REAL;
  h->virtual_now = 0;
  h->virtual_epoch = epoch;
  return 0;
}

int luaopen_host_time(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"monotonic", l_monotonic}, {"wall", l_wall}, {"cpu", l_cpu}, {"virtual", l_virtual}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
