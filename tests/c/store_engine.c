/* store_engine.c - the engine of databases, without Lua: what is acknowledged survives full disks, failing ones and power cuts; each
 * write succeeds or fails alone; everything that was begun ends. The seed is printed when something differs; store_engine SEED repeats
 * it, store_engine SEED N its test N alone. */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "state.h"
#include "store/store.h"
#include "store/store_api.h"
#include "store/vfs_fault.h"
#include "sys/rng.h"

static struct host host;
static char folder[] = "/tmp/stoke-store-XXXXXX";
static char path[64];
static struct rng rng;

#define FAIL(...) return printf(__VA_ARGS__), printf("\n"), 1

/* --- jobs, waited for ------------------------------------------------------------------------------------------------------------------ */

struct work {
  struct store_job job;
  bool over;
  char request[4096];
};

static void over(struct store_job *job) {
  CONTAINER_OF(job, struct work, job)->over = true;
}

static void turn(void) {
  uv_ref((uv_handle_t *)&host.wake); /* else the loop would not wait for other threads */
  uv_run(&host.loop, UV_RUN_ONCE);
  uv_unref((uv_handle_t *)&host.wake);
}

static void turn_once(void) {
  uv_run(&host.loop, UV_RUN_NOWAIT);
}

static void wait_for(const struct work *w) {
  while (!w->over) turn();
}

/* Parameters are integers, `n` of them. */
static void add(struct work *w, const char *sql, int n, ...) {
  struct store_value text = {.type = STORE_TEXT, .bytes = sql, .len = strlen(sql)},
                     v = {.type = STORE_INTEGER, .integer = n};
  char *at = store_value_write(w->request + w->job.request_len, &text);
  at = store_value_write(at, &v);
  va_list args;
  va_start(args, n);
  while (n-- > 0) {
    v.integer = va_arg(args, int);
    at = store_value_write(at, &v);
  }
  va_end(args);
  w->job.request = w->request;
  w->job.request_len = (size_t)(at - w->request);
  w->job.statements++;
}

static void set(struct work *w, enum store_what what) {
  w->over = false;
  store_rows_free(&w->job.rows);
  w->job = (struct store_job){.what = what, .done = over, .request = w->request};
}

static bool begin(struct store_db *db, struct work *w) {
  struct err e;
  if (store_submit(db, &w->job, &e)) return true;
  w->job.err = e;
  w->over = true;
  return false;
}

static struct store_options options(void) {
  return (struct store_options){
      .create = true, .durable = true, .busy = 0.05, .result_limit = 1 << 20, .queue_limit = 1 << 20};
}

static struct store_db *open_with(const struct store_options *o, struct err *e) {
  static struct work w;
  set(&w, STORE_OPEN);
  struct store_db *db = store_open(&host, path, o, &w.job, e);
  if (!db) return NULL;
  wait_for(&w);
  *e = w.job.err;
  if (!w.job.err.kind) return db;
  store_release(db);
  return NULL;
}

static struct store_db *open_db(void) {
  struct store_options o = options();
  struct err e;
  struct store_db *db = open_with(&o, &e);
  if (!db) printf("cannot open: %s\n", e.message);
  return db;
}

static void close_db(struct store_db *db) {
  static struct work w;
  set(&w, STORE_CLOSE);
  if (store_close(db, &w.job)) wait_for(&w);
  store_release(db);
  while (host.inflight > 0) turn();
}

/* The error's code, 0 = it succeeded, -1 = an error that is none of SQLite's. */
static int code_of(const struct work *w) {
  return !w->job.err.kind ? 0 : w->job.err.code ? w->job.err.code : -1;
}

static int run(struct store_db *db, enum store_what what, bool durable, const char *sql) {
  static struct work w;
  set(&w, what);
  add(&w, sql, 0);
  w.job.durable = durable;
  if (begin(db, &w)) wait_for(&w);
  return code_of(&w);
}

