/* watchdog.c - a thread that watches a counter, and the signal handlers. The one pointer below is the program's only
 * mutable global: a signal handler has no other way to find its host. */
#include "watchdog.h"

#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "embed.h"
#include "host.h"
#include "tty.h"

#define TICK_NS     (100 * 1000000ull)
#define PATIENCE_NS (200 * 1000000ull) /* a slice this long is broken by Ctrl-C */

struct watchdog {
  struct host *host;
  pthread_t loop_thread;
  uv_thread_t thread;
  uv_mutex_t mutex;
  uv_cond_t cond;
  atomic_bool asleep, closing;
  atomic_uint slice; /* odd while a slice runs */
  atomic_int signals, signo;
  uint64_t limit_ns;
  lua_State *volatile running; /* loop thread and its signal handler only */
  volatile unsigned armed;     /* the slice the hook is meant for; it may outlive it in a coroutine */
  lua_State *hooked;           /* its own hook, of lua/reload.lua, while ours is in its place */
  lua_Hook before;
  int before_mask, before_count;
  unsigned reported; /* the slice already reported */
  int breaks;        /* how often this slice was interrupted */
};

static struct watchdog *the_watchdog;

/* --- inside the slice ---------------------------------------------------------------------------------------------- */

static bool is_from(const char *source, const char *prefix) {
  return strncmp(source, prefix, strlen(prefix)) == 0;
}

/* The innermost place in a script; in the runtime only where there is no script below. */
static void where(lua_State *L, char *out, size_t size) {
  lua_Debug ar;
  bool found = false;
  snprintf(out, size, "?");
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    bool ours = is_from(ar.source, EMBED_PREFIX);
    if (ar.currentline <= 0 || (found && ours)) continue;
    snprintf(out, size, "%s:%d", ar.short_src, ar.currentline);
    found = true;
    if (!ours) return;
  }
}

static void unhook(struct watchdog *w, lua_State *L) {
  if (w->hooked == L)
    lua_sethook(L, w->before, w->before_mask, w->before_count);
  else
    lua_sethook(L, NULL, 0, 0);
  w->hooked = NULL;
}

static void on_hook(lua_State *L, lua_Debug *ar) {
  struct watchdog *w = the_watchdog;
  char place[LUA_IDSIZE + 16];
  unsigned slice = atomic_load(&w->slice);
  if (w->armed != slice) {
    unhook(w, L);
    return;
  }
  where(L, place, sizeof place);
  if (atomic_load(&w->signals) > 0) {
    lua_getinfo(L, "S", ar);
    if (is_from(ar->source, EMBED_PREFIX "lua/")) { /* what the core is changing must stay whole */
      lua_sethook(L, on_hook, LUA_MASKCOUNT, 1);
      return;
    }
    /* close handlers get a little room; code that catches the error again and again gets none */
    lua_sethook(L, on_hook, LUA_MASKCOUNT, ++w->breaks < 4 ? 10000 : 1);
    err_pushf(L, "cancelled", "interrupted at %s", place);
    lua_error(L);
  }
  unhook(w, L);
  if (w->reported == slice) return;
  w->reported = slice;
  tty_interrupts(w->host, true); /* nobody reads keys meanwhile */
  fprintf(
      stderr,
      "%sstoke: a task has run for %.1f s without waiting, at %s; nothing else can run meanwhile (Ctrl-C breaks it)\n",
      tty_is_raw(w->host) ? "\n" : "", (double)w->limit_ns / 1e9, place);
  tty_disturbed(w->host);
}

