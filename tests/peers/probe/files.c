/* files.c - see probe.c: files outside, and modes of files inside. */
#ifdef __linux__
#include "probe.h"

#include <sys/ioctl.h>
#include <sys/time.h>
#include <utime.h>

/* --- files outside ---------------------------------------------------------------------------- */

static int try_read_file(void) {
  return open(in_dir("secret"), O_RDONLY) < 0 ? -1 : 0;
}
static int try_write_file(void) {
  return open(in_dir("file"), O_WRONLY) < 0 ? -1 : 0;
}
static int try_truncate(void) {
  return truncate(in_dir("file"), 0);
}
static int try_fifo(void) {
  return open(in_dir("fifo"), O_WRONLY | O_NONBLOCK) < 0 ? -1 : 0;
}
static int try_list(void) {
  return open(v.dir, O_RDONLY | O_DIRECTORY) < 0 ? -1 : 0;
}
static int try_link(void) {
  return link(in_dir("file"), "linked");
}
static int try_rename(void) {
  return rename(in_dir("file"), "renamed");
}
static int try_unlink(void) {
  return unlink(in_dir("file"));
}
static int try_symlink(void) {
  return symlink("x", in_dir("link"));
}
static int try_chmod(void) {
  return chmod(in_dir("file"), 0600);
}
static int try_fchmodat(void) {
  return (int)syscall(SYS_fchmodat, AT_FDCWD, in_dir("file"), 0600);
}
static int try_fchmodat2(void) {
  return (int)syscall(NR_fchmodat2, AT_FDCWD, in_dir("file"), 0600, 0);
}

static int try_chmod_handle(void) {
  int fd = open(in_dir("file"), O_PATH);
  return fd < 0 ? -1 : (int)syscall(NR_fchmodat2, fd, "", 0600, AT_EMPTY_PATH);
}

static int try_chmod_magic_link(void) {
  int fd = open(in_dir("file"), O_PATH);
  if (fd < 0) return -1;
  snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
  return chmod(text, 0600);
}

static int try_chmod_symlink(void) {
  if (symlink(in_dir("file"), "way") != 0 && errno != EEXIST) return -1;
  int rc = chmod("way", 0600), error = errno;
  unlink("way");
  errno = error;
  return rc;
}

/* Whoever may read it can open it; the mode it has, so that nobody is hurt. Its owner alone could. */
static const char *system_file(struct stat *st) {
  return stat("/usr/bin/env", st) == 0 ? "/usr/bin/env" : "/bin/sh";
}

static int try_chmod_readable(void) {
  struct stat st;
  int fd = open(system_file(&st), O_RDONLY);
  return fd < 0 ? -1 : fchmod(fd, st.st_mode & 0777);
}

static int try_times_readable(void) {
  struct stat st;
  int fd = open(system_file(&st), O_RDONLY);
  struct timespec times[2] = {st.st_atim, st.st_mtim};
  return fd < 0 ? -1 : futimens(fd, times);
}

static int try_xattr_readable(void) {
  struct stat st;
  int fd = open(system_file(&st), O_RDONLY);
  if (fd < 0 || fsetxattr(fd, "user.stoke-probe", "x", 1, 0) != 0) return -1;
  fremovexattr(fd, "user.stoke-probe");
  return 0;
}

static int try_flags_readable(void) {
  struct stat st;
  long flags = 0;
  int fd = open(system_file(&st), O_RDONLY);
  if (fd < 0 || ioctl(fd, 0x80086601 /* FS_IOC_GETFLAGS */, &flags) != 0) return -1;
  return ioctl(fd, 0x40086602 /* FS_IOC_SETFLAGS */, &flags);
}

static int try_lease_readable(void) {
  struct stat st;
  int fd = open(system_file(&st), O_RDONLY);
  return fd < 0 ? -1 : fcntl(fd, F_SETLEASE, F_RDLCK);
}

static int try_chown(void) {
  return chown(in_dir("file"), getuid(), getgid());
}
static int try_lchown(void) {
  return lchown(in_dir("file"), getuid(), getgid());
}
static int try_fchownat(void) {
  return fchownat(AT_FDCWD, in_dir("file"), getuid(), getgid(), 0);
}

static int try_chown_handle(void) {
  int fd = open(in_dir("file"), O_PATH);
  return fd < 0 ? -1 : fchownat(fd, "", getuid(), getgid(), AT_EMPTY_PATH);
}

static int try_utime(void) {
  struct utimbuf b = {1, 1};
  return utime(in_dir("file"), &b);
}

static int try_utimensat(void) {
  struct timespec times[2] = {{1, 0}, {1, 0}};
  return utimensat(AT_FDCWD, in_dir("file"), times, 0);
}

static int try_futimesat(void) {
#ifdef SYS_futimesat
  struct timeval times[2] = {{1, 0}, {1, 0}};
  return (int)syscall(SYS_futimesat, AT_FDCWD, in_dir("file"), times);
#else
  return errno = ENOSYS, -1;
#endif
}

