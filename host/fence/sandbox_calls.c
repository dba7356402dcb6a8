/* sandbox_calls.c - see sandbox.h: how the supervisor decides calls. It sets modes, owners and times itself, so that the file it
 * checked is the file it changes, even if the caller modifies its memory or links meanwhile: it reads the path once, opens the
 * file, and decides by the real location. Process ids are in registers, which cannot change. */
#include "sandbox.h"

#if defined(__linux__) && defined(HAVE_SECCOMP)

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

static struct call_answer fails(int error) {
  return (struct call_answer){.error = error};
}

static const struct call_answer go_on = {.proceed = true};

/* --- calls that take the number of a process ----------------------------------------------------- */

/* Is it a process or thread of the sandbox, but not the supervisor? Then the kernel may execute the call. */
static struct call_answer reaches(pid_t pid, pid_t group, pid_t self) {
  if (pid == 0) return go_on;
  if (pid < 0 || pid == self) return fails(EPERM);
  pid_t theirs = getpgid(pid);
  if (theirs == group) return go_on;
  return fails(theirs < 0 && errno == ESRCH ? ESRCH : EPERM);
}

static struct call_answer reaches_group(pid_t pgrp, pid_t group) {
  return pgrp == 0 || pgrp == group ? go_on : fails(EPERM);
}

/* Negative arguments of kill: a process group; -1 means all processes, and the smallest integer has no negation. */
static pid_t group_of(pid_t target) {
  return target == -1 || target == INT_MIN ? -1 : -target;
}

/* false: another call */
static bool judge_number(const struct seccomp_notif *call, pid_t group, pid_t self, struct call_answer *a) {
  const __u64 *arg = call->data.args;
  pid_t first = (pid_t)arg[0], second = (pid_t)arg[1];
  switch (call->data.nr) {
    case SYS_setpriority: *a = first == PRIO_PGRP ? reaches_group(second, group) : reaches(second, group, self); break;
    case SYS_ioprio_set: *a = first == 2 ? reaches_group(second, group) : reaches(second, group, self); break;
    case SYS_kill: *a = first < 0 ? reaches_group(group_of(first), group) : reaches(first, group, self); break;
    case SYS_prlimit64:
    case SYS_sched_setaffinity:
    case SYS_sched_setparam:
    case SYS_sched_setscheduler:
    case SYS_sched_setattr:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:
    case 434: /* pidfd_open */ *a = reaches(first, group, self); break;
    default: return false;
  }
  return true;
}

/* --- calls that take a path or an open file ------------------------------------------------------- */

enum change { MODE, OWNER, TIMES };

struct change_of {
  enum change what;
  int dir;
  bool open;     /* `dir` is the file itself */
  uint64_t path; /* in the caller's memory; 0 = none */
  bool follow;
  unsigned mode;
  uid_t uid;
  gid_t gid;
  uint64_t times; /* in the caller's memory; 0 = now */
  enum { SPEC, VAL, SECONDS } unit;
};

struct caller {
  const struct seccomp_notif *call;
  bool (*valid)(void *ud);
  void *ud;
};

