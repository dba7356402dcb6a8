/* store_lock.c - bytes of a file, locked in the kernel: who has one has it until the process ends, however it ends, and a machine that
 * sleeps takes nothing away. One descriptor a file: where there are no locks of open file descriptions, closing a second one would give
 * all of them back. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_impl.h"

#ifdef F_OFD_SETLK
#define SET_LOCK F_OFD_SETLK
#define GET_LOCK F_OFD_GETLK
#else
#define SET_LOCK F_SETLK
#define GET_LOCK F_GETLK
#endif

struct store_lock {
  struct store_lock *next, **prev;
  struct lock_file *file;
  uint64_t number;
};

struct lock_file {
  struct lock_file *next;
  struct store *store;
  struct store_lock *locks;
  int fd;
  char path[];
};

static int set_lock(int fd, short type, uint64_t number) {
  struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1};
  int rc;
  do rc = fcntl(fd, SET_LOCK, &f);
  while (rc != 0 && errno == EINTR);
  return rc == 0 ? 0 : errno;
}

static void cannot(const char *path, struct err *e) {
  err_set(e, "os", errno, "cannot lock \"%.160s\": %.60s", path, strerror(errno));
}

/* A file that was removed, and made again by somebody, is another one. */
static bool is_there(const struct lock_file *f) {
  struct stat mine, there;
  return fstat(f->fd, &mine) == 0 && stat(f->path, &there) == 0 && mine.st_ino == there.st_ino &&
         mine.st_dev == there.st_dev;
}

static struct lock_file *file_of(struct host *h, const char *path, struct err *e) {
  struct store *s = store_of(h, e);
  if (!s) return NULL;
  for (struct lock_file *f = s->lock_files; f; f = f->next)
    if (strcmp(f->path, path) == 0 && is_there(f)) return f;
  size_t len = strlen(path);
  struct lock_file *f = mem_alloc(&h->mem, sizeof *f + len + 1);
  if (!f) return err_set(e, "os", 0, "out of memory: cannot lock a file"), NULL;
  f->store = s;
  f->locks = NULL;
  memcpy(f->path, path, len + 1);
  f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (f->fd < 0) {
    cannot(path, e);
    mem_free(&h->mem, f);
    return NULL;
  }
  f->next = s->lock_files;
  return s->lock_files = f;
}

struct store_lock *store_lock(struct host *h, const char *path, uint64_t number, struct err *e) {
  err_clear(e);
  if (number > INT64_MAX - 1) return err_set(e, "argument", 0, "a lock's number is too large"), NULL;
  struct lock_file *f = file_of(h, path, e);
  if (!f) return NULL;
  for (struct store_lock *l = f->locks; l; l = l->next)
    if (l->number == number) return NULL; /* one of this process has it */
  struct store_lock *l = mem_alloc(&h->mem, sizeof *l);
  if (!l) return err_set(e, "os", 0, "out of memory: cannot lock a file"), NULL;
  int error = set_lock(f->fd, F_WRLCK, number);
  if (error) {
    errno = error;
    if (error != EAGAIN && error != EACCES) cannot(path, e);
    mem_free(&h->mem, l);
    return NULL;
  }
  *l = (struct store_lock){.next = f->locks, .prev = &f->locks, .file = f, .number = number};
  if (l->next) l->next->prev = &l->next;
  return f->locks = l;
}

/* Only the kernel knows what other processes have, and only a look through a descriptor that stays open does not give back locks of
 * this process where they belong to it as a whole. */
bool store_held(struct host *h, const char *path, uint64_t number, struct err *e) {
  err_clear(e);
  if (number > INT64_MAX - 1) return err_set(e, "argument", 0, "a lock's number is too large"), false;
  if (access(path, F_OK) != 0) return false;
  struct lock_file *f = file_of(h, path, e);
  if (!f) return false;
  for (struct store_lock *l = f->locks; l; l = l->next)
    if (l->number == number) return true;
  struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1};
  int rc;
  do rc = fcntl(f->fd, GET_LOCK, &found);
  while (rc != 0 && errno == EINTR);
  if (rc != 0) return cannot(path, e), false;
  return found.l_type != F_UNLCK;
}

void store_unlock(struct store_lock *l) {
  (void)set_lock(l->file->fd, F_UNLCK, l->number);
  *l->prev = l->next;
  if (l->next) l->next->prev = l->prev;
  mem_free(&l->file->store->host->mem, l);
}

void store_locks_free(struct store *s) {
  while (s->lock_files) {
    struct lock_file *f = s->lock_files;
    s->lock_files = f->next;
    while (f->locks) store_unlock(f->locks);
    close(f->fd);
    mem_free(&s->host->mem, f);
  }
}
