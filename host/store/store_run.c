/* store_run.c - a statement runs: parameters are bound, rows are packed. */
#include <ctype.h>
#include <string.h>

#include "store_impl.h"

/* --- what a statement is, by its first word ------------------------------------------------------------------------------- */

static const char *after_blanks(const char *s, const char *end) {
  while (s < end) {
    if (isspace((unsigned char)*s) || *s == ';') {
      s++;
    } else if (end - s > 2 && memcmp(s, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark is a blank, too */
      s += 3;
    } else if (end - s > 1 && s[0] == '-' && s[1] == '-') {
      while (s < end && *s != '\n') s++;
    } else if (end - s > 1 && s[0] == '/' && s[1] == '*') {
      for (s += 2; s < end && !(s[0] == '*' && s + 1 < end && s[1] == '/'); s++) {
      }
      s = end - s > 1 ? s + 2 : end;
    } else {
      break;
    }
  }
  return s;
}

/* Those that do nothing, or fail without saying why, inside a transaction. */
static bool pragma_alone(const char *s, const char *end) {
  static const char *const names[] = {"foreign_keys", "journal_mode", "locking_mode", "synchronous"};
  s = after_blanks(s, end);
  for (const char *dot = s; dot < end && (isalnum((unsigned char)*dot) || *dot == '_' || *dot == '.'); dot++)
    if (*dot == '.') s = dot + 1; /* main.synchronous */
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    size_t n = strlen(names[i]);
    if ((size_t)(end - s) >= n && strncasecmp(s, names[i], n) == 0) return true;
  }
  return false;
}

enum keyword store_keyword(const char *sql, size_t len) {
  static const struct {
    const char *word;
    enum keyword is;
  } words[] = {{"BEGIN", WORD_TRANSACTION},    {"COMMIT", WORD_TRANSACTION},  {"END", WORD_TRANSACTION},
               {"ROLLBACK", WORD_TRANSACTION}, {"SAVEPOINT", WORD_SAVEPOINT}, {"RELEASE", WORD_SAVEPOINT},
               {"PRAGMA", WORD_PRAGMA},        {"VACUUM", WORD_ALONE},        {"ATTACH", WORD_ALONE},
               {"DETACH", WORD_ALONE}};
  const char *end = sql + len, *s = after_blanks(sql, end), *word = s;
  while (s < end && isalpha((unsigned char)*s)) s++;
  size_t n = (size_t)(s - word);
  for (size_t i = 0; i < COUNT_OF(words); i++) {
    if (n == 0 || (*word | 32) != (*words[i].word | 32)) continue; /* most statements end here */
    if (strlen(words[i].word) != n || strncasecmp(words[i].word, word, n) != 0) continue;
    if (words[i].is == WORD_PRAGMA && pragma_alone(s, end)) return WORD_ALONE;
    if (words[i].is != WORD_TRANSACTION || strncasecmp(word, "ROLLBACK", n) != 0) return words[i].is;
    while (s < end) { /* ROLLBACK TO a savepoint */
      s = after_blanks(s, end);
      for (word = s; s < end && isalpha((unsigned char)*s); s++) {
      }
      if (s - word == 2 && strncasecmp(word, "TO", 2) == 0) return WORD_SAVEPOINT;
      if (s == word) break;
    }
    return WORD_TRANSACTION;
  }
  return WORD_OTHER;
}

bool store_job_alone(const struct store_job *job) {
  struct store_value sql;
  if (job->statements != 1) return false;
  (void)store_value_read(job->request, &sql);
  enum keyword word = store_keyword(sql.bytes, sql.len);
  return word == WORD_ALONE || word == WORD_PRAGMA;
}

/* --- parameters ----------------------------------------------------------------------------------------------------------- */

