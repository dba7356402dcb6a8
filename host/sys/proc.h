/* proc.h - child processes: each leads its own process group, so that it can be killed with all its
 * children. Knows no Lua. */
#ifndef STOKE_PROC_H
#define STOKE_PROC_H

#include <uv.h>

#include "base.h"
#include "loop/err.h"

#define PROC_REPORT_FD 3 /* the descriptor on which such a helper says how it went */

struct host;
struct proc;

enum proc_stderr { PROC_STDERR_PIPE, PROC_STDERR_INHERIT, PROC_STDERR_MERGE };

struct proc_options {
  char **argv;     /* NULL-terminated, at least one; found along PATH, never given to a shell */
  char **env;      /* "NAME=value", NULL-terminated: all the child sees */
  const char *cwd; /* NULL = ours */
  enum proc_stderr err;
  bool in;      /* stdin is a pipe from us; otherwise empty */
  bool fenced;  /* argv is our helper (fence/): it reports, and its whole group ends with it */
  bool capture; /* keep the first `cap` bytes of each output and drop the rest; else stop reading at
                   `cap` */
  bool tail;    /* of capture: the last bytes, at least half of `cap` */
  size_t cap;
  double timeout; /* seconds of real time until proc_stop; 0 = none */
};

/* A waiter; called at most once. */
struct proc_wait {
  struct proc_wait *next;
  void (*ready)(struct proc_wait *w);
};

enum proc_output { PROC_OUT, PROC_ERR, PROC_REPORT }; /* REPORT: of the helper, ends when it becomes the program */

/* NULL and e filled if it cannot be started. The caller owns it and releases it with proc_release.
 * Everything is copied. */
struct proc *proc_start(struct host *h, const struct proc_options *o, struct err *e);
void proc_hold(struct proc *p);
void proc_unhold(struct proc *p);  /* of a wait; frees when nothing else is left */
void proc_release(struct proc *p); /* of the owner: a process that still runs is killed at once, and reaped */

/* SIGTERM to the group, SIGKILL to the rest of it after two seconds. */
void proc_stop(struct proc *p);
bool proc_kill(struct proc *p, int signal); /* to the group; false = it has ended */
int proc_pid(const struct proc *p);

/* Output not taken yet. *ended = there will be no more. */
const char *proc_peek(struct proc *p, enum proc_output which, size_t *len, bool *ended);
void proc_take(struct proc *p, enum proc_output which, size_t len); /* reading continues when there is room */
bool proc_truncated(const struct proc *p);
int proc_read_error(const struct proc *p, enum proc_output which); /* 0 or a libuv code */
/* Calls w when proc_peek would return something; false = there is a waiter already. */
bool proc_await_output(struct proc *p, enum proc_output which, struct proc_wait *w);
void proc_forget_output(struct proc *p, enum proc_output which);

/* The bytes are copied. done receives 0 or a libuv code: UV_EPIPE and UV_ECANCELED when the child
 * reads no more. Returns such a code when nothing could be started; then done never comes. */
int proc_write(struct proc *p, const char *bytes, size_t len, void (*done)(void *ud, int status), void *ud);
void proc_close_stdin(struct proc *p); /* after what was written */

/* Ended: the process is gone, and when capturing its output is complete too. */
struct proc_status {
  int code, signal; /* signal 0 = it exited, with code */
  bool timed_out;
  double seconds;
};
bool proc_status(const struct proc *p, struct proc_status *s); /* false = it still runs */
void proc_await_end(struct proc *p, struct proc_wait *w);
void proc_forget_end(struct proc *p, struct proc_wait *w);

const char *proc_signal_name(int number); /* "SIGTERM"; NULL = none known */
int proc_signal_number(const char *name); /* with or without SIG; 0 = none known */

#endif