static void on_overrun(int sig) {
  struct watchdog *w = the_watchdog;
  (void)sig;
  if (!w || !w->running) return;
  w->armed = atomic_load(&w->slice);
  lua_Hook now = lua_gethook(w->running);
  if (now && now != on_hook) {
    w->before = now;
    w->before_mask = lua_gethookmask(w->running);
    w->before_count = lua_gethookcount(w->running);
    w->hooked = w->running;
  }
  lua_sethook(w->running, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

void watchdog_enter(struct host *h, lua_State *co) {
  struct watchdog *w = h->watchdog;
  if (!w) return;
  w->running = co;
  w->breaks = 0;
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
  if (before && lua_gethook(before) == on_hook && atomic_load(&w->signals) > 0)
    lua_sethook(co, on_hook, LUA_MASKCOUNT, 1);
  w->running = co;
  return before;
}

/* --- the thread ---------------------------------------------------------------------------------------------------- */

static bool overruns(struct watchdog *w, unsigned slice, uint64_t since, bool *told) {
  uint64_t age = uv_hrtime() - since;
  if (atomic_load(&w->signals) > 0 && age >= PATIENCE_NS) return true;
  if (*told || w->limit_ns == 0 || age < w->limit_ns) return false;
  *told = true;
  return (slice & 1) != 0;
}

static void run(void *arg) {
  struct watchdog *w = arg;
  unsigned seen = 0;
  uint64_t since = uv_hrtime();
  bool told = false;
  uv_mutex_lock(&w->mutex);
  while (!atomic_load(&w->closing)) {
    unsigned slice = atomic_load_explicit(&w->slice, memory_order_relaxed);
    if (slice != seen) {
      seen = slice;
      since = uv_hrtime();
      told = false;
    } else if ((slice & 1) == 0) {
      /* idle for a whole tick: sleep until the next slice, so that an idle host has no wake-ups */
      atomic_store(&w->asleep, true);
      if (atomic_load(&w->slice) == slice && !atomic_load(&w->closing)) uv_cond_wait(&w->cond, &w->mutex);
      atomic_store(&w->asleep, false);
      continue;
    } else if (overruns(w, slice, since, &told)) {
      pthread_kill(w->loop_thread, SIGURG);
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
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = on_overrun;
  sa.sa_flags = SA_RESTART;
  the_watchdog = w;
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
  the_watchdog = NULL;
  mem_free(&h->mem, w);
  return false;
}

void watchdog_close(struct host *h) {
  struct watchdog *w = h->watchdog;
  if (!w) return;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  atomic_store(&w->closing, true);
  uv_mutex_lock(&w->mutex);
  uv_cond_signal(&w->cond);
  uv_mutex_unlock(&w->mutex);
  uv_thread_join(&w->thread);
  signal(SIGURG, SIG_DFL);
  the_watchdog = NULL;
  h->watchdog = NULL;
  uv_cond_destroy(&w->cond);
  uv_mutex_destroy(&w->mutex);
  mem_free(&h->mem, w);
}

/* --- SIGINT and SIGTERM -------------------------------------------------------------------------------------------- */

static void on_signal(int sig) {
  struct watchdog *w = the_watchdog;
  if (!w) _exit(128 + sig);
  if (atomic_fetch_add(&w->signals, 1) > (tty_is_raw(w->host) ? 2 : 0)) {
    tty_rescue(w->host);
    _exit(128 + sig);
  }
  atomic_store(&w->signo, sig);
  uv_async_send(&w->host->wake);
}

static void on_wake(uv_async_t *async) {
  struct host *h = async->data;
  struct watchdog *w = h->watchdog;
  if (w && atomic_load(&w->signals) > 0) host_event(h, &h->signal, "signal", atomic_load(&w->signo));
}

void watchdog_catch_signals(struct host *h) {
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = on_signal;
  sa.sa_flags = SA_RESTART;
  h->wake.data = h;
  h->wake.async_cb = on_wake;
  sigaction(SIGINT, &sa, NULL);
  sigaction(SIGTERM, &sa, NULL);
}

struct host *watchdog_host(void) {
  struct watchdog *w = the_watchdog;
  return w ? w->host : NULL;
}

void watchdog_forget_signal(struct host *h) {
  if (h->watchdog) atomic_store(&h->watchdog->signals, 0);
}
