/* store_cursor.c - results that are read piece by piece, each over a connection of its own. */
#include <string.h>

#include "store_impl.h"

#define PIECE_BYTES (1 << 20) /* and the row that goes beyond */

static void cursor_enter(struct store_db *db, struct store_cursor *cursor) {
  uv_mutex_lock(&db->lock);
  cursor->next = db->cursors;
  cursor->prev = &db->cursors;
  if (cursor->next) cursor->next->prev = &cursor->next;
  db->cursors = cursor;
  uv_mutex_unlock(&db->lock);
}

void store_cursor_free(struct store_db *db, struct store_cursor *cursor) {
  uv_mutex_lock(&db->lock);
  *cursor->prev = cursor->next;
  if (cursor->next) cursor->next->prev = cursor->prev;
  uv_mutex_unlock(&db->lock);
  conn_close(&cursor->conn);
  store_rows_free(&cursor->all);
  free(cursor->request);
  free(cursor);
}

static struct statement *prepare(struct conn *c, struct store_job *job, const char **at) {
  struct store_value sql;
  *at = store_value_read(job->request, &sql);
  struct statement *s = conn_prepare(c, sql.bytes, sql.len, &job->err);
  if (!s || (s->stmt && !s->tail && sqlite.stmt_readonly(s->stmt))) return s;
  err_set(&job->err, "db", SQLITE_MISUSE, "each takes one statement that only reads (%.100s)", sql.bytes);
  return NULL;
}

static bool begin(struct conn *c, struct store_job *job, sqlite3_stmt **stmt) {
  const char *at;
  struct statement *s = prepare(c, job, &at);
  if (!s) return false;
  *stmt = s->stmt;
  return store_bind(c, s->stmt, s->text, &at, &job->err) && store_columns(s->stmt, &job->rows, &job->err);
}

/* The cursor keeps the bytes that are bound. */
static bool keep_request(struct store_cursor *cursor, struct store_job *job) {
  cursor->request = malloc(job->request_len);
  if (!cursor->request) return false;
  memcpy(cursor->request, job->request, job->request_len);
  return true;
}

void store_cursor_open(struct store_db *db, struct store_job *job) {
  struct store_cursor *cursor = calloc(1, sizeof *cursor);
  if (!cursor || !keep_request(cursor, job)) {
    err_set(&job->err, "db", SQLITE_NOMEM, "out of memory: cannot read from a database");
    free(cursor);
    return;
  }
  const char *theirs = job->request;
  cursor->conn.db = db;
  cursor->conn.last = &cursor->conn.first;
  cursor_enter(db, cursor);
  bool ok;
  if (db->memory) {
    ok = store_begin_job(&db->writer, job) && prepare(&db->writer, job, &theirs) && store_run(&db->writer, job, false);
    store_end_job(&db->writer);
    cursor->all = job->rows;
    job->rows = (struct store_rows){
        .columns = cursor->all.columns, .names = cursor->all.names, .names_len = cursor->all.names_len};
    cursor->all.names = NULL;
  } else {
    job->request = cursor->request;
    ok = conn_open(&cursor->conn, db, false, &job->err) && begin(&cursor->conn, job, &cursor->stmt);
    job->request = theirs;
  }
  if (ok)
    job->cursor = cursor;
  else
    store_cursor_free(db, cursor);
}

static void next_of_all(struct store_cursor *cursor, struct store_job *job) {
  struct store_rows *all = &cursor->all;
  const char *from = all->bytes + cursor->at, *to = from;
  size_t n = 0;
  for (; n < job->max && cursor->given + n < all->rows && to - from < PIECE_BYTES; n++) {
    struct store_value v;
    for (size_t i = 0; i < all->columns; i++) to = store_value_read(to, &v);
  }
  job->rows.columns = all->columns;
  if (to == from) return;
  char *at = store_rows_room(&job->rows, (size_t)(to - from));
  if (!at) {
    err_set(&job->err, "db", SQLITE_NOMEM, "out of memory: cannot read from a database");
    return;
  }
  memcpy(at, from, (size_t)(to - from));
  job->rows.len = (size_t)(to - from);
  job->rows.rows = n;
  cursor->given += n;
  cursor->at += job->rows.len;
}

void store_cursor_next(struct store_db *db, struct store_job *job) {
  struct store_cursor *cursor = job->cursor;
  (void)db;
  if (!cursor->stmt) {
    if (cursor->all.rows > cursor->given) next_of_all(cursor, job);
    return;
  }
  if (cursor->ended) return;
  job->rows.columns = (size_t)sqlite.column_count(cursor->stmt);
  struct piece p = {.max = job->max, .enough = PIECE_BYTES};
  if (!store_begin_job(&cursor->conn, job))
    p.ended = true;
  else if (!store_step(&cursor->conn, cursor->stmt, &p, &job->rows, &job->err))
    p.ended = true, store_rows_free(&job->rows);
  store_end_job(&cursor->conn);
  cursor->ended = p.ended;
  if (cursor->ended) sqlite.reset(cursor->stmt); /* the file's past need not be kept any more */
}
