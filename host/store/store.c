/* store.c - databases as the loop thread sees them: opened, asked, closed. What comes back from the other threads comes by one uv_async
 * for all databases. */
#include "store.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "fault.h"
#include "store_impl.h"
#include "vfs_fault.h"

#define STACK_SIZE (1u << 20) /* musl's own is too small for SQLite */
#define QUEUED_MAX ((size_t)1 << 28)
#define JOB_SIZE   sizeof(struct store_job)

/* --- from the other threads ------------------------------------------------------------------------------------------------- */

void store_post(struct store_db *db, struct store_job *const *jobs, size_t count) {
  struct store *s = db->store;
  uv_mutex_lock(&s->lock);
  for (size_t i = 0; i < count; i++) queue_add(&s->done, jobs[i]);
  uv_mutex_unlock(&s->lock);
  uv_async_send(&s->async);
}

struct store_job *store_take(struct store_db *db, struct queue *q) {
  struct store_job *job = q->head;
  if (!job) return NULL;
  queue_drop(q, job);
  if (q == &db->reads) db->waiting_reads--;
  job->state = JOB_RUNS;
  return job;
}

static bool only_reads(const struct store_job *job) {
  switch (job->what) {
    case STORE_QUERY: return !job->writes;
    case STORE_EACH:
    case STORE_NEXT:
    case STORE_BACKUP:
    case STORE_CHECK: return true;
    default: return false;
  }
}

void store_closed_error(const struct store_db *db, struct err *e) {
  err_set(e, "db", SQLITE_INTERRUPT, "the database \"%.160s\" was closed", db->path);
}

bool store_begin_job(struct conn *c, struct store_job *job) {
  struct store_db *db = c->db;
  uv_mutex_lock(&db->lock);
  c->job = job;
  bool cancelled = job->cancelled, closed = db->stopping && only_reads(job);
  atomic_store(&c->stop, false);
  uv_mutex_unlock(&db->lock);
  if (cancelled)
    err_set(&job->err, "cancelled", 0, "cancelled before it began");
  else if (closed)
    store_closed_error(db, &job->err);
  return !cancelled && !closed;
}

void store_end_job(struct conn *c) {
  uv_mutex_lock(&c->db->lock);
  c->job = NULL;
  atomic_store(&c->stop, false);
  uv_mutex_unlock(&c->db->lock);
}

/* db->lock held. */
static void stop(struct conn *c, bool reading) {
  if (!c->job || !c->sql || (reading && !only_reads(c->job))) return;
  atomic_store(&c->stop, true);
  sqlite.interrupt(c->sql);
}

static void stop_all(struct store_db *db, bool reading) {
  stop(&db->writer, reading);
  for (unsigned i = 0; i < db->readers; i++) stop(&db->reader[i].conn, reading);
  for (struct store_cursor *c = db->cursors; c; c = c->next) stop(&c->conn, reading);
}

void store_quiet_thread(void) {
  sigset_t all;
  sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
}

/* --- to the loop thread ------------------------------------------------------------------------------------------------------ */

static void db_free(struct store_db *db) {
  *db->prev = db->next;
  if (db->next) db->next->prev = db->prev;
  uv_mutex_destroy(&db->lock);
  uv_cond_destroy(&db->work);
  uv_cond_destroy(&db->read);
  free(db->broken);
  mem_free(&db->store->host->mem, db->path);
  mem_free(&db->store->host->mem, db);
}

static void joined(struct store_db *db) {
  uv_thread_join(&db->thread);
  db->joined = db->closing = true;
  db->store->host->handles--;
}

static void tx_free(struct store_db *db, struct store_job *job) {
  mem_free(&db->store->host->mem, job->tx);
  job->tx = NULL;
}

static void finish(struct store_job *job) {
  struct store_db *db = job->db;
  db->store->host->inflight--;
  db->queued -= job->request_len + JOB_SIZE;
  if (job->what == STORE_CLOSE || (job->what == STORE_OPEN && job->err.kind)) joined(db);
  if (job->what == STORE_COMMIT || job->what == STORE_ROLLBACK || (job->what == STORE_BEGIN && job->err.kind))
    tx_free(db, job);
  job->done(job);
  store_release(db);
}

static void on_done(uv_async_t *async) {
  struct store *s = CONTAINER_OF(async, struct store, async);
  uv_mutex_lock(&s->lock);
  struct store_job *job = s->done.head;
  queue_init(&s->done);
  uv_mutex_unlock(&s->lock);
  while (job) {
    struct store_job *next = job->next;
    job->state = JOB_DONE;
    finish(job);
    job = next;
  }
}

