/* schedule.c - host.schedule: the order of journalled runs, for lua/schedule.lua, the keeper and the tree of tasks. */
#include <lauxlib.h>

#include "hostlibs.h"
#include "loop/binding.h"
#include "loop/op.h"
#include "loop/schedule.h"
#include "loop/task.h"

#define SCHEDULE "stoke.schedule"

static struct schedule *check(lua_State *L, int arg) {
  return *(struct schedule **)luaL_checkudata(L, arg, SCHEDULE);
}

static size_t check_max(lua_State *L, int arg) {
  lua_Integer max = luaL_checkinteger(L, arg);
  luaL_argcheck(L, max >= 0, arg, "bytes expected");
  return (size_t)max;
}

/* Where the schedule goes; made before it, so that nothing raises after. */
static struct schedule **new_handle(lua_State *L) {
  struct schedule **handle = lua_newuserdatauv(L, sizeof(struct schedule *), 0);
  *handle = NULL;
  luaL_setmetatable(L, SCHEDULE);
  return handle;
}

static int give(lua_State *L, struct schedule *made, struct schedule **handle) {
  if (!made) return err_pushf(L, "os", "out of memory: no room for the log of a run's order");
  *handle = made;
  return 1;
}

/* record(max) -> schedule | nil, err. max: bytes its log may grow to */
static int l_record(lua_State *L) {
  size_t max = check_max(L, 1);
  struct schedule **handle = new_handle(L);
  return give(L, schedule_new(host_of(L), max), handle);
}

/* replay(log, max) -> schedule | nil, err */
static int l_replay(lua_State *L) {
  size_t len, max = check_max(L, 2);
  const char *log = luaL_checklstring(L, 1, &len);
  struct schedule **handle = new_handle(L);
  return give(L, schedule_replay(host_of(L), log, len, max), handle);
}

/* adopt(schedule, co) -> true | nil, err */
static int l_adopt(lua_State *L) {
  struct schedule *s = check(L, 1);
  luaL_checktype(L, 2, LUA_TTHREAD);
  struct task *t = task_of_thread(lua_tothread(L, 2));
  if (!t || t->schedule || s->tasks > 0) return err_argument(L, "schedule.adopt: a live task without a run, and a new schedule expected");
  if (!schedule_adopt(s, t)) return err_pushf(L, "os", "out of memory: no room for a task of the run");
  lua_pushboolean(L, 1);
  return 1;
}

/* schedule:log(from) -> its bytes from that offset on */
static int l_log(lua_State *L) {
  struct schedule *s = check(L, 1);
  size_t from = (size_t)luaL_optinteger(L, 2, 0);
  if (from > s->log.len) from = s->log.len;
  lua_pushlstring(L, from < s->log.len ? (const char *)s->log.bytes + from : "", s->log.len - from);
  return 1;
}

/* schedule:length() -> bytes of its log */
static int l_length(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L, 1)->log.len);
  return 1;
}

/* schedule:at_end() -> whether every delivery of the log it replays has been applied */
static int l_at_end(lua_State *L) {
  struct schedule *s = check(L, 1);
  lua_pushboolean(L, !s->more && !s->held && !schedule_over(s) && (s->tasks > 0 || s->log.len == 0));
  return 1;
}

/* schedule:mode() -> "record" | "replay" | "over": neither any more */
static int l_mode(lua_State *L) {
  static const char *const names[] = {[SCHEDULE_RECORD] = "record", [SCHEDULE_REPLAY] = "replay", [SCHEDULE_OVER] = "over"};
  lua_pushstring(L, names[check(L, 1)->mode]);
  return 1;
}

/* schedule:failure() -> kind, message of why it is no longer recorded or replayed; nil while it is well */
static int l_failure(lua_State *L) {
  struct schedule *s = check(L, 1);
  if (!s->failed) return 0;
  lua_pushstring(L, s->failed);
  lua_pushstring(L, s->why);
  return 2;
}

/* schedule:count() -> resumes of the run's tasks so far, tasks it has had */
static int l_count(lua_State *L) {
  struct schedule *s = check(L, 1);
  lua_pushinteger(L, (lua_Integer)s->count);
  lua_pushinteger(L, (lua_Integer)s->tasks);
  return 2;
}

static int l_gc(lua_State *L) {
  struct schedule **handle = luaL_checkudata(L, 1, SCHEDULE);
  if (*handle) schedule_unref(*handle);
  *handle = NULL;
  return 0;
}

static struct task *in_run(lua_State *L) {
  struct task *t = task_current(host_of(L));
  return t && t->schedule ? t : NULL;
}

static int l_begin(lua_State *L) {
  struct task *t = in_run(L);
  if (t) schedule_begin(t);
  return 0;
}

