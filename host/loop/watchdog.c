/* watchdog.c - a thread that watches a counter, and the hook that it arms through a signal. */
#include "watchdog.h"

#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "binding.h"
#include "call.h"
#include "embed/embed.h"
#include "host.h"
#include "signals.h"

#define TICK_NS    (100 * 1000000ull) /* a slice seen at two ticks overruns */
#define PATIENCE   10                 /* limits of real time after which a slice is reported that hardly ran */
#define MOST_TICKS 10 /* between two signals to a thread that hardly runs: each may cost it a walk of a deep stack */
#define DEAF_TICKS 20
#define LOST_TICKS 50  /* a signal has no chance to be heard: it ends the process */
#define COURTESY   1.0 /* seconds that our own library has to come back to the script, beyond the limit */
#define NEAR       200 /* levels in which a place is looked for: each look-up walks from the top of the stack */

#define ALL_EVENTS (LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT)

struct watchdog {
  struct host *host;
  pthread_t loop_thread;
  uv_thread_t thread;
  uv_mutex_t mutex;
  uv_cond_t cond;
  atomic_bool asleep, closing;
  atomic_uint slice; /* odd while a slice runs */
  atomic_uint aged;  /* the slice that `age` is of */
  /* Both in ns, and at least this: deadlines go by the first; a report blames the code, so it goes by the second. */
  atomic_ullong age;  /* how long it has taken */
  atomic_ullong busy; /* processor time of the loop thread in it */
  atomic_int ticks;   /* since the signal before */
  atomic_int unheard; /* ticks since the hook last ran in a slice that overruns */
  uint64_t limit_ns;
  lua_State *volatile running; /* loop thread and its signal handler only */
  volatile unsigned armed;     /* the slice the hook is meant for; it may outlive it in a coroutine */
  lua_State *hooked;           /* the coroutine's previous hook (lua/reload.lua), while ours replaces it */
  lua_Hook before;
  int before_mask, before_count;
  size_t used;       /* memory when the slice began */
  unsigned reported; /* the slice already reported */
  int breaks;        /* how often this slice was interrupted */
};

static struct watchdog *the_watchdog(void) {
  struct host *h = signals_host();
  return h ? h->watchdog : NULL;
}

/* --- inside the slice ---------------------------------------------------------------------------------------------- */

static bool is_from(const char *source, const char *prefix) {
  return strncmp(source, prefix, strlen(prefix)) == 0;
}

/* The innermost place in a script; in the runtime only where there is no script below. */
static void where(lua_State *L, char *out, size_t size) {
  lua_Debug ar;
  bool found = false;
  snprintf(out, size, "?");
  for (int level = 0; level < NEAR && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    bool ours = is_from(ar.source, EMBED_PREFIX);
    if (ar.currentline <= 0 || (found && ours)) continue;
    snprintf(out, size, "%s:%d", ar.short_src, ar.currentline);
    found = true;
    if (!ours) return;
  }
}

static void on_hook(lua_State *L, lua_Debug *ar);

/* Setting a hook walks the whole stack: with a deep one that must not happen at each instruction. */
static void hook_every(lua_State *L, int count) {
  if (lua_gethook(L) == on_hook && lua_gethookmask(L) == LUA_MASKCOUNT && lua_gethookcount(L) == count) return;
  lua_sethook(L, on_hook, LUA_MASKCOUNT, count);
}

static void unhook(struct watchdog *w, lua_State *L) {
  if (w->hooked == L)
    lua_sethook(L, w->before, w->before_mask, w->before_count);
  else
    lua_sethook(L, NULL, 0, 0);
  w->hooked = NULL;
}

