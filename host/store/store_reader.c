/* store_reader.c - the threads that read: queries, cursors, backups, checks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store_impl.h"
#include "vfs_fault.h"

#define BACKUP_PAGES 256 /* between two looks whether it is cancelled */

static struct store_job *next_read(struct store_db *db) {
  struct store_job *job;
  uv_mutex_lock(&db->lock);
  while (!(job = store_take(db, &db->reads)) && !db->stopping) {
    db->idle_readers++;
    uv_cond_wait(&db->read, &db->lock);
    db->idle_readers--;
  }
  uv_mutex_unlock(&db->lock);
  return job;
}

/* A statement that writes, asked as a query, goes to the writer. True: it has gone. */
static bool hand_over(struct store_db *db, struct store_job *job) {
  uv_mutex_lock(&db->lock);
  bool cancelled = job->cancelled, open = !db->stopping && !cancelled;
  if (open) {
    job->writes = true;
    job->state = JOB_WRITES;
    queue_add(&db->writes, job);
    if (db->writer_waits) uv_cond_signal(&db->work);
  }
  uv_mutex_unlock(&db->lock);
  if (cancelled)
    err_set(&job->err, "cancelled", 0, "cancelled before it began");
  else if (!open)
    store_closed_error(db, &job->err);
  return open;
}

static bool only_reads(struct conn *c, const struct store_value *sql, struct err *e) {
  enum keyword word = store_keyword(sql->bytes, sql->len);
  if (word != WORD_OTHER && word != WORD_PRAGMA) return false; /* the writer does it, or says why not */
  struct statement *s = conn_prepare(c, sql->bytes, sql->len, e);
  return s && s->stmt && !s->tail && sqlite.stmt_readonly(s->stmt);
}

/* True: the writer has it now. */
static bool query(struct conn *c, struct store_job *job) {
  struct store_value sql;
  (void)store_value_read(job->request, &sql);
  bool reads = only_reads(c, &sql, &job->err);
  if (job->err.kind) return false;
  if (!reads) return hand_over(c->db, job);
  if (store_begin_job(c, job)) (void)store_run(c, job, UNDO_NONE);
  store_end_job(c);
  return false;
}

/* --- backup --------------------------------------------------------------------------------------------------------------------- */

static void copy(struct store_db *db, struct conn *from, struct conn *to, const char *path, struct store_job *job) {
  sqlite3_backup *b = sqlite.backup_init(to->sql, "main", from->sql, "main");
  int rc = b ? SQLITE_OK : SQLITE_ERROR;
  bool cancelled = false, closed = false;
  while (rc == SQLITE_OK) {
    uv_mutex_lock(&db->lock);
    cancelled = job->cancelled;
    closed = db->stopping && !db->memory;
    uv_mutex_unlock(&db->lock);
    rc = cancelled || closed ? SQLITE_INTERRUPT : sqlite.backup_step(b, BACKUP_PAGES);
  }
  if (b) sqlite.backup_finish(b);
  if (rc == SQLITE_DONE) return;
  if (closed && !cancelled) {
    store_closed_error(db, &job->err);
    return;
  }
  err_set(&job->err, rc == SQLITE_INTERRUPT ? "cancelled" : "db", rc, "cannot back up to \"%.120s\": %.80s", path,
          b ? sqlite.errstr(rc) : sqlite.errmsg(to->sql));
}

/* A file's new name is on the disk when its folder is. True also where that cannot be asked for: of a folder that may not be read, and
 * of file systems that do not sync folders. */
static bool sync_folder(const char *path) {
  const char *end = strrchr(path, '/');
  char *folder = strndup(end ? path : ".", end && end != path ? (size_t)(end - path) : 1);
  if (!folder) return false;
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(folder);
  if (fd < 0) return errno == EACCES;
  bool synced = !store_fault_folder() && (fsync(fd) == 0 || errno == EINVAL);
  close(fd);
  return synced;
}

/* Into a file beside, which takes the name when it is whole. */
void store_backup(struct store_db *db, struct conn *c, struct store_job *job) {
  struct store_value path;
  (void)store_value_read(job->request, &path);
  size_t room = path.len + sizeof ".partial";
  char *partial = malloc(room);
  struct conn to = {.db = db};
  if (!partial) {
    conn_error_code(c, SQLITE_NOMEM, NULL, &job->err);
    return;
  }
  snprintf(partial, room, "%s.partial", path.bytes);
  (void)unlink(partial);
  int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, db->options.host ? 0600 : 0666);
  if (fd >= 0) close(fd); /* else SQLite says why not */
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  if (sqlite.open_v2(partial, &to.sql, flags, store_vfs()) == SQLITE_OK)
    copy(db, c, &to, path.bytes, job);
  else
    err_set(&job->err, "db", to.sql ? sqlite.extended_errcode(to.sql) : SQLITE_NOMEM,
            "cannot write a backup to \"%.160s\": %.60s", path.bytes, to.sql ? sqlite.errmsg(to.sql) : "out of memory");
  if (to.sql) sqlite.close_v2(to.sql);
  if (!job->err.kind && rename(partial, path.bytes) != 0)
    err_set(&job->err, "db", SQLITE_CANTOPEN, "cannot write a backup to \"%.160s\"", path.bytes);
  if (job->err.kind)
    (void)unlink(partial);
  else if (!sync_folder(path.bytes))
    err_set(&job->err, "db", SQLITE_IOERR_DIR_FSYNC, "the folder of the backup \"%.140s\" cannot be synced: a power cut may take it",
            path.bytes);
  free(partial);
}

/* --- the thread ------------------------------------------------------------------------------------------------------------------ */

static void work(struct store_db *db, struct conn *c, struct store_job *job) {
  bool gone = false;
  switch (job->what) {
    case STORE_EACH: store_cursor_open(db, job); break;
    case STORE_NEXT: store_cursor_next(db, job); break;
    case STORE_END: store_cursor_free(db, job->cursor); break;
    case STORE_BACKUP: store_backup(db, c, job); break;
    default: gone = query(c, job); break;
  }
  if (!gone) store_post(db, &job, 1);
}

void store_reader(void *ud) {
  struct reader *r = ud;
  struct store_db *db = r->db;
  struct store_job *job;
  store_quiet_thread();
  while ((job = next_read(db))) {
    bool own =
        job->what == STORE_NEXT || job->what == STORE_END || job->what == STORE_EACH; /* cursors have connections */
    if (!own && !r->conn.sql && !conn_open(&r->conn, db, false, &job->err))
      store_post(db, &job, 1);
    else
      work(db, &r->conn, job);
  }
  if (r->conn.sql) conn_close(&r->conn);
}
