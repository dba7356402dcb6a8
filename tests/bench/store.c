/* store.c - the yardstick of databases: bare SQLite in one thread, the same rows, and the disk itself.
 *
 *   store FOLDER SECONDS [records|queue]
 *
 * prints fsyncs_s= (one page written and fdatasync), and of SQLite: durable_s= rows a second, 64 to a synced commit; rows_s= the same
 * without a sync; one_s= commits of one row, synced; read_us= a row by its key. With "records" instead effects_s=: what a durable run
 * writes for an effect that must not be done twice, of 64 runs at once: its row in a synced commit; its outcome, the order of the
 * run and the next row in the one after. With "queue" items_s=: items through three streams, 256 a synced commit; of each stream its
 * row and what a group has to do with it, written when it is lent and again when it is done. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(sqlite3 *db, int rc) {
  if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) return;
  fprintf(stderr, "store: %s\n", sqlite3_errmsg(db));
  exit(1);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt;
  check(db, sqlite3_prepare_v2(db, sql, -1, &stmt, NULL));
  return stmt;
}

static void run(sqlite3 *db, sqlite3_stmt *stmt) {
  check(db, sqlite3_step(stmt));
  sqlite3_reset(stmt);
}

static double fsyncs(const char *folder, double seconds) {
  char path[512], page[4096];
  memset(page, 'x', sizeof page);
  snprintf(path, sizeof path, "%s/raw", folder);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), n = 0;
  for (int i = 0; i < 256; i++)
    if (write(fd, page, sizeof page) != sizeof page) exit(1);
  fsync(fd);
  double begin = seconds_now();
  for (; seconds_now() < begin + seconds; n++)
    if (pwrite(fd, page, sizeof page, n % 256 * 4096) != sizeof page || fdatasync(fd) != 0) exit(1);
  double rate = n / (seconds_now() - begin);
  close(fd);
  unlink(path);
  return rate;
}

static char filler[256];

static double rows(sqlite3 *db, int commit_rows, bool synced, double seconds) {
  check(db, sqlite3_exec(db, synced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL));
  sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE"), *commit = prepare(db, "COMMIT");
  sqlite3_stmt *insert = prepare(db, "INSERT INTO t(a, b) VALUES(?, ?)");
  double from = seconds_now();
  int n = 0;
  while (seconds_now() < from + seconds) {
    run(db, begin);
    for (int i = 0; i < commit_rows; i++, n++) {
      sqlite3_bind_int(insert, 1, n);
      sqlite3_bind_text(insert, 2, filler, sizeof filler, SQLITE_STATIC);
      run(db, insert);
    }
    run(db, commit);
    if (n % 65536 < commit_rows) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  }
  double rate = n / (seconds_now() - from);
  sqlite3_finalize(begin);
  sqlite3_finalize(commit);
  sqlite3_finalize(insert);
  return rate;
}

static double read_us(sqlite3 *db) {
  sqlite3_stmt *stmt = prepare(db, "SELECT a, b FROM t WHERE n = ?");
  enum { READS = 100000 };
  double from = seconds_now();
  for (int i = 0; i < READS; i++) {
    sqlite3_bind_int(stmt, 1, 1 + i * 37 % 1000);
    check(db, sqlite3_step(stmt));
    if (sqlite3_column_bytes(stmt, 1) != sizeof filler) exit(1);
    sqlite3_reset(stmt);
  }
  double us = (seconds_now() - from) / READS * 1e6;
  sqlite3_finalize(stmt);
  return us;
}

static const char records[] =
    "CREATE TABLE records (id INTEGER PRIMARY KEY, key ANY NOT NULL, class TEXT NOT NULL, digest ANY, request TEXT, line ANY,"
    " time REAL, took REAL, inline INTEGER, intent INTEGER, seen INTEGER, at INTEGER, outcome TEXT, value TEXT) STRICT;"
    "CREATE TABLE deliveries (run INTEGER, first INTEGER, records INTEGER NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (run, first)) STRICT, WITHOUT ROWID";

/* One effect of each run a commit. */
static double effects(sqlite3 *db, double seconds) {
  enum { RUNS = 64 };
  static const char request[] = "{\"name\":\"once\"}", line[] = "tests/bench/durable.lua:61";
  check(db, sqlite3_exec(db, records, NULL, NULL, NULL));
  check(db, sqlite3_exec(db, "PRAGMA synchronous=FULL", NULL, NULL, NULL));
  sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE"), *commit = prepare(db, "COMMIT");
  sqlite3_stmt *insert = prepare(db, "INSERT OR REPLACE INTO records (id,key,class,digest,request,line,time,intent,at)"
                                     " VALUES (?,?,'unsafe',?,?,?,?,1,?)");
  sqlite3_stmt *update = prepare(db, "UPDATE records SET inline=0,seen=?,outcome='value',value=?,took=? WHERE id=?");
  sqlite3_stmt *order = prepare(db, "INSERT INTO deliveries (run,first,records,bytes) VALUES (?,?,?,?)");
  double from = seconds_now();
  sqlite3_int64 n = 0;
  for (; seconds_now() < from + seconds; n++) {
    run(db, begin);
    for (sqlite3_int64 i = 1; i <= RUNS; i++) {
      char key[64];
      int len = snprintf(key, sizeof key, "run/step once:%lld/step#1", (long long)n);
      if (n > 0) {
        sqlite3_bind_int64(update, 1, n);
        sqlite3_bind_text(update, 2, filler, 102, SQLITE_STATIC);
        sqlite3_bind_double(update, 3, 0.001);
        sqlite3_bind_int64(update, 4, i << 32 | (n - 1));
        run(db, update);
        sqlite3_bind_int64(order, 1, i);
        sqlite3_bind_int64(order, 2, n * 3);
        sqlite3_bind_int64(order, 3, n);
        sqlite3_bind_blob(order, 4, "abc", 3, SQLITE_STATIC);
        run(db, order);
      }
      sqlite3_bind_int64(insert, 1, i << 32 | n);
      sqlite3_bind_text(insert, 2, key, len, SQLITE_STATIC);
      sqlite3_bind_blob(insert, 3, filler, 32, SQLITE_STATIC);
      sqlite3_bind_text(insert, 4, request, sizeof request - 1, SQLITE_STATIC);
      sqlite3_bind_text(insert, 5, line, sizeof line - 1, SQLITE_STATIC);
      sqlite3_bind_double(insert, 6, from);
      sqlite3_bind_int64(insert, 7, n * 3);
      run(db, insert);
    }
    run(db, commit);
    if (n % 1024 == 0) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  }
  double rate = (double)n * RUNS / (seconds_now() - from);
  sqlite3_finalize(begin);
  sqlite3_finalize(commit);
  sqlite3_finalize(insert);
  sqlite3_finalize(update);
  sqlite3_finalize(order);
  return rate;
}

