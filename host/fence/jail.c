/* jail.c - see jail.h. */
#include "jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail_impl.h"

#define PIECE  (1u << 20) /* between two looks at `cancelled` */
#define TRIES  100        /* names of temp files, should one be left over from a process with our number */
#define OPENED (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

#ifdef __APPLE__
#define st_atim st_atimespec
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

static bool cancelled(struct jail *j) {
  if (!atomic_load(&j->cancelled)) return false;
  way_refuse(j, "cancelled", ECANCELED, "cancelled");
  return true;
}

static bool out_of_memory(struct jail *j) {
  way_failed(j, ENOMEM);
  return false;
}

/* --- what has the name ------------------------------------------------------------------------ */

static bool is_file(struct jail *j, const struct way *w, const struct stat *st) {
  const char *is;
  switch (st->st_mode & S_IFMT) {
    case S_IFREG:
      if (w->folder) way_failed(j, ENOTDIR);
      return !w->folder;
    case S_IFDIR: way_refuse(j, "os", EISDIR, "it is a folder"); return false;
    case S_IFLNK: way_link(j, w->path, strlen(w->path)); return false;
    case S_IFIFO: is = "it is a fifo, not a file"; break;
    case S_IFSOCK: is = "it is a socket, not a file"; break;
    default: is = "it is a device, not a file"; break;
  }
  way_denied(j, is);
  return false;
}

/* A look before the open keeps us from opening what acts on being opened, such as a tape; the look
 * at what was opened decides. */
static int open_file(struct jail *j, const struct way *w, int dir, int flags, int mode) {
  struct stat st;
  if (fstatat(dir, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!is_file(j, w, &st)) return -1;
  } else if (errno != ENOENT || !(flags & O_CREAT)) {
    way_failed(j, errno);
    return -1;
  } else if (w->folder) {
    way_failed(j, EISDIR);
    return -1;
  }
  int fd = openat(dir, w->name, flags | OPENED, mode);
  if (fd < 0) {
    if (errno == ELOOP)
      way_link(j, w->path, strlen(w->path));
    else
      way_failed(j, errno);
    return -1;
  }
  if (fstat(fd, &st) < 0)
    way_failed(j, errno);
  else if (is_file(j, w, &st))
    return fd;
  close(fd);
  return -1;
}

/* --- read ------------------------------------------------------------------------------------- */

static void too_large(struct jail *j) {
  char reason[80];
  snprintf(reason, sizeof reason, "it is larger than %llu bytes", (unsigned long long)j->max);
  way_refuse(j, "limit", 0, reason);
}

static bool read_room(struct jail *j, size_t *room, size_t wanted) {
  if (wanted <= *room) return true;
  char *more = realloc(j->bytes, wanted);
  if (!more) return out_of_memory(j);
  j->bytes = more;
  *room = wanted;
  return true;
}

/* `room` is one byte more than the reported size, so that the end is detected without growing. */
static void read_all(struct jail *j, int fd, uint64_t told) {
  size_t room = 0;
  if (told > j->max) return too_large(j);
  if (!read_room(j, &room, told ? (size_t)told + 1 : 65536)) return;
  for (;;) {
    if (cancelled(j) || (j->len == room && !read_room(j, &room, room * 2))) return;
    size_t piece = room - j->len < PIECE ? room - j->len : PIECE;
    ssize_t n = read(fd, j->bytes + j->len, piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return way_failed(j, errno);
    if (n == 0) return;
    j->len += (size_t)n;
    if (j->len > j->max) return too_large(j);
  }
}

static void do_read(struct jail *j, const struct way *w, int dir) {
  struct stat st;
  int fd = open_file(j, w, dir, O_RDONLY, 0);
  if (fd < 0) return;
  if (fstat(fd, &st) < 0)
    way_failed(j, errno);
  else
    read_all(j, fd, (uint64_t)st.st_size);
  close(fd);
}

/* --- write ------------------------------------------------------------------------------------ */

/* Returns how much was written; all of it, or j->err is set. */
static size_t put(struct jail *j, int fd) {
  size_t at = 0;
  while (at < j->size && !cancelled(j)) {
    size_t left = j->size - at;
    ssize_t n = write(fd, j->data + at, left < PIECE ? left : PIECE);
    if (n >= 0) {
      at += (size_t)n;
    } else if (errno != EINTR) {
      way_failed(j, errno);
      break;
    }
  }
  return at;
}

/* In place, so that a second name outside the root would see it. */
static void append(struct jail *j, const struct way *w, int dir) {
  struct stat st;
  int fd = open_file(j, w, dir, O_WRONLY | O_APPEND | O_CREAT, j->mode < 0 ? 0666 : j->mode);
  if (fd < 0) return;
  if (fstat(fd, &st) < 0) {
    way_failed(j, errno);
  } else if (st.st_nlink > 1) {
    way_denied(j, "the file has another name (hard link) that may lie elsewhere, so nothing is appended to it");
  } else {
    size_t written = put(j, fd);
    struct stat now; /* undo the partial write, unless another process has appended since */
    if (j->err.kind && written > 0 && fstat(fd, &now) == 0 && now.st_size == st.st_size + (off_t)written) {
      if (ftruncate(fd, st.st_size) < 0) way_failed(j, errno);
    }
  }
  close(fd);
}

static int open_temp(struct jail *j, int dir, int mode, char *name, size_t size) {
  for (int i = 0; i < TRIES; i++) {
    snprintf(name, size, ".stoke-%s-%d.tmp", j->token, i);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | OPENED, mode);
    if (fd >= 0) return fd;
    if (errno != EEXIST) break;
  }
  way_failed(j, errno);
  return -1;
}

