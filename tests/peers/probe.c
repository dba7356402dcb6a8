/* probe.c - what can a process do to another one of the same user? `probe victim DIR` is the other one: it opens what services
 * open (sockets of each kind, queues, shared memory, a fifo) and tells where; when its standard input ends it tells what was
 * done to it. `probe try WORD...` gets these words, tries each way and prints one line for each: "NAME: through", or
 * "NAME: refused (REASON)". Each attempt is a process of its own, and none harms a machine without fences. `probe own` does what
 * programs do to themselves and to their children, `probe forks|threads|memory|shared|memfd|file N` how much of it.
 * Linux only: elsewhere it says so and ends with 77. */
#ifdef __linux__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#define COUNT_OF(a) (sizeof(a) / sizeof *(a))

/* The same on every architecture, and missing in old headers. */
enum {
  NR_pidfd_send_signal = 424,
  NR_io_uring_setup = 425,
  NR_open_tree = 428,
  NR_fsopen = 430,
  NR_pidfd_open = 434,
  NR_clone3 = 435,
  NR_pidfd_getfd = 438,
  NR_process_madvise = 440,
  NR_mount_setattr = 442,
  NR_process_mrelease = 448,
  NR_fchmodat2 = 452,
  NR_setxattrat = 463,
  NR_open_tree_attr = 467,
  NR_file_setattr = 469
};

static struct {
  int pid, shm, msg, sem, tcp, udp, fd;
  unsigned long long address;
  const char *dir; /* the victim's folder, with its sockets and files */
} v;

static char text[4096];

static const char *in_dir(const char *name) {
  snprintf(text, sizeof text, "%s/%s", v.dir, name);
  return text;
}

/* --- the victim ------------------------------------------------------------------------------- */

static volatile sig_atomic_t signals;

static void on_signal(int number) {
  (void)number;
  signals++;
}

static socklen_t unix_name(struct sockaddr_un *a, const char *path, bool abstract) {
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  snprintf(a->sun_path + abstract, sizeof a->sun_path - 1, "%s", path);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + strlen(path) + !abstract);
}

static int unix_open(int type, const char *name, bool abstract) {
  struct sockaddr_un a;
  int fd = socket(AF_UNIX, type, 0);
  socklen_t len = unix_name(&a, in_dir(name), abstract);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0) exit(1);
  if (type != SOCK_DGRAM && listen(fd, 50) != 0) exit(1);
  return fd;
}

static int inet_open(int type, int *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  int fd = socket(AF_INET, type, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0) exit(1);
  if (type == SOCK_STREAM && listen(fd, 50) != 0) exit(1);
  getsockname(fd, (struct sockaddr *)&a, &len);
  *port = ntohs(a.sin_port);
  return fd;
}

static void touch(const char *name, mode_t mode) {
  int fd = open(in_dir(name), O_CREAT | O_EXCL | O_WRONLY, mode);
  if (fd < 0 || write(fd, "secret", 6) != 6) exit(1);
  fchmod(fd, mode);
  close(fd);
}

static bool changed(const char *name, const struct stat *before) {
  struct stat now;
  char list[64];
  if (stat(in_dir(name), &now) != 0) return true;
  return now.st_mode != before->st_mode || now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
         now.st_size != before->st_size || listxattr(in_dir(name), list, sizeof list) > 0;
}

static void report_harm(const struct rlimit *limits, const cpu_set_t *cpus, const struct stat *file, int *fds,
                        size_t count) {
  struct rlimit r;
  cpu_set_t now;
  for (int i = 0; i < 16; i++)
    if (getrlimit(i, &r) != 0 || memcmp(&r, &limits[i], sizeof r) != 0) printf("harm: limit %d\n", i);
  if (signals) printf("harm: %d signals\n", (int)signals);
  if (getpriority(PRIO_PROCESS, 0) != 0) printf("harm: nice\n");
  if (sched_getscheduler(0) != SCHED_OTHER) printf("harm: scheduler\n");
  if (sched_getaffinity(0, sizeof now, &now) != 0 || !CPU_EQUAL(&now, cpus)) printf("harm: processors\n");
  if (syscall(SYS_ioprio_get, 1, 0) >> 13 > 2) printf("harm: io priority\n");
  if (changed("file", file)) printf("harm: the file\n");
  if (v.address != 0 && *(volatile int *)(uintptr_t)v.address != 42) printf("harm: memory\n");
  struct msqid_ds queue;
  if (msgctl(v.msg, IPC_STAT, &queue) != 0 || queue.msg_qnum > 0) printf("harm: message queue\n");
  if (semctl(v.sem, 0, GETVAL) != 1) printf("harm: semaphore\n");
  struct shmid_ds shared;
  if (shmctl(v.shm, IPC_STAT, &shared) != 0 || shared.shm_atime != 0) printf("harm: shared memory\n");
  for (size_t i = 0; i < count; i++) {
    struct pollfd p = {.fd = fds[i], .events = POLLIN};
    if (poll(&p, 1, 0) > 0) printf("harm: socket %zu\n", i);
  }
}

