/* task.c - the ready queue: which task runs next. The only lua_resume of the program is in resume(). */
#include "task.h"

#include <lauxlib.h>
#include <string.h>

#include "binding.h"
#include "schedule.h"
#include "watchdog.h"

static struct task **slot_of(lua_State *co) {
  return (struct task **)lua_getextraspace(co);
}

struct task *task_of_thread(lua_State *co) {
  return *slot_of(co);
}

void task_push_record(lua_State *L, const struct task *t) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
}

/* What nearly every task comes to need. Growing to it now, and not while running, leaves the small first stack for the next
 * coroutine; else each parked task would pay for both. */
#define TASK_STACK 60

struct task *task_new(lua_State *L, int nargs, bool system, struct err *e) {
  struct host *h = host_of(L);
  int record = lua_gettop(L) - nargs - 1;
  luaL_checkstack(L, 4, "task");
  lua_State *co = lua_newthread(L);
  lua_setfield(L, record, "co");
  if (!lua_checkstack(co, nargs + TASK_STACK)) {
    lua_settop(L, record - 1);
    err_set(e, "os", 0, "out of memory: no room for a task's arguments");
    return NULL;
  }
  lua_xmove(L, co, nargs + 1);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  struct task *t = mem_calloc(&h->mem, sizeof *t);
  if (!t) {
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    err_set(e, "os", 0, "out of memory: cannot make a task");
    return NULL;
  }
  t->host = h;
  t->co = co;
  t->ref = ref;
  *slot_of(co) = t;
  t->live_next = h->live;
  t->live_prev = &h->live;
  if (h->live) h->live->live_prev = &t->live_next;
  h->live = t;
  h->task_count++;
  struct schedule *s = h->current && h->current->schedule ? schedule_acting(h) : NULL;
  if (system) {
    t->system = true;
    h->system_count++;
  } else if (s && s == h->current->schedule && !schedule_adopt(s, t)) { /* spawned by a task of it, not inside a live effect */
    schedule_fail(s, "os", "out of memory: no room for a task of the run");
  }
  task_ready(t);
  return t;
}

void task_ready(struct task *t) {
  struct host *h = t->host;
  CHECK(!t->queued);
  if (t->schedule && schedule_queue(t)) return;
  t->queued = true;
  t->next = NULL;
  *h->ready_tail = t;
  h->ready_tail = &t->next;
  if (h->polling) uv_stop(&h->loop); /* made ready before the poll of the same uv_run: it must not block */
}

void task_ready_first(struct task *t) {
  struct host *h = t->host;
  if (h->urgent) {
    task_ready(t);
    return;
  }
  CHECK(!t->queued);
  t->queued = true;
  h->urgent = t;
  if (h->polling) uv_stop(&h->loop);
}

static void task_free(struct task *t) {
  struct host *h = t->host;
  op_drop(t); /* left over by a push that raised, or a coroutine that was never resumed */
  timer_stop(h, &t->timer);
  if (t->schedule) schedule_leave(t);
  *slot_of(t->co) = NULL;
  *t->live_prev = t->live_next;
  if (t->live_next) t->live_next->live_prev = t->live_prev;
  h->task_count--;
  if (t->system) h->system_count--;
  luaL_unref(h->L, LUA_REGISTRYINDEX, t->ref);
  mem_free(&h->mem, t);
}

/* The body of every task is a Lua function that catches what a script can raise (lua/task.lua); what still arrives here is
 * a failing allocator or a C module's own yield. The keeper then settles the record, so that no waiter hangs. */
static void task_died(struct task *t, bool strayed) {
  struct host *h = t->host;
  struct died *d = mem_calloc(&h->mem, sizeof *d);
  if (t->schedule) schedule_fail(t->schedule, "replay", "its task %u broke off where no code could catch it", t->number);
  const char *why = strayed ? "a C module yielded outside the host" : lua_tostring(t->co, -1);
  if (!d) {
    fprintf(stderr, "stoke: a task died and its end cannot be told: %s\n", why ? why : "?");
    h->stopping = true;
    h->exit_code = 1;
    return;
  }
  snprintf(d->why, sizeof d->why, "%s", why ? why : "an error that is no text");
  d->event.ref = t->ref;
  t->ref = LUA_NOREF; /* the event holds the record now */
  host_event(h, &d->event, EVENT_DIED, 0);
}

/* make gcstress: a full collection before each resume; with many megabytes alive only before every so many, or the suite
 * would never end. */
static void stress(struct host *h) {
  if (h->gc_skipped++ < h->mem.used >> 21) return;
  h->gc_skipped = 0;
  lua_gc(h->L, LUA_GCCOLLECT, 0);
}

