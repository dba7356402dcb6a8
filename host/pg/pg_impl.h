/* pg_impl.h - what the files of host/pg/ share. */
#ifndef STOKE_PG_IMPL_H
#define STOKE_PG_IMPL_H

#include <uv.h>

#include "loop/host.h"
#include "loop/timers.h"
#include "pg.h"
#include "pg_api.h"

/* A statement that this connection knows by a name. */
struct pg_statement {
  struct pg_statement *next;
  bool failed; /* it could not be prepared, for the reason in err: its jobs say so, and the next one tries again */
  struct err err;
  char sqlstate[6];
  char name[16];
  size_t len;
  char text[];
};

#define PG_PREPARED_MAX 256

/* What answers are awaited for, in their order: a statement's preparation with the synchronisation behind it, a job's
 * statements with theirs. */
enum pg_kind { PG_PREPARE, PG_EXECUTE, PG_SYNC };

struct pg_step {
  enum pg_kind kind;
  bool seen;                      /* a result came; NULL ends it */
  struct pg_statement *statement; /* of PREPARE and EXECUTE; NULL = not prepared */
  struct pg_job *job;             /* NULL: a preparation */
};

struct pg_poll {
  uv_poll_t uv;
  struct pg *owner;
};

struct pg_note {
  struct pg_note *next;
  char text[];
};

enum pg_state { PG_CONNECTING, PG_READY, PG_LOST };

struct pg {
  struct host *host;
  PGconn *conn;
  enum pg_state state;
  unsigned owners, polls; /* polls: handles that libuv still holds */
  bool working;           /* a thread has the connection */
  bool closed;
  uv_work_t work;
  PostgresPollingStatusType polling;
  struct pg_poll *poll; /* NULL: nothing is waited for */
  int polled;
  struct timer timer; /* until it is made; then, until the next answer */
  double answer_seconds;
  size_t room, used; /* bytes of jobs under way */

  struct pg_job *opening;
  struct pg_job *head, **tail; /* under way */
  struct pg_step *steps;       /* a ring */
  size_t step_first, step_count, step_size;
  struct pg_statement *statements;
  unsigned prepared;

  struct pg_note *notes, **notes_tail;
  unsigned note_count;
  bool notes_lost;
  struct pg_wait *waiter;

  char place[160];
  char url[];
};

/* pg.c */
bool pg_watch(struct pg *c, int events);           /* false: out of memory */
void pg_lose(struct pg *c, const struct err *why); /* idempotent; jobs under way fail */
void pg_wake(struct pg *c);                        /* who waits for a notification */
void pg_clock(struct pg *c); /* an answer came, or the first job: the next one has its time from now on */

/* pg_pipe.c */
void pg_readable(struct pg *c);
void pg_flush(struct pg *c);
void pg_steps_free(struct pg *c);

/* pg_error.c */
void pg_connect_error(PGconn *conn, struct err *e);
void pg_result_error(const PGresult *r, struct err *e, char sqlstate[6]);
void pg_lost_error(struct pg *c, struct err *e);

#endif
