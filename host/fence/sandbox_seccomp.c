/* sandbox_seccomp.c - see sandbox.h: which system calls are denied, and which are passed to the supervisor. A filter sees call
 * numbers and register arguments but no memory: calls that depend on a path go to the supervisor (sandbox_calls.c), or are
 * denied altogether. The kernel applies all filters and takes the strictest result, so each set of rules is its own filter. */
#include "sandbox.h"

#ifdef HAVE_SECCOMP

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEWEST_KNOWN 469 /* of Linux 6.18; later calls fail as on an older kernel */

bool seccomp_there(void) {
  return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

bool seccomp_asks(void) {
#if defined(SCMP_ACT_NOTIFY) && __SIZEOF_LONG__ == 8 /* sandbox_calls.c knows no old calls of 32-bit machines */
  return seccomp_there() && seccomp_api_get() >= 5;
#else
  return false;
#endif
}

/* Denied by name; names unknown to this libseccomp or machine are skipped. setsid and setpgid: no process may leave the group that
 * is killed with the program. System V and POSIX IPC objects belong to a user, not to a process. inotify reveals accesses to files
 * that the program may not open. */
static const char *const refused[] = {"ptrace",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "process_madvise",
                                      "process_mrelease",
                                      "pidfd_getfd",
                                      "kcmp",
                                      "setsid",
                                      "setpgid",
                                      "shmget",
                                      "shmat",
                                      "shmctl",
                                      "msgget",
                                      "msgsnd",
                                      "msgrcv",
                                      "msgctl",
                                      "semget",
                                      "semop",
                                      "semtimedop",
                                      "semtimedop_time64",
                                      "semctl",
                                      "ipc",
                                      "mq_open",
                                      "mq_unlink",
                                      "inotify_init",
                                      "inotify_init1",
                                      "mount",
                                      "umount",
                                      "umount2",
                                      "fsopen",
                                      "fsconfig",
                                      "fsmount",
                                      "fspick",
                                      "move_mount",
                                      "open_tree",
                                      "mount_setattr",
                                      "pivot_root",
                                      "chroot",
                                      "unshare",
                                      "setns",
                                      "name_to_handle_at",
                                      "open_by_handle_at",
                                      "fanotify_init",
                                      "bpf",
                                      "perf_event_open",
                                      "userfaultfd",
                                      "io_uring_setup",
                                      "io_uring_enter",
                                      "io_uring_register",
                                      "keyctl",
                                      "add_key",
                                      "request_key",
                                      "init_module",
                                      "finit_module",
                                      "delete_module",
                                      "create_module",
                                      "kexec_load",
                                      "kexec_file_load",
                                      "reboot",
                                      "swapon",
                                      "swapoff",
                                      "acct",
                                      "quotactl",
                                      "quotactl_fd",
                                      "syslog",
                                      "vhangup",
                                      "iopl",
                                      "ioperm",
                                      "settimeofday",
                                      "clock_settime",
                                      "clock_settime64",
                                      "adjtimex",
                                      "clock_adjtime",
                                      "clock_adjtime64",
                                      "stime",
                                      "sethostname",
                                      "setdomainname",
                                      "lookup_dcookie",
                                      "nfsservctl",
                                      "move_pages",
                                      "migrate_pages"};

/* Extended attributes: fail as on a file system without them, which programs expect. */
static const char *const unsupported[] = {"setxattr",    "lsetxattr",    "fsetxattr",
                                          "removexattr", "lremovexattr", "fremovexattr"};

/* Newer than libseccomp: 463 setxattrat, 466 removexattrat, 467 open_tree_attr, 469 file_setattr; the same everywhere. */
static const int unnamed[] = {463, 466, 467, 469};

/* Memory that no limit covers. */
static const char *const uncounted[] = {"memfd_create", "memfd_secret"};

/* Allowed for code that only computes; all other calls fail with EPERM. */
static const char *const computing[] = {
    "read",           "write",           "writev",          "exit",         "exit_group", "brk",
    "mmap",           "mmap2",           "munmap",          "mremap",       "mprotect",   "madvise",
    "futex",          "futex_time64",    "sched_yield",     "rt_sigreturn", "sigreturn",  "rt_sigaction",
    "rt_sigprocmask", "sigaltstack",     "restart_syscall", "getpid",       "gettid",     "tgkill",
    "clock_gettime",  "clock_gettime64", "gettimeofday",    "time",         "times",      "getrusage",
    "getrandom",      "fstat",           "fstat64",         "newfstatat",   "setitimer",  "close"};

/* Passed to the supervisor, since a filter cannot see paths: modes, owners and times of files. Not for new processes: a call that
 * waits for the supervisor can be interrupted by a signal, which no program expects of fork. */
static const char *const by_path[] = {"chmod",  "fchmod",    "fchmodat",  "fchmodat2",       "chown",    "lchown",
                                      "fchown", "utime",     "fchownat",  "chown32",         "lchown32", "fchown32",
                                      "utimes", "futimesat", "utimensat", "utimensat_time64"};

/* Calls that take the number of a process, where it is not 0 (itself), and the argument that holds it. */
static const struct {
  const char *name;
  unsigned argument;
} by_number[] = {{"sched_setaffinity", 0}, {"sched_setparam", 0}, {"sched_setscheduler", 0},
                 {"sched_setattr", 0},     {"setpriority", 1},    {"ioprio_set", 1}};

/* The same for signals, if Landlock does not confine them. */
static const char *const signalling[] = {"kill",      "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
                                         "pidfd_open"};

/* One rule; a call this machine does not have needs none. */
static int add(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned count,
               const struct scmp_arg_cmp *args) {
  int number = seccomp_syscall_resolve_name(name);
  return number < 0 ? 0 : seccomp_rule_add_array(ctx, action, number, count, args);
}

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count) {
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < count; i++) rc = add(ctx, action, names[i], 0, NULL);
  return rc;
}