static bool copy_in(const struct caller *c, void *out, uint64_t from, size_t size) {
  struct iovec here = {out, size}, there = {(void *)(uintptr_t)from, size};
  return process_vm_readv((pid_t)c->call->pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* 0, or an errno. Reads in pieces: memory after the text may not be readable. */
static int copy_path(const struct caller *c, char out[PATH_MAX], uint64_t from) {
  for (size_t at = 0; at < PATH_MAX;) {
    size_t n = 4096 - (from + at) % 4096;
    if (n > PATH_MAX - at) n = PATH_MAX - at;
    if (!copy_in(c, out + at, from + at, n)) return errno == EPERM ? EPERM : EFAULT;
    if (memchr(out + at, 0, n)) return 0;
    at += n;
  }
  return ENAMETOOLONG;
}

static uid_t id_of(uint64_t arg) {
  return (uid_t)arg;
}

/* The change that the call requests; false = another call. */
static bool decode(const struct seccomp_notif *call, struct change_of *w) {
  const __u64 *a = call->data.args;
  *w = (struct change_of){.dir = AT_FDCWD, .path = a[0], .follow = true};
  switch (call->data.nr) {
#ifdef SYS_chmod
    case SYS_chmod: w->mode = (unsigned)a[1]; return true;
    case SYS_chown: w->what = OWNER, w->uid = id_of(a[1]), w->gid = id_of(a[2]); return true;
    case SYS_lchown: w->what = OWNER, w->uid = id_of(a[1]), w->gid = id_of(a[2]), w->follow = false; return true;
    case SYS_utime: w->what = TIMES, w->times = a[1], w->unit = SECONDS; return true;
    case SYS_utimes: w->what = TIMES, w->times = a[1], w->unit = VAL; return true;
    case SYS_futimesat: w->what = TIMES, w->dir = (int)a[0], w->path = a[1], w->times = a[2], w->unit = VAL; break;
#endif
    case SYS_fchmod: w->open = true, w->dir = (int)a[0], w->path = 0, w->mode = (unsigned)a[1]; return true;
    case SYS_fchmodat: w->dir = (int)a[0], w->path = a[1], w->mode = (unsigned)a[2]; return true;
    case 452: /* fchmodat2 */
      w->dir = (int)a[0], w->path = a[1], w->mode = (unsigned)a[2], w->follow = !(a[3] & AT_SYMLINK_NOFOLLOW);
      w->open = a[3] & AT_EMPTY_PATH;
      return true;
    case SYS_fchown:
      w->what = OWNER, w->open = true, w->dir = (int)a[0], w->path = 0, w->uid = id_of(a[1]), w->gid = id_of(a[2]);
      return true;
    case SYS_fchownat:
      w->what = OWNER, w->dir = (int)a[0], w->path = a[1], w->uid = id_of(a[2]), w->gid = id_of(a[3]);
      w->follow = !(a[4] & AT_SYMLINK_NOFOLLOW), w->open = a[4] & AT_EMPTY_PATH;
      return true;
#ifdef SYS_utimensat
    case SYS_utimensat:
      w->what = TIMES, w->dir = (int)a[0], w->path = a[1], w->times = a[2], w->unit = SPEC;
      w->follow = !(a[3] & AT_SYMLINK_NOFOLLOW), w->open = a[3] & AT_EMPTY_PATH;
      break;
#endif
    default: return false;
  }
  if (w->path == 0) w->open = true; /* of the file itself */
  return true;
}

/* /proc/self is the caller's, not ours. */
static const char *number_of_link(const char *path) {
  static const char *const ways[] = {"/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"};
  for (size_t i = 0; i < COUNT_OF(ways); i++) {
    size_t len = strlen(ways[i]);
    if (strncmp(path, ways[i], len) == 0 && path[len] && !path[len + strspn(path + len, "0123456789")])
      return path + len;
  }
  return NULL;
}

static int open_number(const struct caller *c, int fd, int how) {
  char name[64];
  if (fd == AT_FDCWD)
    snprintf(name, sizeof name, "/proc/%u/cwd", (unsigned)c->call->pid);
  else if (fd < 0)
    return errno = EBADF, -1;
  else
    snprintf(name, sizeof name, "/proc/%u/fd/%d", (unsigned)c->call->pid, fd);
  int got = open(name, O_PATH | O_CLOEXEC | how);
  if (got < 0 && errno == ENOENT) errno = EBADF;
  return got;
}

/* An O_PATH descriptor of the call's file; -1 = errno. */
static int open_target(const struct caller *c, const struct change_of *w) {
  char path[PATH_MAX];
  path[0] = 0;
  if (w->path) {
    int error = copy_path(c, path, w->path);
    if (error) return errno = error, -1;
  }
  if (w->open && !path[0]) return open_number(c, w->dir, 0);
  if (!path[0]) return errno = ENOENT, -1;
  const char *number = w->follow ? number_of_link(path) : NULL;
  if (number) return open_number(c, atoi(number), 0);
  int how = O_PATH | O_CLOEXEC | (w->follow ? 0 : O_NOFOLLOW);
  if (path[0] == '/') return open(path, how);
  int dir = open_number(c, w->dir, O_DIRECTORY);
  if (dir < 0) return -1;
  int fd = openat(dir, path, how), error = errno;
  close(dir);
  errno = error;
  return fd;
}

/* Is it in a writable folder? */
static bool is_inside(const struct sandbox *s, const char *link) {
  char real[PATH_MAX];
  ssize_t n = readlink(link, real, sizeof real - 1);
  if (n <= 0) return false;
  real[n] = 0;
  for (size_t i = 0; i < s->writes; i++) {
    size_t len = strlen(s->write[i]);
    while (len > 0 && s->write[i][len - 1] == '/') len--;
    if (strncmp(real, s->write[i], len) == 0 && (real[len] == 0 || real[len] == '/')) return true;
  }
  return false;
}

static bool read_times(const struct caller *c, const struct change_of *w, struct timespec out[2]) {
  struct timeval val[2];
  time_t seconds[2];
  if (w->unit == SPEC) return copy_in(c, out, w->times, 2 * sizeof *out);
  if (w->unit == SECONDS) {
    if (!copy_in(c, seconds, w->times, sizeof seconds)) return false;
    for (int i = 0; i < 2; i++) out[i] = (struct timespec){.tv_sec = seconds[i]};
    return true;
  }
  if (!copy_in(c, val, w->times, sizeof val)) return false;
  for (int i = 0; i < 2; i++) {
    bool sane = val[i].tv_usec >= 0 && val[i].tv_usec < 1000000;
    out[i] = (struct timespec){.tv_sec = val[i].tv_sec, .tv_nsec = sane ? val[i].tv_usec * 1000 : -1};
  }
  return true;
}

/* By the link to our descriptor, which leads to the very file, also to one that is a link itself. */
static int change(const struct change_of *w, const char *link, const struct stat *st, const struct timespec *times) {
  if (w->what == OWNER) return chown(link, w->uid, w->gid);
  if (w->what == TIMES) return utimensat(AT_FDCWD, link, times, 0);
  if (S_ISLNK(st->st_mode)) return errno = EOPNOTSUPP, -1;
  bool lends = (w->mode & S_ISUID) || ((w->mode & S_ISGID) && !S_ISDIR(st->st_mode));
  return lends ? (errno = EPERM, -1) : chmod(link, w->mode & 07777);
}

struct call_answer call_judge(const struct sandbox *s, const struct seccomp_notif *call, pid_t group, pid_t self,
                              bool (*valid)(void *ud), void *ud) {
  struct caller c = {call, valid, ud};
  struct call_answer a = {0};
  struct change_of w;
  struct timespec times[2];
  struct stat st;
  char link[40];
  if (call->pid == 0) return fails(EPERM);
  if (judge_number(call, group, self, &a)) return a;
  if (!decode(call, &w)) return fails(ENOSYS);
  bool given = w.what == TIMES && w.times != 0;
  if (given && !read_times(&c, &w, times)) return fails(EFAULT);
  int fd = open_target(&c, &w);
  if (fd < 0) return fails(errno);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  bool ours = valid(ud) && is_inside(s, link) && fstat(fd, &st) == 0;
  a.error = !ours ? EPERM : change(&w, link, &st, given ? times : NULL) == 0 ? 0 : errno;
  close(fd);
  return a;
}

#else

struct call_answer call_judge(const struct sandbox *s, const struct seccomp_notif *call, pid_t group, pid_t self,
                              bool (*valid)(void *ud), void *ud) {
  (void)s, (void)call, (void)group, (void)self, (void)valid, (void)ud;
  return (struct call_answer){.proceed = true};
}

#endif