struct store *store_of(struct host *h, struct err *e) {
  struct store *s = h->store;
  if (s) return s;
  s = mem_calloc(&h->mem, sizeof *s);
  if (!s) {
    err_set(e, "os", 0, "out of memory: cannot open a database");
    return NULL;
  }
  s->host = h;
  queue_init(&s->done);
  int rc = uv_mutex_init(&s->lock);
  if (rc == 0 && (rc = uv_async_init(&h->loop, &s->async, on_done)) != 0) uv_mutex_destroy(&s->lock);
  if (rc != 0) {
    err_set_uv(e, rc, "cannot open a database");
    mem_free(&h->mem, s);
    return NULL;
  }
  uv_unref((uv_handle_t *)&s->async); /* host->inflight says whether something is to come */
  fault_init();
  store_fault_init();
  return h->store = s;
}

/* --- gathering ------------------------------------------------------------------------------------------------ */

/* db->lock held. */
static void queue_job(struct queue *q, struct store_job *job, uint8_t state) {
  job->state = state;
  queue_add(q, job);
}

/* What tasks write in one pump of the loop shares a commit, and with it a sync: else the writer would begin with the first, and the others
 * would wait for two syncs. Where a commit is done sooner than it takes to gather a part of them, it begins with that part, so that
 * both threads work at the same time. */
#define STAGED_MAX   256
#define STAGED_BYTES ((size_t)1 << 20)
#define STAGED_PART  16

/* The lock goes first: else the writer would wake up to wait for it. */
static void unlock_and_wake(struct store_db *db) {
  bool waits = db->writer_waits;
  uv_mutex_unlock(&db->lock);
  if (waits) uv_cond_signal(&db->work);
}

static void flush(struct store_db *db) {
  if (!db->staged.head) return;
  host_before_poll_drop(&db->flush);
  uv_mutex_lock(&db->lock);
  for (struct store_job *job = db->staged.head, *next; job; job = next) {
    next = job->next;
    queue_job(&db->writes, job, JOB_WRITES);
  }
  db->arrived += db->staged_durable;
  unlock_and_wake(db);
  queue_init(&db->staged);
  db->staged_count = db->staged_bytes = db->staged_durable = 0;
}

static void on_flush(struct poll_hook *hook) {
  flush(CONTAINER_OF(hook, struct store_db, flush));
}

/* Has it taken longer to gather what is staged than a commit takes? */
static bool is_part(struct store_db *db) {
  if (db->staged_count % STAGED_PART != 0) return false;
  uint64_t commit = atomic_load_explicit(&db->commit_ns[db->staged_durable > 0], memory_order_relaxed);
  return uv_hrtime() - db->staged_at >= commit;
}

static void stage(struct store_db *db, struct store_job *job) {
  job->state = JOB_STAGED;
  queue_add(&db->staged, job);
  if (db->staged_count++ == 0) db->staged_at = uv_hrtime();
  db->staged_bytes += job->request_len + JOB_SIZE;
  db->staged_durable += job->durable;
  if (is_part(db) || db->staged_count >= STAGED_MAX || db->staged_bytes >= STAGED_BYTES)
    flush(db);
  else
    host_before_poll(db->store->host, BEFORE_POLL_JOURNAL, &db->flush);
}

/* --- opening ------------------------------------------------------------------------------------------------------------------- */

static bool db_init(struct store_db *db) {
  if (uv_mutex_init(&db->lock) != 0) return false;
  if (uv_cond_init(&db->work) == 0) {
    if (uv_cond_init(&db->read) == 0) return true;
    uv_cond_destroy(&db->work);
  }
  uv_mutex_destroy(&db->lock);
  return false;
}

static struct store_db *db_new(struct store *s, const char *path, const struct store_options *o) {
  struct mem *m = &s->host->mem;
  struct store_db *db = mem_calloc(m, sizeof *db);
  if (!db) return NULL;
  db->path = mem_strndup(m, path, strlen(path));
  if (!db->path || !db_init(db)) {
    mem_free(m, db->path);
    mem_free(m, db);
    return NULL;
  }
  db->store = s;
  db->options = *o;
  db->flush.run = on_flush;
  db->memory = strcmp(path, ":memory:") == 0;
  db->refs = 1;
  queue_init(&db->staged);
  queue_init(&db->writes);
  queue_init(&db->in_tx);
  queue_init(&db->reads);
  db->next = s->dbs;
  db->prev = &s->dbs;
  if (db->next) db->next->prev = &db->next;
  s->dbs = db;
  return db;
}

static void begin(struct store_db *db, struct store_job *job) {
  err_clear(&job->err);
  job->rows = (struct store_rows){0};
  job->changes = job->last_id = job->version = 0;
  job->db = db;
  job->cancelled = job->writes = false;
  store_hold(db);
  db->queued += job->request_len + JOB_SIZE;
  db->store->host->inflight++;
}