/* The first value of the first row. */
static int64_t number(struct store_db *db, const char *sql) {
  static struct work w;
  struct store_value v = {.integer = -1};
  set(&w, STORE_QUERY);
  add(&w, sql, 0);
  if (begin(db, &w)) wait_for(&w);
  if (w.job.rows.rows > 0) (void)store_value_read(w.job.rows.bytes, &v);
  return v.integer;
}

static bool is_sound(struct store_db *db) {
  static struct work w;
  struct store_value v = {.type = STORE_NULL};
  set(&w, STORE_CHECK);
  add(&w, "PRAGMA integrity_check", 0);
  if (begin(db, &w)) wait_for(&w);
  if (w.job.rows.rows == 1) (void)store_value_read(w.job.rows.bytes, &v);
  return v.type == STORE_TEXT && strcmp(v.bytes, "ok") == 0;
}

static void remove_files(void) {
  static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
  char name[80];
  for (size_t i = 0; i < COUNT_OF(ends); i++) {
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    (void)unlink(name);
  }
}

static struct store_db *fresh(void) {
  remove_files();
  struct store_db *db = open_db();
  CHECK(db);
  CHECK(run(db, STORE_WRITE, true, "CREATE TABLE t(n INTEGER PRIMARY KEY, batch INTEGER, filler TEXT)") == 0);
  return db;
}

/* --- groups ------------------------------------------------------------------------------------------------------------------------------ */

#define MANY 400

static int writes_share_their_syncs(void) {
  struct store_counts before, after;
  static struct work w[MANY];
  store_fault_set(&(struct store_faults){.slow_ms = 1});
  struct store_db *db = fresh();
  store_fault_counts(&before);
  for (int i = 0; i < MANY; i++) {
    set(&w[i], STORE_WRITE);
    add(&w[i], "INSERT INTO t(n) VALUES(?)", 1, i % 7 == 3 ? 3 : i); /* some of them fail */
    w[i].job.durable = true;
    if (!begin(db, &w[i])) FAIL("a write is not taken");
  }
  int failed = 0;
  for (int i = 0; i < MANY; i++) {
    wait_for(&w[i]);
    bool right = i % 7 == 3 && i > 3;
    if (right && code_of(&w[i]) != SQLITE_CONSTRAINT_PRIMARYKEY) FAIL("write %d has code %d", i, code_of(&w[i]));
    if (!right && code_of(&w[i]) != 0) FAIL("write %d fails: %s", i, w[i].job.err.message);
    failed += right;
  }
  store_fault_counts(&after);
  if (after.syncs - before.syncs > MANY / 10) FAIL("%d syncs for %d writes", (int)(after.syncs - before.syncs), MANY);
  if (number(db, "SELECT count(*) FROM t") != MANY - failed) FAIL("a write that failed took others with it");
  close_db(db);
  store_fault_set(NULL);
  return 0;
}

static int only_what_is_durable_is_synced(void) {
  struct store_counts a, b, c;
  store_fault_set(&(struct store_faults){0});
  struct store_db *db = fresh();
  store_fault_counts(&a);
  for (int i = 0; i < 20; i++)
    if (run(db, STORE_APPEND, false, "INSERT INTO t(batch) VALUES(1)")) FAIL("an append fails");
  store_fault_counts(&b);
  if (b.syncs != a.syncs) FAIL("appends that are not durable are synced %d times", (int)(b.syncs - a.syncs));
  if (run(db, STORE_APPEND, true, "INSERT INTO t(batch) VALUES(1)")) FAIL("an append fails");
  store_fault_counts(&c);
  if (c.syncs == b.syncs) FAIL("a durable append is not synced");
  close_db(db);
  store_fault_set(NULL);
  return 0;
}

static int a_batch_is_all_or_nothing(void) {
  struct store_db *db = fresh();
  static struct work w[3];
  for (int i = 0; i < 3; i++) {
    set(&w[i], STORE_APPEND);
    add(&w[i], "INSERT INTO t(n) VALUES(?)", 1, 10 + i);
    add(&w[i], "INSERT INTO t(n) VALUES(?)", 1, i == 1 ? 10 : 20 + i);
    CHECK(begin(db, &w[i]));
  }
  for (int i = 0; i < 3; i++) wait_for(&w[i]);
  if (code_of(&w[0]) || code_of(&w[2]) || !code_of(&w[1])) FAIL("the wrong batch fails");
  if (number(db, "SELECT count(*) FROM t") != 4) FAIL("half of a batch is there");
  close_db(db);
  return 0;
}

