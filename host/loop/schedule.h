/* schedule.h - the order of a journalled run: external events of its tasks, and their times.
 *
 * Between two external events the ready queue alone determines what a run's tasks do. So the log records only those events
 * (deliveries): the number of visible resumes before it (resumes of the run's tasks outside live effects), the task, and the
 * event. It records no time slices, no polls and no other tasks.
 *
 * A replayed run has its own ready queue. Before each resume the deliveries due at that count are applied; its timeouts are
 * not armed. At the end of the log, when nothing is left to resume, the run continues live, and its log grows.
 *
 * Ownership: a schedule is reference-counted; its creator, each task and each alarm of the run hold a reference. */
#ifndef STOKE_SCHEDULE_H
#define STOKE_SCHEDULE_H

#include "base.h"
#include "host.h"
#include "schedule_log.h"

struct task;

/* A timer that becomes an event, which the keeper reads: a scope's deadline. Zero-filled memory is a stopped one. */
struct alarm {
  struct timer timer;
  struct event event;
  struct host *host;
  struct schedule *schedule; /* of the run it belongs to; NULL = none, or it has stopped */
  uint32_t number;           /* in the run, by order of making */
  double seconds;
  struct alarm *next, **prev; /* the run's */
};

void alarm_start(struct host *h, struct alarm *a, double seconds); /* belongs to the run that acts */
void alarm_stop(struct alarm *a);
void alarm_arm(struct alarm *a); /* for schedule.c */
void alarm_begin(struct alarm *a); /* it stops, is recorded, and its run acts until schedule_acted */

enum schedule_mode {
  SCHEDULE_RECORD,
  SCHEDULE_REPLAY,
  SCHEDULE_OVER /* it failed, or was cancelled from outside during replay: its tasks run like any others */
};

struct schedule {
  struct host *host;
  unsigned refs;
  enum schedule_mode mode;
  uint64_t count;         /* visible resumes so far */
  uint32_t tasks, alarms; /* how many were made: the next one's number */
  struct task *root;      /* NULL when it has ended */
  struct alarm *alarm_list;
  struct schedule_log log;

  /* replay */
  struct delivery due; /* the next one, where `more` */
  bool more;
  bool held;   /* the keeper applies a delivery: nothing is resumed meanwhile */
  bool paused; /* somebody looks at it, see schedule_pause */
  bool listed; /* it has pending work */
  struct schedule *next;
  struct task *ready_head, **ready_tail; /* visible and ready, in order */
  struct task **by_number;               /* all its tasks: open addressing */
  size_t slots, live;

  struct event event; /* for the keeper: it failed, or `due` is to be applied to `about` */
  struct task *about;
  struct schedule *outer; /* the schedule that acted before */
  size_t text_at, text_len; /* in the log */
  const char *failed;       /* the kind of the error; NULL = well */
  char why[300];
};

/* NULL when out of memory. `log` is copied. `max`: the bytes it may grow to. */
struct schedule *schedule_new(struct host *h, size_t max);
struct schedule *schedule_replay(struct host *h, const void *log, size_t len, size_t max);
void schedule_unref(struct schedule *s);

/* The task, which has none yet, and what it spawns from now on belong to the run. False when out of memory. */
bool schedule_adopt(struct schedule *s, struct task *t);
void schedule_leave(struct task *t); /* it is freed */

/* The run of the current task, unless it is inside a live effect; NULL = none. */
struct schedule *schedule_acting(const struct host *h);
static inline bool schedule_over(const struct schedule *s) {
  return s->mode == SCHEDULE_OVER;
}
/* Something outside is about to cancel a task of a run, or to cut it off: this is recorded, and the run acts until
 * schedule_acted. False: nothing to do. */
bool schedule_act(struct task *t, enum delivery_kind kind, const char *text, size_t len);
void schedule_acted(struct host *h);

/* Live effects of the running task; they nest. schedule_finish is true for one that suspended the task, whose outcome has to
 * be delivered: schedule_deliver records that, and is true when the task has to go to the end of the queue; else it waits.
 * `done` false: the effect is not done again, the task waits for the outcome that was recorded. Where the log ends it goes on
 * all the same, and its next effect is the one it waited for. */
void schedule_begin(struct task *t);
bool schedule_finish(struct task *t);
bool schedule_deliver(struct task *t, bool done);

/* While it is paused nothing of a replayed run is resumed, but a task that is inside a live effect. */
void schedule_pause(struct schedule *s, bool paused);

/* For task.c and op.c; t has a schedule. */
void schedule_resumed(struct task *t);                /* it is about to be */
bool schedule_queue(struct task *t);                  /* it is ready: true = in the run's own queue */
bool schedule_keep(struct task *t, bool cancelled);   /* its wait is over: true = it is not ready before its delivery */
bool schedule_limit(struct task *t);                  /* its wait has a limit: true = no timer is to be armed */
void schedule_time_up(struct task *t);                /* the limit is over; its run acts until schedule_acted */
bool schedule_turns(struct host *h);                  /* resumes what is due in replayed runs; false when nothing was */

/* The run cannot go on as recorded, or cannot be recorded: its tasks are cancelled, and its root fails with this error. */
void schedule_fail(struct schedule *s, const char *kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