/* Give the temp file its name. With `fresh` nothing may have it; where there is no such rename the
 * file gets a second name and loses the first. */
static bool publish(struct jail *j, int dir, const char *temp, const char *name) {
  if (!j->fresh) return renameat(dir, temp, dir, name) == 0;
#if defined(SYS_renameat2)
  if (syscall(SYS_renameat2, dir, temp, dir, name, 1u /* RENAME_NOREPLACE */) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
#endif
  if (linkat(dir, temp, dir, name, 0) < 0) return false;
  (void)unlinkat(dir, temp, 0);
  return true;
}

static void fill(struct jail *j, const struct way *w, int dir, const struct stat *old) {
  char temp[80];
  int kept = old ? (int)(old->st_mode & 0777) : -1, mode = j->mode >= 0 ? j->mode : kept;
  int fd = open_temp(j, dir, mode < 0 ? 0666 : mode, temp, sizeof temp);
  if (fd < 0) return;
  if (mode >= 0 && fchmod(fd, (mode_t)mode) < 0 && j->mode >= 0) /* what the umask took away */
    way_failed(j, errno);
  else if (put(j, fd) == j->size && fsync(fd) < 0)
    way_failed(j, errno);
  else if (!j->err.kind && !cancelled(j) && !publish(j, dir, temp, w->name))
    way_failed(j, errno);
  close(fd);
  if (j->err.kind) (void)unlinkat(dir, temp, 0);
}

static void do_write(struct jail *j, const struct way *w, int dir) {
  struct stat st;
  if (j->append) return append(j, w, dir);
  bool there = fstatat(dir, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!there && errno != ENOENT) return way_failed(j, errno);
  if (!there && w->folder) return way_failed(j, EISDIR);
  if (there && !is_file(j, w, &st)) return;
  if (there && j->fresh) return way_failed(j, EEXIST);
  fill(j, w, dir, there ? &st : NULL);
}

/* --- list ------------------------------------------------------------------------------------- */

struct names {
  size_t room, used;     /* bytes of the names */
  size_t entries, count; /* the first: room */
};

/* Until all have come names are offsets: the block they stand in moves. */
static bool add_entry(struct jail *j, struct names *n, int dir, const char *name) {
  size_t len = strlen(name) + 1;
  if (n->count == n->entries) {
    size_t more = n->entries ? n->entries * 2 : 64;
    void *block = realloc(j->entries, more * sizeof *j->entries);
    if (!block) return out_of_memory(j);
    j->entries = block;
    n->entries = more;
  }
  if (n->used + len > n->room) {
    size_t more = (n->used + len) * 2;
    char *block = realloc(j->bytes, more);
    if (!block) return out_of_memory(j);
    j->bytes = block;
    n->room = more;
  }
  struct stat st;
  bool there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  memcpy(j->bytes + n->used, name, len);
  j->entries[n->count++] =
      (struct jail_entry){(const char *)n->used, there ? (uint64_t)st.st_size : 0, there ? (unsigned)st.st_mode : 0};
  n->used += len;
  return true;
}

static void read_folder(struct jail *j, DIR *d) {
  struct names n = {0};
  struct dirent *entry;
  errno = 0;
  while ((entry = readdir(d)) != NULL) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (cancelled(j)) return;
    if (n.count == j->max) {
      char reason[80];
      snprintf(reason, sizeof reason, "it holds more than %llu entries", (unsigned long long)j->max);
      return way_refuse(j, "limit", 0, reason);
    }
    if (!add_entry(j, &n, dirfd(d), name)) return;
    errno = 0;
  }
  if (errno) return way_failed(j, errno);
  j->len = n.count;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct jail_entry *)a)->name, ((const struct jail_entry *)b)->name);
}