static int a_chain_has_no_gap(void) {
  struct store_db *db = fresh();
  static struct work w[6];
  for (int i = 0; i < 6; i++) {
    bool mend = i == 4;
    set(&w[i], mend ? STORE_MEND : STORE_APPEND);
    w[i].job.chain = i == 3 ? 8 : 7;
    if (!mend) add(&w[i], i == 1 ? "INSERT INTO nowhere VALUES(?)" : "INSERT INTO t(n) VALUES(?)", 1, i);
    CHECK(begin(db, &w[i]));
  }
  for (int i = 0; i < 6; i++) wait_for(&w[i]);
  static const bool good[] = {true, false, false, true, true, true};
  for (int i = 0; i < 6; i++)
    if (!w[i].job.err.kind != good[i])
      FAIL("append %d: %s", i, w[i].job.err.kind ? w[i].job.err.message : "it is taken");
  struct err e;
  uint64_t failed;
  if (!store_failure(db, &e, &failed) || failed == 0) FAIL("the failure of an append is not told");
  close_db(db);
  return 0;
}

/* --- disks that fail ------------------------------------------------------------------------------------------------------------------------ */

/* One batch of 1 to 4 rows with consecutive numbers and its own number. */
static void batch(struct work *w, int number_of_batch, int *next) {
  int rows = 1 + (int)(rng_next(&rng) % 4);
  set(w, STORE_APPEND);
  for (int i = 0; i < rows; i++)
    add(w, "INSERT INTO t(n, batch, filler) VALUES(?, ?, hex(zeroblob(300)))", 2, (*next)++, number_of_batch);
  w->job.chain = 1; /* else those after one that failed would be there without it */
  w->job.durable = rng_next(&rng) % 3 == 0;
}

#define BATCHES 40

struct told {
  int rows[BATCHES];
  bool acknowledged[BATCHES], durable[BATCHES];
};

/* Until something fails. */
static void append_all(struct store_db *db, struct told *told) {
  static struct work w[BATCHES];
  int next = 1, sent = 0, seen = 0;
  memset(told, 0, sizeof *told);
  while (seen < BATCHES) {
    int ahead = 1 + (int)(rng_next(&rng) % 5);
    for (; sent < BATCHES && sent - seen < ahead; sent++) {
      int first = next;
      batch(&w[sent], sent, &next);
      told->rows[sent] = next - first;
      told->durable[sent] = w[sent].job.durable;
      (void)begin(db, &w[sent]);
    }
    wait_for(&w[seen]);
    told->acknowledged[seen] = code_of(&w[seen]) == 0;
    seen++;
  }
}

/* What a run left: whole batches, in order, none missing between two; all that must be there. */
static int judge(const struct told *told, bool power, const char *what) {
  struct store_db *db = open_db();
  if (!db) FAIL("%s: the file cannot be opened any more", what);
  if (!is_sound(db)) FAIL("%s: the file is damaged", what);
  int64_t batches = number(db, "SELECT count(DISTINCT batch) FROM t"), rows = number(db, "SELECT count(*) FROM t"),
          want = 0;
  int needed = 0;
  for (int i = 0; i < batches; i++) want += told->rows[i];
  for (int i = 0; i < BATCHES; i++)
    if (told->acknowledged[i] && (told->durable[i] || !power)) needed = i + 1;
  if (number(db, "SELECT ifnull(max(batch), -1) FROM t") != batches - 1)
    FAIL("%s: a batch is missing before a later one", what);
  if (rows != want) FAIL("%s: %d rows, and %d belong to the batches there are", what, (int)rows, (int)want);
  if (batches < needed) FAIL("%s: %d batches, and %d were acknowledged", what, (int)batches, needed);
  close_db(db);
  return 0;
}

