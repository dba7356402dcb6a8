/* store.h - SQLite databases beside the loop. Each file has one thread that writes and up to four that read, started on demand;
 * SQLite never runs on the loop thread. All functions here belong to the loop thread, and `done` of a job is called there.
 *
 * Group commit: all writes that are queued when the writer looks become one transaction; each of them succeeds or fails alone.
 * They are acknowledged after the commit. A commit is synced if one of its writes asks for it, which makes all earlier commits
 * durable, too.
 *
 * Ownership: the caller owns a job and its request, and must not change them until `done` has been called; then job->rows
 * (store_rows_free) and job->err are the caller's. A database is counted: store_open gives one reference, each job holds one
 * until it is done. */
#ifndef STOKE_STORE_H
#define STOKE_STORE_H

#include "loop/err.h"
#include "store_rows.h"

struct host;
struct store_db;
struct store_tx;
struct store_cursor;
struct store_lock;

struct store_options {
  bool readonly;
  bool create;         /* create the file if it does not exist */
  bool host;           /* the host's own file: mode 0600, SQLite's defensive mode, refused if another program made it */
  bool durable;        /* default of writes and transactions: sync their commits */
  double busy;         /* seconds to wait for locks of other programs */
  size_t result_limit; /* bytes of one result; beyond: an error of kind `limit` */
  size_t queue_limit;  /* bytes of queued appends beyond which store_room is false */
};

enum store_what {
  STORE_OPEN,
  STORE_QUERY,
  STORE_WRITE,
  STORE_APPEND,
  STORE_BEGIN,
  STORE_RUN,      /* in job->tx */
  STORE_COMMIT,   /* of job->tx */
  STORE_ROLLBACK, /* of job->tx */
  STORE_EACH,     /* gives job->cursor */
  STORE_NEXT,     /* `max` rows of job->cursor */
  STORE_END,      /* of job->cursor */
  STORE_VERSION,
  STORE_MEND,   /* accept appends of job->chain again */
  STORE_BACKUP, /* to the path that is the request's first value */
  STORE_CHECK,
  STORE_CLOSE
};

struct store_job {
  enum store_what what;
  void (*done)(struct store_job *job); /* last use by the engine */
  const char
      *request; /* packed: for each statement its text, the number of its parameters, and the parameters, each after
                          its name if it has one */
  size_t request_len;
  unsigned statements;
  size_t max;     /* rows wanted; 0 = all */
  bool durable;   /* STORE_WRITE, APPEND, BEGIN */
  uint64_t chain; /* STORE_APPEND: after a failure all later appends of that chain fail, until it is mended; 0 = none */
  struct store_tx *tx;         /* given by STORE_BEGIN; gone after COMMIT and ROLLBACK, whatever they say */
  struct store_cursor *cursor; /* given by STORE_EACH; gone after STORE_END */

  /* what came of it; err.kind == NULL: success. err.code is SQLite's extended code, 0 when it is none of SQLite's errors */
  struct err err;
  struct store_rows rows;
  int64_t changes, last_id, version;

  /* the engine's own */
  struct store_job *next, **prev;
  struct store_db *db;
  uint8_t state;
  bool cancelled, writes;
};

/* Begins to open a database; sets job->what to STORE_OPEN. NULL with e filled: it did not begin, and `done` is never called. If
 * the job fails, the caller still releases the database with store_release. */
struct store_db *store_open(struct host *h, const char *path, const struct store_options *o, struct store_job *job,
                            struct err *e);
void store_hold(struct store_db *db);
void store_release(struct store_db *db); /* the last one closes it, without being told */

/* Queues the job. False with e filled: the database is closed, or too much is queued; `done` is never called. */
bool store_submit(struct store_db *db, struct store_job *job, struct err *e);
/* Takes the job out of its queue, or interrupts it; `done` is still called, later. A job that is nearly done may succeed. */
void store_cancel(struct store_job *job);
void store_interrupt(struct store_db *db); /* all jobs that run now */

/* Closes: queued writes are still done, reads are interrupted, an open transaction is rolled back. job may be NULL. False: it is
 * being closed already, and the job is not queued. */
bool store_close(struct store_db *db, struct store_job *job);
bool store_closing(const struct store_db *db);
bool store_durable(const struct store_db *db); /* what it was opened with */
bool store_room(const struct store_db *db);
const char *store_path(const struct store_db *db);
/* Kind of error of the last failed append; NULL = none failed. count: how many have failed so far. */
const char *store_failure(struct store_db *db, struct err *e, uint64_t *count);

/* Bytes of the log (FILE-wal) that a reader, which stays open, keeps from being copied to the file; 0 = fewer than 64 MiB. own: a
 * cursor of this process is open. */
uint64_t store_log_stuck(struct store_db *db, bool *own);

/* Name of an extended code, such as "SQLITE_CONSTRAINT_UNIQUE"; NULL = unknown. */
const char *store_code_name(int code);

/* Locks one byte of a file in the kernel until store_unlock or the end of the process. Does not wait. Creates the file if
 * needed. NULL with e->kind == NULL: it is locked already. */
struct store_lock *store_lock(struct host *h, const char *path, uint64_t number, struct err *e);
void store_unlock(struct store_lock *l);
/* Does any process hold this lock? Takes no lock, and creates no file. False with e filled: unknown. */
bool store_held(struct host *h, const char *path, uint64_t number, struct err *e);

/* For state.c: store_shut begins to close all databases; store_finish, called when no job is pending, frees the rest. False: a
 * database is stuck in a system call. */
void store_shut(struct host *h);
bool store_finish(struct host *h);

#endif
