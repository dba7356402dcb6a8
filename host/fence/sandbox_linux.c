/* sandbox_linux.c - see sandbox.h: privileges and Landlock. Landlock is spoken to directly: the kernel's header of Debian 12
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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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
#define FS_FILE  (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV) /* rights of files */

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
  if (version > LANDLOCK_NEWEST) return LANDLOCK_NEWEST;
  return version > 0 ? (int)version : 0;
}

static struct ll_ruleset handled_by(int version, bool net) {
  struct ll_ruleset r = {.fs = FS_FIRST};
  if (version >= 2) r.fs |= FS_REFER;
  if (version >= LANDLOCK_TRUNCATE) r.fs |= FS_TRUNCATE;
  if (version >= 5) r.fs |= FS_IOCTL_DEV;
  if (version >= 4 && !net) r.net = NET_TCP;
  if (version >= LANDLOCK_SCOPES) r.scoped = SCOPE_ALL;
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

/* Root can read everything, so folders that are not world-readable are left out. */
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

/* Folders that programs need to start at all; a missing one is not an error. */
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