void task_resume(struct task *t) {
  struct host *h = t->host;
  lua_State *co = t->co;
  if (t->abandoned) {
    task_free(t);
    return;
  }
  int nres = 0, nargs = lua_status(co) == LUA_YIELD ? 0 : lua_gettop(co) - 1;
  h->current = t;
  t->blocked = false;
  if (t->schedule) schedule_resumed(t);
  if (h->gc_stress) stress(h);
  watchdog_enter(h, co);
  int status = lua_resume(co, h->L, nargs, &nres);
  watchdog_leave(h);
  h->current = NULL;
  h->acting = NULL; /* an error may have come between */
  if (status == LUA_YIELD && nres == 1 && lua_touserdata(co, -1) == op_sentinel) {
    lua_pop(co, 1);
    CHECK(t->op || t->queued);
    return;
  }
  if (status != LUA_OK) task_died(t, status == LUA_YIELD);
  task_free(t);
}

/* Who waits for keys goes before the rest of a long turn: a person notices what a stream does not. */
static void resume_urgent(struct host *h) {
  if (!h->urgent && h->hooks.look) h->hooks.look(h);
  struct task *t = h->urgent;
  if (!t) return;
  h->urgent = NULL;
  t->queued = false;
  task_resume(t);
}

#define RESUMES_PER_LOOK 16

bool task_pump(struct host *h) {
  bool replayed = h->due && schedule_turns(h);
  struct task *t = h->ready_head;
  int left = 1;
  if (!t && !h->urgent) return replayed;
  h->ready_head = NULL;
  h->ready_tail = &h->ready_head;
  resume_urgent(h);
  while (t) {
    struct task *next = t->next;
    t->queued = false;
    t->next = NULL;
    if (!t->schedule || !schedule_queue(t)) task_resume(t); /* else its run was adopted meanwhile, for a replay */
    t = next;
    if (left++ % RESUMES_PER_LOOK == 0) {
      resume_urgent(h);
      host_pace_collector(h);
    }
  }
  return true;
}

void tasks_free(struct host *h) {
  while (h->live) task_free(h->live);
  while (h->event_head) { /* what the keeper did not come to read */
    struct event *ev = h->event_head;
    host_event_drop(h, ev);
    if (ev->kind == EVENT_DIED) mem_free(&h->mem, CONTAINER_OF(ev, struct died, event));
  }
}

/* --- parking ------------------------------------------------------------------------------------------------------ */

static struct task *task_of_park(struct op *op) {
  return CONTAINER_OF(op, struct task, park);
}

static int park_push(lua_State *L, struct op *op) {
  lua_pushboolean(L, task_of_park(op)->park_result);
  return 1;
}

static void park_cancel(struct op *op) {
  struct task *t = task_of_park(op);
  timer_stop(t->host, &t->timer);
  op_unref(op);
}

static const struct op_class park_class = {NULL, park_push, park_cancel, NULL};

void task_unpark(struct task *t, bool result) {
  timer_stop(t->host, &t->timer);
  t->park_result = result;
  t->awaits = false;
  op_done(&t->park);
  op_unref(&t->park);
}

static void park_timeout(struct timer *timer) {
  struct task *t = CONTAINER_OF(timer, struct task, timer);
  if (t->schedule) schedule_time_up(t);
  task_unpark(t, false);
  t->host->acting = NULL;
}

void task_arm(struct task *t) {
  if (!t->limited || t->op != &t->park || t->park.verdict != OP_PENDING) return;
  t->limited = false;
  timer_start(t->host, &t->timer, (double)t->timer.at / 1e9, park_timeout);
}

int task_park(lua_State *L, const char *label, double seconds) {
  op_enter(L, label);
  struct host *h = host_of(L);
  struct task *t = task_current(h);
  op_init(&t->park, &park_class);
  t->limited = seconds >= 0 && t->schedule && schedule_limit(t);
  if (t->limited)
    t->timer.at = (uint64_t)(seconds < 1e9 ? seconds * 1e9 : 1e18);
  else if (seconds >= 0)
    timer_start(h, &t->timer, seconds, park_timeout);
  t->waits = label; /* an argument of the primitive, so it lives as long as the wait */
  return op_await(L, &t->park);
}

bool task_wake(struct task *t) {
  if (t->op != &t->park || t->park.verdict != OP_PENDING || t->awaits) return false;
  task_unpark(t, true);
  return true;
}

/* The outcome of a live effect becomes visible here: recorded, at the end of the ready queue; replayed, when its turn comes. */
int task_deliver(lua_State *L, bool done) {
  op_enter(L, "an effect");
  struct task *t = task_current(host_of(L));
  op_init(&t->park, &park_class);
  t->waits = "replay";
  t->limited = false;
  if (!schedule_deliver(t, done)) return op_await(L, &t->park);
  t->park_result = true;
  op_done(&t->park);
  op_unref(&t->park);
  return op_yield(L, &t->park);
}

void task_abandon(struct task *t) {
  CHECK(t != t->host->current);
  t->abandoned = true;
  t->awaits = t->arrived = false;
  if (t->op) op_cancel(t->op);
  if (!t->queued) task_ready(t); /* the pump frees it in its turn */
}
