/* task.c - host.task: tasks, parking, alarms and events, for lua/task.lua and lua/keeper.lua. */
#include <lauxlib.h>
#include <string.h>

#include "embed/embed.h"
#include "loop/binding.h"
#include "loop/host.h"
#include "loop/schedule.h"
#include "hostlibs.h"
#include "loop/signals.h"
#include "loop/task.h"
#include "loop/watchdog.h"

#define ALARM "stoke.alarm"

static struct task *check_live(lua_State *L, int arg) {
  luaL_checktype(L, arg, LUA_TTHREAD);
  return task_of_thread(lua_tothread(L, arg));
}

static int new_task(lua_State *L, bool system) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  struct err e;
  if (!task_new(L, lua_gettop(L) - 2, system, &e)) return err_push(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

/* new(record, f, ...) -> true | nil, err */
static int l_new(lua_State *L) {
  return new_task(L, false);
}

/* new_system(record, f, ...): not counted as a leak, listed only on request */
static int l_new_system(lua_State *L) {
  return new_task(L, true);
}

/* slice() -> a counter that changes on every resume */
static int l_slice(lua_State *L) {
  lua_pushinteger(L, watchdog_slice(host_of(L)));
  return 1;
}

static int l_current(lua_State *L) {
  struct task *t = task_current(host_of(L));
  if (!t) return 0;
  task_push_record(L, t);
  return 1;
}

/* park(label, seconds | nil) -> true (woken) | false (time is up) | nil, err (cancelled) */
static int l_park(lua_State *L) {
  const char *label = luaL_checkstring(L, 1);
  double seconds = luaL_optnumber(L, 2, -1);
  if (seconds != seconds) return err_argument(L, "%s: the duration is not a number", label);
  return task_park(L, label, seconds);
}

/* can_wait() -> whether a wait is possible here */
static int l_can_wait(lua_State *L) {
  lua_pushboolean(L, op_possible(L));
  return 1;
}

/* enter(name) -> record of the running task; raises `argument` where nothing can wait. For what queues before it parks. */
static int l_enter(lua_State *L) {
  op_enter(L, luaL_checkstring(L, 1));
  task_push_record(L, task_current(host_of(L)));
  return 1;
}

/* wake(co) -> whether it was parked */
static int l_wake(lua_State *L) {
  struct task *t = check_live(L, 1);
  lua_pushboolean(L, t && task_wake(t));
  return 1;
}

/* interrupt(co): its wait, or else its next one, ends with nil and an error of kind `cancelled` */
static int l_interrupt(lua_State *L) {
  struct task *t = check_live(L, 1);
  if (!t || t->awaits) return 0; /* awaits: the outcome it waits for tells of it, in its turn */
  if (t->op && t->op->verdict == OP_PENDING)
    op_cancel(t->op);
  else
    t->interrupted = true;
  return 0;
}

/* resist(): the running task has heard of its cancellation; waits of its <close> handlers are not cut short */
static int l_resist(lua_State *L) {
  struct task *t = task_current(host_of(L));
  if (t) t->interrupted = false;
  return 0;
}

static int l_abandon(lua_State *L) {
  struct task *t = check_live(L, 1);
  if (t == task_current(host_of(L)) && t) return err_argument(L, "a task cannot abandon itself");
  if (t) task_abandon(t);
  return 0;
}

/* waiting(co) -> label, seconds | nil when it runs or is about to */
static int l_waiting(lua_State *L) {
  struct task *t = check_live(L, 1);
  if (!t || !t->op || t->op->verdict != OP_PENDING) return 0;
  lua_pushstring(L, t->waits);
  lua_pushnumber(L, (double)(host_now(t->host) - t->since) / 1e9);
  return 2;
}

/* list() -> records of all live tasks, newest first */
static int l_list(lua_State *L) {
  struct host *h = host_of(L);
  lua_createtable(L, (int)h->task_count, 0);
  lua_Integer i = 0;
  for (struct task *t = h->live; t; t = t->live_next) {
    task_push_record(L, t);
    lua_rawseti(L, -2, ++i);
  }
  return 1;
}

/* counts() -> tasks, system tasks among them, open native objects, operations in flight */
static int l_counts(lua_State *L) {
  struct host *h = host_of(L);
  lua_pushinteger(L, (lua_Integer)h->task_count);
  lua_pushinteger(L, (lua_Integer)h->system_count);
  lua_pushinteger(L, (lua_Integer)h->handles);
  lua_pushinteger(L, (lua_Integer)h->inflight);
  return 4;
}

#define SITE_LEVELS 200 /* each is looked up from the top of the stack: the square of them is what it costs */

/* site() -> "file:line" of the innermost function that is not the runtime's own; nil when there is none near */
static int l_site(lua_State *L) {
  lua_Debug ar;
  for (int level = 1; level < SITE_LEVELS && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "S", &ar); /* apart from the line, which costs more */
    if (*ar.what == 'C' || strncmp(ar.source, EMBED_PREFIX, sizeof EMBED_PREFIX - 1) == 0) continue;
    lua_getinfo(L, "l", &ar);
    if (ar.currentline <= 0) continue;
    lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
    return 1;
  }
  return 0;
}

