/* jail_resolve.c - where a path of a jail leads. */
#include "jail_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef O_PATH /* a folder that may be entered but not read can be on the way */
#define FOLDER (O_PATH | O_DIRECTORY | O_CLOEXEC)
#else
#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#endif

#define SHOWN_MAX 100 /* bytes of a path in a message */
#define ROOT_MAX  60

/* --- messages --------------------------------------------------------------------------------- */

/* How many bytes from here are one printable character of UTF-8; 0 = none. */
static size_t printable(const unsigned char *s, size_t len) {
  unsigned char c = s[0];
  if (c < 0x80) return c >= 0x20 && c != 0x7f;
  size_t n = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc2 && c < 0xe0 ? 2 : 0;
  if (n == 0 || n > len) return 0;
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
  }
  if (c == 0xc2 && s[1] < 0xa0) return 0;                                  /* C1 controls */
  if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] >= 0xa0)) return 0; /* too long, surrogates */
  if ((c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] >= 0x90)) return 0; /* too long, too large */
  return n;
}

/* A path is whatever somebody sent: for messages its control characters and broken UTF-8 become
 * \xNN, and a long one is cut. `out` has room for max + 4. */
static const char *show(char *out, size_t max, const char *path, size_t len) {
  const unsigned char *s = (const unsigned char *)path;
  size_t at = 0, i = 0;
  while (i < len) {
    size_t n = printable(s + i, len - i), need = n ? n : 4;
    if (at + need > max) {
      strcpy(out + at, "...");
      return out;
    }
    if (n)
      memcpy(out + at, s + i, n);
    else
      snprintf(out + at, 5, "\\x%02x", s[i]);
    at += need;
    i += n ? n : 1;
  }
  out[at] = 0;
  return out;
}

static const char *verb_of(const struct jail *j) {
  static const char *const verbs[] = {"read", "write", "list", "look at", "make the folder", "remove"};
  return verbs[j->verb];
}

void way_refuse(struct jail *j, const char *kind, int code, const char *reason) {
  char shown[SHOWN_MAX + 5];
  show(shown, SHOWN_MAX, j->path, j->path_len);
  err_set(&j->err, kind, code, "cannot %s \"%s\": %s", verb_of(j), shown, reason);
}

void way_denied(struct jail *j, const char *reason) {
  way_refuse(j, "denied", 0, reason);
}

void way_failed(struct jail *j, int error) {
  way_refuse(j, "os", error, uv_strerror(-error));
}

static void denied_by_root(struct jail *j, const char *what, const char *advice) {
  char root[ROOT_MAX + 5], reason[160];
  snprintf(reason, sizeof reason, "%s the root \"%s\"%s", what, show(root, ROOT_MAX, j->root, strlen(j->root)), advice);
  way_denied(j, reason);
}

void way_link(struct jail *j, const char *path, size_t len) {
  char shown[ROOT_MAX + 5], reason[160];
  snprintf(reason, sizeof reason, "\"%s\" is a symbolic link, and none is followed below the root",
           show(shown, ROOT_MAX, path, len));
  way_denied(j, reason);
}

/* --- paths as text ---------------------------------------------------------------------------- */

/* What follows `root` in the absolute `path`; NULL when it lies elsewhere. */
static const char *behind(const char *root, const char *path) {
  size_t n = strlen(root);
  while (n > 0 && root[n - 1] == '/') n--;
  return strncmp(root, path, n) == 0 && (path[n] == '/' || path[n] == 0) ? path + n : NULL;
}

/* An absolute path is one below the root when it begins with the root's own name, as given or as the
 * system has it. */
static const char *relative(const struct jail *j) {
  char real[PATH_MAX];
  if (j->path[0] != '/') return j->path;
  const char *rest = j->root[0] == '/' ? behind(j->root, j->path) : NULL;
  return rest || !realpath(j->root, real) ? rest : behind(real, j->path);
}

/* One more component; false when it leads out of the root. */
static bool add(struct way *w, size_t *at, const char *name, size_t len) {
  w->folder = true;
  if (len == 0 || (len == 1 && name[0] == '.')) return true;
  if (len == 2 && name[0] == '.' && name[1] == '.') {
    if (*at == 0) return false;
    while (*at > 0 && w->path[--*at] != '/') {
    }
    return true;
  }
  w->folder = false;
  if (*at > 0) w->path[(*at)++] = '/';
  memcpy(w->path + *at, name, len);
  *at += len;
  return true;
}