static void report(struct watchdog *w, uint64_t age, uint64_t busy, const char *place) {
  struct host *h = w->host;
  if (h->hooks.speak) h->hooks.speak(h, true);
  if (busy >= w->limit_ns)
    fprintf(stderr,
            "%sstoke: a task has run for %.1f s without waiting, at %s; nothing else can run meanwhile (Ctrl-C breaks "
            "it)\n",
            h->edits ? "\n" : "", (double)w->limit_ns / 1e9, place);
  else
    fprintf(
        stderr,
        "%sstoke: a task has not waited for %.1f s, but had the processor for only %.1f s of them, at %s: a call that "
        "blocks the process, or a machine with too much to do; nothing else can run meanwhile\n",
        h->edits ? "\n" : "", (double)age / 1e9, (double)busy / 1e9, place);
  if (h->hooks.speak) h->hooks.speak(h, false);
}

/* Bytes by which this slice grew a heap that is over its limit when all garbage is gone; 0 when there is room. */
static size_t growth(struct watchdog *w, lua_State *L) {
  struct mem *m = &w->host->mem;
  if (m->used <= m->mark) return 0;
  lua_gc(L, LUA_GCCOLLECT);
  if (m->used <= m->limit) m->mark = m->limit;
  if (m->used <= m->mark) return 0;
  return m->used > w->used ? m->used - w->used : 1;
}

/* Asks Lua about the running task. Without `act` it only looks: true when there is something to tell the task. With it, the error
 * that the task is given lies on the stack. */
static bool judge(struct watchdog *w, lua_State *L, bool act, double age, size_t grown, bool *final) {
  struct err e;
  if (w->host->judge == LUA_NOREF || !lua_checkstack(L, 10)) return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->host->judge);
  lua_pushboolean(L, act);
  lua_pushnumber(L, age);
  lua_pushinteger(L, (lua_Integer)grown);
  if (!call_protected(L, 3, 2, &e)) return false;
  bool told = lua_toboolean(L, -2);
  *final = lua_toboolean(L, -1);
  lua_pop(L, told && act ? 1 : 2);
  return told;
}

/* Raises the value on top of the stack. The hook stays: close handlers get a little room; code that catches the error again and
 * again gets none. */
static void strike(struct watchdog *w, lua_State *L) {
  hook_every(L, ++w->breaks < 4 ? 10000 : 1);
  lua_error(L);
}

/* The file of the innermost Lua function: a C function counts as its caller. */
static const char *innermost(lua_State *L, lua_Debug *ar) {
  for (int level = 0; lua_getstack(L, level, ar); level++) {
    lua_getinfo(L, "S", ar);
    if (*ar->what != 'C') return ar->source;
  }
  return "";
}

/* The core's own tables must stay whole: an error there waits for the code that called it. The library gets a little time to
 * come back to the script. */
static bool must_wait(struct watchdog *w, lua_State *L, double age) {
  lua_Debug ar;
  const char *source = innermost(L, &ar);
  if (is_from(source, EMBED_PREFIX "lua/")) return true;
  return is_from(source, EMBED_PREFIX) && !signals_pending(w->host) && age < (double)w->limit_ns / 1e9 + COURTESY;
}

static uint64_t age_of(struct watchdog *w, unsigned slice) {
  return atomic_load(&w->aged) == slice ? atomic_load(&w->age) : 0;
}

static void report_once(struct watchdog *w, lua_State *L, unsigned slice) {
  char place[LUA_IDSIZE + 16];
  uint64_t age = age_of(w, slice), busy = atomic_load(&w->busy);
  if (w->reported == slice || w->limit_ns == 0 || age < w->limit_ns) return;
  if (busy < w->limit_ns && age < PATIENCE * w->limit_ns) return;
  w->reported = slice;
  where(L, place, sizeof place);
  report(w, age, busy, place);
}

/* Tells the task that it is over, if it is; an interrupt comes before all else. Returns when it may go on. */
static void look(struct watchdog *w, lua_State *L, double age) {
  char place[LUA_IDSIZE + 16];
  bool final = false;
  if (signals_pending(w->host)) {
    where(L, place, sizeof place);
    err_pushf(L, "cancelled", "interrupted at %s", place);
    strike(w, L);
  }
  size_t grown = growth(w, L);
  if (judge(w, L, true, age, grown, &final)) {
    if (final) w->breaks = 4;
    strike(w, L);
  }
  struct mem *m = &w->host->mem;
  if (grown > 0 && m->used < m->cap)
    m->mark = m->used + (m->cap - m->used) / 2; /* other tasks filled it: this one continues */
}

