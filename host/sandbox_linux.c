/* sandbox_linux.c - see sandbox.h: Landlock and seccomp. Landlock is spoken to directly: the kernel's header of Debian 12
 * knows only its second version, and the kernel tells which one it has. */
#include "sandbox.h"

#ifdef __linux__

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef HAVE_SECCOMP
#include <sched.h>
#include <seccomp.h>
#endif

/* --- privileges ------------------------------------------------------------------------------- */

/* Of root's powers only those over the owners and modes of files are left: root may work in a user's folder. */
#define KEPT (1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER | 1u << CAP_FSETID)

static void drop_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
    if (cap >= 32 || !(KEPT >> cap & 1u)) (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (syscall(SYS_capget, &header, data) != 0) return;
  data[0].effective &= KEPT;
  data[0].permitted &= KEPT;
  data[0].inheritable = data[1].effective = data[1].permitted = data[1].inheritable = 0;
  (void)syscall(SYS_capset, &header, data);
}

bool privileges_drop(struct err *e) {
  pid_t parent = getppid();
  drop_capabilities();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    err_set(e, "denied", errno, "the sandbox cannot give up its privileges: %s", strerror(errno));
    return false;
  }
  if (getppid() == parent) return true;
  err_set(e, "denied", 0, "whoever started this program has gone");
  return false;
}

/* --- Landlock --------------------------------------------------------------------------------- */

/* The same numbers on every architecture. */
#define LL_CREATE   444
#define LL_ADD_RULE 445
#define LL_RESTRICT 446

#define LL_VERSION_FLAG 1u
#define LL_PATH_BENEATH 1

#define FS_EXECUTE    (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE  (1ull << 2)
#define FS_READ_DIR   (1ull << 3)
#define FS_MAKE_CHAR  (1ull << 6)
#define FS_MAKE_BLOCK (1ull << 11)
#define FS_FIRST      ((1ull << 13) - 1) /* all that the first version has */
#define FS_REFER      (1ull << 13)       /* renames between folders */
#define FS_TRUNCATE   (1ull << 14)
#define FS_IOCTL_DEV  (1ull << 15)
#define NET_TCP       3ull /* bind, connect */
#define SCOPE_ALL     3ull /* abstract sockets and signals stay inside */

#define FS_READ  (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR)
#define FS_WRITE (~(FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_IOCTL_DEV))
#define FS_FILE  (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV) /* of what is no folder */

struct ll_ruleset {
  uint64_t fs, net, scoped;
};

struct ll_path {
  uint64_t allowed;
  int32_t fd;
} __attribute__((packed));

struct fence {
  int fd;
  uint64_t handled;
};

int landlock_version(void) {
  long version = syscall(LL_CREATE, NULL, (size_t)0, LL_VERSION_FLAG);
  return version > 0 ? (int)version : 0;
}

static struct ll_ruleset handled_by(int version, bool net) {
  struct ll_ruleset r = {.fs = FS_FIRST};
  if (version >= 2) r.fs |= FS_REFER;
  if (version >= 3) r.fs |= FS_TRUNCATE;
  if (version >= 5) r.fs |= FS_IOCTL_DEV;
  if (version >= 4 && !net) r.net = NET_TCP;
  if (version >= 6) r.scoped = SCOPE_ALL;
  return r;
}

/* 0, or an errno. */
static int allow(const struct fence *f, const char *path, uint64_t rights) {
  struct stat st;
  struct ll_path rule = {.fd = open(path, O_PATH | O_CLOEXEC)};
  if (rule.fd < 0) return errno;
  int rc = 0;
  rule.allowed = rights & f->handled;
  if (fstat(rule.fd, &st) != 0) rc = errno;
  if (rc == 0 && !S_ISDIR(st.st_mode)) rule.allowed &= FS_FILE;
  if (rc == 0 && syscall(LL_ADD_RULE, f->fd, LL_PATH_BENEATH, &rule, 0u) != 0) rc = errno;
  close(rule.fd);
  return rc;
}