static int bind_one(sqlite3_stmt *stmt, int i, const struct store_value *v) {
  switch (v->type) {
    case STORE_INTEGER: return sqlite.bind_int64(stmt, i, v->integer);
    case STORE_FLOAT: return sqlite.bind_double(stmt, i, v->number);
    case STORE_TEXT: return sqlite.bind_text64(stmt, i, v->bytes, v->len, SQLITE_STATIC, SQLITE_UTF8);
    case STORE_BLOB:
      if (v->len == 0) return sqlite.bind_zeroblob(stmt, i, 0);
      return sqlite.bind_blob64(stmt, i, v->bytes, v->len, SQLITE_STATIC);
    default: return sqlite.bind_null(stmt, i);
  }
}

/* The last sign of a name, as in ":city", is no part of it. */
static int named(sqlite3_stmt *stmt, int count, const struct store_value *name) {
  for (int i = 1; i <= count; i++) {
    const char *known = sqlite.bind_parameter_name(stmt, i);
    if (known && strlen(known + 1) == name->len && memcmp(known + 1, name->bytes, name->len) == 0) return i;
  }
  return 0;
}

static bool missing(struct conn *c, sqlite3_stmt *stmt, int count, int given, bool by_name, const char *sql,
                    struct err *e) {
  char words[120];
  if (!by_name) {
    snprintf(words, sizeof words, "the statement has %d parameter%s, and %d given", count, count == 1 ? "" : "s",
             given);
  } else {
    const char *name = NULL;
    for (int i = 1; i <= count && !name; i++) name = sqlite.bind_parameter_name(stmt, i);
    snprintf(words, sizeof words, "%d of %d parameters are given by name; the first is %.40s", given, count,
             name ? name : "?");
  }
  conn_error_code(c, SQLITE_RANGE, sql, e);
  char shown[100];
  const char *bracket = strstr(e->message, " (");
  snprintf(shown, sizeof shown, "%.90s", bracket ? bracket : "");
  snprintf(e->message, sizeof e->message, "%s%s", words, shown);
  return false;
}

bool store_bind(struct conn *c, sqlite3_stmt *stmt, const char *sql, const char **at, struct err *e) {
  struct store_value v, name = {.type = STORE_NULL};
  *at = store_value_read(*at, &v);
  int64_t given = v.integer;
  int count = sqlite.bind_parameter_count(stmt);
  bool by_name = false;
  for (int64_t i = 0; i < given; i++) {
    *at = store_value_read(*at, &v);
    int place = (int)i + 1;
    if (v.type == STORE_NAME) {
      by_name = true;
      name = v;
      *at = store_value_read(*at, &v);
      place = named(stmt, count, &name);
      if (place == 0) {
        char words[160];
        err_set(e, "db", SQLITE_RANGE, "the statement has no parameter named \"%.*s\"",
                (int)(name.len > 60 ? 60 : name.len), name.bytes);
        snprintf(words, sizeof words, " (%.80s%s)", sql, strlen(sql) > 80 ? "..." : "");
        strncat(e->message, words, sizeof e->message - strlen(e->message) - 1);
        return false;
      }
    } else if (place > count) {
      continue;
    }
    int rc = bind_one(stmt, place, &v);
    if (rc != SQLITE_OK) {
      conn_error_code(c, rc, sql, e);
      return false;
    }
  }
  return given == count || missing(c, stmt, count, (int)given, by_name, sql, e);
}

/* --- rows ------------------------------------------------------------------------------------------------------------------ */

static bool no_memory(struct err *e) {
  err_set(e, "db", SQLITE_NOMEM, "out of memory: the result of a statement is too large");
  return false;
}

bool store_columns(sqlite3_stmt *stmt, struct store_rows *r, struct err *e) {
  int columns = sqlite.column_count(stmt);
  size_t size = 0;
  struct store_value v = {.type = STORE_TEXT};
  for (int i = 0; i < columns; i++) {
    const char *name = sqlite.column_name(stmt, i);
    v.len = name ? strlen(name) : 0;
    size += store_value_size(&v);
  }
  r->columns = (size_t)columns;
  if (columns == 0) return true;
  char *at = r->names = malloc(size);
  if (!at) return no_memory(e);
  r->names_len = size;
  for (int i = 0; i < columns; i++) {
    const char *name = sqlite.column_name(stmt, i);
    v.bytes = name ? name : "";
    v.len = strlen(v.bytes);
    at = store_value_write(at, &v);
  }
  return true;
}