static int victim(const char *dir) {
  static int value = 42;
  struct rlimit limits[16];
  cpu_set_t cpus;
  struct stat file;
  char byte;
  v.dir = dir;
  for (int i = 1; i < 32; i++)
    if (i != SIGKILL && i != SIGSTOP && i != SIGSEGV && i != SIGTERM) signal(i, on_signal);
  touch("file", 0644);
  touch("secret", 0600);
  if (stat(in_dir("file"), &file) != 0 || mkfifo(in_dir("fifo"), 0600) != 0) return 1;
  int fds[] = {unix_open(SOCK_STREAM, "s", false),    unix_open(SOCK_DGRAM, "d", false),
               unix_open(SOCK_SEQPACKET, "q", false), unix_open(SOCK_STREAM, "s", true),
               unix_open(SOCK_DGRAM, "d", true),      inet_open(SOCK_STREAM, &v.tcp),
               inet_open(SOCK_DGRAM, &v.udp),         open(in_dir("fifo"), O_RDONLY | O_NONBLOCK)};
  v.shm = shmget(IPC_PRIVATE, 4096, 0600);
  v.msg = msgget(IPC_PRIVATE, 0600);
  v.sem = semget(IPC_PRIVATE, 1, 0600);
  semctl(v.sem, 0, SETVAL, 1);
  v.address = (unsigned long long)(uintptr_t)&value;
  for (int i = 0; i < 16; i++) getrlimit(i, &limits[i]);
  sched_getaffinity(0, sizeof cpus, &cpus);
  printf("%d %d %d %d %d %d %d %llu\n", (int)getpid(), v.shm, v.msg, v.sem, v.tcp, v.udp, fds[0], v.address);
  fflush(stdout);
  while (read(0, &byte, 1) != 0) {
  }
  /* the network is asked about by itself */
  report_harm(limits, &cpus, &file, fds, 5);
  printf("done\n");
  shmctl(v.shm, IPC_RMID, NULL);
  msgctl(v.msg, IPC_RMID, NULL);
  semctl(v.sem, 0, IPC_RMID);
  return 0;
}

/* --- attempts: 0 = it went through, else -1 and errno ----------------------------------------- */

static int in_path(int type, const char *name, bool abstract) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir(name), abstract);
  int fd = socket(AF_UNIX, type, 0);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, len);
}

static int sends(int fd, const char *name, bool abstract) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir(name), abstract);
  struct iovec part = {"x", 1};
  struct msghdr m = {.msg_name = &a, .msg_namelen = len, .msg_iov = &part, .msg_iovlen = 1};
  return fd < 0 || sendmsg(fd, &m, 0) != 1 ? -1 : 0;
}

static int try_unix_stream(void) { return in_path(SOCK_STREAM, "s", false); }
static int try_unix_dgram(void) { return in_path(SOCK_DGRAM, "d", false); }
static int try_unix_seqpacket(void) { return in_path(SOCK_SEQPACKET, "q", false); }
static int try_abstract_stream(void) { return in_path(SOCK_STREAM, "s", true); }
static int try_abstract_dgram(void) { return in_path(SOCK_DGRAM, "d", true); }
static int try_unix_sendmsg(void) { return sends(socket(AF_UNIX, SOCK_DGRAM, 0), "d", false); }
static int try_abstract_sendmsg(void) { return sends(socket(AF_UNIX, SOCK_DGRAM, 0), "d", true); }

static int try_unix_sendto(void) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir("d"), false);
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  return fd < 0 || sendto(fd, "x", 1, 0, (struct sockaddr *)&a, len) != 1 ? -1 : 0;
}

static int pair(int type) {
  int fds[2];
  return socketpair(AF_UNIX, type, 0, fds) == 0 ? fds[0] : -1;
}

static int try_pair_dgram_sendmsg(void) { return sends(pair(SOCK_DGRAM), "d", false); }
static int try_pair_raw_sendmsg(void) { return sends(pair(SOCK_RAW), "d", false); }

/* A connected socket takes no other name; some of them send to their own end without a word. */
static int reconnect(int type, const char *name) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir(name), false);
  int fd = pair(type);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, len);
}

static int try_pair_dgram_connect(void) { return reconnect(SOCK_DGRAM, "d"); }
static int try_pair_stream_connect(void) { return reconnect(SOCK_STREAM, "s"); }
static int try_pair_seqpacket_connect(void) { return reconnect(SOCK_SEQPACKET, "q"); }
static int try_pair_stream_sendmsg(void) { return sends(pair(SOCK_STREAM), "s", false); }

