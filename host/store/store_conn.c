/* store_conn.c - connections: how they are opened and set up, statements that are kept, errors in words. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "store_impl.h"
#include "vfs_fault.h"

#define APPLICATION_ID      0x73746f6b /* "stok" */
#define WRITER_CACHE        "PRAGMA cache_size=-65536"
#define READER_CACHE        "PRAGMA cache_size=-16384"
#define STEPS_BETWEEN_LOOKS 2000
#define STATEMENT_SHOWN     60

/* --- errors ------------------------------------------------------------------------------------------------------------------ */

#define CODES(X)                                                                                                       \
  X(ERROR)                                                                                                             \
  X(INTERNAL)                                                                                                          \
  X(PERM)                                                                                                              \
  X(ABORT)                                                                                                             \
  X(BUSY)                                                                                                              \
  X(LOCKED) X(NOMEM) X(READONLY) X(INTERRUPT) X(IOERR) X(CORRUPT) X(NOTFOUND) X(FULL) X(CANTOPEN) X(PROTOCOL) X(EMPTY) \
      X(SCHEMA) X(TOOBIG) X(CONSTRAINT) X(MISMATCH) X(MISUSE) X(NOLFS) X(AUTH) X(FORMAT) X(RANGE) X(NOTADB)            \
          X(CONSTRAINT_CHECK) X(CONSTRAINT_FOREIGNKEY) X(CONSTRAINT_NOTNULL) X(CONSTRAINT_PRIMARYKEY)                  \
              X(CONSTRAINT_TRIGGER) X(CONSTRAINT_UNIQUE) X(CONSTRAINT_ROWID) X(CONSTRAINT_DATATYPE) X(ABORT_ROLLBACK)  \
                  X(BUSY_RECOVERY) X(BUSY_SNAPSHOT) X(BUSY_TIMEOUT) X(LOCKED_SHAREDCACHE) X(CORRUPT_VTAB)              \
                      X(CORRUPT_SEQUENCE) X(CORRUPT_INDEX) X(CANTOPEN_ISDIR) X(CANTOPEN_FULLPATH)                      \
                          X(CANTOPEN_NOTEMPDIR) X(CANTOPEN_SYMLINK) X(READONLY_RECOVERY) X(READONLY_CANTLOCK)          \
                              X(READONLY_ROLLBACK) X(READONLY_DBMOVED) X(READONLY_CANTINIT) X(READONLY_DIRECTORY)      \
                                  X(IOERR_READ) X(IOERR_SHORT_READ) X(IOERR_WRITE) X(IOERR_FSYNC) X(IOERR_DIR_FSYNC)   \
                                      X(IOERR_TRUNCATE) X(IOERR_FSTAT) X(IOERR_LOCK) X(IOERR_UNLOCK) X(IOERR_ACCESS)   \
                                          X(IOERR_CLOSE) X(IOERR_DELETE) X(IOERR_NOMEM) X(IOERR_SHMOPEN)               \
                                              X(IOERR_SHMSIZE) X(IOERR_SHMMAP) X(IOERR_MMAP) X(IOERR_DATA)             \
                                                  X(IOERR_CORRUPTFS) X(ERROR_MISSING_COLLSEQ) X(ERROR_RETRY)           \
                                                      X(ERROR_SNAPSHOT)

const char *store_code_name(int code) {
  switch (code) {
#define NAME(name)                                                                                                     \
  case SQLITE_##name: return "SQLITE_" #name;
    CODES(NAME)
#undef NAME
    default: return code & ~0xff ? store_code_name(code & 0xff) : NULL;
  }
}

static const char *hint_for(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return "end the other program, or let its transaction end";
    case SQLITE_FULL: return "make room on the disk, or write elsewhere";
    case SQLITE_READONLY: return "check the permissions of the file and of its folder";
    case SQLITE_CANTOPEN: return "check the path, and the permissions of its folder: files are made beside a database";
    case SQLITE_CORRUPT:
      return "the file is damaged: restore a backup, or save what can be read with sqlite3 FILE .recover";
    case SQLITE_NOTADB: return "is this the right file?";
    case SQLITE_AUTH: return "another file is another database: open it by itself";
    case SQLITE_IOERR: return "the disk failed: see the system's log";
    default: return NULL;
  }
}

static void shorten(const char *sql, char shown[static STATEMENT_SHOWN + 4]) {
  size_t n = 0;
  bool blank = true;
  for (; *sql && n < STATEMENT_SHOWN; sql++) {
    bool is_blank = *sql == ' ' || *sql == '\n' || *sql == '\t' || *sql == '\r';
    if (!(is_blank && blank)) shown[n++] = is_blank ? ' ' : *sql;
    blank = is_blank;
  }
  while (n > 0 && ((unsigned char)shown[n - 1] & 0xc0) == 0x80 && *sql) n--; /* no half of a character */
  if (n > 0 && (unsigned char)shown[n - 1] >= 0xc0) n--;
  shown[n] = 0;
  if (*sql) memcpy(shown + n, "...", 4);
}

