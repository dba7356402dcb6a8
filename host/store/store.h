/* store.h - databases of SQLite, beside the loop. A file has one thread that writes, and a few that read when something is
 * read; nothing of SQLite runs on the loop thread. All functions here are the loop thread's; `done` of a job comes there, too.
 *
 * Writes are gathered: what is queued when the writer looks is one transaction, and each of them succeeds or fails alone. They are
 * acknowledged after the commit. A commit is synced when one of its writes asks for that; a synced commit makes durable all before it.
 *
 * Ownership: whoever fills a job owns it and its request until `done` has been called, and keeps both unchanged meanwhile; then
 * job->rows and job->err are the owner's (store_rows_free). A database counts its users: store_open gives one reference, each job
 * holds one while it is under way. */
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
  bool create;         /* when it is not there */
  bool host;           /* the host's own file: mode 0600, defensive, refused when it is somebody else's database */
  bool durable;        /* what writes and transactions are that do not say it themselves */
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
  STORE_MEND,   /* chain: its appends are taken again */
  STORE_BACKUP, /* to the path that is the request's first value */
  STORE_CHECK,
  STORE_CLOSE
};

struct store_job {
  enum store_what what;
  void (*done)(struct store_job *job); /* last use by the engine */
  const char *request; /* packed: for each statement its text, the number of its parameters as an integer, they; before
                                          each that has one, its name */
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

/* Begins to open; job->what is STORE_OPEN. NULL with e filled: it could not begin, and `done` never comes. The job tells whether the
 * file is open; if not, the caller only lets go of the database with store_release. */
struct store_db *store_open(struct host *h, const char *path, const struct store_options *o, struct store_job *job,
                            struct err *e);
void store_hold(struct store_db *db);
void store_release(struct store_db *db); /* the last one closes it, without being told */

/* Queues the job. False with e filled, and nothing happens: closed, or too much is queued. */
bool store_submit(struct store_db *db, struct store_job *job, struct err *e);
/* Out of the queue, or interrupted; `done` comes all the same, later. A job that is too far goes on. */
void store_cancel(struct store_job *job);
void store_interrupt(struct store_db *db); /* whatever runs now */

/* What is queued is still written, what is read is interrupted, an open transaction rolled back. job may be NULL. False: it is closing
 * already, and the job is not taken. */
bool store_close(struct store_db *db, struct store_job *job);
bool store_closing(const struct store_db *db);
bool store_durable(const struct store_db *db); /* what it was opened with */
bool store_room(const struct store_db *db);
const char *store_path(const struct store_db *db);
const char *store_failure(struct store_db *db, struct err *e); /* of the last append that failed; NULL = none did */

/* "SQLITE_CONSTRAINT_UNIQUE"; NULL when it is no code of SQLite. */
const char *store_code_name(int code);

/* A byte of a file, locked in the kernel for as long as it is held, at most for the life of the process. NULL with e->kind == NULL:
 * somebody else has it. Does not wait. The file is made when it is not there. */
struct store_lock *store_lock(struct host *h, const char *path, uint64_t number, struct err *e);
void store_unlock(struct store_lock *l);
/* Does a process, this one or another, hold it? Takes nothing, and makes no file. False with e filled when that cannot be known. */
bool store_held(struct host *h, const char *path, uint64_t number, struct err *e);

/* For state.c, at the end: begins to close all databases; and, when nothing is under way any more, gives back the rest. False: a
 * database is stuck in a system call. */
void store_shut(struct host *h);
bool store_finish(struct host *h);

#endif