static int try_pair_high_bits(void) {
  int fds[2];
  if (syscall(SYS_socketpair, (1ull << 32) + AF_UNIX, SOCK_DGRAM, 0, fds) != 0) return -1;
  return sends(fds[0], "d", false);
}

static int try_socket_high_bits(void) {
  long fd = syscall(SYS_socket, (1ull << 32) + AF_UNIX, SOCK_DGRAM, 0);
  return fd < 0 ? -1 : sends((int)fd, "d", false);
}

static int try_unix_bind(void) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, "own.sock", false);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0) return -1;
  unlink("own.sock");
  return 0;
}

static int try_socketcall(void) {
#if defined(__x86_64__)
  long args[3] = {AF_UNIX, SOCK_STREAM, 0}, rc;
  unsigned low[3] = {AF_UNIX, SOCK_STREAM, 0};
  (void)args;
  unsigned *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (at == MAP_FAILED) return -1;
  memcpy(at, low, sizeof low);
  __asm__ volatile("int $0x80" : "=a"(rc) : "a"(102), "b"(1), "c"(at) : "memory", "r8", "r9", "r10", "r11");
  if ((int)rc < 0) return errno = -(int)rc, -1;
  return 0;
#else
  return errno = ENOSYS, -1;
#endif
}

static int try_x32_socket(void) {
#if defined(__x86_64__)
  return syscall(0x40000000 + SYS_socket, AF_UNIX, SOCK_STREAM, 0) < 0 ? -1 : 0;
#else
  return errno = ENOSYS, -1;
#endif
}

static int try_io_uring(void) {
  char params[256] = {0};
  return syscall(NR_io_uring_setup, 4, params) < 0 ? -1 : 0;
}

static int netlink(int protocol) { return socket(AF_NETLINK, SOCK_RAW, protocol) < 0 ? -1 : 0; }
static int try_netlink_usersock(void) { return netlink(2); }
static int try_netlink_diag(void) { return netlink(4); }
static int try_netlink_uevent(void) { return netlink(15); }

/* 1 means nothing: it is opened with others. */
static int try_odd_families(void) {
  int error = ENOSYS;
  for (int family = 3; family < 60; family++) {
    if (family == AF_INET6 || family == AF_NETLINK) continue;
    for (int type = 1; type <= 5; type++) {
      if (socket(family, type, 0) >= 0) {
        fprintf(stderr, "family %d type %d\n", family, type);
        return 0;
      }
      if (errno == EACCES) error = EACCES;
    }
  }
  return errno = error, -1;
}

/* --- the network ------------------------------------------------------------------------------ */

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
}

static int tcp(int protocol) {
  struct sockaddr_in a = loopback(v.tcp);
  int fd = socket(AF_INET, SOCK_STREAM, protocol);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof a);
}

static int try_net_tcp(void) { return tcp(0); }
static int try_net_mptcp(void) { return tcp(262); }

static int try_net_fast_open(void) {
  struct sockaddr_in a = loopback(v.tcp);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return fd < 0 || sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a) != 1 ? -1 : 0;
}

static int try_net_udp(void) {
  struct sockaddr_in a = loopback(v.udp);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  return fd < 0 || sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) != 1 ? -1 : 0;
}

static int try_net_netlink(void) { return netlink(0); }

/* --- limits and scheduling -------------------------------------------------------------------- */

/* The values it has, so that nobody is hurt where it goes through; but the victim's are made one lower. */
static int lower(pid_t pid, int which) {
  struct rlimit r;
  if (syscall(SYS_prlimit64, pid, which, NULL, &r) != 0) return -1;
  if (pid == v.pid) r.rlim_cur = r.rlim_cur == RLIM_INFINITY ? 1u << 30 : r.rlim_cur - 1;
  return syscall(SYS_prlimit64, pid, which, &r, NULL) == 0 ? 0 : -1;
}

static int try_prlimit_files(void) { return lower(v.pid, RLIMIT_NOFILE); }
static int try_prlimit_cpu(void) { return lower(v.pid, RLIMIT_CPU); }
static int try_prlimit_parent(void) { return lower(getppid() == 1 ? v.pid : (pid_t)getsid(0), RLIMIT_NOFILE); }
static int try_nice(void) { return setpriority(PRIO_PROCESS, (id_t)v.pid, 1); }
static int try_nice_group(void) { return setpriority(PRIO_PGRP, (id_t)getpgid(v.pid), 1); }
static int try_nice_user(void) { return setpriority(PRIO_USER, getuid(), getpriority(PRIO_USER, getuid())); }

static int try_affinity(void) {
  cpu_set_t cpus;
  if (sched_getaffinity(v.pid, sizeof cpus, &cpus) != 0) return -1;
  if (CPU_COUNT(&cpus) > 1) {
    int first = 0;
    while (!CPU_ISSET(first, &cpus)) first++;
    CPU_CLR(first, &cpus);
  }
  return sched_setaffinity(v.pid, sizeof cpus, &cpus);
}