static void error_words(const struct store_db *db, int code, const char *words, const char *what, struct err *e) {
  char shown[STATEMENT_SHOWN + 4];
  const char *kind = (code & 0xff) == SQLITE_TOOBIG ? "limit" : "db";
  if ((code & 0xff) == SQLITE_BUSY)
    err_set(e, kind, code, "\"%.100s\" is locked by another program; waited %.3g s", db->path, db->options.busy);
  else if (!what)
    err_set(e, kind, code, "cannot use the database \"%.90s\": %.120s", db->path, words);
  else if (shorten(what, shown), shown[0])
    err_set(e, kind, code, "%.170s (%s)", words, shown);
  else
    err_set(e, kind, code, "%.200s", words);
  e->hint = hint_for(code);
}

void conn_error_code(struct conn *c, int rc, const char *what, struct err *e) {
  error_words(c->db, rc, sqlite.errstr(rc), what, e);
}

void conn_error(struct conn *c, const char *what, struct err *e) {
  int code = c->sql ? sqlite.extended_errcode(c->sql) : SQLITE_NOMEM;
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) code = SQLITE_ERROR;
  error_words(c->db, code, c->sql ? sqlite.errmsg(c->sql) : "out of memory", what, e);
}

/* --- statements that are kept --------------------------------------------------------------------------------------------- */

/* Of the length, the beginning, the middle and the end: a statement is compared before it is taken. */
static uint32_t hash_of(const char *s, size_t len) {
  uint64_t h = len, part[3] = {0};
  size_t n = len < sizeof part[0] ? len : sizeof part[0];
  memcpy(&part[0], s, n);
  memcpy(&part[1], s + (len - n) / 2, n);
  memcpy(&part[2], s + (len - n), n);
  for (size_t i = 0; i < COUNT_OF(part); i++) h = (h ^ part[i]) * 0x9e3779b97f4a7c15u ^ h >> 29;
  return (uint32_t)(h >> 32);
}

static void unlink_use(struct conn *c, struct statement *s) {
  *s->prev = s->next;
  if (s->next)
    s->next->prev = s->prev;
  else
    c->last = s->prev;
}

static void link_use(struct conn *c, struct statement *s) {
  s->next = c->first;
  s->prev = &c->first;
  if (s->next)
    s->next->prev = &s->next;
  else
    c->last = &s->next;
  c->first = s;
}

static void statement_free(struct conn *c, struct statement *s) {
  struct statement **slot = &c->slots[s->hash % STATEMENTS_KEPT];
  while (*slot != s) slot = &(*slot)->same;
  *slot = s->same;
  unlink_use(c, s);
  sqlite.finalize(s->stmt);
  c->kept--;
  free(s);
}

static struct statement *last_used(struct conn *c) {
  return CONTAINER_OF(c->last, struct statement, next);
}

static struct statement *find(struct conn *c, const char *sql, size_t len, uint32_t hash) {
  struct statement *s = c->slots[hash % STATEMENTS_KEPT];
  while (s && !(s->hash == hash && s->len == len && s->own == c->own && memcmp(s->text, sql, len) == 0)) s = s->same;
  return s;
}

static struct statement *kept(struct conn *c, const char *sql, size_t len, uint32_t hash) {
  struct statement *s = find(c, sql, len, hash);
  if (s && s->once) {
    statement_free(c, s);
    return NULL;
  }
  if (s && c->first != s) unlink_use(c, s), link_use(c, s);
  return s;
}

struct statement *conn_kept(struct conn *c, const char *sql, size_t len) {
  return kept(c, sql, len, hash_of(sql, len));
}