static int try_setxattr(void) {
  return setxattr(in_dir("file"), "user.x", "x", 1, 0);
}
static int try_lsetxattr(void) {
  return lsetxattr(in_dir("file"), "user.x", "x", 1, 0);
}
static int try_setxattrat(void) {
  struct {
    uint64_t value;
    uint32_t size, flags;
  } a = {(uint64_t)(uintptr_t) "x", 1, 0};
  return (int)syscall(NR_setxattrat, AT_FDCWD, in_dir("file"), 0, "user.x", &a, sizeof a);
}
static int try_file_setattr(void) {
  uint32_t a[6] = {0};
  return (int)syscall(NR_file_setattr, AT_FDCWD, in_dir("file"), a, sizeof a, 0);
}

static int try_inotify(void) {
  int fd = (int)syscall(SYS_inotify_init1, 0);
  return fd < 0 || syscall(SYS_inotify_add_watch, fd, v.dir, 0x100) < 0 ? -1 : 0;
}
static int try_fanotify(void) {
  return syscall(SYS_fanotify_init, 0x200, 0) < 0 ? -1 : 0;
}
static int try_file_handle(void) {
  struct {
    unsigned bytes;
    int type;
    char handle[128];
  } h = {.bytes = 128};
  int mount;
  return (int)syscall(SYS_name_to_handle_at, AT_FDCWD, in_dir("file"), &h, &mount, 0);
}

/* --- modes ------------------------------------------------------------------------------------ */

static int left_with(mode_t bit, int made) {
  struct stat st;
  int error = errno;
  if (made < 0) return errno = error, -1;
  bool there = stat("own.bit", &st) == 0 && (st.st_mode & bit);
  unlink("own.bit");
  return there ? 0 : (errno = EPERM, -1);
}

static int make_file(void) {
  int fd = open("own.bit", O_CREAT | O_WRONLY, 0644);
  if (fd >= 0) close(fd);
  return fd;
}

static int try_setuid_chmod(void) {
  return left_with(S_ISUID, make_file() < 0 ? -1 : chmod("own.bit", 04755));
}
static int try_setgid_chmod(void) {
  return left_with(S_ISGID, make_file() < 0 ? -1 : chmod("own.bit", 02755));
}
static int try_setuid_fchmodat2(void) {
  return left_with(S_ISUID, make_file() < 0 ? -1 : (int)syscall(NR_fchmodat2, AT_FDCWD, "own.bit", 04755, 0));
}
static int try_setuid_fchmod(void) {
  int fd = open("own.bit", O_CREAT | O_WRONLY, 0644);
  return left_with(S_ISUID, fd < 0 ? -1 : fchmod(fd, 04755));
}
static int try_setuid_open(void) {
  return left_with(S_ISUID, open("own.bit", O_CREAT | O_WRONLY, 04755));
}
static int try_setgid_open(void) {
  return left_with(S_ISGID, open("own.bit", O_CREAT | O_WRONLY, 02755));
}
static int try_setuid_mknod(void) {
  return left_with(S_ISUID, mknod("own.bit", S_IFREG | 04755, 0));
}
static int try_device(void) {
  return left_with(S_IFCHR, mknod("own.bit", S_IFCHR | 0666, 0x103));
}
static int try_file_capability(void) {
  static const unsigned char cap[20] = {1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff};
  if (make_file() < 0) return -1;
  int rc = setxattr("own.bit", "security.capability", cap, sizeof cap, 0), error = errno;
  unlink("own.bit");
  errno = error;
  return rc;
}

const struct attempt file_attempts[] = {A(read_file),
                                        A(write_file),
                                        A(truncate),
                                        A(fifo),
                                        A(list),
                                        A(link),
                                        A(rename),
                                        A(unlink),
                                        A(symlink),
                                        A(chmod),
                                        A(fchmodat),
                                        A(fchmodat2),
                                        A(chmod_handle),
                                        A(chmod_magic_link),
                                        A(chmod_symlink),
                                        A(chmod_readable),
                                        A(times_readable),
                                        A(xattr_readable),
                                        A(flags_readable),
                                        A(lease_readable),
                                        A(chown),
                                        A(lchown),
                                        A(fchownat),
                                        A(chown_handle),
                                        A(utime),
                                        A(utimensat),
                                        A(futimesat),
                                        A(setxattr),
                                        A(lsetxattr),
                                        A(setxattrat),
                                        A(file_setattr),
                                        A(inotify),
                                        A(fanotify),
                                        A(file_handle),
                                        A(setuid_chmod),
                                        A(setgid_chmod),
                                        A(setuid_fchmodat2),
                                        A(setuid_fchmod),
                                        A(setuid_open),
                                        A(setgid_open),
                                        A(setuid_mknod),
                                        A(device),
                                        A(file_capability),
                                        {NULL, NULL}};

#endif