static int try_scheduler(void) {
  struct sched_param p = {0};
  return sched_setscheduler(v.pid, SCHED_BATCH, &p);
}

static int try_sched_param(void) {
  struct sched_param p = {0};
  return sched_setparam(v.pid, &p);
}

static int try_sched_attr(void) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } a = {.size = 48, .policy = SCHED_BATCH};
  return (int)syscall(SYS_sched_setattr, v.pid, &a, 0);
}

static int try_io_priority(void) { return (int)syscall(SYS_ioprio_set, 1, v.pid, 3 << 13); }
static int try_io_priority_user(void) { return (int)syscall(SYS_ioprio_set, 3, getuid(), syscall(SYS_ioprio_get, 3, getuid())); }
static int try_core_scheduling(void) { return prctl(62, 2 /* share to */, v.pid, 0, 0); }

/* --- signals: of a kind that most do not hear ------------------------------------------------- */

static int try_kill(void) { return kill(v.pid, SIGWINCH); }
static int try_kill_group(void) { return kill(-getpgid(v.pid), SIGWINCH); }
static int try_tkill(void) { return (int)syscall(SYS_tkill, v.pid, SIGWINCH); }
static int try_tgkill(void) { return (int)syscall(SYS_tgkill, v.pid, v.pid, SIGWINCH); }

static int try_sigqueue(void) {
  siginfo_t info = {.si_signo = SIGWINCH, .si_code = SI_QUEUE};
  return (int)syscall(SYS_rt_sigqueueinfo, v.pid, SIGWINCH, &info);
}

static int try_tgsigqueue(void) {
  siginfo_t info = {.si_signo = SIGWINCH, .si_code = SI_QUEUE};
  return (int)syscall(SYS_rt_tgsigqueueinfo, v.pid, v.pid, SIGWINCH, &info);
}

static int pidfd(void) { return (int)syscall(NR_pidfd_open, v.pid, 0); }

static int try_pidfd_signal(void) {
  int fd = pidfd();
  return fd < 0 ? -1 : (int)syscall(NR_pidfd_send_signal, fd, SIGWINCH, NULL, 0);
}

/* The kernel judges when it sends, and says nothing: what counts is what the victim hears. */
static int owner(int how) {
  int fds[2];
  struct {
    int type, pid;
  } ex = {1, v.pid};
  if (pipe(fds) != 0) return -1;
  int rc = how == 0   ? fcntl(fds[0], F_SETOWN, v.pid)
           : how == 1 ? fcntl(fds[0], 15 /* F_SETOWN_EX */, &ex)
                      : ioctl(fds[0], 0x8901 /* FIOSETOWN */, &v.pid);
  if (rc != 0 || fcntl(fds[0], F_SETSIG, SIGWINCH) != 0) return -1;
  if (fcntl(fds[0], F_SETFL, O_ASYNC) != 0 || write(fds[1], "x", 1) != 1) return -1;
  return 0;
}

static int try_owner(void) { return owner(0); }
static int try_owner_ex(void) { return owner(1); }
static int try_owner_ioctl(void) { return owner(2); }

/* --- memory and state ------------------------------------------------------------------------- */

static int try_ptrace(void) { return (int)ptrace(PTRACE_SEIZE, v.pid, NULL, NULL); }

static int try_vm_read(void) {
  int got;
  struct iovec here = {&got, sizeof got}, there = {(void *)(uintptr_t)v.address, sizeof got};
  return process_vm_readv(v.pid, &here, 1, &there, 1, 0) == sizeof got ? 0 : -1;
}

static int try_vm_write(void) {
  int value = 13;
  struct iovec here = {&value, sizeof value}, there = {(void *)(uintptr_t)v.address, sizeof value};
  return process_vm_writev(v.pid, &here, 1, &there, 1, 0) == sizeof value ? 0 : -1;
}

static int try_madvise(void) {
  int fd = pidfd();
  struct iovec there = {(void *)(uintptr_t)(v.address & ~4095ull), 4096};
  return fd < 0 ? -1 : syscall(NR_process_madvise, fd, &there, 1, 20 /* cold */, 0) < 0 ? -1 : 0;
}

/* EINVAL: it looked, and the victim is not dying */
static int try_mrelease(void) {
  int fd = pidfd();
  if (fd < 0 || syscall(NR_process_mrelease, fd, 0) == 0) return fd < 0 ? -1 : 0;
  return errno == EINVAL ? 0 : -1;
}

static int try_getfd(void) {
  int fd = pidfd();
  return fd < 0 || syscall(NR_pidfd_getfd, fd, v.fd, 0) < 0 ? -1 : 0;
}

