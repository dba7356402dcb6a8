/* loop.c - one turn: timers, then tasks, then the operating system. */
#include "host.h"
#include "op.h"
#include "task.h"

void host_event(struct host *h, struct event *ev, enum event_kind kind, int number) {
  if (ev->queued) return;
  ev->queued = true;
  ev->kind = kind;
  ev->number = number;
  ev->next = NULL;
  *h->event_tail = ev;
  h->event_tail = &ev->next;
  struct op *keeper = h->keeper_wait;
  h->keeper_wait = NULL;
  if (keeper) op_done(keeper);
}

void host_event_drop(struct host *h, struct event *ev) {
  if (!ev->queued) return;
  struct event **link = &h->event_head;
  while (*link != ev) link = &(*link)->next;
  *link = ev->next;
  if (h->event_tail == &ev->next) h->event_tail = link;
  ev->queued = false;
}

static void before_poll(uv_prepare_t *prepare) {
  struct host *h = CONTAINER_OF(prepare, struct host, prepare);
  uv_prepare_stop(prepare);
  for (int when = 0; when < BEFORE_POLL_KINDS; when++) {
    struct poll_hook *list = h->before_poll[when], *hook;
    if (list) list->prev = &list;
    h->before_poll[when] = NULL; /* hooks added from here on run before the next poll */
    while ((hook = list)) {
      host_before_poll_drop(hook);
      hook->run(hook);
    }
  }
  if (uv_is_active((uv_handle_t *)prepare)) uv_stop(&h->loop); /* this poll must not block */
}

void host_poll_init(struct host *h) {
  uv_prepare_init(&h->loop, &h->prepare);
}

void host_before_poll(struct host *h, enum before_poll when, struct poll_hook *hook) {
  if (hook->prev) return;
  struct poll_hook **link = &h->before_poll[when];
  while (*link) link = &(*link)->next;
  hook->next = NULL;
  hook->prev = link;
  *link = hook;
  uv_prepare_start(&h->prepare, before_poll);
}

void host_before_poll_drop(struct poll_hook *hook) {
  if (!hook->prev) return;
  *hook->prev = hook->next;
  if (hook->next) hook->next->prev = hook->prev;
  hook->prev = NULL;
}

/* Virtual time advances only when nothing is left to do at the current time. True: a timer is due now. */
static bool advance_virtual(struct host *h) {
  uint64_t at;
  if (!timers_next(h, &at)) return false;
  if (at <= h->virtual_now) return true;
  if (h->inflight > 0) return false;
  h->virtual_now = at;
  return true;
}

static void poll_system(struct host *h, uv_run_mode mode) {
  h->polling = true;
  uv_run(&h->loop, mode);
  h->polling = false;
}

/* No task is runnable: wait for the system, unless nothing could ever come from it. */
static void wait_for_system(struct host *h) {
  uint64_t at;
  bool timer = h->clock == CLOCK_REAL && timers_next(h, &at);
  if (timer || h->inflight > 0 || uv_loop_alive(&h->loop)) {
    if (timer) uv_ref((uv_handle_t *)&h->uv_timer);
    uv_ref((uv_handle_t *)&h->wake); /* operations in flight may have no referenced handle, and a loop without any does not poll */
    poll_system(h, UV_RUN_ONCE);
    uv_unref((uv_handle_t *)&h->wake);
    uv_unref((uv_handle_t *)&h->uv_timer);
  } else if (h->embedded) {
    h->idle = true;
  } else if (h->keeper_wait) {
    host_event(h, &h->deadlock, EVENT_DEADLOCK, 0);
  } else {
    h->stopping = true; /* the keeper is gone too */
  }
}

#define CALLS_PER_LOOK 16

bool host_yield_wanted(struct host *h) {
  if (!h->urgent && h->hooks.look && ++h->looks % CALLS_PER_LOOK == 0) h->hooks.look(h);
  return h->urgent != NULL;
}

/* A small heap is collected by generations: nearly all that a call makes is garbage when the next one begins, and a collection
 * of the young alone stays in the processor's cache. A large one is collected in steps, before it has grown by half; where it
 * is large for its thousands of stacks, which a collection shrinks, before it has grown by a fifth. A change of mode is a whole
 * collection, so there is room between the two, and a script that makes little is over before the first. Lua before 5.4.4 had
 * bugs in generational mode: there, a small heap grows to four times its size. */
#define HEAP_BEGUN (6u << 20)
#define HEAP_SMALL (16u << 20)
#define HEAP_LARGE (24u << 20)
#define CROWD      1000 /* tasks */

static enum gc_pace pace_for(const struct host *h) {
  size_t used = h->mem.used;
  bool large = used >= HEAP_LARGE || (h->gc_pace >= GC_LARGE && used > HEAP_SMALL);
  if (large) return h->task_count >= CROWD ? GC_CROWDED : GC_LARGE;
  if (h->gc_pace <= GC_YOUNG && used < HEAP_BEGUN) return GC_YOUNG;
  return LUA_VERSION_RELEASE_NUM >= 50404 ? GC_SMALL : GC_YOUNG;
}

void host_pace_collector(struct host *h) {
  static const int pause[] = {[GC_YOUNG] = 400, [GC_LARGE] = 150, [GC_CROWDED] = 120};
  enum gc_pace pace = pace_for(h);
  if (pace == h->gc_pace) return;
  if (h->gc_pace == GC_UNSET) lua_gc(h->L, LUA_GCRESTART, 0);
  h->gc_pace = pace;
  if (pace == GC_SMALL)
    lua_gc(h->L, LUA_GCGEN, 0, 0);
  else
    lua_gc(h->L, LUA_GCINC, pause[pace], 0, 0);
}

/* Several rounds of tasks per poll: a poll costs as much as resuming a few tasks. */
#define TURNS_PER_POLL 8

void host_turn(struct host *h) {
  if (timers_late(h) && !h->ready_head && !h->due) poll_system(h, UV_RUN_NOWAIT); /* events in time precede a deadline */
  timers_run(h);
  host_pace_collector(h);
  int turns = 0;
  while (!h->stopping && turns < TURNS_PER_POLL && task_pump(h)) turns++;
  if (h->stopping) return;
  if (host_runnable(h)) {
    poll_system(h, UV_RUN_NOWAIT);
    return;
  }
  if (h->clock == CLOCK_VIRTUAL) { /* events of this instant that libuv still holds precede the advance of time */
    poll_system(h, UV_RUN_NOWAIT);
    if (host_runnable(h) || advance_virtual(h)) return;
  }
  wait_for_system(h);
}

int host_run(struct host *h) {
  while (!h->stopping) host_turn(h);
  return h->exit_code;
}
