/* vfs_fault.c - see vfs_fault.h. Files are written for real; of what was not synced yet it is kept what stood there before, so that a
 * power cut can take it back. Temporary files and shared memory are let through: nothing of them outlives a cut. */
#include "vfs_fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "store_api.h"

#define SECTOR 512

struct undo {
  struct undo *older, *newer;
  sqlite3_int64 at, size_before; /* of the file */
  int len;
  char *before, *after; /* len bytes each; after NULL: cut to `at` */
  bool gone;            /* its sync has failed, and no later one brings it to the disk */
};

struct fault_file {
  sqlite3_file base;
  struct fault_file *next, **prev; /* prev NULL: let through */
  struct undo *newest, *oldest;
  _Alignas(8) char real[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct store_faults faults;
static struct store_counts counts;
static struct fault_file *files;
static sqlite3_vfs vfs, *under;
static atomic_bool wanted;

static sqlite3_file *real_of(sqlite3_file *f) {
  return (sqlite3_file *)((struct fault_file *)f)->real;
}

static struct fault_file *ours(sqlite3_file *f) {
  struct fault_file *file = (struct fault_file *)f;
  return file->prev ? file : NULL;
}

/* --- the power cut ------------------------------------------------------------------------------------------------------------------- */

static void drop(struct fault_file *f, struct undo *u) {
  *(u->older ? &u->older->newer : &f->oldest) = u->newer;
  *(u->newer ? &u->newer->older : &f->newest) = u->older;
  free(u->before);
  free(u->after);
  free(u);
}

static void forget(struct fault_file *f) {
  while (f->newest) drop(f, f->newest);
}

/* A sync was done: what it wrote stays. */
static void synced(struct fault_file *f) {
  for (struct undo *u = f->newest, *older; u; u = older) {
    older = u->older;
    if (!u->gone) drop(f, u);
  }
}

/* What is written anew is no longer gone. */
static void written_anew(struct fault_file *f, sqlite3_int64 at, sqlite3_int64 end) {
  for (struct undo *u = f->newest, *older; u; u = older) {
    older = u->older;
    if (u->gone && u->at >= at && u->at + u->len <= end) drop(f, u);
  }
}

/* What stands between `at` and `at` + len, or to the end of the file with len < 0. */
static void remember(struct fault_file *f, sqlite3_int64 at, const void *after, int len) {
  sqlite3_file *real = (sqlite3_file *)f->real;
  written_anew(f, at, len < 0 ? INT64_MAX : at + len);
  struct undo *u = calloc(1, sizeof *u);
  CHECK(u);
  (void)real->pMethods->xFileSize(real, &u->size_before);
  if (len < 0) len = u->size_before > at ? (int)(u->size_before - at) : 0;
  u->at = at;
  u->len = len;
  u->before = calloc(1, (size_t)len + 1);
  CHECK(u->before);
  (void)real->pMethods->xRead(real, u->before, len, at); /* short beyond the end */
  if (after) {
    u->after = malloc((size_t)len + 1);
    CHECK(u->after);
    memcpy(u->after, after, (size_t)len);
  }
  u->older = f->newest;
  if (u->older)
    u->older->newer = u;
  else
    f->oldest = u;
  f->newest = u;
}

static uint64_t draw(void) { /* splitmix64 */
  uint64_t z = faults.seed += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static void lose(struct fault_file *f) {
  sqlite3_file *real = (sqlite3_file *)f->real;
  for (struct undo *u = f->newest; u; u = u->older) {
    if (u->len > 0) (void)real->pMethods->xWrite(real, u->before, u->len, u->at);
    (void)real->pMethods->xTruncate(real, u->size_before);
  }
  for (struct undo *u = f->oldest; u && faults.seed; u = u->newer) {
    int len = u->len;
    switch (draw() % 3) {
      case 0: continue;
      case 1: len = (int)(draw() % ((unsigned)len / SECTOR + 1)) * SECTOR; break; /* torn */
      default: break;
    }
    if (!u->after)
      (void)real->pMethods->xTruncate(real, u->at);
    else if (len > 0)
      (void)real->pMethods->xWrite(real, u->after, len, u->at);
  }
  forget(f);
}

static void cut(void) {
  for (struct fault_file *f = files; f; f = f->next) lose(f);
  counts.cut = true;
}

/* --- a file -------------------------------------------------------------------------------------------------------------------------- */

static bool now(uint64_t count, uint64_t at, uint64_t times) {
  return at && count >= at && (times == 0 || count < at + times);
}

/* Of a write or a truncation; lock held. */
static int before_write(int len) {
  counts.writes++;
  counts.bytes += (uint64_t)len;
  if (!counts.cut && faults.cut_write_at && counts.writes == faults.cut_write_at) cut();
  if (counts.cut) return SQLITE_IOERR_WRITE;
  if (now(counts.writes, faults.full_at, faults.times)) return SQLITE_FULL;
  return now(counts.writes, faults.error_at, faults.times) ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

static int f_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at) {
  struct fault_file *file = ours(f);
  if (!file) return real_of(f)->pMethods->xWrite(real_of(f), bytes, len, at);
  pthread_mutex_lock(&lock);
  int rc = before_write(len);
  if (rc == SQLITE_OK) {
    if (faults.cut_at || faults.cut_write_at) remember(file, at, bytes, len);
    rc = real_of(f)->pMethods->xWrite(real_of(f), bytes, len, at);
  }
  pthread_mutex_unlock(&lock);
  return rc;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size) {
  struct fault_file *file = ours(f);
  if (!file) return real_of(f)->pMethods->xTruncate(real_of(f), size);
  pthread_mutex_lock(&lock);
  int rc = before_write(0);
  if (rc == SQLITE_OK) {
    if (faults.cut_at || faults.cut_write_at) remember(file, size, NULL, -1);
    rc = real_of(f)->pMethods->xTruncate(real_of(f), size);
  }
  pthread_mutex_unlock(&lock);
  return rc;
}

static int f_read(sqlite3_file *f, void *bytes, int len, sqlite3_int64 at) {
  if (!ours(f)) return real_of(f)->pMethods->xRead(real_of(f), bytes, len, at);
  pthread_mutex_lock(&lock);
  counts.reads++;
  int rc = counts.cut || now(counts.reads, faults.read_at, 0) ? SQLITE_IOERR_READ : SQLITE_OK;
  if (rc == SQLITE_OK) rc = real_of(f)->pMethods->xRead(real_of(f), bytes, len, at);
  pthread_mutex_unlock(&lock);
  return rc;
}

static int f_sync(sqlite3_file *f, int flags) {
  struct fault_file *file = ours(f);
  if (!file) return real_of(f)->pMethods->xSync(real_of(f), flags);
  pthread_mutex_lock(&lock);
  unsigned slow = faults.slow_ms;
  counts.syncs++;
  if (!counts.cut && counts.syncs == faults.cut_at) cut();
  bool fails = counts.cut || now(counts.syncs, faults.sync_at, faults.times), lie = faults.lie && !fails;
  int rc = fails ? SQLITE_IOERR_FSYNC : lie ? SQLITE_OK : real_of(f)->pMethods->xSync(real_of(f), flags);
  if (rc == SQLITE_OK && !lie) synced(file);
  for (struct undo *u = fails && faults.gone ? file->newest : NULL; u; u = u->older) u->gone = true;
  pthread_mutex_unlock(&lock);
  if (slow) uv_sleep(slow);
  return rc;
}

static int f_close(sqlite3_file *f) {
  struct fault_file *file = ours(f);
  pthread_mutex_lock(&lock);
  if (file) {
    *file->prev = file->next;
    if (file->next) file->next->prev = file->prev;
    forget(file); /* a close is no sync, but a database syncs before it closes */
  }
  pthread_mutex_unlock(&lock);
  return real_of(f)->pMethods->xClose(real_of(f));
}

static int f_size(sqlite3_file *f, sqlite3_int64 *size) {
  return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int f_lock(sqlite3_file *f, int level) {
  return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int f_unlock(sqlite3_file *f, int level) {
  return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int f_reserved(sqlite3_file *f, int *is) {
  return real_of(f)->pMethods->xCheckReservedLock(real_of(f), is);
}

static int f_control(sqlite3_file *f, int what, void *arg) {
  return real_of(f)->pMethods->xFileControl(real_of(f), what, arg);
}

static int f_sector(sqlite3_file *f) {
  return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int f_device(sqlite3_file *f) {
  return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **at) {
  return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, at);
}

static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
  return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void f_shm_barrier(sqlite3_file *f) {
  real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int f_shm_unmap(sqlite3_file *f, int remove) {
  return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods methods = {.iVersion = 2, /* no memory mapping: reads are seen */
                                           .xClose = f_close,
                                           .xRead = f_read,
                                           .xWrite = f_write,
                                           .xTruncate = f_truncate,
                                           .xSync = f_sync,
                                           .xFileSize = f_size,
                                           .xLock = f_lock,
                                           .xUnlock = f_unlock,
                                           .xCheckReservedLock = f_reserved,
                                           .xFileControl = f_control,
                                           .xSectorSize = f_sector,
                                           .xDeviceCharacteristics = f_device,
                                           .xShmMap = f_shm_map,
                                           .xShmLock = f_shm_lock,
                                           .xShmBarrier = f_shm_barrier,
                                           .xShmUnmap = f_shm_unmap};

/* --- the file system ------------------------------------------------------------------------------------------------------------------ */

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out) {
  struct fault_file *file = (struct fault_file *)f;
  (void)v;
  memset(file, 0, sizeof *file);
  pthread_mutex_lock(&lock);
  counts.opens++;
  bool fails = counts.cut || now(counts.opens, faults.open_at, faults.times);
  pthread_mutex_unlock(&lock);
  if (fails) return SQLITE_CANTOPEN;
  int rc = under->xOpen(under, name, real_of(f), flags, out);
  if (rc != SQLITE_OK) return rc;
  file->base.pMethods = &methods;
  if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL))) return rc;
  pthread_mutex_lock(&lock);
  file->next = files;
  file->prev = &files;
  if (file->next) file->next->prev = &file->next;
  files = file;
  pthread_mutex_unlock(&lock);
  return rc;
}

static int v_delete(sqlite3_vfs *v, const char *name, int sync) {
  (void)v;
  pthread_mutex_lock(&lock);
  bool dead = counts.cut;
  pthread_mutex_unlock(&lock);
  return dead ? SQLITE_IOERR_DELETE : under->xDelete(under, name, sync);
}

static int v_access(sqlite3_vfs *v, const char *name, int flags, int *is) {
  (void)v;
  return under->xAccess(under, name, flags, is);
}

static int v_full(sqlite3_vfs *v, const char *name, int n, char *out) {
  (void)v;
  return under->xFullPathname(under, name, n, out);
}

static void make_vfs(void) { /* lock held */
  if (under) return;
  under = sqlite.vfs_find(NULL);
  vfs = *under;
  vfs.pNext = NULL;
  vfs.zName = "stoke-fault";
  vfs.szOsFile = (int)sizeof(struct fault_file) + under->szOsFile;
  vfs.xOpen = v_open;
  vfs.xDelete = v_delete;
  vfs.xAccess = v_access;
  vfs.xFullPathname = v_full;
  sqlite.vfs_register(&vfs, 0);
}

const char *store_vfs(void) {
  if (!atomic_load(&wanted)) return NULL;
  pthread_mutex_lock(&lock);
  make_vfs();
  pthread_mutex_unlock(&lock);
  return vfs.zName;
}

/* --- what is asked of it ---------------------------------------------------------------------------------------------------------------- */

void store_fault_set(const struct store_faults *f) {
  pthread_mutex_lock(&lock);
  faults = f ? *f : (struct store_faults){0};
  counts = (struct store_counts){.cut = f ? false : counts.cut}; /* files of before stay dead */
  for (struct fault_file *file = files; file; file = file->next) forget(file);
  atomic_store(&wanted, f != NULL);
  pthread_mutex_unlock(&lock);
}

void store_fault_counts(struct store_counts *c) {
  pthread_mutex_lock(&lock);
  *c = counts;
  pthread_mutex_unlock(&lock);
}

bool store_fault_parse(const char *text, struct store_faults *f) {
  *f = (struct store_faults){0};
  while (*text) {
    char key[16], *end;
    size_t n = strcspn(text, "=");
    if (n >= sizeof key || text[n] != '=') return false;
    memcpy(key, text, n);
    key[n] = 0;
    uint64_t value = strtoull(text + n + 1, &end, 10);
    if (end == text + n + 1 || (*end && *end != ',')) return false;
    if (!store_fault_key(key, value, f)) return false;
    text = *end ? end + 1 : end;
  }
  return true;
}

bool store_fault_key(const char *key, uint64_t value, struct store_faults *f) {
  if (strcmp(key, "full") == 0)
    f->full_at = value;
  else if (strcmp(key, "error") == 0)
    f->error_at = value;
  else if (strcmp(key, "times") == 0)
    f->times = value;
  else if (strcmp(key, "read") == 0)
    f->read_at = value;
  else if (strcmp(key, "cut") == 0)
    f->cut_at = value;
  else if (strcmp(key, "cut_write") == 0)
    f->cut_write_at = value;
  else if (strcmp(key, "sync") == 0)
    f->sync_at = value;
  else if (strcmp(key, "open") == 0)
    f->open_at = value;
  else if (strcmp(key, "lie") == 0)
    f->lie = value != 0;
  else if (strcmp(key, "early") == 0)
    f->early = value != 0;
  else if (strcmp(key, "drop") == 0)
    f->drop_at = value;
  else if (strcmp(key, "seed") == 0)
    f->seed = value;
  else if (strcmp(key, "slow") == 0)
    f->slow_ms = (unsigned)value;
  else if (strcmp(key, "gone") == 0)
    f->gone = value != 0;
  else if (strcmp(key, "unnoted") == 0)
    f->unnoted = value != 0;
  else if (strcmp(key, "folder") == 0)
    f->folder = value != 0;
  else
    return strcmp(key, "count") == 0;
  return true;
}

static bool is_set(const bool *fault) {
  if (!atomic_load_explicit(&wanted, memory_order_relaxed)) return false;
  pthread_mutex_lock(&lock);
  bool set = *fault;
  pthread_mutex_unlock(&lock);
  return set;
}

bool store_fault_early(void) {
  return is_set(&faults.early);
}

bool store_fault_folder(void) {
  return is_set(&faults.folder);
}

bool store_fault_unnoted(void) {
  return is_set(&faults.unnoted);
}

bool store_fault_drop(void) {
  if (!atomic_load_explicit(&wanted, memory_order_relaxed)) return false;
  pthread_mutex_lock(&lock);
  bool drop = ++counts.appends == faults.drop_at;
  pthread_mutex_unlock(&lock);
  return drop;
}

void store_fault_init(void) {
  static bool done;
  struct store_faults f;
  const char *setting = done ? NULL : getenv("STOKE_STORE_FAULT");
  done = true;
  if (setting && store_fault_parse(setting, &f)) store_fault_set(&f);
}