static int try_kcmp(void) { return syscall(SYS_kcmp, getpid(), v.pid, 2, 0, 0) < 0 ? -1 : 0; }

static int try_move_pages(void) {
  void *page = (void *)(uintptr_t)(v.address & ~4095ull);
  int node = 0, status = 0;
  return (int)syscall(SYS_move_pages, v.pid, 1ul, &page, &node, &status, 0);
}

static int try_migrate_pages(void) {
  unsigned long from = 1, to = 1;
  return syscall(SYS_migrate_pages, v.pid, 64ul, &from, &to) < 0 ? -1 : 0;
}

static int try_robust_list(void) {
  void *head;
  size_t len;
  return (int)syscall(SYS_get_robust_list, v.pid, &head, &len);
}

static int proc_open(const char *name, int how) {
  snprintf(text, sizeof text, "/proc/%d/%s", v.pid, name);
  int fd = open(text, how);
  return fd < 0 ? -1 : 0;
}

static int any_of(const char *const *names, size_t count, int how) {
  for (size_t i = 0; i < count; i++)
    if (proc_open(names[i], how) == 0) {
      fprintf(stderr, "/proc/PID/%s\n", names[i]);
      return 0;
    }
  return -1;
}

static int try_proc_read(void) {
  static const char *const names[] = {"mem",  "environ", "maps",  "smaps", "pagemap", "auxv",
                                      "fd/1", "root/",   "cwd/", "io",    "stack",   "syscall"};
  char byte[16];
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    snprintf(text, sizeof text, "/proc/%d/%s", v.pid, names[i]);
    int fd = open(text, O_RDONLY);
    bool opened_is_read = strcmp(names[i], "mem") == 0 || strchr(names[i], '/');
    if (fd >= 0 && (opened_is_read || read(fd, byte, sizeof byte) > 0)) {
      fprintf(stderr, "%s\n", names[i]);
      return 0;
    }
  }
  return -1;
}

static int try_proc_write(void) {
  static const char *const names[] = {"oom_score_adj",   "oom_adj", "mem",       "timerslack_ns", "autogroup", "clear_refs",
                                      "coredump_filter", "comm",    "setgroups", "sched",         "loginuid"};
  return any_of(names, COUNT_OF(names), O_WRONLY);
}

static int try_proc_link(void) {
  char target[256];
  snprintf(text, sizeof text, "/proc/%d/exe", v.pid);
  return readlink(text, target, sizeof target) < 0 ? -1 : 0;
}

static int try_perf(void) {
  struct {
    uint32_t type, size;
    uint64_t config, more[14];
  } a = {.type = 1, .size = 128};
  a.more[4] = 1 << 5; /* exclude_kernel */
  return syscall(SYS_perf_event_open, &a, v.pid, -1, -1, 0ul) < 0 ? -1 : 0;
}

static int try_setns(void) {
  int fd = pidfd();
  return fd < 0 ? -1 : (int)syscall(SYS_setns, fd, CLONE_NEWUTS);
}

/* --- objects that have no process ------------------------------------------------------------- */

static int try_shm_attach(void) { return shmat(v.shm, NULL, 0) == (void *)-1 ? -1 : 0; }
static int try_shm_own(void) {
  int id = shmget(IPC_PRIVATE, 4096, 0600);
  if (id < 0) return -1;
  shmctl(id, IPC_RMID, NULL);
  return 0;
}
static int try_shm_control(void) {
  struct shmid_ds d;
  return shmctl(v.shm, IPC_STAT, &d) == 0 ? shmctl(v.shm, IPC_SET, &d) : -1;
}
static int try_msg_send(void) {
  struct {
    long type;
    char text[4];
  } m = {1, "x"};
  return msgsnd(v.msg, &m, 1, IPC_NOWAIT);
}
static int try_msg_control(void) {
  struct msqid_ds d;
  return msgctl(v.msg, IPC_STAT, &d);
}
static int try_sem_take(void) {
  struct sembuf b = {0, -1, IPC_NOWAIT};
  return semop(v.sem, &b, 1);
}
static int try_sem_control(void) { return semctl(v.sem, 0, SETVAL, 7) < 0 ? -1 : 0; }

static int try_posix_queue(void) {
  long fd = syscall(SYS_mq_open, "stoke-probe", O_RDWR | O_CREAT, 0600, NULL);
  if (fd < 0) return -1;
  syscall(SYS_mq_unlink, "stoke-probe");
  return 0;
}

/* ENOENT: it looked. */
static int try_posix_queue_unlink(void) { return syscall(SYS_mq_unlink, "stoke-nothing") < 0 && errno != ENOENT ? -1 : 0; }

static int try_posix_shm(void) {
  int fd = open("/dev/shm/stoke-probe", O_RDWR | O_CREAT, 0600);
  if (fd < 0) return -1;
  unlink("/dev/shm/stoke-probe");
  return 0;
}