/* One rule for each value of one argument. */
static int add_values(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned argument, uint64_t mask,
                      const uint64_t *values, size_t count) {
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < count; i++) {
    struct scmp_arg_cmp cmp = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, values[i]);
    rc = add(ctx, action, name, 1, &cmp);
  }
  return rc;
}

/* With net: the Internet, and the part of netlink that reports addresses and routes. Never named AF_UNIX sockets: Landlock does not
 * restrict connecting to those of services (a container engine, a desktop, our own). A socket pair is created connected and can
 * reach no other socket, except for datagrams. */
static int add_sockets(scmp_filter_ctx ctx, bool net) {
  const uint32_t no = SCMP_ACT_ERRNO(EACCES);
  const struct scmp_arg_cmp above = SCMP_A0(SCMP_CMP_GT, AF_NETLINK, 0), not_unix = SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0),
                            address = SCMP_A4(SCMP_CMP_NE, 0, 0);
  const struct scmp_arg_cmp link[] = {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0), SCMP_A2(SCMP_CMP_NE, 0, 0)};
  int rc = add(ctx, no, "socketpair", 1, &not_unix);
  for (unsigned type = 0; rc == 0 && type < 16; type++)
    if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
      rc = seccomp_rule_add(ctx, no, SCMP_SYS(socketpair), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 15, type));
  if (rc == 0 && !net) {
    rc = add(ctx, no, "socket", 0, NULL);
    if (rc == 0) rc = add(ctx, no, "connect", 0, NULL);
    return rc ? rc : add(ctx, no, "sendto", 1, &address);
  }
  for (unsigned family = 0; rc == 0 && family < AF_NETLINK; family++)
    if (family != AF_INET && family != AF_INET6)
      rc = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family, 0));
  if (rc == 0) rc = add(ctx, no, "socket", 1, &above);
  return rc ? rc : add(ctx, no, "socket", 2, link);
}

/* Set-user-id: a program of root with this bit would run as root for any user, long after the sandbox is gone. The supervisor
 * checks set-group-id, which a folder may have. */
static int add_modes(scmp_filter_ctx ctx) {
  static const struct {
    const char *name;
    unsigned argument;
    bool folders;
  } modes[] = {{"chmod", 1, true},     {"fchmod", 1, true}, {"fchmodat", 2, true},
               {"fchmodat2", 2, true}, {"open", 2, false},  {"creat", 1, false},
               {"openat", 3, false},   {"mknod", 1, false}, {"mknodat", 2, false}};
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < COUNT_OF(modes); i++) {
    struct scmp_arg_cmp cmp = SCMP_CMP(modes[i].argument, SCMP_CMP_MASKED_EQ, S_ISUID, S_ISUID);
    rc = add(ctx, SCMP_ACT_ERRNO(EPERM), modes[i].name, 1, &cmp);
    cmp = SCMP_CMP(modes[i].argument, SCMP_CMP_MASKED_EQ, S_ISGID, S_ISGID);
    if (rc == 0 && !modes[i].folders) rc = add(ctx, SCMP_ACT_ERRNO(EPERM), modes[i].name, 1, &cmp);
  }
  return rc;
}