/* step_in(co) -> token; to be called before the current coroutine resumes `co`: where the caller cannot wait, `co` cannot */
static int l_step_in(lua_State *L) {
  struct host *h = host_of(L);
  struct task *t = task_current(h);
  lua_State *co = lua_tothread(L, 1);
  watchdog_switch(h, co ? co : L);
  lua_pushboolean(L, t && t->blocked);
  if (t && !lua_isyieldable(L)) t->blocked = true;
  return 1;
}

/* step_out(me, token): `me` runs again */
static int l_step_out(lua_State *L) {
  struct host *h = host_of(L);
  struct task *t = task_current(h);
  lua_State *me = lua_tothread(L, 1);
  watchdog_switch(h, me ? me : L);
  if (t) t->blocked = lua_toboolean(L, 2);
  return 0;
}

static int l_stop(lua_State *L) {
  struct host *h = host_of(L);
  h->exit_code = (int)luaL_optinteger(L, 1, 0);
  h->stopping = true;
  return 0;
}

/* The number of an unhandled signal, or nil. */
static int l_signal(lua_State *L) {
  struct host *h = host_of(L);
  if (!signals_pending(h)) return 0;
  lua_pushinteger(L, atomic_load(&h->signals.last));
  return 1;
}

static int l_forget_signal(lua_State *L) {
  signals_forget(host_of(L));
  return 0;
}

/* --- events --------------------------------------------------------------------------------------------------------- */

struct keeper {
  struct op op;
  struct host *host;
};

/* What each kind of event is about, and what more there is to say: one or two values. */

static int push_about(lua_State *L, struct event *ev) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, ev->ref);
  lua_pushinteger(L, ev->number);
  return 2;
}

static int push_died(lua_State *L, struct event *ev) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, ev->ref);
  lua_pushstring(L, CONTAINER_OF(ev, struct died, event)->why);
  return 2;
}

static int push_cancel(lua_State *L, struct event *ev) {
  struct schedule *s = CONTAINER_OF(ev, struct schedule, event);
  task_push_record(L, s->about);
  lua_pushlstring(L, (const char *)s->log.bytes + s->text_at, s->text_len);
  return 2;
}

static int push_failed(lua_State *L, struct event *ev) {
  struct schedule *s = CONTAINER_OF(ev, struct schedule, event);
  if (s->root)
    task_push_record(L, s->root);
  else
    lua_pushnil(L); /* it has ended by itself */
  lua_pushstring(L, s->failed);
  lua_pushstring(L, s->why);
  return 3;
}