static struct store_value column(sqlite3_stmt *stmt, int i) {
  struct store_value v = {.type = STORE_NULL};
  switch (sqlite.column_type(stmt, i)) {
    case SQLITE_INTEGER: v.type = STORE_INTEGER, v.integer = sqlite.column_int64(stmt, i); break;
    case SQLITE_FLOAT: v.type = STORE_FLOAT, v.number = sqlite.column_double(stmt, i); break;
    case SQLITE_TEXT: v.type = STORE_TEXT, v.bytes = (const char *)sqlite.column_text(stmt, i); break;
    case SQLITE_BLOB: v.type = STORE_BLOB, v.bytes = sqlite.column_blob(stmt, i); break;
    default: break;
  }
  if (v.type >= STORE_TEXT) v.len = (size_t)sqlite.column_bytes(stmt, i);
  return v;
}

static bool add_row(struct conn *c, sqlite3_stmt *stmt, const char *sql, struct store_rows *r, struct err *e) {
  size_t limit = c->db->options.result_limit;
  int columns = sqlite.column_count(stmt);
  for (int i = 0; i < columns; i++) {
    struct store_value v = column(stmt, i);
    size_t size = store_value_size(&v);
    if (r->len + size > limit) {
      err_set(e, "limit", 0, "a result of more than %zu bytes (%.100s%s)", limit, sql, strlen(sql) > 100 ? "..." : "");
      e->hint = "ask for fewer rows or columns, or read them piece by piece with each";
      return false;
    }
    char *at = store_rows_room(r, size);
    if (!at) return no_memory(e);
    store_value_write(at, &v);
    r->len += size;
  }
  r->rows++;
  return true;
}

bool store_step(struct conn *c, sqlite3_stmt *stmt, struct piece *p, struct store_rows *r, struct err *e) {
  p->ended = false;
  while ((!p->max || r->rows < p->max) && (!p->enough || r->len < p->enough)) {
    int rc = sqlite.step(stmt);
    if (rc == SQLITE_DONE) return p->ended = true;
    if (rc != SQLITE_ROW) {
      conn_error(c, sqlite.sql(stmt), e);
      return false;
    }
    if (!add_row(c, stmt, sqlite.sql(stmt), r, e)) return false;
  }
  return true;
}

/* --- a job --------------------------------------------------------------------------------------------------------------- */

static bool refuse(struct err *e, const char *sql, const char *why) {
  err_set(e, "db", SQLITE_MISUSE, "%s (%.80s%s)", why, sql, strlen(sql) > 80 ? "..." : "");
  return false;
}

static bool may_run(struct conn *c, const struct store_job *job, const char *sql, size_t len, struct err *e) {
  switch (store_keyword(sql, len)) {
    case WORD_TRANSACTION:
      return refuse(e, sql, "a transaction is begun and ended by a function of its own, not by a statement");
    case WORD_SAVEPOINT: return job->what == STORE_RUN || refuse(e, sql, "a savepoint needs a transaction around it");
    case WORD_ALONE:
      return sqlite.get_autocommit(c->sql) || refuse(e, sql, "this statement stands alone, outside any transaction");
    default: return true;
  }
}

struct run {
  struct conn *conn;
  struct store_job *job;
  enum undo undo;
  bool marked; /* what is done from here on may be undone */
};

static bool mark(struct run *r) {
  if (r->undo == UNDO_NONE || r->marked) return true;
  return r->marked = r->undo == UNDO_ALL || conn_exec(r->conn, "SAVEPOINT stoke_write", &r->job->err);
}

