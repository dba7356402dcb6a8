/* machine.c - see probe.c: name spaces, the machine, the terminal, descriptors. */
#ifdef __linux__
#include "probe.h"

#include <sys/ioctl.h>

/* --- the machine ------------------------------------------------------------------------------ */

static int unshares(int what) {
  return (int)syscall(SYS_unshare, what);
}
static int try_unshare_user(void) {
  return unshares(CLONE_NEWUSER);
}
static int try_unshare_mount(void) {
  return unshares(CLONE_NEWNS);
}
static int try_unshare_net(void) {
  return unshares(CLONE_NEWNET);
}
static int try_unshare_pid(void) {
  return unshares(CLONE_NEWPID);
}
static int try_clone_user(void) {
  long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid < 0 ? -1 : 0;
}
static int try_clone3(void) {
  uint64_t args[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  long pid = syscall(NR_clone3, args, sizeof args);
  if (pid == 0) _exit(0);
  return pid < 0 ? -1 : 0;
}
static int try_mount(void) {
  return (int)syscall(SYS_mount, "none", ".", "tmpfs", 0, NULL);
}
static int try_open_tree(void) {
  return syscall(NR_open_tree, AT_FDCWD, "/", 0) < 0 ? -1 : 0;
}
static int try_open_tree_attr(void) {
  return syscall(NR_open_tree_attr, AT_FDCWD, "/", 0, NULL, 0) < 0 ? -1 : 0;
}
static int try_fsopen(void) {
  return syscall(NR_fsopen, "tmpfs", 0) < 0 ? -1 : 0;
}
static int try_chroot(void) {
  return chroot(".");
}
static int try_bpf(void) {
  uint32_t a[18] = {2, 4, 4, 1};
  return syscall(SYS_bpf, 0, a, sizeof a) < 0 ? -1 : 0;
}
static int try_userfaultfd(void) {
  return syscall(SYS_userfaultfd, 1) < 0 ? -1 : 0;
}
static int try_quotactl(void) {
  return (int)syscall(SYS_quotactl, 0x800001 << 8, NULL, 0, NULL);
}
static int try_acct(void) {
  return (int)syscall(SYS_acct, NULL);
}
static int try_reboot(void) {
  return (int)syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL);
}
static int try_swap(void) {
  return syscall(SYS_swapoff, "/nonexistent") < 0 && errno != ENOENT ? -1 : 0;
}
static int try_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return clock_settime(CLOCK_REALTIME, &now);
}
static int try_host_name(void) {
  char name[65];
  return gethostname(name, sizeof name) == 0 ? sethostname(name, strlen(name)) : -1;
}
static int try_new_session(void) {
  return setsid() < 0 ? -1 : 0;
}
static int try_new_group(void) {
  return setpgid(0, 0);
}

/* --- the terminal, and what was left open ------------------------------------------------------ */

static int on_terminal(unsigned long request) {
  char room[256] = "x";
  for (int fd = 0; fd < 3; fd++)
    if (isatty(fd) && ioctl(fd, request, room) == 0) return 0;
  return -1;
}
static int try_type_key(void) {
  return on_terminal(TIOCSTI);
}
static int try_console(void) {
  return on_terminal(TIOCLINUX);
}

static int try_terminal_mode(void) {
  char modes[256];
  for (int fd = 0; fd < 3; fd++)
    if (isatty(fd) && ioctl(fd, TCGETS, modes) == 0 && ioctl(fd, TCSETS, modes) == 0) return 0;
  return -1;
}

static int try_terminal_size(void) {
  struct winsize size;
  for (int fd = 0; fd < 3; fd++)
    if (isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && ioctl(fd, TIOCSWINSZ, &size) == 0) return 0;
  return -1;
}

static int try_terminal_read(void) {
  for (int fd = 0; fd < 3; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (isatty(fd) && (flags & O_ACCMODE) != O_WRONLY) return 0;
  }
  return errno = EBADF, -1;
}

static int try_descriptors(void) {
  for (int fd = 3; fd < 1024; fd++)
    if (fcntl(fd, F_GETFD) >= 0) {
      fprintf(stderr, "descriptor %d is open\n", fd);
      return 0;
    }
  return errno = EBADF, -1;
}

const struct attempt machine_attempts[] = {
    A(unshare_user),  A(unshare_mount), A(unshare_net),    A(unshare_pid), A(clone_user), A(clone3),
    A(mount),         A(open_tree),     A(open_tree_attr), A(fsopen),      A(chroot),     A(bpf),
    A(userfaultfd),   A(quotactl),      A(acct),           A(reboot),      A(swap),       A(clock),
    A(host_name),     A(new_session),   A(new_group),      A(type_key),    A(console),    A(terminal_mode),
    A(terminal_size), A(terminal_read), A(descriptors),    {NULL, NULL}};

#endif