static const struct {
  const char *name;
  int (*push)(lua_State *L, struct event *ev);
} event_kinds[] = {
  [EVENT_ALARM] = {"alarm", push_about},       [EVENT_SIGNAL] = {"signal", push_about},
  [EVENT_DIED] = {"died", push_died},          [EVENT_DEADLOCK] = {"deadlock", push_about},
  [EVENT_TERMINAL] = {"terminal", push_about}, [EVENT_CANCEL] = {"cancel", push_cancel},
  [EVENT_CUT] = {"cut", push_cancel},          [EVENT_FAILED] = {"failed", push_failed},
};

static int event_push(lua_State *L, struct op *op) {
  struct host *h = CONTAINER_OF(op, struct keeper, op)->host;
  struct event *ev = h->event_head;
  if (!ev) return 0;
  luaL_checkstack(L, 5, "event");
  lua_pushstring(L, event_kinds[ev->kind].name);
  int n = event_kinds[ev->kind].push(L, ev);
  host_event_drop(h, ev);
  if (ev->kind == EVENT_DIED) { /* nothing below raises */
    luaL_unref(L, LUA_REGISTRYINDEX, ev->ref);
    mem_free(&h->mem, CONTAINER_OF(ev, struct died, event));
  }
  return n + 1;
}

static void keeper_free(struct op *op) {
  struct keeper *k = CONTAINER_OF(op, struct keeper, op);
  mem_free(&k->host->mem, k);
}

static void keeper_cancel(struct op *op) {
  CONTAINER_OF(op, struct keeper, op)->host->keeper_wait = NULL;
}

static const struct op_class keeper_class = {"event", event_push, keeper_cancel, keeper_free};

/* next_event() -> kind, what it is about, number or text, text */
static int l_next_event(lua_State *L) {
  op_enter(L, "event");
  struct host *h = host_of(L);
  if (h->keeper_wait) return err_argument(L, "only one task may wait for events");
  struct keeper *k = mem_calloc(&h->mem, sizeof *k);
  if (!k) return err_pushf(L, "os", "out of memory: cannot wait for events");
  op_init(&k->op, &keeper_class);
  k->op.refs = 1; /* no native half: host_event only wakes the waiter */
  k->host = h;
  if (h->event_head)
    op_done(&k->op);
  else
    h->keeper_wait = &k->op;
  return op_await(L, &k->op);
}

/* --- alarms: a timer that becomes an event -------------------------------------------------------------------------- */

/* alarm(about, seconds) -> alarm, held until it stops or its event was read; alarm:about() gives `about` back */
static int l_alarm(lua_State *L) {
  luaL_checkany(L, 1);
  double seconds = luaL_checknumber(L, 2);
  struct alarm *a = lua_newuserdatauv(L, sizeof *a, 1);
  *a = (struct alarm){.event = {.ref = LUA_NOREF}, .host = host_of(L)};
  luaL_setmetatable(L, ALARM);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  a->event.ref = luaL_ref(L, LUA_REGISTRYINDEX);
  alarm_start(a->host, a, seconds);
  return 1;
}

static int l_alarm_stop(lua_State *L) {
  struct alarm *a = luaL_checkudata(L, 1, ALARM);
  alarm_stop(a);
  luaL_unref(L, LUA_REGISTRYINDEX, a->event.ref);
  a->event.ref = LUA_NOREF;
  return 0;
}

/* alarm:begin(): it is answered now; it stops, and its run acts until acted() */
static int l_alarm_begin(lua_State *L) {
  struct alarm *a = luaL_checkudata(L, 1, ALARM);
  alarm_begin(a);
  return l_alarm_stop(L);
}