static void undo_begin(struct store_db *db, struct store_job *job) {
  db->queued -= job->request_len + JOB_SIZE;
  db->store->host->inflight--;
  store_release(db);
}

struct store_db *store_open(struct host *h, const char *path, const struct store_options *o, struct store_job *job,
                            struct err *e) {
  if (!sqlite_api_open(e)) return NULL;
  if (!sqlite.threadsafe()) {
    err_set(e, "os", 0, "databases need a libsqlite3 that was built for threads");
    return NULL;
  }
  struct store *s = store_of(h, e);
  if (!s) return NULL;
  struct store_db *db = db_new(s, path, o);
  if (!db) {
    err_set(e, "os", 0, "out of memory: cannot open a database");
    return NULL;
  }
  job->what = STORE_OPEN;
  begin(db, job);
  job->state = JOB_RUNS;
  db->opening = job;
  uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_SIZE};
  int rc = uv_thread_create_ex(&db->thread, &options, store_writer, db);
  if (rc != 0) {
    err_set_uv(e, rc, "cannot start the thread of a database");
    db->closing = db->joined = true;
    undo_begin(db, job);
    store_release(db);
    return NULL;
  }
  h->handles++;
  return db;
}

void store_hold(struct store_db *db) {
  db->refs++;
}

static void closed_unasked(struct store_job *job) {
  (void)job;
}

void store_release(struct store_db *db) {
  CHECK(db->refs > 0);
  if (--db->refs > 0) return;
  if (db->joined)
    db_free(db);
  else
    (void)store_close(db, NULL);
}

/* --- jobs ------------------------------------------------------------------------------------------------------------------------ */

static bool refuse(struct store_db *db, struct err *e) {
  err_set(e, "db", 0, "the database \"%.160s\" is closed", db->path);
  return false;
}

static bool reads(const struct store_db *db, const struct store_job *job) {
  switch (job->what) {
    case STORE_QUERY:
    case STORE_EACH:
    case STORE_NEXT:
    case STORE_END:
    case STORE_BACKUP:
    case STORE_CHECK: return !db->memory;
    default: return false;
  }
}

static struct reader *next_reader(struct store_db *db) {
  if (db->waiting_reads < db->idle_readers || db->readers == READERS_MAX) return NULL;
  return &db->reader[db->readers];
}

/* A reader is started when all others are busy. db->lock held; what it needs is not known before the queue is. */
static bool start_reader(struct store_db *db) {
  struct reader *r = next_reader(db);
  if (!r) return true;
  uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_SIZE};
  r->db = db;
  if (uv_thread_create_ex(&r->thread, &options, store_reader, r) == 0) db->readers++;
  return db->readers > 0;
}

static bool is_end(const struct store_job *job) {
  return job->what == STORE_END || job->what == STORE_ROLLBACK || job->what == STORE_COMMIT;
}

static bool may_begin(struct store_db *db, const struct store_job *job, struct err *e) {
  if (db->closing) return refuse(db, e);
  if (job->tx && job->what != STORE_BEGIN && job->tx->over) {
    err_set(e, "db", 0, "this transaction is over");
    return false;
  }
  if (is_end(job) || db->queued + job->request_len <= QUEUED_MAX) return true;
  err_set(e, "limit", 0, "more than %zu MiB wait for the database \"%.100s\"", QUEUED_MAX >> 20, db->path);
  return false;
}

static bool queue_read(struct store_db *db, struct store_job *job, struct err *e) {
  uv_mutex_lock(&db->lock);
  bool started = start_reader(db);
  if (started) {
    queue_job(&db->reads, job, JOB_READS);
    db->waiting_reads++;
  }
  uv_mutex_unlock(&db->lock);
  if (started) uv_cond_signal(&db->read); /* not before: it would wake up to wait for the lock */
  if (!started) {
    undo_begin(db, job);
    err_set(e, "os", 0, "cannot start a thread to read the database \"%.100s\"", db->path);
  }
  return started;
}

bool store_submit(struct store_db *db, struct store_job *job, struct err *e) {
  bool ends_tx = job->what == STORE_COMMIT || job->what == STORE_ROLLBACK;
  if (!may_begin(db, job, e)) {
    if (db->closing && ends_tx) tx_free(db, job); /* its writer ends it */
    return false;
  }
  if (job->what == STORE_BEGIN && !(job->tx = mem_calloc(&db->store->host->mem, sizeof *job->tx))) {
    err_set(e, "os", 0, "out of memory: cannot begin a transaction");
    return false;
  }
  if (ends_tx) job->tx->over = true;
  begin(db, job);
  if (job->tx && job->what != STORE_BEGIN) {
    uv_mutex_lock(&db->lock);
    queue_job(&db->in_tx, job, JOB_IN_TX);
    unlock_and_wake(db);
  } else if (reads(db, job)) {
    return queue_read(db, job, e);
  } else {
    stage(db, job);
  }
  return true;
}