/* Root reads everything, so what is not for everybody is left out. */
static void allow_settings(const struct fence *f) {
  DIR *dir = geteuid() == 0 ? opendir("/etc") : NULL;
  if (!dir) {
    (void)allow(f, "/etc", FS_READ);
    return;
  }
  (void)allow(f, "/etc", FS_READ_DIR);
  for (struct dirent *entry; (entry = readdir(dir));) {
    char path[300];
    struct stat st;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (fstatat(dirfd(dir), entry->d_name, &st, 0) != 0) continue;
    mode_t needed = S_ISDIR(st.st_mode) ? S_IROTH | S_IXOTH : S_IROTH;
    snprintf(path, sizeof path, "/etc/%s", entry->d_name);
    if ((st.st_mode & needed) == needed) (void)allow(f, path, FS_READ);
  }
  closedir(dir);
}

/* What programs need to start at all; what is missing here is nobody's mistake. */
static void allow_system(const struct fence *f) {
  static const char *const readable[] = {"/usr",
                                         "/bin",
                                         "/sbin",
                                         "/lib",
                                         "/lib32",
                                         "/lib64",
                                         "/libx32",
                                         "/proc",
                                         "/etc/resolv.conf",
                                         "/etc/localtime",
                                         "/sys/devices/system/cpu",
                                         "/dev/zero",
                                         "/dev/random",
                                         "/dev/urandom"};
  for (size_t i = 0; i < COUNT_OF(readable); i++) (void)allow(f, readable[i], FS_READ);
  (void)allow(f, "/dev/null", FS_READ | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV);
  (void)allow(f, "/dev/full", FS_READ | FS_WRITE_FILE | FS_TRUNCATE);
  allow_settings(f);
}

static bool allow_all(const struct fence *f, const char *const *paths, size_t count, uint64_t rights, struct err *e) {
  for (size_t i = 0; i < count; i++) {
    int rc = allow(f, paths[i], rights);
    if (rc == 0) continue;
    err_set(e, "denied", rc, "the sandbox cannot open \"%.120s\": %s", paths[i], strerror(rc));
    return false;
  }
  return true;
}

bool landlock_apply(const struct sandbox *s, int version, struct err *e) {
  struct ll_ruleset rules = handled_by(version, s->net);
  struct fence f = {.handled = rules.fs};
  f.fd = (int)syscall(LL_CREATE, &rules, sizeof rules, 0u);
  bool ok = f.fd >= 0;
  if (ok && !s->closed) {
    allow_system(&f);
    if (!allow_all(&f, s->read, s->reads, FS_READ, e) || !allow_all(&f, s->write, s->writes, FS_WRITE, e)) {
      close(f.fd);
      return false;
    }
  }
  ok = ok && syscall(LL_RESTRICT, f.fd, 0u) == 0;
  if (!ok) err_set(e, "denied", errno, "Landlock refused: %s", strerror(errno));
  if (f.fd >= 0) close(f.fd);
  return ok;
}

#else /* not Linux */

int landlock_version(void) {
  return 0;
}

bool landlock_apply(const struct sandbox *s, int version, struct err *e) {
  (void)s;
  (void)version;
  (void)e;
  return true;
}

bool privileges_drop(struct err *e) {
  (void)e;
  return true;
}

#endif

/* --- seccomp ---------------------------------------------------------------------------------- */

#ifdef HAVE_SECCOMP

