/* store_writer.c - the thread that writes. It takes what is queued, as one transaction; each write in it succeeds or fails alone. */
#include <string.h>

#include "fault.h"
#include "store_impl.h"
#include "vfs_fault.h"

#define GROUP_MAX    1024
#define GROUP_BYTES  ((size_t)8 << 20)
#define REDO_MAX     4     /* a disk that fails fails all soon */
#define SLOW_NS      50000 /* of a commit with a sync: it pays to wait for others that are to share it */
#define IN_VAIN_MAX  63    /* commits without such a wait, after it was in vain */
#define IDLE_NS      100000000ull
#define FRAMES_IDLE  256   /* pages of the log beyond which an idle writer copies them to the file */
#define FRAMES_STUCK 16384 /* that a reader keeps in the log: it is told of */
#define FRAMES_MAX   4096  /* and one that is never idle, too */

struct group {
  struct store_job *jobs[GROUP_MAX];
  size_t count;
};

/* --- chains of appends -------------------------------------------------------------------------------------------------------- */

static struct chain *broken_chain(struct store_db *db, uint64_t number) {
  for (size_t i = 0; number && i < db->broken_len; i++)
    if (db->broken[i].number == number) return &db->broken[i];
  return NULL;
}

static void chain_fail(struct store_db *db, const struct store_job *job) {
  if (job->what != STORE_APPEND) return;
  uv_mutex_lock(&db->lock);
  db->failure = job->err;
  db->failures++;
  uv_mutex_unlock(&db->lock);
  if (!job->chain || db->sealed || broken_chain(db, job->chain)) return;
  struct chain *broken = store_fault_unnoted() ? NULL : realloc(db->broken, (db->broken_len + 1) * sizeof *broken);
  if (!broken) {
    db->sealed = true; /* a gap in a journal must not go unnoticed */
    return;
  }
  db->broken = broken;
  broken[db->broken_len++] = (struct chain){job->chain, job->err};
}

static void chain_mend(struct store_db *db, uint64_t number) {
  struct chain *c = broken_chain(db, number);
  if (c) *c = db->broken[--db->broken_len];
}

/* Must this append fail because an earlier one of its chain has? */
static bool is_broken(struct store_db *db, struct store_job *job) {
  if (job->what != STORE_APPEND || !job->chain) return false;
  struct chain *c = broken_chain(db, job->chain);
  if (c) job->err = c->err;
  if (db->sealed)
    err_set(&job->err, "db", SQLITE_NOMEM, "out of memory: no run is written to \"%.120s\" any more", db->path);
  return c || db->sealed;
}

/* --- a group ------------------------------------------------------------------------------------------------------------------- */

static bool in_group(const struct store_job *job) {
  switch (job->what) {
    case STORE_APPEND: return true;
    case STORE_QUERY: return job->writes && !store_job_alone(job);
    case STORE_WRITE: return !store_job_alone(job);
    default: return false;
  }
}

/* After a sync that failed the system may take for written what never reached the disk. So all of the log goes to the file, which is
 * synced, and the log begins anew. */
static bool settle(struct store_db *db, struct err *e) {
  int frames, copied;
  int rc = sqlite.wal_checkpoint_v2(db->writer.sql, NULL, SQLITE_CHECKPOINT_TRUNCATE, &frames, &copied);
  if (rc != SQLITE_OK) {
    conn_error_code(&db->writer, rc, NULL, e);
    return false;
  }
  db->writer.frames = 0;
  db->unsure = false;
  return true;
}

