/* timers.h - deadlines of the loop: an intrusive heap (nothing to allocate, so starting one cannot fail) with one
 * uv_timer_t under it. Time comes from clock.c, so a virtual clock drives timers too. */
#ifndef STOKE_TIMERS_H
#define STOKE_TIMERS_H

#include "base.h"

struct host;

struct timer {
  uint64_t at;  /* due, in ns of the host's clock */
  uint64_t seq; /* equal deadlines fire in the order they were started */
  void (*fire)(struct timer *t);
  struct timer *child, *next, *prev; /* pairing heap links */
  bool armed;
};

/* Zero-filled memory is a stopped timer. */
void timer_start(struct host *h, struct timer *t, double seconds, void (*fire)(struct timer *t));
void timer_stop(struct host *h, struct timer *t); /* a no-op on a stopped one; afterwards `fire` never comes */

/* For loop.c. */
struct timers {
  struct timer *root;
  uint64_t seq;
  size_t count;
};
bool timers_next(const struct host *h, uint64_t *at); /* false when none is armed */
bool timers_late(const struct host *h); /* one was due a while ago: the process was stopped, or a task did not wait */
/* Fires all due timers. When late, only the earliest: its consequences, and events that have arrived meanwhile, come before the
 * next timer, as they would have in time. */
void timers_run(struct host *h);

#endif
