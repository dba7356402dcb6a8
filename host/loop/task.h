/* task.h - a task is a coroutine that the pump may resume. The tree of tasks, scopes and cancellation are Lua
 * (lua/task.lua); this is only the ready queue and the current wait of each task. */
#ifndef STOKE_TASK_H
#define STOKE_TASK_H

#include <lua.h>

#include "host.h"
#include "op.h"

struct task {
  struct host *host;
  lua_State *co;
  int ref;         /* registry: the Lua record of this task, whose field `co` anchors the thread */
  uint32_t number; /* in its journalled run, by order of spawning */
  struct schedule *schedule; /* of that run; NULL = none */
  struct op *op;             /* what it waits for; held until its continuation has run */
  struct task *next;         /* ready queue */
  struct task *live_next, **live_prev;
  const char *waits; /* name of the wait, for stoke.tasks() */
  uint64_t since;    /* when it began to wait, ns */
  bool queued : 1, system : 1, abandoned : 1;
  bool interrupted : 1; /* cancelled while it was not waiting: its next wait ends at once */
  bool blocked : 1;     /* it runs a coroutine that was resumed where nothing can wait */
  bool park_result : 1;
  bool suspended : 1;   /* since its live effect began */
  bool limited : 1;     /* replay: its wait had a limit, kept in timer.at in ns */
  bool awaits : 1;      /* replay: parked until its outcome is delivered */
  bool arrived : 1;     /* replay: its wait is over, and not delivered yet */
  bool silent : 1;      /* replay: it goes on as if its live effect had begun, whose outcome the log does not have */
  uint16_t effects;     /* live effects around what it does now */
  struct op park;     /* await, channel, sleep: embedded, so that parking allocates nothing */
  struct timer timer; /* of the park */
};

/* Tells the keeper of a task that ended in a way its body could not catch. */
struct died {
  struct event event; /* ref: the task's record, released by the reader */
  char why[200];
};

/* Makes a task that will run function(...) and queues it. Stack of L: record, function, arguments; all are popped. The record
 * gets the thread as field `co`. `system`: the host's own, no leak, and part of no run. NULL (and e filled) when out of memory;
 * may raise a memory error before anything is made. */
struct task *task_new(lua_State *L, int nargs, bool system, struct err *e);
struct task *task_of_thread(lua_State *co); /* NULL when it is no live task */
static inline struct task *task_current(const struct host *h) {
  return h->current;
}
void task_push_record(lua_State *L, const struct task *t);
void task_ready_first(struct task *t); /* before all others, in the middle of a turn, too; one at a time */
void task_ready(struct task *t);       /* queue it; a wake during a pump waits for the next turn */
bool task_pump(struct host *h);        /* one turn: resume all that were ready; false when none was */
void task_resume(struct task *t);      /* until it waits or ends; for the pump and for replayed runs */

/* Waits of the runtime itself. task_park suspends like any primitive; results: true when woken, false when the seconds
 * (negative = no limit) are over. task_wake is false when it was not parked. */
int task_park(lua_State *L, const char *label, double seconds);
bool task_wake(struct task *t);
/* The running task waits until the outcome of its live effect, which was done just now or in the recorded run, is due. */
int task_deliver(lua_State *L, bool done);
void task_unpark(struct task *t, bool result); /* ends its park; for schedule.c, as is: */
void task_arm(struct task *t);                 /* begin the limit of its park */

/* Ends a task that does not end by itself: its wait is cancelled and it is never resumed again. */
void task_abandon(struct task *t);

void tasks_free(struct host *h); /* at the end: all records, whatever they waited for */

#endif