static int add_arguments(scmp_filter_ctx ctx) {
  static const uint64_t spaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                    CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
  /* a terminal's keys, modes, size and group; whom a file's news go to; flags of files */
  static const uint64_t controls[] = {TIOCSTI,   TIOCLINUX,  TIOCSETD,   TIOCSCTTY,  TIOCSPGRP,   TIOCSWINSZ, TIOCCONS,
                                      TIOCEXCL,  TIOCNXCL,   TIOCPKT,    TIOCNOTTY,  TIOCVHANGUP, TCSETS,     TCSETSW,
                                      TCSETSF,   TCSETA,     TCSETAW,    TCSETAF,    TCXONC,      TCFLSH,     TCSBRK,
                                      TCSBRKP,   TIOCSBRK,   TIOCMSET,   0x402c542b, 0x402c542c,  0x402c542d, FIOSETOWN,
                                      SIOCSPGRP, 0x40086602, 0x40046602, 0x40087602, 0x401c5820,  0x800c6613};
  static const uint64_t commands[] = {F_SETOWN, F_SETOWN_EX, F_SETLEASE, F_NOTIFY};
  static const uint64_t user = PRIO_USER, io_user = 3, cores = 62 /* PR_SCHED_CORE */, low = 0xffffffffu;
  const uint32_t no = SCMP_ACT_ERRNO(EPERM), unknown = SCMP_ACT_ERRNO(ENOSYS);
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < COUNT_OF(spaces); i++)
    rc = add_values(ctx, no, "clone", 0, spaces[i], &spaces[i], 1);
  if (rc == 0) rc = add_values(ctx, no, "ioctl", 1, low, controls, COUNT_OF(controls));
  if (rc == 0) rc = add_values(ctx, no, "fcntl", 1, low, commands, COUNT_OF(commands));
  if (rc == 0) rc = add_values(ctx, no, "fcntl64", 1, low, commands, COUNT_OF(commands));
  if (rc == 0) rc = add_values(ctx, no, "setpriority", 0, low, &user, 1);
  if (rc == 0) rc = add_values(ctx, no, "ioprio_set", 0, low, &io_user, 1);
  if (rc == 0) rc = add_values(ctx, no, "prctl", 0, low, &cores, 1);
  if (rc == 0) rc = add_values(ctx, no, "kill", 0, low, &low, 1); /* -1: all processes */
  /* their flags and modes lie in memory, where no filter sees them; without them the C library uses the older calls */
  if (rc == 0) rc = add(ctx, unknown, "clone3", 0, NULL);
  return rc ? rc : add(ctx, unknown, "openat2", 0, NULL);
}

static int add_numbers(scmp_filter_ctx ctx, uint32_t action) {
  const struct scmp_arg_cmp other[] = {SCMP_A0(SCMP_CMP_NE, 0, 0), SCMP_A2(SCMP_CMP_NE, 0, 0)};
  int rc = add(ctx, action, "prlimit64", 2, other); /* reading is allowed */
  for (size_t i = 0; rc == 0 && i < COUNT_OF(by_number); i++) {
    struct scmp_arg_cmp cmp = SCMP_CMP(by_number[i].argument, SCMP_CMP_NE, 0, 0);
    rc = add(ctx, action, by_number[i].name, 1, &cmp);
  }
  return rc;
}

static int loaded(scmp_filter_ctx ctx, int rc) {
  if (rc == 0) rc = seccomp_load(ctx);
  seccomp_release(ctx);
  return rc;
}

/* What older versions of Landlock leave open. A path needs no open file to be cut to nothing. An open folder of /proc stands for
 * its process, and the supervisor could not tell which: by then the number may be another file's; programs fall back on kill. */
static int add_older(scmp_filter_ctx ctx, int landlock) {
  int rc = 0;
  if (landlock < LANDLOCK_TRUNCATE) rc = add(ctx, SCMP_ACT_ERRNO(EPERM), "truncate", 0, NULL);
  if (rc == 0 && landlock < LANDLOCK_TRUNCATE) rc = add(ctx, SCMP_ACT_ERRNO(EPERM), "truncate64", 0, NULL);
  if (rc == 0 && landlock < LANDLOCK_SCOPES) rc = add(ctx, SCMP_ACT_ERRNO(ENOSYS), "pidfd_send_signal", 0, NULL);
  return rc;
}