static int power_cuts_lose_nothing_durable(void) {
  static struct told told;
  int cuts = 0;
  for (int i = 0; i < 160; i++) {
    struct store_faults f = {.seed = i % 4 ? rng_next(&rng) | 1 : 0};
    *(i % 2 ? &f.cut_write_at : &f.cut_at) = 1 + rng_next(&rng) % (i % 2 ? 250 : 25);
    store_fault_set(&(struct store_faults){0});
    struct store_db *db = fresh();
    store_fault_set(&f);
    append_all(db, &told);
    close_db(db);
    struct store_counts c;
    store_fault_counts(&c);
    cuts += c.cut;
    store_fault_set(NULL);
    if (judge(&told, true, "power cut"))
      FAIL("at %s %d, its seed %llu", i % 2 ? "write" : "sync", (int)(f.cut_at + f.cut_write_at),
           (unsigned long long)f.seed);
  }
  if (cuts < 30) FAIL("only %d power cuts", cuts); /* how many are reached goes by how writes were gathered */
  return 0;
}

static int failing_writes_lose_nothing_acknowledged(void) {
  static struct told told;
  for (int i = 0; i < 60; i++) {
    struct store_faults f = {.times = 1 + rng_next(&rng) % 20};
    *(i % 2 ? &f.full_at : &f.error_at) = 1 + rng_next(&rng) % 200;
    store_fault_set(&(struct store_faults){0});
    struct store_db *db = fresh();
    store_fault_set(&f);
    append_all(db, &told);
    close_db(db);
    store_fault_set(NULL);
    if (judge(&told, false, i % 2 ? "full disk" : "failing disk"))
      FAIL("from write %d, %d times", (int)(f.full_at + f.error_at), (int)f.times);
  }
  return 0;
}

static int a_full_disk_is_told_and_can_be_mended(void) {
  store_fault_set(&(struct store_faults){0});
  struct store_db *db = fresh();
  store_fault_set(&(struct store_faults){.full_at = 1});
  int code = run(db, STORE_WRITE, true, "INSERT INTO t(n) VALUES(1)");
  if (code != SQLITE_FULL) FAIL("a full disk has code %d", code);
  store_fault_set(&(struct store_faults){0}); /* there is room again */
  if (run(db, STORE_WRITE, true, "INSERT INTO t(n) VALUES(2)") != 0) FAIL("it does not go on when there is room");
  if (number(db, "SELECT sum(n) FROM t") != 2) FAIL("what failed is there");
  close_db(db);
  store_fault_set(NULL);
  return 0;
}

/* --- files that are damaged --------------------------------------------------------------------------------------------------------------------- */

static int damaged_files_are_told(void) {
  struct store_db *db = fresh();
  for (int i = 0; i < 300; i++)
    CHECK(run(db, STORE_WRITE, false, "INSERT INTO t(filler) VALUES(hex(randomblob(200)))") == 0);
  close_db(db);
  static char whole[1 << 20], bytes[1 << 20];
  int fd = open(path, O_RDONLY);
  ssize_t len = read(fd, whole, sizeof whole);
  close(fd);
  CHECK(len > 100000);
  int told = 0;
  for (int i = 0; i < 150; i++) {
    memcpy(bytes, whole, (size_t)len);
    for (int k = 0; k < 1 + i; k++) bytes[rng_next(&rng) % (uint64_t)(i % 3 ? len : 200)] = (char)rng_next(&rng);
    remove_files();
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, bytes, (size_t)(i % 5 ? len : len / 3)) > 0);
    close(fd);
    struct store_options o = options();
    struct err e;
    db = open_with(&o, &e);
    if (!db) {
      told++;
      continue;
    }
    int a = run(db, STORE_WRITE, true, "INSERT INTO t(filler) VALUES('x')"),
        b = run(db, STORE_QUERY, false, "SELECT sum(length(filler)) FROM t");
    told += (a & 0xff) == SQLITE_CORRUPT || (b & 0xff) == SQLITE_CORRUPT;
    close_db(db);
  }
  return told > 20 ? 0 : printf("only %d of 150 damages are told\n", told);
}