static void on_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  struct watchdog *w = the_watchdog();
  unsigned slice = atomic_load(&w->slice);
  bool fresh = lua_gethookmask(L) != LUA_MASKCOUNT, none;
  atomic_store(&w->unheard, 0);
  if (w->armed != slice) {
    unhook(w, L);
    return;
  }
  double age = (double)age_of(w, slice) / 1e9;
  if (!signals_pending(w->host)) report_once(w, L, slice);
  if (!must_wait(w, L, age)) {
    look(w, L, age);
    unhook(w, L);
  } else if (!fresh || signals_pending(w->host) || growth(w, L) > 0 || judge(w, L, false, age, 0, &none)) {
    hook_every(L, 1);
  } else {
    unhook(w, L);
  }
}

/* Called from the signal handler and from the allocator: setting a hook is safe in both. */
static void arm(struct watchdog *w) {
  unsigned slice = atomic_load(&w->slice);
  lua_Hook now = lua_gethook(w->running);
  if (now == on_hook && w->armed == slice && lua_gethookmask(w->running) == ALL_EVENTS)
    return; /* it was not heard yet */
  w->armed = slice;
  if (now && now != on_hook) {
    w->before = now;
    w->before_mask = lua_gethookmask(w->running);
    w->before_count = lua_gethookcount(w->running);
    w->hooked = w->running;
  }
  lua_sethook(w->running, on_hook, ALL_EVENTS, 1);
}

/* Nothing of Lua runs while a C function does: no hook, so no error. That can only be said. */
static void say_deaf(struct watchdog *w) {
  static const char text[] =
      "stoke: a task has been inside one native function for 2 s (a string pattern that tries too much? a C "
      "module?) and cannot be broken there; Ctrl-C, again and again, ends the program\n";
  if (w->host->hooks.speak) w->host->hooks.speak(w->host, true);
  if (w->host->edits && write(2, "\n", 1) < 0) return;
  if (write(2, text, sizeof text - 1) < 0) return;
}

static void on_overrun(int sig) {
  struct watchdog *w = the_watchdog();
  int error = errno;
  (void)sig;
  if (!w || !w->running) return;
  arm(w);
  int more = atomic_load(&w->ticks), ticks = atomic_fetch_add(&w->unheard, more);
  if (ticks <= DEAF_TICKS && ticks + more > DEAF_TICKS && w->limit_ns != 0) say_deaf(w);
  if (ticks >= LOST_TICKS && signals_pending(w->host) && !w->host->edits) signals_end(w->host);
  errno = error;
}

static void on_full(struct mem *m) {
  struct watchdog *w = CONTAINER_OF(m, struct host, mem)->watchdog;
  if (w && w->running && lua_gethook(w->running) != on_hook) arm(w);
}

void watchdog_enter(struct host *h, lua_State *co) {
  struct watchdog *w = h->watchdog;
  if (!w) return;
  w->running = co;
  w->breaks = 0;
  w->used = h->mem.used;
  atomic_fetch_add(&w->slice,
                   1); /* in order with the load: the thread falls asleep by looking at both the other way round */
  if (atomic_load(&w->asleep)) {
    uv_mutex_lock(&w->mutex);
    uv_cond_signal(&w->cond);
    uv_mutex_unlock(&w->mutex);
  }
}

void watchdog_leave(struct host *h) {
  struct watchdog *w = h->watchdog;
  if (!w) return;
  lua_State *co = w->running;
  w->running = NULL;
  atomic_fetch_add_explicit(&w->slice, 1, memory_order_relaxed);
  w->hooked = NULL;
  if (__builtin_expect(lua_gethook(co) == on_hook, 0)) lua_sethook(co, NULL, 0, 0);
}

unsigned watchdog_slice(const struct host *h) {
  return h->watchdog ? atomic_load_explicit(&h->watchdog->slice, memory_order_relaxed) : 0;
}

