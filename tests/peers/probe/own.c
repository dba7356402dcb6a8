/* own.c - see probe.c: what programs do to themselves and their children, and how much of it. */
#ifdef __linux__
#include "probe.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>

static volatile sig_atomic_t signals;

static void on_signal(int number) {
  (void)number;
  signals++;
}

/* --- what programs do to themselves ----------------------------------------------------------- */

static void *sleeper(void *arg) {
  (void)arg;
  pause();
  return NULL;
}

static void own(const char *name, bool well) {
  printf("%s: %s\n", name, well ? "done" : strerror(errno));
}

int own_all(void) {
  struct rlimit r;
  cpu_set_t cpus;
  pthread_t thread;
  int fds[2], status;
  signal(SIGWINCH, on_signal);
  own("limits", getrlimit(RLIMIT_NOFILE, &r) == 0 && setrlimit(RLIMIT_NOFILE, &r) == 0);
  own("limits by number", prlimit(getpid(), RLIMIT_NOFILE, &r, NULL) == 0);
  own("processors", sched_getaffinity(0, sizeof cpus, &cpus) == 0 && sched_setaffinity(0, sizeof cpus, &cpus) == 0);
  own("nice", setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)) == 0);
  own("nice by number", setpriority(PRIO_PROCESS, (id_t)getpid(), getpriority(PRIO_PROCESS, 0)) == 0);
  own("io priority", syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4) == 0);
  errno = pthread_create(&thread, NULL, sleeper, NULL);
  own("thread", errno == 0);
  errno = pthread_setaffinity_np(thread, sizeof cpus, &cpus);
  own("processors of a thread", errno == 0);
  errno = pthread_kill(thread, SIGWINCH);
  own("signal to a thread", errno == 0);
  own("signal to itself", kill(getpid(), SIGWINCH) == 0 && signals > 0);
  own("signal to its group", kill(0, SIGWINCH) == 0);
  own("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && write(fds[0], "x", 1) == 1);
  own("pair of packets", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  own("limits of a child", prlimit(pid, RLIMIT_NOFILE, &r, NULL) == 0);
  own("nice of a child", setpriority(PRIO_PROCESS, (id_t)pid, getpriority(PRIO_PROCESS, 0)) == 0);
  own("pidfd of a child", (fds[0] = (int)syscall(NR_pidfd_open, pid, 0)) >= 0 || errno == ENOSYS);
  own("end of a child", kill(pid, SIGTERM) == 0 && waitpid(pid, &status, 0) == pid);
  int fd = open("own.file", O_CREAT | O_RDWR, 0644);
  struct timespec times[2] = {{1, 0}, {1, 0}};
  struct stat st;
  own("mode", chmod("own.file", 0700) == 0 && stat("own.file", &st) == 0 && (st.st_mode & 0777) == 0700);
  own("mode of an open file", fchmod(fd, 0640) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0640);
  own("mode of a folder",
      mkdir("own.d", 0777) == 0 && chmod("own.d", 02775) == 0 && fchmodat(AT_FDCWD, "own.d/", 0755, 0) == 0);
  own("times", utimensat(AT_FDCWD, "own.file", times, 0) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 1);
  own("times of an open file", futimens(fd, NULL) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec > 1);
  own("owner", lchown("own.file", getuid(), getgid()) == 0 && fchown(fd, (uid_t)-1, (gid_t)-1) == 0);
  own("link's times",
      symlink("own.file", "own.link") == 0 && utimensat(AT_FDCWD, "own.link", times, AT_SYMLINK_NOFOLLOW) == 0);
  own("mode over a link", chmod("own.link", 0600) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
  int dir = open("own.d", O_RDONLY | O_DIRECTORY);
  own("mode from a folder", openat(dir, "f", O_CREAT | O_WRONLY, 0600) >= 0 &&
                                fchmodat(dir, "../own.file", 0644, 0) == 0 && fchmodat(dir, "f", 0755, 0) == 0);
  own("attribute", setxattr("own.file", "user.x", "x", 1, 0) == 0 || errno == ENOTSUP);
  own("missing file", chmod("own.none", 0600) != 0 && errno == ENOENT);
  unlinkat(dir, "f", 0);
  unlink("own.link");
  unlink("own.file");
  rmdir("own.d");
  return 0;
}

/* --- how much ----------------------------------------------------------------------------------- */

int forks(long count) {
  long made = 0;
  for (; made < count; made++) {
    pid_t pid = fork();
    if (pid == 0) {
      pause();
      _exit(0);
    }
    if (pid < 0) break;
    if (made % 100 == 99) {
      printf("%ld\n", made + 1);
      fflush(stdout);
    }
  }
  sleep(1); /* long enough to be seen */
  printf("%ld forks\n", made);
  return 0;
}

int threads(long count) {
  long made = 0;
  pthread_attr_t small;
  pthread_t thread;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  while (made < count && pthread_create(&thread, &small, sleeper, NULL) == 0) made++;
  sleep(1);
  printf("%ld threads\n", made);
  return 0;
}

/* Megabytes, in steps, each page touched; how: 0 its own, 1 shared, 2 in files without a name. */
int memory(long count, int how) {
  long made = 0;
  static char block[1 << 20] = {1};
  int fd = -1;
  for (; made < count; made += 16) {
    size_t size = 16u << 20;
    if (how == 2) {
      if (made % 64 == 0) fd = memfd_create("x", 0);
      bool well = fd >= 0;
      for (int i = 0; well && i < 16; i++) well = write(fd, block, sizeof block) == (ssize_t)sizeof block;
      if (!well) break;
    } else {
      char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, (how ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
      if (at == MAP_FAILED) break;
      memset(at, 1, size);
    }
    printf("%ld\n", made + 16);
    fflush(stdout);
  }
  printf("%ld megabytes\n", made);
  return 0;
}

int file(long count) {
  static char block[1 << 20];
  int fd = open("own.big", O_CREAT | O_WRONLY | O_TRUNC, 0600);
  long made = 0;
  signal(SIGXFSZ, SIG_IGN);
  while (fd >= 0 && made < count && write(fd, block, sizeof block) == (ssize_t)sizeof block) made++;
  printf("%ld megabytes in a file\n", made);
  unlink("own.big");
  return 0;
}

#endif