static bool parse(struct jail *j, struct way *w) {
  if (j->path_len == 0) return way_denied(j, "the path is empty"), false;
  if (memchr(j->path, 0, j->path_len)) return way_denied(j, "a path holds no NUL byte"), false;
  if (j->path_len >= WAY_MAX) return way_failed(j, ENAMETOOLONG), false;
  const char *rest = relative(j);
  if (!rest) return denied_by_root(j, "it is not below", "; give a path relative to that"), false;
  size_t at = 0;
  for (;;) {
    size_t len = strcspn(rest, "/");
    if (!add(w, &at, rest, len)) return denied_by_root(j, "it leads out of", ""), false;
    rest += len;
    if (*rest == 0) break;
    rest++;
  }
  w->path[at] = 0;
  const char *slash = strrchr(w->path, '/');
  w->parent = slash ? (size_t)(slash - w->path) : 0;
  w->name = at == 0 ? "." : slash ? slash + 1 : w->path;
  return true;
}

/* --- the way to the folder -------------------------------------------------------------------- */

#ifdef SYS_openat2
struct how { /* struct open_how of linux/openat2.h, which old headers lack */
  uint64_t flags, mode, resolve;
};
#define NO_MAGICLINKS 0x02
#define NO_SYMLINKS   0x04
#define BENEATH       0x08

static int open_beneath(int dir, const char *path) {
  struct how how = {.flags = FOLDER, .resolve = BENEATH | NO_SYMLINKS | NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}
#else
static int open_beneath(int dir, const char *path) {
  (void)dir, (void)path;
  errno = ENOSYS;
  return -1;
}
#endif

/* A filter of system calls may let it pass without effect: it must also refuse. */
bool jail_by_kernel(void) {
  int fd = open_beneath(AT_FDCWD, ".");
  if (fd < 0) return false;
  close(fd);
  fd = open_beneath(AT_FDCWD, "..");
  if (fd < 0) return errno == EXDEV;
  close(fd);
  return false;
}

int way_step(int dir, const char *name) {
  int fd = openat(dir, name, FOLDER | O_NOFOLLOW);
  if (fd >= 0) return fd;
  int error = errno; /* of a link that is to be a folder: ENOTDIR or ELOOP, by the system */
  struct stat st;
  bool link = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
  errno = link ? ELOOP : error;
  return -1;
}

/* Component by component; -1 = errno, and *stopped bytes of the path are the culprit. */
static int walk(int root, const char *path, size_t *stopped) {
  char name[NAME_MAX + 1];
  int dir = root;
  size_t at = 0;
  for (;;) {
    size_t len = strcspn(path + at, "/");
    *stopped = at + len;
    int next = -1, error = ENAMETOOLONG;
    if (len < sizeof name) {
      memcpy(name, path + at, len);
      name[len] = 0;
      next = way_step(dir, name);
      error = errno;
    }
    if (dir != root) close(dir);
    errno = error;
    if (next < 0 || path[at + len] == 0) return next;
    dir = next;
    at += len + 1;
  }
}

static int open_parent(struct jail *j, int root, const char *parent) {
  size_t stopped = strlen(parent);
  int fd = -1;
  errno = ENOSYS;
  if (!j->walk) fd = open_beneath(root, parent);
  if (fd < 0 && (errno == ENOSYS || errno == EPERM)) fd = walk(root, parent, &stopped);
  if (fd >= 0) return fd;
  int error = errno;
  if (error == ELOOP && !j->walk) { /* which one? only for the message */
    int other = walk(root, parent, &stopped);
    if (other >= 0) close(other);
  }
  if (error == ELOOP)
    way_link(j, parent, stopped);
  else if (error == EXDEV)
    denied_by_root(j, "it leads out of", "");
  else
    way_failed(j, error);
  return -1;
}

static int open_root(struct jail *j) {
  int fd = open(j->root, FOLDER);
  if (fd >= 0) return fd;
  const char *why = uv_strerror(-errno);
  char root[ROOT_MAX + 5], reason[160];
  show(root, ROOT_MAX, j->root, strlen(j->root));
  snprintf(reason, sizeof reason, "the root \"%s\" cannot be opened: %s", root, why);
  way_refuse(j, "os", 0, reason);
  return -1;
}

int way_root(struct jail *j, struct way *w) {
  int root = open_root(j);
  if (root < 0 || parse(j, w)) return root;
  close(root);
  return -1;
}

int way_open(struct jail *j, struct way *w) {
  int root = way_root(j, w);
  if (root < 0 || w->parent == 0) return root;
  w->path[w->parent] = 0;
  int dir = open_parent(j, root, w->path);
  w->path[w->parent] = '/';
  close(root);
  return dir;
}