static bool run_statement(struct run *r, struct statement *s, const char **at) {
  struct store_job *job = r->job;
  if (!store_bind(r->conn, s->stmt, s->text, at, &job->err)) return false;
  store_rows_free(&job->rows);
  if (!store_columns(s->stmt, &job->rows, &job->err)) return false;
  struct piece p = {.max = job->max};
  if (!store_step(r->conn, s->stmt, &p, &job->rows, &job->err)) return false;
  if (!p.ended) job->rows.more = sqlite.step(s->stmt) == SQLITE_ROW;
  return true;
}

static bool given(const char *params) {
  struct store_value n;
  (void)store_value_read(params, &n);
  return n.integer > 0;
}

/* All statements of one text: parameters are those of its only one. */
static bool run_text(struct run *r, const struct store_value *text, const char **at) {
  static const char none[] = {STORE_INTEGER, 0, 0, 0, 0, 0, 0, 0, 0};
  const char *sql = text->bytes;
  size_t len = text->len;
  for (bool first = true; sql; first = false) {
    struct statement *s = conn_kept(r->conn, sql, len);
    if (!s && !may_run(r->conn, r->job, sql, len, &r->job->err)) return false;
    if (!s) s = conn_prepare(r->conn, sql, len, &r->job->err);
    if (!s) return false;
    if (s->tail && first && given(*at))
      return refuse(&r->job->err, sql, "parameters belong to one statement, not to several");
    if (s->stmt) {
      if ((s->tail || sqlite.column_count(s->stmt) > 0) && !sqlite.stmt_readonly(s->stmt) && !mark(r)) return false;
      const char *params = s->tail || !first ? none : *at, *after = params;
      r->conn->own = s->once && store_keyword(sql, len) == WORD_ALONE; /* VACUUM runs statements of SQLite's own */
      bool ok = run_statement(r, s, &after);
      r->conn->own = false;
      sqlite.reset(s->stmt);
      sqlite.clear_bindings(s->stmt);
      if (!ok) return false;
      if (params == *at) *at = after;
    }
    if (s->tail == s->text) return refuse(&r->job->err, sql, "a statement ends in its middle");
    sql = s->tail ? text->bytes + (text->len - (s->len - (size_t)(s->tail - s->text))) : NULL;
    len = sql ? text->len - (size_t)(sql - text->bytes) : 0;
  }
  return true;
}

/* Over the parameters of a text that did not use them. */
static const char *skip(const char *at) {
  struct store_value v;
  at = store_value_read(at, &v);
  for (int64_t n = v.integer; n > 0; n--) {
    at = store_value_read(at, &v);
    if (v.type == STORE_NAME) at = store_value_read(at, &v);
  }
  return at;
}

static bool run_all(struct run *r) {
  struct store_job *job = r->job;
  const char *at = job->request;
  if (job->statements > 1 && !mark(r)) return false;
  for (unsigned i = 0; i < job->statements; i++) {
    struct store_value sql;
    at = store_value_read(at, &sql);
    const char *next = skip(at);
    if (!run_text(r, &sql, &at)) return false;
    at = next;
  }
  return true;
}

bool store_run(struct conn *c, struct store_job *job, enum undo undo) {
  struct run r = {.conn = c, .job = job, .undo = undo};
  int before = sqlite.total_changes(c->sql);
  bool ok = run_all(&r);
  job->changes = sqlite.total_changes(c->sql) == before ? 0 : sqlite.changes(c->sql);
  job->last_id = sqlite.last_insert_rowid(c->sql);
  if (!ok) store_rows_free(&job->rows);
  c->torn = !ok && r.marked && undo == UNDO_ALL;
  if (!r.marked || undo != UNDO_OWN || sqlite.get_autocommit(c->sql)) return ok;
  struct err e;
  if (!ok) (void)conn_exec(c, "ROLLBACK TO stoke_write", &e);
  bool released = conn_exec(c, "RELEASE stoke_write", ok ? &job->err : &e);
  return ok && released;
}