static const char queue[] =
    "CREATE TABLE items (stream INTEGER NOT NULL, at INTEGER NOT NULL, id TEXT NOT NULL, size INTEGER NOT NULL, value ANY,"
    " PRIMARY KEY (stream, at)) STRICT, WITHOUT ROWID; CREATE UNIQUE INDEX items_by_id ON items (stream, id);"
    "CREATE TABLE work (grp INTEGER NOT NULL, at INTEGER NOT NULL, state INTEGER NOT NULL, due REAL, fence INTEGER NOT NULL,"
    " PRIMARY KEY (grp, at)) STRICT, WITHOUT ROWID; CREATE INDEX work_by_due ON work (grp, due) WHERE state=0";

/* One item through one stream. */
static void stage(sqlite3 *db, sqlite3_stmt *stmts[3], int stream, int n) {
  char id[16];
  int len = snprintf(id, sizeof id, "%d", n);
  sqlite3_bind_int(stmts[0], 1, stream);
  sqlite3_bind_int(stmts[0], 2, n);
  sqlite3_bind_text(stmts[0], 3, id, len, SQLITE_STATIC);
  run(db, stmts[0]);
  for (int i = 1; i < 3; i++) {
    sqlite3_bind_int(stmts[i], 1, stream);
    sqlite3_bind_int(stmts[i], 2, n);
    run(db, stmts[i]);
  }
}

static double items(sqlite3 *db, double seconds) {
  enum { COMMIT = 256 };
  check(db, sqlite3_exec(db, queue, NULL, NULL, NULL));
  check(db, sqlite3_exec(db, "PRAGMA synchronous=FULL", NULL, NULL, NULL));
  sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE"), *commit = prepare(db, "COMMIT");
  sqlite3_stmt *stmts[3] = {prepare(db, "INSERT INTO items VALUES (?,?,?,1,'1')"),
                            prepare(db, "INSERT INTO work VALUES (?,?,0,1.5,1)"),
                            prepare(db, "UPDATE work SET state=2, due=NULL WHERE grp=? AND at=?")};
  double from = seconds_now();
  int n = 0;
  while (seconds_now() < from + seconds) {
    run(db, begin);
    for (int i = 0; i < COMMIT; i++, n++)
      for (int stream = 1; stream <= 3; stream++) stage(db, stmts, stream, n);
    run(db, commit);
    if (n % 16384 < COMMIT) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  }
  double rate = n / (seconds_now() - from);
  for (int i = 0; i < 3; i++) sqlite3_finalize(stmts[i]);
  sqlite3_finalize(begin);
  sqlite3_finalize(commit);
  return rate;
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) return 2;
  const char *folder = argv[1];
  double seconds = atof(argv[2]);
  char path[512];
  sqlite3 *db;
  memset(filler, 'x', sizeof filler);
  snprintf(path, sizeof path, "%s/bare.db", folder);
  check(NULL, sqlite3_open(path, &db));
  check(db, sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-65536;"
                             "CREATE TABLE t(n INTEGER PRIMARY KEY, a INTEGER, b TEXT)", NULL, NULL, NULL));
  if (argc == 4 && strcmp(argv[3], "queue") == 0) {
    printf("items_s=%.0f\n", items(db, seconds));
    return sqlite3_close(db) != SQLITE_OK;
  }
  if (argc == 4) {
    printf("fsyncs_s=%.0f effects_s=%.0f\n", fsyncs(folder, seconds), effects(db, seconds));
    return sqlite3_close(db) != SQLITE_OK;
  }
  printf("fsyncs_s=%.0f durable_s=%.0f ", fsyncs(folder, seconds), rows(db, 64, true, seconds));
  printf("rows_s=%.0f one_s=%.0f read_us=%.2f\n", rows(db, 64, false, seconds), rows(db, 1, true, seconds), read_us(db));
  return sqlite3_close(db) != SQLITE_OK;
}