/* --- cancelled, closed, locked ------------------------------------------------------------------------------------------------------------------- */

static const char forever[] = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
static const char forever_written[] =
    "INSERT INTO t(n) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n < 0";

static int a_cancel_ends_what_runs_and_what_waits(void) {
  struct store_db *db = fresh();
  static struct work w[7];
  for (int i = 0; i < 7; i++) {
    set(&w[i], i < 6 ? STORE_QUERY : STORE_WRITE);
    add(&w[i], i < 6 ? forever : forever_written, 0);
    CHECK(begin(db, &w[i]));
  }
  uv_sleep(20);
  for (int i = 0; i < 7; i++) store_cancel(&w[i].job);
  for (int i = 0; i < 7; i++) {
    wait_for(&w[i]);
    if (!w[i].job.err.kind) FAIL("job %d was not cancelled", i);
  }
  if (number(db, "SELECT count(*) FROM t") != 0) FAIL("a write that was cancelled is there");
  if (run(db, STORE_WRITE, true, "INSERT INTO t(n) VALUES(1)") != 0) FAIL("no write after a cancel");
  close_db(db);
  return 0;
}

/* Whenever it comes: SQLite forgets an interrupt just before the first step of a statement. */
static int a_cancel_is_never_missed(void) {
  struct store_db *db = fresh();
  static struct work w;
  for (int i = 0; i < 300; i++) {
    set(&w, i % 2 ? STORE_QUERY : STORE_WRITE);
    add(&w, i % 2 ? forever : forever_written, 0);
    CHECK(begin(db, &w));
    if (i % 2 == 0) turn_once(); /* hands it to the writer */
    usleep((useconds_t)(rng_next(&rng) % 150));
    store_cancel(&w.job);
    wait_for(&w);
    if (!w.job.err.kind) FAIL("cancel %d is missed", i);
  }
  close_db(db);
  return 0;
}

static int a_cancelled_write_does_not_take_others_with_it(void) {
  for (int i = 0; i < 10; i++) {
    struct store_db *db = fresh();
    static struct work w[9];
    for (int k = 0; k < 9; k++) {
      set(&w[k], STORE_WRITE);
      if (k == 4)
        add(&w[k], forever_written, 0);
      else
        add(&w[k], "INSERT INTO t(n) VALUES(?)", 1, k);
      CHECK(begin(db, &w[k]));
    }
    uv_sleep(3);
    store_cancel(&w[4].job);
    for (int k = 0; k < 9; k++) {
      wait_for(&w[k]);
      if (!w[k].job.err.kind != (k != 4))
        FAIL("write %d: %s", k, w[k].job.err.kind ? w[k].job.err.message : "succeeds");
    }
    if (number(db, "SELECT count(*) FROM t") != 8) FAIL("writes beside one that was cancelled are not there");
    close_db(db);
  }
  return 0;
}

static int closing_writes_what_was_queued(void) {
  struct store_db *db = fresh();
  static struct work w[100], reading, tx, in_tx;
  set(&tx, STORE_BEGIN);
  CHECK(begin(db, &tx));
  wait_for(&tx);
  for (int i = 0; i < 100; i++) {
    set(&w[i], STORE_APPEND);
    add(&w[i], "INSERT INTO t(n) VALUES(?)", 1, i);
    CHECK(begin(db, &w[i]));
  }
  set(&reading, STORE_QUERY);
  add(&reading, forever, 0);
  CHECK(begin(db, &reading));
  set(&in_tx, STORE_RUN);
  in_tx.job.tx = tx.job.tx;
  add(&in_tx, "INSERT INTO t(n) VALUES(1000)", 0);
  CHECK(begin(db, &in_tx));
  uv_sleep(5);
  CHECK(store_close(db, NULL));
  static struct work late;
  set(&late, STORE_ROLLBACK);
  late.job.tx = tx.job.tx;
  if (begin(db, &late)) FAIL("a closed database takes a job");
  store_release(db);
  while (host.inflight > 0) turn();
  for (int i = 0; i < 100; i++)
    if (!w[i].over || code_of(&w[i])) FAIL("append %d is lost when the database is closed", i);
  if (!reading.over || !reading.job.err.kind || !in_tx.over) FAIL("something has not ended");
  db = open_db();
  if (number(db, "SELECT count(*) FROM t") != 100)
    FAIL("a transaction that nobody ended is there, or an append is not");
  close_db(db);
  return 0;
}