static int try_add_key(void) { return syscall(SYS_add_key, "user", "stoke-probe", "x", 1ul, -4) < 0 ? -1 : 0; }
static int try_keyctl(void) { return syscall(SYS_keyctl, 0, -4, 1) < 0 ? -1 : 0; }
static int try_request_key(void) {
  return syscall(SYS_request_key, "user", "stoke-probe", NULL, 0) < 0 && errno != ENOKEY ? -1 : 0;
}

/* --- files outside ---------------------------------------------------------------------------- */

static int try_read_file(void) { return open(in_dir("secret"), O_RDONLY) < 0 ? -1 : 0; }
static int try_write_file(void) { return open(in_dir("file"), O_WRONLY) < 0 ? -1 : 0; }
static int try_fifo(void) { return open(in_dir("fifo"), O_WRONLY | O_NONBLOCK) < 0 ? -1 : 0; }
static int try_list(void) { return open(v.dir, O_RDONLY | O_DIRECTORY) < 0 ? -1 : 0; }
static int try_link(void) { return link(in_dir("file"), "linked"); }
static int try_rename(void) { return rename(in_dir("file"), "renamed"); }
static int try_unlink(void) { return unlink(in_dir("file")); }
static int try_symlink(void) { return symlink("x", in_dir("link")); }
static int try_chmod(void) { return chmod(in_dir("file"), 0600); }
static int try_fchmodat(void) { return (int)syscall(SYS_fchmodat, AT_FDCWD, in_dir("file"), 0600); }
static int try_fchmodat2(void) { return (int)syscall(NR_fchmodat2, AT_FDCWD, in_dir("file"), 0600, 0); }

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

static int try_chown(void) { return chown(in_dir("file"), getuid(), getgid()); }
static int try_lchown(void) { return lchown(in_dir("file"), getuid(), getgid()); }
static int try_fchownat(void) { return fchownat(AT_FDCWD, in_dir("file"), getuid(), getgid(), 0); }

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

static int try_setxattr(void) { return setxattr(in_dir("file"), "user.x", "x", 1, 0); }
static int try_lsetxattr(void) { return lsetxattr(in_dir("file"), "user.x", "x", 1, 0); }
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
static int try_fanotify(void) { return syscall(SYS_fanotify_init, 0x200, 0) < 0 ? -1 : 0; }
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

static int try_setuid_chmod(void) { return left_with(S_ISUID, make_file() < 0 ? -1 : chmod("own.bit", 04755)); }
static int try_setgid_chmod(void) { return left_with(S_ISGID, make_file() < 0 ? -1 : chmod("own.bit", 02755)); }
static int try_setuid_fchmodat2(void) {
  return left_with(S_ISUID, make_file() < 0 ? -1 : (int)syscall(NR_fchmodat2, AT_FDCWD, "own.bit", 04755, 0));
}
static int try_setuid_fchmod(void) {
  int fd = open("own.bit", O_CREAT | O_WRONLY, 0644);
  return left_with(S_ISUID, fd < 0 ? -1 : fchmod(fd, 04755));
}
static int try_setuid_open(void) { return left_with(S_ISUID, open("own.bit", O_CREAT | O_WRONLY, 04755)); }
static int try_setgid_open(void) { return left_with(S_ISGID, open("own.bit", O_CREAT | O_WRONLY, 02755)); }
static int try_setuid_mknod(void) { return left_with(S_ISUID, mknod("own.bit", S_IFREG | 04755, 0)); }
static int try_device(void) { return left_with(S_IFCHR, mknod("own.bit", S_IFCHR | 0666, 0x103)); }
static int try_file_capability(void) {
  static const unsigned char cap[20] = {1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff};
  if (make_file() < 0) return -1;
  int rc = setxattr("own.bit", "security.capability", cap, sizeof cap, 0), error = errno;
  unlink("own.bit");
  errno = error;
  return rc;
}

/* --- the machine ------------------------------------------------------------------------------ */

