/* op.c - the life of one wait. */
#include "op.h"

#include <lauxlib.h>

#include "binding.h"
#include "host.h"
#include "schedule.h"
#include "task.h"

/* Yielded by every native wait; its address distinguishes the runtime's yields from a script's. */
void *const op_sentinel = (void *)&op_sentinel;

void op_init(struct op *op, const struct op_class *cls) {
  op->cls = cls;
  op->task = NULL;
  op->refs = 2;
  op->verdict = OP_PENDING;
  op->urgent = false;
}

bool op_possible(lua_State *L) {
  struct task *t = task_current(host_of(L));
  return t && !t->blocked && lua_isyieldable(L);
}

void op_enter(lua_State *L, const char *name) {
  struct task *t = task_current(host_of(L));
  if (!t) err_argument(L, "%s waits, so it can only be called inside a task", name);
  if (t->blocked || !lua_isyieldable(L))
    err_argument(L,
                 "%s waits, and nothing can wait here: inside table.sort, string.gsub, tostring, "
                 "a message handler, a finalizer or coroutine.close",
                 name);
  if (t->op) op_drop(t);
}

void op_drop(struct task *t) {
  struct op *op = t->op;
  if (!op) return;
  t->op = NULL;
  t->waits = NULL;
  op->task = NULL; /* no task to wake */
  op_cancel(op);
  op_unref(op);
}

static int op_results(lua_State *L, struct op *op) {
  struct task *t = task_current(host_of(L));
  int n;
  /* only the pump knows when a wait is over; `op` may be gone when it is not this task's */
  if (!t || t->op != op || op->verdict == OP_PENDING)
    return err_argument(L, "this coroutine waits, and was resumed by somebody else meanwhile");
  if (op->verdict == OP_CANCELLED)
    n = err_pushf(L, "cancelled", "cancelled while waiting for %s", t->waits ? t->waits : op->cls->name);
  else
    n = op->cls->push(L, op);
  CHECK(t->op == op);
  t->op = NULL;
  t->waits = NULL;
  op_unref(op);
  return n;
}

static int op_continue(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  lua_settop(L, 0); /* arguments of the primitive: no longer needed */
  return op_results(L, (struct op *)ctx);
}

int op_await(lua_State *L, struct op *op) {
  struct host *h = host_of(L);
  struct task *t = task_current(h);
  CHECK(t && !t->op);
  t->op = op;
  if (t->interrupted) {
    t->interrupted = false;
    op_cancel(op);
  }
  if (op->verdict != OP_PENDING) return op_results(L, op);
  op->task = t;
  if (op->cls->name) t->waits = op->cls->name;
  t->since = host_now(h);
  lua_pushlightuserdata(L, op_sentinel);
  return lua_yieldk(L, 1, (lua_KContext)op, op_continue);
}

int op_yield(lua_State *L, struct op *op) {
  struct task *t = task_current(host_of(L));
  CHECK(t && !t->op && op->verdict != OP_PENDING);
  t->op = op;
  task_ready(t);
  lua_pushlightuserdata(L, op_sentinel);
  return lua_yieldk(L, 1, (lua_KContext)op, op_continue);
}

static void op_settle(struct op *op, enum op_verdict verdict) {
  struct task *t = op->task;
  op->verdict = (uint8_t)verdict;
  op->task = NULL;
  if (!t || (t->schedule && schedule_keep(t, verdict == OP_CANCELLED))) return;
  if (op->urgent)
    task_ready_first(t);
  else
    task_ready(t);
}

void op_done(struct op *op) {
  if (op->verdict == OP_PENDING) op_settle(op, OP_DONE);
}

void op_cancel(struct op *op) {
  if (op->verdict != OP_PENDING) return;
  op_settle(op, OP_CANCELLED);
  if (op->cls->cancel) op->cls->cancel(op);
}

void op_unref(struct op *op) {
  CHECK(op->refs > 0);
  if (--op->refs == 0 && op->cls->free) op->cls->free(op);
}