static int load_refused(const struct sandbox *s, int landlock) {
  scmp_filter_ctx ctx = seccomp_init(s->closed ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);
  if (!ctx) return -ENOMEM;
  if (s->closed) return loaded(ctx, add_names(ctx, SCMP_ACT_ALLOW, computing, COUNT_OF(computing)));
  int rc = add_names(ctx, SCMP_ACT_ERRNO(EPERM), refused, COUNT_OF(refused));
  if (rc == 0) rc = add_names(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), unsupported, COUNT_OF(unsupported));
  if (rc == 0) rc = add_names(ctx, SCMP_ACT_ERRNO(ENOSYS), uncounted, COUNT_OF(uncounted));
  for (size_t i = 0; rc == 0 && i < COUNT_OF(unnamed); i++)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), unnamed[i], 0);
  if (rc == 0) rc = add_sockets(ctx, s->net);
  if (rc == 0) rc = add_arguments(ctx);
  if (rc == 0) rc = add_modes(ctx);
  if (rc == 0) rc = add_older(ctx, landlock);
  return loaded(ctx, rc);
}

/* By the kernel's own language: libseccomp has no rule for all numbers above one. That of x32 is left to its filter. Elsewhere
 * (32-bit ARM, MIPS) there are old calls with higher numbers. */
static int load_newer(void) {
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || defined(__riscv) || defined(__s390x__) ||      \
    defined(__powerpc64__) || defined(__loongarch__)
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 1, 0), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NEWEST_KNOWN, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)};
  struct sock_fprog program = {COUNT_OF(code), code};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 ? 0 : -errno;
#else
  return 0;
#endif
}

#ifdef SCMP_ACT_NOTIFY

/* Past libseccomp, which does not know the second flag: who has been heard waits on through signals. An older kernel without. */
static int listen_by(const struct sock_fprog *program) {
  const unsigned new_listener = 1u << 3, wait_killable = 1u << 5;
  int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, new_listener | wait_killable, program);
  return fd >= 0 || errno != EINVAL ? fd : (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, new_listener, program);
}

static int load_listening(scmp_filter_ctx ctx) {
  struct sock_filter code[BPF_MAXINSNS]; /* 32 KB: less than fits in a pipe */
  int ends[2], fd = -1;
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  if (seccomp_export_bpf(ctx, ends[1]) == 0) {
    ssize_t n = read(ends[0], code, sizeof code);
    struct sock_fprog program = {n > 0 ? (unsigned short)((size_t)n / sizeof *code) : 0, code};
    if (n > 0) fd = listen_by(&program);
  }
  close(ends[0]);
  close(ends[1]);
  return fd;
}

#endif

/* What is put to the supervisor; -1 where the kernel has no such thing, or another one listens already. */
static int load_asked(bool scoped) {
#ifdef SCMP_ACT_NOTIFY
  scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
  if (!ctx) return -1;
  int rc = add_names(ctx, SCMP_ACT_NOTIFY, by_path, COUNT_OF(by_path));
  if (rc == 0) rc = add_numbers(ctx, SCMP_ACT_NOTIFY);
  if (rc == 0 && !scoped) rc = add_names(ctx, SCMP_ACT_NOTIFY, signalling, COUNT_OF(signalling));
  int fd = rc == 0 ? load_listening(ctx) : -1;
  seccomp_release(ctx);
  return fd;
#else
  (void)scoped;
  return -1;
#endif
}

static int load_unasked(void) {
  scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
  return ctx ? loaded(ctx, add_numbers(ctx, SCMP_ACT_ERRNO(EPERM))) : -ENOMEM;
}

bool seccomp_apply(const struct sandbox *s, int landlock, int *listener, struct err *e) {
  int rc = 0;
  if (listener)
    *listener = seccomp_asks() ? load_asked(landlock >= LANDLOCK_SCOPES)
                               : -1; /* the first: later ones may refuse what it takes */
  if (!s->closed && (!listener || *listener < 0)) rc = load_unasked();
  if (rc == 0 && !s->closed) rc = load_newer();
  if (rc == 0) rc = load_refused(s, landlock);
  if (rc != 0) err_set(e, "denied", -rc, "seccomp refused: %s", strerror(-rc));
  return rc == 0;
}

#else

bool seccomp_there(void) {
  return false;
}

bool seccomp_asks(void) {
  return false;
}

bool seccomp_apply(const struct sandbox *s, int landlock, int *listener, struct err *e) {
  (void)s;
  (void)landlock;
  (void)e;
  if (listener) *listener = -1;
  return true;
}

#endif