static bool synchronous(struct store_db *db, bool durable, struct err *e) {
  int wanted = durable ? 2 : 1;
  if (durable && db->unsure && !settle(db, e)) return false;
  if (db->synchronous == wanted || db->memory) return true;
  if (!conn_exec(&db->writer, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", e)) return false;
  db->synchronous = wanted;
  return true;
}

static void fail_rest(struct group *g, const struct err *e) {
  for (size_t i = 0; i < g->count; i++) {
    if (g->jobs[i]->err.kind) continue;
    store_rows_free(&g->jobs[i]->rows);
    g->jobs[i]->err = *e;
  }
}

static bool run_one(struct store_db *db, struct store_job *job, enum undo undo) {
  if (is_broken(db, job)) return false;
  if (job->what == STORE_APPEND && store_fault_drop()) return true;
  bool ok = store_begin_job(&db->writer, job) && store_run(&db->writer, job, undo);
  store_end_job(&db->writer);
  if (job->what == STORE_APPEND) {
    FAULT_POINT("in-append");
    if (!ok && !db->writer.torn) chain_fail(db, job);
  }
  return ok;
}

/* One attempt. False: all of it is to be rolled back, or was by SQLite, because of one that has failed; the others, and with `torn` that
 * one, too, are to be done again. */
static bool attempt(struct store_db *db, struct group *g, enum undo undo, size_t *succeeded, struct err *e) {
  *succeeded = 0;
  for (size_t i = 0; i < g->count; i++) {
    struct store_job *job = g->jobs[i];
    if (job->err.kind) continue;
    store_rows_free(&job->rows);
    if (run_one(db, job, undo)) {
      ++*succeeded;
    } else if (db->writer.torn) {
      err_clear(&job->err);
      return false;
    } else if (sqlite.get_autocommit(db->writer.sql)) {
      *e = job->err;
      return false;
    }
  }
  return true;
}

static void end_transaction(struct conn *c) {
  struct err e;
  if (!sqlite.get_autocommit(c->sql)) (void)conn_exec(c, "ROLLBACK", &e);
}

static bool commit(struct store_db *db, struct err *e) {
  uint64_t from = uv_hrtime();
  atomic_uint_fast64_t *usual = &db->commit_ns[db->synchronous == 2];
  FAULT_POINT("before-commit");
  if (!conn_exec(&db->writer, "COMMIT", e)) {
    db->unsure |= e->code == SQLITE_IOERR_FSYNC;
    end_transaction(&db->writer);
    return store_fault_early();
  }
  uint64_t took = uv_hrtime() - from, known = atomic_load_explicit(usual, memory_order_relaxed);
  atomic_store_explicit(usual, known ? (known * 3 + took) / 4 : took, memory_order_relaxed);
  FAULT_POINT("after-commit-before-ack");
  return true;
}

static void run_group(struct store_db *db, struct group *g) {
  struct err e;
  bool durable = false;
  size_t succeeded;
  for (size_t i = 0; i < g->count; i++) durable |= g->jobs[i]->durable;
  if (!synchronous(db, durable, &e)) {
    fail_rest(g, &e);
    return;
  }
  enum undo undo = UNDO_ALL; /* savepoints are for what fails, which is rare */
  for (int tries = 0;; tries++) {
    bool begun = conn_exec(&db->writer, "BEGIN IMMEDIATE", &e);
    if (begun && !attempt(db, g, undo, &succeeded, &e)) {
      if (db->writer.torn) {
        end_transaction(&db->writer);
        undo = UNDO_OWN;
        continue;
      }
      if (tries < REDO_MAX || (e.code & 0xff) == SQLITE_INTERRUPT || (e.code & 0xff) == SQLITE_CONSTRAINT) continue;
      begun = false;
    } else if (begun && succeeded == 0) {
      end_transaction(&db->writer);
    } else if (begun) {
      begun = commit(db, &e);
    }
    if (!begun) fail_rest(g, &e);
    break;
  }
  for (size_t i = 0; i < g->count; i++)
    if (g->jobs[i]->err.kind) chain_fail(db, g->jobs[i]);
}

/* Tasks that take turns would stay two halves for ever: each waits for a sync of its own and for that of the others. So those that were
 * just acknowledged are waited for, for half as long as a commit takes; not again for a while where few of them came. db->lock held. */
static void await_returning(struct store_db *db) {
  struct returning *r = &db->returning;
  uint64_t commit = atomic_load_explicit(&db->commit_ns[1], memory_order_relaxed), end = r->since + commit / 2;
  if (r->count == 0 || commit < SLOW_NS) return;
  if (r->skip > 0) {
    r->skip--;
    return;
  }
  uint64_t now = uv_hrtime();
  if (now >= end) return;
  for (; db->arrived - r->arrived < r->count && !db->stopping && now < end; now = uv_hrtime()) {
    db->writer_waits = true;
    (void)uv_cond_timedwait(&db->work, &db->lock, end - now);
    db->writer_waits = false;
  }
  bool vain = (db->arrived - r->arrived) * 2 < r->count;
  r->penalty = !vain ? 0 : r->penalty * 2 < IN_VAIN_MAX ? r->penalty * 2 + 1 : IN_VAIN_MAX;
  r->skip = r->penalty;
}

static void acknowledge(struct store_db *db, const struct group *g) {
  struct returning *r = &db->returning;
  r->count = 0;
  for (size_t i = 0; i < g->count; i++) r->count += g->jobs[i]->durable;
  uv_mutex_lock(&db->lock);
  r->arrived = db->arrived;
  uv_mutex_unlock(&db->lock);
  r->since = uv_hrtime();
  store_post(db, g->jobs, g->count);
}

static void write_group(struct store_db *db, struct store_job *first) {
  struct group g = {.jobs = {first}, .count = 1};
  size_t bytes = first->request_len;
  uv_mutex_lock(&db->lock);
  if (first->durable) await_returning(db);
  while (g.count < GROUP_MAX && bytes < GROUP_BYTES && db->writes.head && in_group(db->writes.head)) {
    struct store_job *job = store_take(db, &db->writes);
    bytes += job->request_len;
    g.jobs[g.count++] = job;
  }
  uv_mutex_unlock(&db->lock);
  run_group(db, &g);
  acknowledge(db, &g);
}

/* --- what stands alone ---------------------------------------------------------------------------------------------------------- */

static void run_alone(struct store_db *db, struct store_job *job) {
  if (synchronous(db, true, &job->err)) {
    if (store_begin_job(&db->writer, job)) (void)store_run(&db->writer, job, UNDO_NONE);
    store_end_job(&db->writer);
    db->synchronous = 0; /* a pragma may have changed it */
  }
  store_post(db, &job, 1);
}

/* In memory all is read here. A statement that turns out to write goes the way of writes. */
static void query(struct store_db *db, struct store_job *job) {
  struct store_value sql;
  (void)store_value_read(job->request, &sql);
  bool alone = store_job_alone(job);
  struct statement *s = !alone ? conn_prepare(&db->writer, sql.bytes, sql.len, &job->err) : NULL;
  if (job->err.kind) {
    store_post(db, &job, 1);
  } else if (s && (s->tail || !s->stmt || !sqlite.stmt_readonly(s->stmt))) {
    job->writes = true;
    write_group(db, job);
  } else {
    run_alone(db, job);
  }
}

static void version(struct store_db *db, struct store_job *job) {
  static const char sql[] = "PRAGMA data_version"; /* of this connection: changes when somebody else has written */
  struct statement *s = conn_prepare(&db->writer, sql, sizeof sql - 1, &job->err);
  if (s) {
    if (sqlite.step(s->stmt) == SQLITE_ROW)
      job->version = sqlite.column_int64(s->stmt, 0);
    else
      conn_error(&db->writer, NULL, &job->err);
    sqlite.reset(s->stmt);
  }
  store_post(db, &job, 1);
}

/* --- a transaction ---------------------------------------------------------------------------------------------------------------- */

static struct store_job *next_of_tx(struct store_db *db) {
  uv_mutex_lock(&db->lock);
  struct store_job *job;
  while (!(job = store_take(db, &db->in_tx)) && !db->stopping) {
    db->writer_waits = true;
    uv_cond_wait(&db->work, &db->lock);
    db->writer_waits = false;
  }
  uv_mutex_unlock(&db->lock);
  return job;
}

static void is_lost(struct store_job *job) {
  err_set(&job->err, "db", SQLITE_ABORT_ROLLBACK, "an error before has rolled this transaction back");
}

/* False: SQLite has rolled the transaction back by itself. */
static bool run_in_tx(struct store_db *db, struct store_job *job) {
  db->writer.in_tx = true;
  if (store_begin_job(&db->writer, job)) (void)store_run(&db->writer, job, UNDO_OWN);
  db->writer.in_tx = false;
  store_end_job(&db->writer);
  return !sqlite.get_autocommit(db->writer.sql);
}

static void transaction(struct store_db *db, struct store_job *job) {
  bool alive = store_begin_job(&db->writer, job) && synchronous(db, job->durable, &job->err) &&
               conn_exec(&db->writer, "BEGIN IMMEDIATE", &job->err);
  store_end_job(&db->writer);
  store_post(db, &job, 1);
  if (!alive) return;
  enum store_what what = STORE_RUN;
  while (what == STORE_RUN && (job = next_of_tx(db))) {
    what = job->what;
    if (!alive && what != STORE_ROLLBACK)
      is_lost(job);
    else if (what == STORE_RUN)
      alive = run_in_tx(db, job);
    else if (what == STORE_COMMIT)
      (void)commit(db, &job->err);
    if (what != STORE_RUN) end_transaction(&db->writer);
    store_post(db, &job, 1);
  }
  end_transaction(&db->writer); /* where the database is closed */
}

/* --- the thread ------------------------------------------------------------------------------------------------------------------- */

static void checkpoint(struct store_db *db, int mode) {
  FAULT_POINT("checkpoint");
  int frames = 0, copied = 0;
  int rc = sqlite.wal_checkpoint_v2(db->writer.sql, NULL, mode, &frames, &copied);
  db->unsure |= rc == SQLITE_IOERR_FSYNC;
  if (rc == SQLITE_OK && copied == frames) db->writer.frames = 0;
  uint64_t stuck = frames - copied >= FRAMES_STUCK ? (uint64_t)(frames - copied) * (uint64_t)db->page_bytes : 0;
  uv_mutex_lock(&db->lock);
  db->log_stuck = stuck;
  uv_mutex_unlock(&db->lock);
}

/* The next job; what is idle meanwhile copies the log to the file. */
static struct store_job *next_job(struct store_db *db) {
  struct store_job *job;
  bool tidy = db->writer.frames >= FRAMES_IDLE;
  if (db->writer.frames < db->checkpoint_at - FRAMES_MAX) db->checkpoint_at = FRAMES_MAX; /* the log has begun anew */
  if (db->writer.frames >= db->checkpoint_at) {
    db->checkpoint_at = db->writer.frames + FRAMES_MAX; /* not with every commit, where a reader holds it up */
    checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
    tidy = false;
  }
  uv_mutex_lock(&db->lock);
  while (!(job = store_take(db, &db->writes))) {
    db->writer_waits = true;
    int rc = 0;
    if (tidy)
      rc = uv_cond_timedwait(&db->work, &db->lock, IDLE_NS);
    else
      uv_cond_wait(&db->work, &db->lock);
    db->writer_waits = false;
    if (rc != UV_ETIMEDOUT || db->writes.head) continue;
    uv_mutex_unlock(&db->lock);
    checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
    tidy = false;
    uv_mutex_lock(&db->lock);
  }
  uv_mutex_unlock(&db->lock);
  return job;
}

static void shut(struct store_db *db) {
  uv_mutex_lock(&db->lock);
  unsigned readers = db->readers;
  uv_cond_broadcast(&db->read);
  uv_mutex_unlock(&db->lock);
  for (unsigned i = 0; i < readers; i++) uv_thread_join(&db->reader[i].thread);
  while (db->cursors) store_cursor_free(db, db->cursors);
  if (!db->memory && !db->options.readonly) checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE);
  conn_close(&db->writer);
}

static void work(struct store_db *db, struct store_job *job) {
  switch (job->what) {
    case STORE_BEGIN: transaction(db, job); break;
    case STORE_VERSION: version(db, job); break;
    case STORE_MEND:
      chain_mend(db, job->chain);
      store_post(db, &job, 1);
      break;
    case STORE_EACH:
      store_cursor_open(db, job);
      store_post(db, &job, 1);
      break;
    case STORE_NEXT:
      store_cursor_next(db, job);
      store_post(db, &job, 1);
      break;
    case STORE_END:
      store_cursor_free(db, job->cursor);
      store_post(db, &job, 1);
      break;
    case STORE_BACKUP:
      store_backup(db, &db->writer, job);
      store_post(db, &job, 1);
      break;
    case STORE_QUERY:
      if (!job->writes) {
        query(db, job);
        break;
      }
      /* fall through */
    case STORE_WRITE:
      if (store_job_alone(job))
        run_alone(db, job);
      else
        write_group(db, job);
      break;
    case STORE_CHECK: run_alone(db, job); break;
    default: write_group(db, job); break;
  }
}

void store_writer(void *ud) {
  struct store_db *db = ud;
  store_quiet_thread();
  struct store_job *job = db->opening;
  db->checkpoint_at = FRAMES_MAX;
  bool open = conn_open(&db->writer, db, true, &job->err);
  store_post(db, &job, 1);
  if (!open) return;
  while ((job = next_job(db))->what != STORE_CLOSE) work(db, job);
  shut(db);
  store_post(db, &job, 1);
}
