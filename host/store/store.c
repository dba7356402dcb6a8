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
  db->queued -= job->request_len + JOB_SIZE;
  return job;
}

bool store_begin_job(struct conn *c, struct store_job *job) {
  uv_mutex_lock(&c->db->lock);
  c->job = job;
  bool cancelled = job->cancelled;
  uv_mutex_unlock(&c->db->lock);
  if (cancelled) err_set(&job->err, "cancelled", 0, "cancelled before it began");
  return !cancelled;
}

void store_end_job(struct conn *c) {
  uv_mutex_lock(&c->db->lock);
  c->job = NULL;
  uv_mutex_unlock(&c->db->lock);
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
  free(db->chains);
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
  db->memory = strcmp(path, ":memory:") == 0;
  db->refs = 1;
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
  db->store->host->inflight++;
}

static void undo_begin(struct store_db *db) {
  db->store->host->inflight--;
  store_release(db);
}

struct store_db *store_open(struct host *h, const char *path, const struct store_options *o, struct store_job *job,
                            struct err *e) {
  if (!sqlite_api_open(e)) return NULL;
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
    undo_begin(db);
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

/* db->lock held. */
static void queue_job(struct store_db *db, struct store_job *job, struct queue *q, uint8_t state) {
  job->state = state;
  db->queued += job->request_len + JOB_SIZE;
  queue_add(q, job);
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

bool store_submit(struct store_db *db, struct store_job *job, struct err *e) {
  if (db->closing) {
    if (job->what == STORE_COMMIT || job->what == STORE_ROLLBACK) tx_free(db, job); /* its writer ends it */
    return refuse(db, e);
  }
  if (job->tx && job->what != STORE_BEGIN && job->tx->over) {
    err_set(e, "db", 0, "this transaction is over");
    return false;
  }
  if (job->what == STORE_BEGIN) {
    job->tx = mem_calloc(&db->store->host->mem, sizeof *job->tx);
    if (!job->tx) return err_set(e, "os", 0, "out of memory: cannot begin a transaction"), false;
  }
  bool freeing = job->what == STORE_END || job->what == STORE_ROLLBACK || job->what == STORE_COMMIT;
  if (job->what == STORE_COMMIT || job->what == STORE_ROLLBACK) job->tx->over = true;
  begin(db, job);
  uv_mutex_lock(&db->lock);
  bool fits = freeing || db->queued + job->request_len <= QUEUED_MAX, started = true;
  if (fits && job->tx && job->what != STORE_BEGIN) {
    queue_job(db, job, &db->in_tx, JOB_IN_TX);
  } else if (fits && reads(db, job) && (started = start_reader(db))) {
    queue_job(db, job, &db->reads, JOB_READS);
    db->waiting_reads++;
    uv_cond_signal(&db->read);
  } else if (fits && started) {
    queue_job(db, job, &db->writes, JOB_WRITES);
  }
  if (db->writer_waits) uv_cond_signal(&db->work);
  uv_mutex_unlock(&db->lock);
  if (fits && started) return true;
  if (job->what == STORE_BEGIN) tx_free(db, job);
  undo_begin(db);
  if (!fits)
    err_set(e, "limit", 0, "more than %zu MiB wait for the database \"%.100s\"", QUEUED_MAX >> 20, db->path);
  else
    err_set(e, "os", 0, "cannot start a thread to read the database \"%.100s\"", db->path);
  return false;
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
  uv_mutex_lock(&db->lock);
  job->cancelled = true;
  struct queue *q = job->state == JOB_WRITES  ? &db->writes
                    : job->state == JOB_READS ? &db->reads
                    : job->state == JOB_IN_TX ? &db->in_tx
                                              : NULL;
  if (q) {
    queue_drop(q, job);
    if (q == &db->reads) db->waiting_reads--;
    db->queued -= job->request_len + JOB_SIZE;
    job->state = JOB_RUNS;
    err_set(&job->err, "cancelled", 0, "cancelled before it began");
  } else {
    struct conn *c = conn_of(db, job);
    if (c && c->sql) sqlite.interrupt(c->sql);
  }
  uv_mutex_unlock(&db->lock);
  if (q) store_post(db, &job, 1);
}

void store_interrupt(struct store_db *db) {
  uv_mutex_lock(&db->lock);
  if (db->writer.job && db->writer.sql) sqlite.interrupt(db->writer.sql);
  for (unsigned i = 0; i < db->readers; i++)
    if (db->reader[i].conn.job && db->reader[i].conn.sql) sqlite.interrupt(db->reader[i].conn.sql);
  for (struct store_cursor *c = db->cursors; c; c = c->next)
    if (c->conn.job && c->conn.sql) sqlite.interrupt(c->conn.sql);
  uv_mutex_unlock(&db->lock);
}

bool store_room(const struct store_db *db) {
  struct store_db *d = (struct store_db *)db;
  uv_mutex_lock(&d->lock);
  bool room = d->queued < d->options.queue_limit;
  uv_mutex_unlock(&d->lock);
  return room;
}

bool store_durable(const struct store_db *db) {
  return db->options.durable;
}

const char *store_path(const struct store_db *db) {
  return db->path;
}

const char *store_failure(struct store_db *db, struct err *e) {
  uv_mutex_lock(&db->lock);
  *e = db->failure;
  uv_mutex_unlock(&db->lock);
  return e->kind;
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
  uv_mutex_lock(&db->lock);
  db->stopping = true;
  cancel_queue(db, &db->reads);
  queue_job(db, job, &db->writes, JOB_WRITES);
  uv_cond_broadcast(&db->read);
  uv_cond_signal(&db->work);
  for (unsigned i = 0; i < db->readers; i++)
    if (db->reader[i].conn.job && db->reader[i].conn.sql) sqlite.interrupt(db->reader[i].conn.sql);
  for (struct store_cursor *c = db->cursors; c; c = c->next)
    if (c->conn.job && c->conn.sql) sqlite.interrupt(c->conn.sql);
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
