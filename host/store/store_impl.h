/* store_impl.h - what the files of the engine share. Which thread may touch what is said here, member by member. */
#ifndef STOKE_STORE_IMPL_H
#define STOKE_STORE_IMPL_H

#include <stdatomic.h>
#include <uv.h>

#include "loop/host.h"
#include "store.h"
#include "store_api.h"

#define STATEMENTS_KEPT 64
#define READERS_MAX     4

struct statement {
  struct statement *next, **prev; /* by use, the last used first */
  struct statement *same;         /* in its slot */
  uint32_t hash;
  size_t len;
  bool own;  /* the engine's, not a user's */
  bool once; /* used once: a PRAGMA may act when it is prepared, and some statements are not allowed in every place */
  sqlite3_stmt *stmt;
  const char *tail; /* into text; NULL when nothing but blanks follows */
  char text[];
};

/* A connection, and the statements that are kept for it. One thread uses it at a time. */
struct conn {
  struct store_db *db;
  sqlite3 *sql;
  struct statement *first, **last;
  struct statement *slots[STATEMENTS_KEPT];
  unsigned kept;
  int frames;             /* of the log, by the last commit */
  struct store_job *job;  /* that it runs now; db->lock */
  bool own, in_tx;        /* it runs a statement of the engine's; it is in a transaction that a user began */
  bool torn;              /* a job that failed has left a part behind: see UNDO_ALL */
  atomic_bool stop;       /* the running job is to stop; any thread */
  uint64_t waiting_since; /* for a lock of another program */
};

struct queue {
  struct store_job *head, **tail;
};

struct store_tx { /* the loop thread's */
  bool over;      /* no more jobs */
};

struct store_cursor {
  struct store_cursor *next, **prev; /* db->lock */
  struct conn conn;                  /* of its own: it sees the file as it was when it began */
  sqlite3_stmt *stmt;
  struct store_rows all; /* in memory there is one connection: all rows at once */
  size_t at, given;
  char *request; /* what is bound */
  bool ended;
};

struct reader {
  struct store_db *db;
  uv_thread_t thread;
  struct conn conn;
};

struct chain { /* of appends, that is broken */
  uint64_t number;
  struct err err;
};

struct store_db {
  struct store *store;
  struct store_db *next, **prev; /* loop thread, as the next five */
  struct store_options options;
  unsigned refs;
  bool closing, joined;
  struct queue staged;                       /* writes of this pump: they go to the writer together */
  size_t staged_count, staged_bytes, queued; /* bytes that are not acknowledged */
  size_t staged_durable;                     /* how many of them want a sync */
  uint64_t staged_at;                        /* when the first of them came */
  struct poll_hook flush;
  struct store_job own_job;  /* to close, unasked */
  struct store_job *opening; /* set before its thread begins */
  char *path;                /* never changes */
  bool memory;

  uv_mutex_t lock; /* the rest but what is the writer's */
  uv_cond_t work, read;
  struct queue writes, in_tx, reads;
  bool stopping; /* readers end; an open transaction is rolled back */
  bool writer_waits;
  uint64_t arrived;                  /* writes that want a sync, so far */
  atomic_uint_fast64_t commit_ns[2]; /* how long commits take, without a sync and with one; any thread */
  unsigned readers, idle_readers, waiting_reads;
  struct reader reader[READERS_MAX];
  struct store_cursor *cursors;
  uint64_t log_stuck; /* bytes of the log that readers keep from being copied to the file; 0 = none, or few */
  struct err failure; /* of the last append that failed */
  uint64_t failures;

  uv_thread_t thread; /* the writer; as the rest */
  struct conn writer;
  int synchronous, checkpoint_at;
  int64_t page_bytes;
  struct returning {         /* who was acknowledged with a sync is likely to write again soon */
    uint64_t since, arrived; /* when that was, and db->arrived then */
    size_t count;
    unsigned skip, penalty; /* times not to wait for them, because it was in vain */
  } returning;
  struct chain *broken;
  size_t broken_len;
  bool unsure; /* a sync has failed */
  bool sealed; /* there was no memory to note one: all of them */
};