struct statement *conn_prepare(struct conn *c, const char *sql, size_t len, struct err *e) {
  uint32_t hash = hash_of(sql, len);
  struct statement *s = kept(c, sql, len, hash);
  if (s) return s;
  if (c->kept == STATEMENTS_KEPT) statement_free(c, last_used(c));
  s = malloc(sizeof *s + len + 1);
  if (!s) {
    conn_error_code(c, SQLITE_NOMEM, NULL, e);
    return NULL;
  }
  enum keyword word = store_keyword(sql, len);
  bool once = word >= WORD_PRAGMA || (word != WORD_OTHER && !c->own);
  *s = (struct statement){.hash = hash, .len = len, .own = c->own, .once = once};
  memcpy(s->text, sql, len);
  s->text[len] = 0;
  if (sqlite.prepare_v3(c->sql, s->text, (int)len + 1, SQLITE_PREPARE_PERSISTENT, &s->stmt, &s->tail) != SQLITE_OK) {
    conn_error(c, s->text, e);
    free(s);
    return NULL;
  }
  while (s->tail && (*s->tail == ' ' || *s->tail == '\n' || *s->tail == '\t' || *s->tail == '\r' || *s->tail == ';'))
    s->tail++;
  if (s->tail >= s->text + len) s->tail = NULL;
  struct statement **slot = &c->slots[hash % STATEMENTS_KEPT];
  s->same = *slot;
  *slot = s;
  link_use(c, s);
  c->kept++;
  return s;
}

bool conn_exec(struct conn *c, const char *sql, struct err *e) {
  c->own = true; /* SQLite may prepare it again when it runs */
  struct statement *s = conn_prepare(c, sql, strlen(sql), e);
  int rc = s ? sqlite.step(s->stmt) : SQLITE_ERROR;
  bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW;
  if (!ok) conn_error(c, NULL, e); /* of our own statement nobody knows */
  if (s) sqlite.reset(s->stmt);
  c->own = false;
  return ok;
}

/* --- opening ------------------------------------------------------------------------------------------------------------------ */

/* Locks of other programs are waited for in small steps, so that a cancel or the end of the program is noticed. */
static int on_busy(void *ud, int count) {
  struct conn *c = ud;
  struct store_db *db = c->db;
  uint64_t now = uv_hrtime();
  if (count == 0) c->waiting_since = now;
  uv_mutex_lock(&db->lock);
  bool cancelled = atomic_load(&c->stop);
  double limit = db->stopping && db->options.busy > 0.5 ? 0.5 : db->options.busy;
  uv_mutex_unlock(&db->lock);
  if (cancelled || (double)(now - c->waiting_since) / 1e9 >= limit) return 0;
  uv_sleep(count < 5 ? 1 : count < 20 ? 5 : 20);
  return 1;
}

/* An interrupt that comes just before a statement begins is forgotten by SQLite. */
static int on_progress(void *ud) {
  return atomic_load_explicit(&((struct conn *)ud)->stop, memory_order_relaxed);
}

static int on_commit(void *ud, sqlite3 *sql, const char *name, int frames) {
  (void)sql, (void)name;
  ((struct conn *)ud)->frames = frames;
  return SQLITE_OK;
}

/* SQLite gives its own files the mode of the database. */
static bool make_private(const char *path, struct err *e) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == ELOOP) fd = open(path, O_RDWR | O_CLOEXEC); /* a link that somebody made on purpose */
  if (fd >= 0) {
    close(fd);
    return true;
  }
  err_set(e, "db", SQLITE_CANTOPEN, "cannot open the database \"%.120s\": %.60s", path, strerror(errno));
  e->hint = errno == EACCES || errno == EROFS ? hint_for(SQLITE_READONLY) : hint_for(SQLITE_CANTOPEN);
  return false;
}

static bool number_of(struct conn *c, const char *sql, int64_t *n, struct err *e) {
  struct statement *s = conn_prepare(c, sql, strlen(sql), e);
  bool ok = s && sqlite.step(s->stmt) == SQLITE_ROW;
  if (ok)
    *n = sqlite.column_int64(s->stmt, 0);
  else
    conn_error(c, NULL, e);
  if (s) sqlite.reset(s->stmt);
  return ok;
}

static bool claim(struct conn *c, struct err *e) {
  int64_t id, tables;
  if (!number_of(c, "PRAGMA application_id", &id, e)) return false;
  if (id == APPLICATION_ID) return true;
  if (!number_of(c, "SELECT count(*) FROM sqlite_schema", &tables, e)) return false;
  if (tables > 0 || id != 0) {
    err_set(e, "db", SQLITE_NOTADB, "\"%.120s\" is a database of another program, not a store of stoke's", c->db->path);
    e->hint = hint_for(SQLITE_NOTADB);
    return false;
  }
  char sql[64];
  snprintf(sql, sizeof sql, "PRAGMA application_id=%d", APPLICATION_ID);
  return c->db->options.readonly || conn_exec(c, sql, e);
}

/* A connection is to one file: what may be opened is decided elsewhere (VACUUM attaches a file without a name to itself). And nobody
 * else ends a transaction: the first word of a statement, which has told that before, is a guess about SQLite's grammar. */