/* finish() -> false when the effect suspended the task: then deliver() has to be called */
static int l_finish(lua_State *L) {
  struct task *t = in_run(L);
  lua_pushboolean(L, !t || t->effects == 0 || !schedule_finish(t));
  return 1;
}

/* deliver(): the outcome of a live effect becomes visible, in its turn */
static int l_deliver(lua_State *L) {
  return task_deliver(L, true);
}

/* await() -> true: the outcome that was recorded is due | false: the log ends before it, or the run is over */
static int l_await(lua_State *L) {
  struct task *t = in_run(L);
  if (t && t->effects == 0 && t->schedule->mode == SCHEDULE_REPLAY) return task_deliver(L, false);
  lua_pushboolean(L, 0);
  return 1;
}

/* foreign(schedule | nil | false) -> whether the running code acts for another run than this, or for one where this is nil */
static int l_foreign(lua_State *L) {
  struct schedule *s = lua_toboolean(L, 1) ? check(L, 1) : NULL;
  if (s && schedule_over(s)) s = NULL;
  lua_pushboolean(L, schedule_acting(host_of(L)) != s);
  return 1;
}

/* pause(bool): of the run of the running task, which is inside a live effect, nothing else is resumed until pause(false) */
static int l_pause(lua_State *L) {
  struct task *t = in_run(L);
  if (t) schedule_pause(t->schedule, lua_toboolean(L, 1));
  return 0;
}

static int act(lua_State *L, enum delivery_kind kind) {
  size_t len = 0;
  luaL_checktype(L, 1, LUA_TTHREAD);
  struct task *t = task_of_thread(lua_tothread(L, 1));
  const char *text = luaL_optlstring(L, 2, "", &len);
  lua_pushboolean(L, t && schedule_act(t, kind, text, len));
  return 1;
}

/* cancel(co, why) -> whether its run acts now, until acted(): code outside of the run cancels the task */
static int l_cancel(lua_State *L) {
  return act(L, DELIVERY_CANCEL);
}

/* cut(co): as cancel, for a task that is cut off */
static int l_cut(lua_State *L) {
  return act(L, DELIVERY_CUT);
}

static int l_acted(lua_State *L) {
  schedule_acted(host_of(L));
  return 0;
}

/* fail(why): the run of the running task cannot be replayed */
static int l_fail(lua_State *L) {
  const char *why = luaL_checkstring(L, 1);
  struct schedule *s = schedule_acting(host_of(L));
  if (s) schedule_fail(s, "replay", "%s", why);
  return 0;
}

/* --- resting: the task goes on once all others have run, just before the system is polled ---------------------------------- */

struct rest {
  struct op op;
  struct poll_hook hook;
  struct host *host;
};

static struct rest *rest_of(struct op *op) {
  return CONTAINER_OF(op, struct rest, op);
}

static void rest_over(struct poll_hook *hook) {
  struct rest *r = CONTAINER_OF(hook, struct rest, hook);
  op_done(&r->op);
  op_unref(&r->op);
}

static int rest_push(lua_State *L, struct op *op) {
  (void)op;
  lua_pushboolean(L, 1);
  return 1;
}

static void rest_cancel(struct op *op) {
  host_before_poll_drop(&rest_of(op)->hook);
  op_unref(op);
}

static void rest_free(struct op *op) {
  mem_free(&rest_of(op)->host->mem, rest_of(op));
}

static const struct op_class rest_class = {"rest", rest_push, rest_cancel, rest_free};

/* rest() -> true | nil, err: waits until nothing else of this turn of the loop is left to do; for what gathers work of a turn */
static int l_rest(lua_State *L) {
  op_enter(L, "rest");
  struct host *h = host_of(L);
  struct rest *r = mem_calloc(&h->mem, sizeof *r);
  if (!r) return err_pushf(L, "os", "out of memory: cannot wait for the end of a turn");
  op_init(&r->op, &rest_class);
  r->host = h;
  r->hook.run = rest_over;
  host_before_poll(h, BEFORE_POLL_JOURNAL, &r->hook);
  return op_await(L, &r->op);
}

int luaopen_host_schedule(lua_State *L) {
  static const luaL_Reg functions[] = {{"record", l_record},   {"replay", l_replay}, {"adopt", l_adopt},   {"begin", l_begin},
                                       {"finish", l_finish},   {"deliver", l_deliver}, {"await", l_await}, {"foreign", l_foreign},
                                       {"cancel", l_cancel},   {"cut", l_cut},       {"acted", l_acted},   {"fail", l_fail},
                                       {"rest", l_rest},     {"pause", l_pause},   {NULL, NULL}};
  static const luaL_Reg methods[] = {{"log", l_log},         {"at_end", l_at_end}, {"mode", l_mode}, {"length", l_length},
                                     {"failure", l_failure}, {"count", l_count},   {NULL, NULL}};
  luaL_newmetatable(L, SCHEDULE);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