static int unshares(int what) { return (int)syscall(SYS_unshare, what); }
static int try_unshare_user(void) { return unshares(CLONE_NEWUSER); }
static int try_unshare_mount(void) { return unshares(CLONE_NEWNS); }
static int try_unshare_net(void) { return unshares(CLONE_NEWNET); }
static int try_unshare_pid(void) { return unshares(CLONE_NEWPID); }
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
static int try_mount(void) { return (int)syscall(SYS_mount, "none", ".", "tmpfs", 0, NULL); }
static int try_open_tree(void) { return syscall(NR_open_tree, AT_FDCWD, "/", 0) < 0 ? -1 : 0; }
static int try_open_tree_attr(void) { return syscall(NR_open_tree_attr, AT_FDCWD, "/", 0, NULL, 0) < 0 ? -1 : 0; }
static int try_fsopen(void) { return syscall(NR_fsopen, "tmpfs", 0) < 0 ? -1 : 0; }
static int try_chroot(void) { return chroot("."); }
static int try_bpf(void) {
  uint32_t a[18] = {2, 4, 4, 1};
  return syscall(SYS_bpf, 0, a, sizeof a) < 0 ? -1 : 0;
}
static int try_userfaultfd(void) { return syscall(SYS_userfaultfd, 1) < 0 ? -1 : 0; }
static int try_quotactl(void) { return (int)syscall(SYS_quotactl, 0x800001 << 8, NULL, 0, NULL); }
static int try_acct(void) { return (int)syscall(SYS_acct, NULL); }
static int try_reboot(void) { return (int)syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL); }
static int try_swap(void) { return syscall(SYS_swapoff, "/nonexistent") < 0 && errno != ENOENT ? -1 : 0; }
static int try_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return clock_settime(CLOCK_REALTIME, &now);
}
static int try_host_name(void) {
  char name[65];
  return gethostname(name, sizeof name) == 0 ? sethostname(name, strlen(name)) : -1;
}
static int try_new_session(void) { return setsid() < 0 ? -1 : 0; }
static int try_new_group(void) { return setpgid(0, 0); }

/* --- the terminal, and what was left open ------------------------------------------------------ */

static int on_terminal(unsigned long request) {
  char room[256] = "x";
  for (int fd = 0; fd < 3; fd++)
    if (isatty(fd) && ioctl(fd, request, room) == 0) return 0;
  return -1;
}
static int try_type_key(void) { return on_terminal(TIOCSTI); }
static int try_console(void) { return on_terminal(TIOCLINUX); }

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

/* --- all of them ------------------------------------------------------------------------------ */

#define A(name) {#name, try_##name}
static const struct attempt {
  const char *name;
  int (*try)(void);
} attempts[] = {
    A(unix_stream), A(unix_dgram), A(unix_seqpacket), A(abstract_stream), A(abstract_dgram), A(unix_sendmsg),
    A(abstract_sendmsg), A(unix_sendto), A(pair_dgram_sendmsg), A(pair_raw_sendmsg), A(pair_dgram_connect),
    A(pair_stream_connect), A(pair_seqpacket_connect), A(pair_stream_sendmsg), A(pair_high_bits), A(socket_high_bits),
    A(unix_bind), A(socketcall), A(x32_socket), A(io_uring), A(netlink_usersock), A(netlink_diag), A(netlink_uevent),
    A(odd_families), A(net_tcp), A(net_mptcp), A(net_fast_open), A(net_udp), A(net_netlink), A(prlimit_files),
    A(prlimit_cpu), A(prlimit_parent), A(nice), A(nice_group), A(nice_user), A(affinity), A(scheduler), A(sched_param),
    A(sched_attr), A(io_priority), A(io_priority_user), A(core_scheduling), A(kill), A(kill_group), A(tkill), A(tgkill),
    A(sigqueue), A(tgsigqueue), A(pidfd_signal), A(owner), A(owner_ex), A(owner_ioctl), A(ptrace), A(vm_read),
    A(vm_write), A(madvise), A(mrelease), A(getfd), A(kcmp), A(move_pages), A(migrate_pages), A(robust_list),
    A(proc_read), A(proc_write), A(proc_link), A(perf), A(setns), A(shm_attach), A(shm_own), A(shm_control),
    A(msg_send), A(msg_control), A(sem_take), A(sem_control), A(posix_queue), A(posix_queue_unlink), A(posix_shm),
    A(add_key), A(keyctl), A(request_key), A(read_file), A(write_file), A(fifo), A(list), A(link), A(rename), A(unlink),
    A(symlink), A(chmod), A(fchmodat), A(fchmodat2), A(chmod_handle), A(chmod_magic_link), A(chmod_symlink),
    A(chmod_readable), A(times_readable), A(xattr_readable), A(flags_readable), A(lease_readable), A(chown), A(lchown),
    A(fchownat), A(chown_handle), A(utime), A(utimensat), A(futimesat), A(setxattr), A(lsetxattr), A(setxattrat),
    A(file_setattr), A(inotify), A(fanotify), A(file_handle), A(setuid_chmod), A(setgid_chmod), A(setuid_fchmodat2),
    A(setuid_fchmod), A(setuid_open), A(setgid_open), A(setuid_mknod), A(device), A(file_capability), A(unshare_user),
    A(unshare_mount), A(unshare_net), A(unshare_pid), A(clone_user), A(clone3), A(mount), A(open_tree),
    A(open_tree_attr), A(fsopen), A(chroot), A(bpf), A(userfaultfd), A(quotactl), A(acct), A(reboot), A(swap), A(clock),
    A(host_name), A(new_session), A(new_group), A(type_key), A(console), A(terminal_mode), A(terminal_size),
    A(terminal_read), A(descriptors)};