static struct conn *conn_of(struct store_db *db, const struct store_job *job) {
  if (db->writer.job == job) return &db->writer;
  for (unsigned i = 0; i < db->readers; i++)
    if (db->reader[i].conn.job == job) return &db->reader[i].conn;
  for (struct store_cursor *c = db->cursors; c; c = c->next)
    if (c->conn.job == job) return &c->conn;
  return NULL;
}

void store_cancel(struct store_job *job) {
  struct store_db *db = job->db;
  /* what ends something is not cancelled: it would not end */
  if (job->what == STORE_END || job->what == STORE_ROLLBACK || job->what == STORE_COMMIT || job->what == STORE_CLOSE)
    return;
  flush(db);
  uv_mutex_lock(&db->lock);
  job->cancelled = true;
  struct queue *q = job->state == JOB_WRITES  ? &db->writes
                    : job->state == JOB_READS ? &db->reads
                    : job->state == JOB_IN_TX ? &db->in_tx
                                              : NULL;
  if (q) {
    queue_drop(q, job);
    if (q == &db->reads) db->waiting_reads--;
    job->state = JOB_RUNS;
    err_set(&job->err, "cancelled", 0, "cancelled before it began");
  } else {
    struct conn *c = conn_of(db, job);
    if (c) stop(c, false);
  }
  uv_mutex_unlock(&db->lock);
  if (q) store_post(db, &job, 1);
}

void store_interrupt(struct store_db *db) {
  uv_mutex_lock(&db->lock);
  stop_all(db, false);
  uv_mutex_unlock(&db->lock);
}

bool store_room(const struct store_db *db) {
  return db->queued < db->options.queue_limit;
}

bool store_durable(const struct store_db *db) {
  return db->options.durable;
}

const char *store_path(const struct store_db *db) {
  return db->path;
}

const char *store_failure(struct store_db *db, struct err *e, uint64_t *count) {
  uv_mutex_lock(&db->lock);
  *e = db->failure;
  *count = db->failures;
  uv_mutex_unlock(&db->lock);
  return e->kind;
}

uint64_t store_log_stuck(struct store_db *db, bool *own) {
  uv_mutex_lock(&db->lock);
  uint64_t bytes = db->log_stuck;
  *own = db->cursors != NULL;
  uv_mutex_unlock(&db->lock);
  return bytes;
}

/* --- closing ---------------------------------------------------------------------------------------------------------------------- */

bool store_closing(const struct store_db *db) {
  return db->closing;
}

/* db->lock held: all of a queue, cancelled. */
static void cancel_queue(struct store_db *db, struct queue *q) {
  struct store_job *job;
  while ((job = store_take(db, q))) {
    if (job->what != STORE_END) err_set(&job->err, "db", 0, "the database \"%.160s\" was closed", db->path);
    store_post(db, &job, 1); /* the writer frees cursors that are left */
  }
}

bool store_close(struct store_db *db, struct store_job *job) {
  if (db->closing) return false;
  if (!job) {
    job = &db->own_job;
    job->done = closed_unasked;
  }
  job->what = STORE_CLOSE;
  job->request_len = 0;
  job->tx = NULL;
  begin(db, job);
  db->closing = true;
  flush(db);
  uv_mutex_lock(&db->lock);
  db->stopping = true;
  cancel_queue(db, &db->reads);
  queue_job(&db->writes, job, JOB_WRITES);
  uv_cond_broadcast(&db->read);
  uv_cond_signal(&db->work);
  stop_all(db, true);
  uv_mutex_unlock(&db->lock);
  return true;
}

void store_shut(struct host *h) {
  struct store *s = h->store;
  if (!s) return;
  for (struct store_db *db = s->dbs; db; db = db->next) (void)store_close(db, NULL);
}

bool store_finish(struct host *h) {
  struct store *s = h->store;
  if (!s) return true;
  if (s->dbs) return false;
  store_locks_free(s);
  if (!uv_is_closing((uv_handle_t *)&s->async)) uv_close((uv_handle_t *)&s->async, NULL);
  (void)uv_run(&h->loop, UV_RUN_NOWAIT);
  uv_mutex_destroy(&s->lock);
  mem_free(&h->mem, s);
  h->store = NULL;
  return true;
}