bool seccomp_there(void) {
  return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

/* By name: those that this libseccomp or this machine does not know are passed over. setsid and setpgid, so that nothing
 * leaves the group that is ended with the program. */
static const char *const refused[] = {"ptrace",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "process_madvise",
                                      "pidfd_getfd",
                                      "kcmp",
                                      "setsid",
                                      "setpgid",
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

/* What is left for code that only computes; everything else answers EPERM. */
static const char *const computing[] = {
    "read",           "write",           "writev",          "exit",         "exit_group", "brk",
    "mmap",           "mmap2",           "munmap",          "mremap",       "mprotect",   "madvise",
    "futex",          "futex_time64",    "sched_yield",     "rt_sigreturn", "sigreturn",  "rt_sigaction",
    "rt_sigprocmask", "sigaltstack",     "restart_syscall", "getpid",       "gettid",     "tgkill",
    "clock_gettime",  "clock_gettime64", "gettimeofday",    "time",         "times",      "getrusage",
    "getrandom",      "fstat",           "fstat64",         "newfstatat",   "setitimer",  "close"};

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count) {
  for (size_t i = 0; i < count; i++) {
    int number = seccomp_syscall_resolve_name(names[i]);
    if (number < 0) continue;
    int rc = seccomp_rule_add(ctx, action, number, 0);
    if (rc != 0) return rc;
  }
  return 0;
}

/* With net: the usual families. Without: AF_UNIX, and nobody to talk to but the ends of a socketpair, for the sockets of
 * services (a container engine's, a desktop's) are no files to Landlock. */
static int add_sockets(scmp_filter_ctx ctx, bool net) {
  const uint32_t no = SCMP_ACT_ERRNO(EACCES);
  int rc = 0;
  if (!net) {
    rc = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
    if (rc == 0) rc = seccomp_rule_add(ctx, no, SCMP_SYS(connect), 0);
    if (rc == 0) rc = seccomp_rule_add(ctx, no, SCMP_SYS(sendto), 1, SCMP_A4(SCMP_CMP_NE, 0, 0));
    return rc;
  }
  for (unsigned family = 3; rc == 0 && family < AF_NETLINK; family++)
    if (family != AF_INET6) rc = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family, 0));
  return rc ? rc : seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK, 0));
}

/* A program of root's with this bit would run as root for whoever finds it in the folder, long after the sandbox. */
static int add_modes(scmp_filter_ctx ctx) {
  static const struct {
    const char *name;
    unsigned argument;
  } modes[] = {{"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}, {"fchmodat2", 2}, {"open", 2},
               {"creat", 1}, {"openat", 3}, {"mknod", 1},    {"mknodat", 2}};
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < COUNT_OF(modes); i++) {
    int number = seccomp_syscall_resolve_name(modes[i].name);
    struct scmp_arg_cmp setuid = SCMP_CMP(modes[i].argument, SCMP_CMP_MASKED_EQ, S_ISUID, S_ISUID);
    if (number >= 0) rc = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), number, 1, &setuid);
  }
  /* like clone3 its mode lies in memory */
  int openat2 = seccomp_syscall_resolve_name("openat2");
  return rc == 0 && openat2 >= 0 ? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), openat2, 0) : rc;
}

static int add_arguments(scmp_filter_ctx ctx) {
  static const uint64_t spaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                    CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
  static const uint64_t typing[] = {TIOCSTI, TIOCLINUX}; /* keys put into somebody's terminal */
  const uint32_t no = SCMP_ACT_ERRNO(EPERM);
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < COUNT_OF(spaces); i++)
    rc = seccomp_rule_add(ctx, no, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
  for (size_t i = 0; rc == 0 && i < COUNT_OF(typing); i++)
    rc = seccomp_rule_add(ctx, no, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, typing[i]));
  /* its flags lie in memory, where no filter sees them; without it the C library uses clone */
  int clone3 = seccomp_syscall_resolve_name("clone3");
  if (rc == 0 && clone3 >= 0) rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), clone3, 0);
  return rc;
}

bool seccomp_apply(const struct sandbox *s, struct err *e) {
  scmp_filter_ctx ctx = seccomp_init(s->closed ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);
  int rc = ctx ? 0 : -ENOMEM;
  if (rc == 0 && s->closed) {
    rc = add_names(ctx, SCMP_ACT_ALLOW, computing, COUNT_OF(computing));
  } else if (rc == 0) {
    rc = add_names(ctx, SCMP_ACT_ERRNO(EPERM), refused, COUNT_OF(refused));
    if (rc == 0) rc = add_sockets(ctx, s->net);
    if (rc == 0) rc = add_arguments(ctx);
    if (rc == 0) rc = add_modes(ctx);
  }
  if (rc == 0) rc = seccomp_load(ctx);
  if (ctx) seccomp_release(ctx);
  if (rc != 0) err_set(e, "denied", -rc, "seccomp refused: %s", strerror(-rc));
  return rc == 0;
}

#else

bool seccomp_there(void) {
  return false;
}

bool seccomp_apply(const struct sandbox *s, struct err *e) {
  (void)s;
  (void)e;
  return true;
}

#endif