static int a_lock_of_another_is_told(void) {
  struct store_db *db = fresh();
  sqlite3 *other;
  CHECK(sqlite.open_v2(path, &other, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
  CHECK(sqlite.exec(other, "BEGIN IMMEDIATE; INSERT INTO t(n) VALUES(5)", NULL, NULL, NULL) == SQLITE_OK);
  int code = run(db, STORE_WRITE, true, "INSERT INTO t(n) VALUES(1)");
  if ((code & 0xff) != SQLITE_BUSY) FAIL("a locked file has code %d", code);
  if (number(db, "SELECT count(*) FROM t") != 0) FAIL("it is not read while it is locked");
  CHECK(sqlite.exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
  if (run(db, STORE_WRITE, true, "INSERT INTO t(n) VALUES(1)") != 0) FAIL("it stays locked");
  sqlite.close_v2(other);
  close_db(db);
  return 0;
}

/* The child is a process of its own: it has the lock, says so, and ends when it is told to, without giving it back. */
static int a_lock_ends_with_its_process(void) {
  char name[64], byte = 0;
  int ready[2], go[2];
  snprintf(name, sizeof name, "%s/locks", folder);
  CHECK(pipe(ready) == 0 && pipe(go) == 0);
  pid_t child = fork();
  if (child == 0) {
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 3, .l_len = 1};
    if (fcntl(fd, F_SETLK, &f) != 0 || write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  struct err e;
  if (store_lock(&host, name, 3, &e) || e.kind) FAIL("two processes have one lock");
  struct store_lock *other = store_lock(&host, name, 4, &e);
  if (!other) FAIL("another number is locked, too");
  if (store_lock(&host, name, 4, &e)) FAIL("one process has a lock twice");
  CHECK(write(go[1], &byte, 1) == 1);
  CHECK(waitpid(child, NULL, 0) == child);
  struct store_lock *mine = store_lock(&host, name, 3, &e);
  if (!mine) FAIL("a lock outlives its process");
  store_unlock(mine);
  store_unlock(other);
  for (int i = 0; i < 2; i++) close(ready[i]), close(go[i]);
  (void)unlink(name);
  return 0;
}

int main(int argc, char **argv) {
  static int (*const tests[])(void) = {a_lock_ends_with_its_process,
                                       writes_share_their_syncs,
                                       only_what_is_durable_is_synced,
                                       a_batch_is_all_or_nothing,
                                       a_chain_has_no_gap,
                                       a_full_disk_is_told_and_can_be_mended,
                                       failing_writes_lose_nothing_acknowledged,
                                       power_cuts_lose_nothing_durable,
                                       damaged_files_are_told,
                                       a_cancel_ends_what_runs_and_what_waits,
                                       a_cancel_is_never_missed,
                                       a_cancelled_write_does_not_take_others_with_it,
                                       closing_writes_what_was_queued,
                                       a_lock_of_another_is_told};
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  struct err e;
  rng_seed(&rng, seed);
  CHECK(mkdtemp(folder) && host_init(&host, &e) && sqlite_api_open(&e));
  snprintf(path, sizeof path, "%s/x.db", folder);
  int bad = 0;
  for (size_t i = 0; !bad && i < COUNT_OF(tests); i++)
    if (argc < 3 || strtoul(argv[2], NULL, 10) == i) bad = tests[i]();
  if (bad) printf("seed %llu\n", (unsigned long long)seed);
  remove_files();
  (void)rmdir(folder);
  return bad || !host_close(&host);
}