static int authorize(void *ud, int what, const char *first, const char *second, const char *db, const char *trigger) {
  const struct conn *c = ud;
  (void)second, (void)db, (void)trigger;
  if (what == SQLITE_TRANSACTION) return c->own ? SQLITE_OK : SQLITE_DENY;
  if (what == SQLITE_SAVEPOINT) return c->own || c->in_tx ? SQLITE_OK : SQLITE_DENY;
  if (what == SQLITE_ATTACH) return first && !*first ? SQLITE_OK : SQLITE_DENY;
  return what == SQLITE_DETACH ? SQLITE_DENY : SQLITE_OK;
}

/* stoke_sum(...): 32 bits of what the values say, kept beside them in the host's own file: SQLite sees damage of its pages' order, none of
 * their texts. */
static void sum_of(sqlite3_context *context, int count, sqlite3_value **values) {
  uint64_t sum = 0x9e3779b97f4a7c15u;
  for (int i = 0; i < count; i++) {
    int type = sqlite.value_type(values[i]);
    const unsigned char *bytes = type == SQLITE_NULL ? NULL : sqlite.value_blob(values[i]);
    size_t len = bytes ? (size_t)sqlite.value_bytes(values[i]) : 0;
    sum = (sum ^ (uint64_t)type ^ (uint64_t)len << 8) * 0xff51afd7ed558ccdu;
    while (len > 0) {
      uint64_t part = 0;
      size_t n = len < sizeof part ? len : sizeof part;
      memcpy(&part, bytes, n);
      sum = (sum ^ part) * 0xff51afd7ed558ccdu;
      sum ^= sum >> 32;
      bytes += n;
      len -= n;
    }
  }
  sqlite.result_int(context, (int32_t)(uint32_t)(sum ^ sum >> 29));
}

static bool add_sum(struct conn *c, struct err *e) {
  int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
  if (sqlite.create_function_v2(c->sql, "stoke_sum", -1, flags, NULL, sum_of, NULL, NULL, NULL) == SQLITE_OK) return true;
  conn_error(c, NULL, e);
  return false;
}

static bool set_up(struct conn *c, bool writer, struct err *e) {
  struct store_db *db = c->db;
  sqlite.extended_result_codes(c->sql, 1);
  sqlite.set_authorizer(c->sql, authorize, c);
  sqlite.progress_handler(c->sql, STEPS_BETWEEN_LOOKS, on_progress, c);
  sqlite.busy_handler(c->sql, on_busy, c);
  sqlite.db_config(c->sql, SQLITE_DBCONFIG_DQS_DML, 0, NULL); /* "x" is a name, never a text */
  sqlite.db_config(c->sql, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
  sqlite.db_config(c->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  if (db->options.host) sqlite.db_config(c->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  if (db->options.host && !add_sum(c, e)) return false;
  if (!conn_exec(c, "PRAGMA foreign_keys=ON", e) || !conn_exec(c, writer ? WRITER_CACHE : READER_CACHE, e))
    return false;
  if (!writer && !db->options.readonly && !conn_exec(c, "PRAGMA query_only=ON", e)) return false;
  int64_t version;
  if (!number_of(c, "PRAGMA schema_version", &version, e)) return false; /* reads the file: is it a database? */
  if (writer && !number_of(c, "PRAGMA page_size", &db->page_bytes, e)) return false;
  if (!writer || db->options.readonly) return !writer || !db->options.host || claim(c, e);
  if (db->options.host && (!claim(c, e) || !conn_exec(c, "PRAGMA secure_delete=OFF", e))) return false;
  if (db->memory) return true;
  if (!conn_exec(c, "PRAGMA journal_mode=WAL", e) || !conn_exec(c, "PRAGMA journal_size_limit=67108864", e))
    return false;
  sqlite.wal_hook(c->sql, on_commit, c); /* in place of SQLite's own checkpoints */
  return true;
}

bool conn_open(struct conn *c, struct store_db *db, bool writer, struct err *e) {
  c->db = db;
  c->last = &c->first;
  const struct store_options *o = &db->options;
  if (writer && o->host && o->create && !o->readonly && !db->memory && !make_private(db->path, e)) return false;
  int flags = SQLITE_OPEN_NOMUTEX | (o->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  if (writer && o->create && !o->readonly) flags |= SQLITE_OPEN_CREATE;
  bool ok = sqlite.open_v2(db->path, &c->sql, flags, db->memory ? NULL : store_vfs()) == SQLITE_OK;
  if (!ok) conn_error(c, NULL, e);
  if (ok && set_up(c, writer, e)) return true;
  conn_close(c);
  return false;
}

void conn_close(struct conn *c) {
  while (c->first) statement_free(c, c->first);
  if (c->sql) sqlite.close_v2(c->sql);
  c->sql = NULL;
}