static void do_list(struct jail *j, const struct way *w, int dir) {
  struct stat st;
  if (fstatat(dir, w->name, &st, AT_SYMLINK_NOFOLLOW) < 0) return way_failed(j, errno);
  if (S_ISLNK(st.st_mode)) return way_link(j, w->path, strlen(w->path));
  int fd = openat(dir, w->name, O_RDONLY | O_DIRECTORY | OPENED);
  if (fd < 0) return way_failed(j, errno);
  DIR *d = fdopendir(fd);
  if (!d) {
    way_failed(j, errno);
    close(fd);
    return;
  }
  read_folder(j, d);
  closedir(d);
  for (size_t i = 0; i < j->len; i++) j->entries[i].name = j->bytes + (size_t)j->entries[i].name;
  if (j->len) qsort(j->entries, j->len, sizeof *j->entries, by_name);
}

/* --- the rest --------------------------------------------------------------------------------- */

static uv_timespec_t time_of(struct timespec t) {
  return (uv_timespec_t){(long)t.tv_sec, (long)t.tv_nsec};
}

static void do_stat(struct jail *j, const struct way *w, int dir) {
  struct stat st;
  if (fstatat(dir, w->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != ENOENT) way_failed(j, errno);
    return;
  }
  if (S_ISLNK(st.st_mode) && (!j->link || w->folder)) return way_link(j, w->path, strlen(w->path));
  if (w->folder && !S_ISDIR(st.st_mode)) return; /* there is no such folder */
  j->found = true;
  j->st.st_mode = st.st_mode;
  j->st.st_size = (uint64_t)st.st_size;
  j->st.st_uid = st.st_uid;
  j->st.st_gid = st.st_gid;
  j->st.st_ino = st.st_ino;
  j->st.st_dev = st.st_dev;
  j->st.st_nlink = st.st_nlink;
  j->st.st_mtim = time_of(st.st_mtim);
  j->st.st_atim = time_of(st.st_atim);
  j->st.st_ctim = time_of(st.st_ctim);
}

/* Nothing, or a folder that is there already with `parents`. */
static void make(struct jail *j, const struct way *w, size_t len, int dir, const char *name, bool exists_too) {
  if (mkdirat(dir, name, 0777) == 0) return;
  int error = errno;
  struct stat st;
  if (error != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return way_failed(j, error);
  if (S_ISLNK(st.st_mode)) return way_link(j, w->path, len);
  if (!exists_too || !S_ISDIR(st.st_mode)) way_failed(j, error);
}

static void do_mkdir(struct jail *j, const struct way *w, int dir) {
  if (w->path[0] == 0) {
    if (!j->parents) way_failed(j, EEXIST);
    return;
  }
  make(j, w, strlen(w->path), dir, w->name, j->parents);
}

/* Creates each missing folder of the path and opens it before the next one; the caller continues in the last. */
static int make_parents(struct jail *j, struct way *w, int root) {
  int dir = root;
  size_t at = 0;
  while (at < w->parent) {
    size_t end = at + strcspn(w->path + at, "/");
    w->path[end] = 0;
    int next = way_step(dir, w->path + at), error = errno;
    if (next < 0 && error == ENOENT) {
      make(j, w, end, dir, w->path + at, true);
      if (!j->err.kind) next = way_step(dir, w->path + at);
      error = errno;
    }
    if (next < 0 && !j->err.kind) {
      if (error == ELOOP)
        way_link(j, w->path, end);
      else
        way_failed(j, error);
    }
    w->path[end] = '/';
    close(dir);
    if (next < 0) return -1;
    dir = next;
    at = end + 1;
  }
  return dir;
}

static void do_remove(struct jail *j, const struct way *w, int dir) {
  struct stat st;
  if (w->path[0] == 0) return way_denied(j, "it is the root itself");
  if (j->recursive) {
    j->tree.path = w->name;
    j->tree.dir = dir;
    tree_remove(&j->tree);
    if (j->tree.error) way_failed(j, j->tree.error);
    return;
  }
  bool folder = fstatat(dir, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
  if (unlinkat(dir, w->name, folder ? AT_REMOVEDIR : 0) < 0) way_failed(j, errno);
}

/* ---------------------------------------------------------------------------------------------- */

void jail_run(struct jail *j) {
  static void (*const work[])(struct jail *, const struct way *, int) = {do_read, do_write, do_list,
                                                                         do_stat, do_mkdir, do_remove};
  struct way w;
  if (cancelled(j)) return;
  int dir = j->verb == JAIL_MKDIR && j->parents ? way_root(j, &w) : way_open(j, &w);
  if (dir >= 0 && j->verb == JAIL_MKDIR && j->parents) dir = make_parents(j, &w, dir);
  if (dir >= 0) {
    work[j->verb](j, &w, dir);
    close(dir);
  } else if (j->verb == JAIL_STAT && (j->err.code == ENOENT || j->err.code == ENOTDIR)) {
    err_clear(&j->err); /* a folder on the way is missing: so is what would be in it */
  }
}

void jail_cancel(struct jail *j) {
  atomic_store(&j->cancelled, true);
  atomic_store(&j->tree.cancelled, true);
}

void jail_free(struct jail *j) {
  free(j->bytes);
  free(j->entries);
}