struct store {
  struct host *host;
  struct store_db *dbs;
  struct lock_file *lock_files;
  uv_async_t async;
  uv_mutex_t lock;
  struct queue done; /* store->lock */
  bool closed;
};

static inline void queue_init(struct queue *q) {
  q->head = NULL;
  q->tail = &q->head;
}

static inline void queue_add(struct queue *q, struct store_job *job) {
  job->next = NULL;
  job->prev = q->tail;
  *q->tail = job;
  q->tail = &job->next;
}

static inline void queue_drop(struct queue *q, struct store_job *job) {
  *job->prev = job->next;
  if (job->next)
    job->next->prev = job->prev;
  else
    q->tail = job->prev;
}

/* States of a job; db->lock. */
enum { JOB_IDLE, JOB_STAGED, JOB_WRITES, JOB_IN_TX, JOB_READS, JOB_RUNS, JOB_DONE };

/* store.c */
void store_post(struct store_db *db, struct store_job *const *jobs, size_t count); /* any thread: they are done */
struct store_job *store_take(struct store_db *db, struct queue *q); /* db->lock held: its head; NULL when it is empty */
bool store_begin_job(struct conn *c, struct store_job *job);        /* interruptible from here on; false: cancelled */
void store_end_job(struct conn *c);
void store_quiet_thread(void);                                     /* signals are for the loop thread */
void store_closed_error(const struct store_db *db, struct err *e); /* what was queued when it was closed */
struct store *store_of(struct host *h, struct err *e);

/* store_lock.c */
void store_locks_free(struct store *s);

/* store_conn.c */
bool conn_open(struct conn *c, struct store_db *db, bool writer, struct err *e);
void conn_close(struct conn *c);
bool conn_exec(struct conn *c, const char *sql, struct err *e); /* of the engine's own; kept */
/* The statement for this text if it is kept and may run in any place; NULL = none. */
struct statement *conn_kept(struct conn *c, const char *sql, size_t len);
/* The first statement of the text, kept or prepared now, reset and without bindings. NULL with e filled on an error. A statement
 * that does nothing has stmt == NULL. */
struct statement *conn_prepare(struct conn *c, const char *sql, size_t len, struct err *e);
/* The last error of the connection; `what` is the statement, or NULL. */
void conn_error(struct conn *c, const char *what, struct err *e);
void conn_error_code(struct conn *c, int rc, const char *what, struct err *e);

/* store_run.c */
enum keyword { WORD_OTHER, WORD_TRANSACTION, WORD_SAVEPOINT, WORD_PRAGMA, WORD_ALONE };
enum keyword store_keyword(const char *sql, size_t len);
/* What becomes of what a job did that fails half way: it stays, or its caller is told by `torn` and rolls all of the transaction
 * back, or it alone is undone, which costs a savepoint. */
enum undo { UNDO_NONE, UNDO_ALL, UNDO_OWN };
/* Runs the statements of a job, and fills its outcome; false with job->err filled. */
bool store_run(struct conn *c, struct store_job *job, enum undo undo);
bool store_bind(struct conn *c, sqlite3_stmt *stmt, const char *sql, const char **at, struct err *e);
bool store_columns(sqlite3_stmt *stmt, struct store_rows *r, struct err *e);
/* The next rows of a statement: up to `max` (0 = all), and none more once they are `enough` bytes (0 = no matter how many). */
struct piece {
  size_t max, enough;
  bool ended; /* there were no more */
};
bool store_step(struct conn *c, sqlite3_stmt *stmt, struct piece *p, struct store_rows *r, struct err *e);
bool store_job_alone(const struct store_job *job); /* it cannot be run in a transaction */

/* store_writer.c, store_reader.c, store_cursor.c */
void store_writer(void *db);
void store_reader(void *reader);
void store_cursor_open(struct store_db *db, struct store_job *job);
void store_cursor_next(struct store_db *db, struct store_job *job);
void store_cursor_free(struct store_db *db, struct store_cursor *cursor);
void store_backup(struct store_db *db, struct conn *c, struct store_job *job);

#endif