/* In a process of its own; the signals that are sent around are not for us. */
static void attempt(const struct attempt *a) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    alarm(10);
    errno = 0;
    int rc = a->try(), error = errno;
    _exit(rc == 0 ? 0 : error > 0 && error < 250 ? error : 254);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid)
    printf("%s: not tried (%s)\n", a->name, strerror(errno));
  else if (WIFSIGNALED(status))
    printf("%s: refused (signal %d)\n", a->name, WTERMSIG(status));
  else if (WEXITSTATUS(status) == 0)
    printf("%s: through\n", a->name);
  else
    printf("%s: refused (%s)\n", a->name, strerror(WEXITSTATUS(status)));
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

static int own_all(void) {
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
  own("mode of a folder", mkdir("own.d", 0777) == 0 && chmod("own.d", 02775) == 0 && fchmodat(AT_FDCWD, "own.d/", 0755, 0) == 0);
  own("times", utimensat(AT_FDCWD, "own.file", times, 0) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 1);
  own("times of an open file", futimens(fd, NULL) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec > 1);
  own("owner", lchown("own.file", getuid(), getgid()) == 0 && fchown(fd, (uid_t)-1, (gid_t)-1) == 0);
  own("link's times", symlink("own.file", "own.link") == 0 && utimensat(AT_FDCWD, "own.link", times, AT_SYMLINK_NOFOLLOW) == 0);
  own("mode over a link", chmod("own.link", 0600) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
  int dir = open("own.d", O_RDONLY | O_DIRECTORY);
  own("mode from a folder", openat(dir, "f", O_CREAT | O_WRONLY, 0600) >= 0 && fchmodat(dir, "../own.file", 0644, 0) == 0 &&
                                fchmodat(dir, "f", 0755, 0) == 0);
  own("attribute", setxattr("own.file", "user.x", "x", 1, 0) == 0 || errno == ENOTSUP);
  own("missing file", chmod("own.none", 0600) != 0 && errno == ENOENT);
  unlinkat(dir, "f", 0);
  unlink("own.link");
  unlink("own.file");
  rmdir("own.d");
  return 0;
}

/* --- how much ----------------------------------------------------------------------------------- */

static int forks(long count) {
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
  printf("%ld forks\n", made);
  return 0;
}

static int threads(long count) {
  long made = 0;
  pthread_attr_t small;
  pthread_t thread;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  while (made < count && pthread_create(&thread, &small, sleeper, NULL) == 0) made++;
  printf("%ld threads\n", made);
  return 0;
}

/* Megabytes, in steps, each page touched; how: 0 its own, 1 shared, 2 in files without a name. */
static int memory(long count, int how) {
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

static int file(long count) {
  static char block[1 << 20];
  int fd = open("own.big", O_CREAT | O_WRONLY | O_TRUNC, 0600);
  long made = 0;
  signal(SIGXFSZ, SIG_IGN);
  while (fd >= 0 && made < count && write(fd, block, sizeof block) == (ssize_t)sizeof block) made++;
  printf("%ld megabytes in a file\n", made);
  unlink("own.big");
  return 0;
}

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  long n = argc > 2 ? atol(argv[2]) : 0;
  if (strcmp(verb, "victim") == 0 && argc == 3) return victim(argv[2]);
  if (strcmp(verb, "own") == 0) return own_all();
  if (strcmp(verb, "forks") == 0) return forks(n);
  if (strcmp(verb, "threads") == 0) return threads(n);
  if (strcmp(verb, "memory") == 0) return memory(n, 0);
  if (strcmp(verb, "shared") == 0) return memory(n, 1);
  if (strcmp(verb, "memfd") == 0) return memory(n, 2);
  if (strcmp(verb, "file") == 0) return file(n);
  if (strcmp(verb, "try") != 0 || argc < 11) {
    fprintf(stderr, "usage: probe victim DIR | try DIR PID SHM MSG SEM TCP UDP FD ADDRESS [NAME] | own | forks N ...\n");
    return 2;
  }
  v.dir = argv[2];
  int *words[] = {&v.pid, &v.shm, &v.msg, &v.sem, &v.tcp, &v.udp, &v.fd};
  for (size_t i = 0; i < COUNT_OF(words); i++) *words[i] = atoi(argv[3 + i]);
  v.address = strtoull(argv[10], NULL, 10);
  for (size_t i = 0; i < COUNT_OF(attempts); i++)
    if (argc < 12 || strcmp(argv[11], attempts[i].name) == 0) attempt(&attempts[i]);
  return 0;
}

#else
#include <stdio.h>
int main(void) {
  printf("no Linux here\n");
  return 77;
}
#endif