static int l_alarm_about(lua_State *L) {
  luaL_checkudata(L, 1, ALARM);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

/* alarm:due(spent) -> whether its time is over. A virtual clock stands still while a task runs: there what the task has spent
 * of the real one, in seconds, counts, with some more for a machine that is slow. */
#define SLACK 2.0
static int l_alarm_due(lua_State *L) {
  struct alarm *a = luaL_checkudata(L, 1, ALARM);
  double spent = luaL_checknumber(L, 2);
  uint64_t now = host_now(a->host);
  if (a->host->clock == CLOCK_VIRTUAL && spent > SLACK) now += (uint64_t)((spent - SLACK) * 1e9);
  lua_pushboolean(L, a->event.queued || (a->timer.armed && a->timer.at <= now));
  return 1;
}

/* alarm:left() -> seconds until it is due, 0 where it is; nil where it was stopped */
static int l_alarm_left(lua_State *L) {
  struct alarm *a = luaL_checkudata(L, 1, ALARM);
  if (!a->timer.armed && !a->event.queued) return 0;
  uint64_t now = host_now(a->host);
  lua_pushnumber(L, a->timer.armed && a->timer.at > now ? (double)(a->timer.at - now) / 1e9 : 0);
  return 1;
}

/* on_overrun(judge): judge(act, seconds, grown) -> the error that the watchdog raises in the running task, see lua/overrun.lua */
static int l_on_overrun(lua_State *L) {
  struct host *h = host_of(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_unref(L, LUA_REGISTRYINDEX, h->judge);
  lua_settop(L, 1);
  h->judge = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/* memory() -> bytes held, the limit (0 = none), the block that was refused since the last question, or 0 */
static int l_memory(lua_State *L) {
  struct mem *m = &host_of(L)->mem;
  lua_pushinteger(L, (lua_Integer)m->used);
  lua_pushinteger(L, (lua_Integer)m->limit);
  lua_pushinteger(L, (lua_Integer)m->refused);
  m->refused = 0;
  return 3;
}

/* limit_memory(bytes), 0 = no limit */
static int l_limit_memory(lua_State *L) {
  lua_Integer limit = luaL_checkinteger(L, 1);
  luaL_argcheck(L, limit >= 0, 1, "bytes expected");
  mem_set_limit(&host_of(L)->mem, (size_t)limit);
  return 0;
}

/* machine_memory() -> bytes this machine has, or what a container leaves of them */
static int l_machine_memory(lua_State *L) {
  uint64_t total = uv_get_total_memory(), allowed = uv_get_constrained_memory();
  if (allowed > 0 && allowed < total) total = allowed;
  lua_pushinteger(L, (lua_Integer)total);
  return 1;
}

int luaopen_host_task(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", l_new},
                                       {"current", l_current},
                                       {"park", l_park},
                                       {"wake", l_wake},
                                       {"interrupt", l_interrupt},
                                       {"resist", l_resist},
                                       {"abandon", l_abandon},
                                       {"waiting", l_waiting},
                                       {"list", l_list},
                                       {"new_system", l_new_system},
                                       {"counts", l_counts},
                                       {"site", l_site},
                                       {"enter", l_enter},
                                       {"can_wait", l_can_wait},
                                       {"step_in", l_step_in},
                                       {"step_out", l_step_out},
                                       {"stop", l_stop},
                                       {"next_event", l_next_event},
                                       {"alarm", l_alarm},
                                       {"signal", l_signal},
                                       {"forget_signal", l_forget_signal},
                                       {"slice", l_slice},
                                       {"on_overrun", l_on_overrun},
                                       {"memory", l_memory},
                                       {"limit_memory", l_limit_memory},
                                       {"machine_memory", l_machine_memory},
                                       {NULL, NULL}};
  luaL_newmetatable(L, ALARM);
  lua_pushcfunction(L, l_alarm_stop);
  lua_setfield(L, -2, "stop");
  lua_pushcfunction(L, l_alarm_begin);
  lua_setfield(L, -2, "begin");
  lua_pushcfunction(L, l_alarm_about);
  lua_setfield(L, -2, "about");
  lua_pushcfunction(L, l_alarm_due);
  lua_setfield(L, -2, "due");
  lua_pushcfunction(L, l_alarm_left);
  lua_setfield(L, -2, "left");
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, l_alarm_stop);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, op_sentinel); /* lua/coro.lua lets it pass through user coroutines */
  lua_setfield(L, -2, "sentinel");
  return 1;
}
