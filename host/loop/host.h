/* host.h - the root structure of the runtime; passed by pointer, never global. */
#ifndef STOKE_HOST_H
#define STOKE_HOST_H

#include <signal.h>
#include <stdatomic.h>
#include <uv.h>

#include "base.h"
#include "err.h"
#include "mem.h"
#include "timers.h"

typedef struct lua_State lua_State;
struct task;
struct net;
struct net_backend;
struct httpd;
struct store;
struct nats_engine;
struct server_class;
struct console;
struct tty;
struct watchdog;
struct schedule;

enum clock_kind { CLOCK_REAL, CLOCK_VIRTUAL };

/* CANCEL, CUT and FAILED are of a journalled run, see schedule.h. */
enum event_kind { EVENT_ALARM, EVENT_SIGNAL, EVENT_DIED, EVENT_DEADLOCK, EVENT_TERMINAL, EVENT_CANCEL, EVENT_CUT, EVENT_FAILED };

/* An event that Lua code handles: a deadline has passed, a signal has arrived, a task has died of an error that nothing
 * could catch. Embedded in its source, queued without allocating, read by the keeper task (lua/keeper.lua). */
struct event {
  struct event *next;
  int ref; /* registry: what it is about, or LUA_NOREF; stays the source's */
  int number;
  enum event_kind kind;
  bool queued;
};

/* Work gathered while tasks run and done just before the system is polled, in this order: journals, then output, then responses
 * and requests. One call for each host_before_poll; embedded in its owner, zero-filled at first. */
enum before_poll { BEFORE_POLL_JOURNAL, BEFORE_POLL_CONSOLE, BEFORE_POLL_REPLIES, BEFORE_POLL_REQUESTS, BEFORE_POLL_KINDS };

struct poll_hook {
  void (*run)(struct poll_hook *hook);
  struct poll_hook *next, **prev; /* prev: NULL = not requested */
};

/* Callbacks of the scheduler and the signals; NULL = none. */
struct hooks {
  void (*look)(struct host *h);               /* between the resumes of a long turn: checks for keys */
  void (*speak)(struct host *h, bool before); /* the watchdog writes to standard error: before that, and after */
  void (*rescue)(struct host *h);             /* from a signal handler: the process ends now */
};

#define SIGNALS_FATAL    6
#define SIGNALS_CHILDREN 256

/* For signals.c. */
struct signals {
  atomic_int count, last;   /* signals not handled yet; the number of the last */
  _Atomic uint64_t hung_up; /* when the first SIGHUP came; 0 = none */
  bool guarded[SIGNALS_FATAL];
  atomic_int children[SIGNALS_CHILDREN]; /* leaders of process groups to kill at exit; 0 = free */
};

struct host {
  uv_loop_t loop;
  lua_State *L; /* the main thread of the state; runs nothing but start-up */
  struct mem mem;

  /* tasks */
  struct task *ready_head, **ready_tail;
  struct task *urgent; /* goes before them */
  struct task *current;
  struct task *live;
  struct schedule *due;    /* replayed runs with pending work */
  struct schedule *acting; /* something from outside is done to a task of it right now */
  size_t task_count, system_count;

  /* time */
  enum clock_kind clock;
  uint64_t virtual_now; /* ns */
  double virtual_epoch; /* wall clock at virtual time 0 */
  struct timers timers;
  uv_timer_t uv_timer;

  /* native operations in flight: they keep the loop alive and virtual time still */
  size_t inflight;
  size_t handles; /* open native objects a script could leak: requests, processes, servers, files */

  /* events for the keeper */
  struct event *event_head, **event_tail;
  struct op *keeper_wait;
  struct event deadlock, signal, terminal;

  struct net *net; /* engines are made on first use and closed by host_close in host/state.c */
  struct httpd *httpd;
  struct store *store;
  struct nats_engine *nats;
  const struct net_backend *const *net_backends; /* that there are, as state.c lists them; NULL ends each list */
  const struct server_class *const *server_classes;
  struct console *console;
  struct tty *tty;
  struct watchdog *watchdog;
  int judge; /* registry: judge(act, seconds, grown) of lua/overrun.lua, called by the watchdog for a slice that overruns */

  struct hooks hooks;
  struct poll_hook *before_poll[BEFORE_POLL_KINDS];
  uv_prepare_t prepare; /* active while there are some */
  unsigned looks; /* calls of host_yield_wanted */
  struct signals signals;
  volatile sig_atomic_t edits; /* a line editor is active: the terminal is in raw mode */
  uv_async_t wake;             /* from the signal handler */
  bool polling;                /* inside uv_run */
  enum gc_pace {
    GC_UNSET,
    GC_YOUNG,
    GC_SMALL,
    GC_LARGE,
    GC_CROWDED
  } gc_pace;      /* how the heap is collected, see loop.c */
  bool gc_stress; /* a full collection before each resume */
  size_t gc_skipped;
  bool embedded; /* in a program of others, see host/api/stoke.h: then nothing left to wait for is no deadlock but: */
  bool idle;     /* until the next turn */
  bool stopping;
  int exit_code;
};

uint64_t host_now(const struct host *h); /* ns, monotonic; the clock seam */
double host_wall(const struct host *h);  /* seconds since 1970; follows the virtual clock in tests */

/* state.c. host_init fills the caller's struct host; false (with e filled) when out of memory. */
bool host_init(struct host *h, struct err *e);
bool host_close(struct host *h); /* false: a native call is stuck, and its memory with it */

/* Something is left that the loop would resume without asking the system. */
static inline bool host_runnable(const struct host *h) {
  return h->ready_head || h->urgent || h->due;
}

/* loop.c: run until stopping, or nothing is left that could wake a task. Returns the exit code. */
int host_run(struct host *h);
void host_turn(struct host *h); /* one turn of it: what is due, tasks, then the system, waiting where nothing else is left to do */
void host_pace_collector(struct host *h); /* the way of collecting that suits the size of the heap */
void host_poll_init(struct host *h);
void host_before_poll(struct host *h, enum before_poll when, struct poll_hook *hook); /* a no-op while it is wanted */
void host_before_poll_drop(struct poll_hook *hook);                                   /* its owner goes away */
/* For callbacks that may come by the thousand in one turn: true = keys are waiting, leave the rest to the next turn. */
bool host_yield_wanted(struct host *h);
void host_event(struct host *h, struct event *ev, enum event_kind kind, int number); /* a no-op while it is queued */
void host_event_drop(struct host *h, struct event *ev);                          /* its source goes away */

#endif