lua_State *watchdog_switch(struct host *h, lua_State *co) {
  struct watchdog *w = h->watchdog;
  if (!w) return NULL;
  lua_State *before = w->running;
  if (before && lua_gethook(before) == on_hook && (w->breaks > 0 || signals_pending(w->host)))
    lua_sethook(co, on_hook, LUA_MASKCOUNT, 1);
  w->running = co;
  return before;
}

/* --- the thread ---------------------------------------------------------------------------------------------------- */

/* Processor time of the loop thread in ns. Where the system does not tell it, real time stands in. */
static uint64_t busy_time(struct watchdog *w) {
#ifndef __APPLE__
  clockid_t id;
  struct timespec ts;
  if (pthread_getcpuclockid(w->loop_thread, &id) == 0 && clock_gettime(id, &ts) == 0)
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
#endif
  (void)w;
  return uv_hrtime();
}

static void run(void *arg) {
  struct watchdog *w = arg;
  unsigned seen = 0;
  int ticks = 0; /* since the last signal */
  uint64_t since = uv_hrtime(), busy = 0, told = 0;
  uv_mutex_lock(&w->mutex);
  while (!atomic_load(&w->closing)) {
    unsigned slice = atomic_load_explicit(&w->slice, memory_order_relaxed);
    if (slice != seen) {
      seen = slice;
      since = uv_hrtime();
      busy = told = busy_time(w);
      ticks = 0;
      atomic_store(&w->unheard, 0);
    } else if ((slice & 1) == 0) {
      /* idle for a whole tick: sleep until the next slice, so that an idle host has no wake-ups */
      atomic_store(&w->asleep, true);
      if (atomic_load(&w->slice) == slice && !atomic_load(&w->closing)) uv_cond_wait(&w->cond, &w->mutex);
      atomic_store(&w->asleep, false);
      continue;
    } else {
      uint64_t now = busy_time(w);
      ticks++;
      if (now - told >= TICK_NS / 2 || ticks >= MOST_TICKS) {
        atomic_store(&w->age, uv_hrtime() - since);
        atomic_store(&w->busy, now - busy);
        atomic_store(&w->aged, slice);
        atomic_store(&w->ticks, ticks);
        ticks = 0;
        told = now;
        pthread_kill(w->loop_thread, SIGURG);
      }
    }
    uv_cond_timedwait(&w->cond, &w->mutex, TICK_NS);
  }
  uv_mutex_unlock(&w->mutex);
}

bool watchdog_open(struct host *h, double seconds) {
  struct watchdog *w = mem_calloc(&h->mem, sizeof *w);
  if (!w) return false;
  w->host = h;
  w->loop_thread = pthread_self();
  w->limit_ns = (uint64_t)(seconds * 1e9);
  h->mem.on_mark = on_full;
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = on_overrun;
  sa.sa_flags = SA_RESTART;
  if (sigaction(SIGURG, &sa, NULL) != 0 || uv_mutex_init(&w->mutex) != 0) goto fail;
  if (uv_cond_init(&w->cond) != 0) goto fail_mutex;
  if (uv_thread_create(&w->thread, run, w) != 0) goto fail_cond;
  h->watchdog = w;
  return true;
fail_cond:
  uv_cond_destroy(&w->cond);
fail_mutex:
  uv_mutex_destroy(&w->mutex);
fail:
  mem_free(&h->mem, w);
  return false;
}

void watchdog_close(struct host *h) {
  struct watchdog *w = h->watchdog;
  if (!w) return;
  atomic_store(&w->closing, true);
  uv_mutex_lock(&w->mutex);
  uv_cond_signal(&w->cond);
  uv_mutex_unlock(&w->mutex);
  uv_thread_join(&w->thread);
  signal(SIGURG, SIG_DFL);
  h->mem.on_mark = NULL;
  h->watchdog = NULL;
  uv_cond_destroy(&w->cond);
  uv_mutex_destroy(&w->mutex);
  mem_free(&h->mem, w);
}
