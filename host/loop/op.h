/* op.h - one record per pending wait.
 *
 * A primitive that waits does, in this order: op_enter (may we suspend here?), check every argument, allocate, start the
 * native half, op_await. From the first allocation on nothing raises. A callback of the native half never touches a
 * lua_State: it stores the outcome in its own structure, calls op_done and returns; the pump resumes the task, and the
 * continuation calls cls->push under lua_resume, where a failing allocator may raise.
 *
 * An op has two halves, each holding one reference: the native half (dropped by the callback that ends it, with op_unref)
 * and the waiter (dropped by op_await's continuation). cls->free runs when both are gone. An op embedded in a longer-lived
 * object may be initialised again as soon as its continuation has run and its native half let go.
 *
 * A continuation may never come: a C module resumed the coroutine itself, or could not pass the yield on. Then op_drop
 * closes the wait when its task begins another one or ends. */
#ifndef STOKE_OP_H
#define STOKE_OP_H

#include <lua.h>

#include "base.h"

struct task;
struct op;

struct op_class {
  const char *name;                         /* what stoke.tasks() shows: "net.read" */
  int (*push)(lua_State *L, struct op *op); /* results of a finished op; returns their number */
  void (*cancel)(struct op *op);            /* close the native half; may be NULL if nothing is open */
  void (*free)(struct op *op);              /* both halves are gone; may be NULL */
};

enum op_verdict { OP_PENDING, OP_DONE, OP_CANCELLED };

struct op {
  const struct op_class *cls;
  struct task *task; /* the waiter, NULL before op_await and after the verdict */
  uint8_t refs;
  uint8_t verdict;
  bool urgent; /* its waiter goes before all others; set after op_init */
};

/* Yielded by waiting primitives; its address distinguishes such a yield from a script's own. */
extern void *const op_sentinel;

/* refs = 2. */
void op_init(struct op *op, const struct op_class *cls);

/* May the running code wait? It must be a task, and neither its coroutine nor one that resumed it may be held by C. */
bool op_possible(lua_State *L);

/* Raises `argument` unless op_possible. */
void op_enter(lua_State *L, const char *name);

/* Suspends the running task until the verdict, then returns what cls->push pushed, or nil and an error of kind
 * `cancelled`. When the verdict is already in (op_done was called before), returns at once without suspending. */
int op_await(lua_State *L, struct op *op);

/* Suspends although the verdict is in: the task goes to the end of the ready queue. */
int op_yield(lua_State *L, struct op *op);

/* The native half has its outcome: wake the waiter. Idempotent; a late call after a cancel is a no-op. Does not drop the
 * native reference. */
void op_done(struct op *op);

/* Wake the waiter with `cancelled` and ask the native half to close. Idempotent. */
void op_cancel(struct op *op);

void op_unref(struct op *op);

/* Closes what `t` waits for, if anything, without waking it. */
void op_drop(struct task *t);

#endif
