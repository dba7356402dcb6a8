/* processes.c - see probe.c: limits, scheduling, signals, memory, and objects that belong to a user. */
#ifdef __linux__
#include "probe.h"

#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/uio.h>

/* --- limits and scheduling -------------------------------------------------------------------- */

/* The values it has, so that nobody is hurt where it goes through; but the victim's are made one lower. */
static int lower(pid_t pid, int which) {
  struct rlimit r;
  if (syscall(SYS_prlimit64, pid, which, NULL, &r) != 0) return -1;
  if (pid == v.pid) r.rlim_cur = r.rlim_cur == RLIM_INFINITY ? 1u << 30 : r.rlim_cur - 1;
  return syscall(SYS_prlimit64, pid, which, &r, NULL) == 0 ? 0 : -1;
}

static int try_prlimit_files(void) {
  return lower(v.pid, RLIMIT_NOFILE);
}
static int try_prlimit_cpu(void) {
  return lower(v.pid, RLIMIT_CPU);
}
static int try_prlimit_parent(void) {
  return lower(getppid() == 1 ? v.pid : (pid_t)getsid(0), RLIMIT_NOFILE);
}
static int try_nice(void) {
  return setpriority(PRIO_PROCESS, (id_t)v.pid, 1);
}
static int try_nice_group(void) {
  return setpriority(PRIO_PGRP, (id_t)getpgid(v.pid), 1);
}
static int try_nice_user(void) {
  return setpriority(PRIO_USER, getuid(), getpriority(PRIO_USER, getuid()));
}

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

static int try_io_priority(void) {
  return (int)syscall(SYS_ioprio_set, 1, v.pid, 3 << 13);
}
static int try_io_priority_user(void) {
  return (int)syscall(SYS_ioprio_set, 3, getuid(), syscall(SYS_ioprio_get, 3, getuid()));
}
static int try_core_scheduling(void) {
  return prctl(62, 2 /* share to */, v.pid, 0, 0);
}

/* --- signals: of a kind that most do not hear ------------------------------------------------- */

static int try_kill(void) {
  return kill(v.pid, SIGWINCH);
}
static int try_kill_group(void) {
  return kill(-getpgid(v.pid), SIGWINCH);
}
static int try_tkill(void) {
  return (int)syscall(SYS_tkill, v.pid, SIGWINCH);
}
static int try_tgkill(void) {
  return (int)syscall(SYS_tgkill, v.pid, v.pid, SIGWINCH);
}

static int try_sigqueue(void) {
  siginfo_t info = {.si_signo = SIGWINCH, .si_code = SI_QUEUE};
  return (int)syscall(SYS_rt_sigqueueinfo, v.pid, SIGWINCH, &info);
}

static int try_tgsigqueue(void) {
  siginfo_t info = {.si_signo = SIGWINCH, .si_code = SI_QUEUE};
  return (int)syscall(SYS_rt_tgsigqueueinfo, v.pid, v.pid, SIGWINCH, &info);
}

static int pidfd(void) {
  return (int)syscall(NR_pidfd_open, v.pid, 0);
}

static int try_pidfd_signal(void) {
  int fd = pidfd();
  return fd < 0 ? -1 : (int)syscall(NR_pidfd_send_signal, fd, SIGWINCH, NULL, 0);
}

/* An open folder of /proc stands for the process. */
static int try_proc_signal(void) {
  snprintf(text, sizeof text, "/proc/%d", v.pid);
  int fd = open(text, O_RDONLY | O_DIRECTORY);
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

static int try_owner(void) {
  return owner(0);
}
static int try_owner_ex(void) {
  return owner(1);
}
static int try_owner_ioctl(void) {
  return owner(2);
}

/* --- memory and state ------------------------------------------------------------------------- */

static int try_ptrace(void) {
  return (int)ptrace(PTRACE_SEIZE, v.pid, NULL, NULL);
}

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

static int try_kcmp(void) {
  return syscall(SYS_kcmp, getpid(), v.pid, 2, 0, 0) < 0 ? -1 : 0;
}

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
  static const char *const names[] = {"mem",  "environ", "maps", "smaps", "pagemap", "auxv",
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
  static const char *const names[] = {"oom_score_adj", "oom_adj",         "mem",  "timerslack_ns", "autogroup",
                                      "clear_refs",    "coredump_filter", "comm", "setgroups",     "sched",
                                      "loginuid"};
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

static int try_shm_attach(void) {
  return shmat(v.shm, NULL, 0) == (void *)-1 ? -1 : 0;
}
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
static int try_sem_control(void) {
  return semctl(v.sem, 0, SETVAL, 7) < 0 ? -1 : 0;
}

static int try_posix_queue(void) {
  long fd = syscall(SYS_mq_open, "stoke-probe", O_RDWR | O_CREAT, 0600, NULL);
  if (fd < 0) return -1;
  syscall(SYS_mq_unlink, "stoke-probe");
  return 0;
}

/* ENOENT: it looked. */
static int try_posix_queue_unlink(void) {
  return syscall(SYS_mq_unlink, "stoke-nothing") < 0 && errno != ENOENT ? -1 : 0;
}

static int try_posix_shm(void) {
  int fd = open("/dev/shm/stoke-probe", O_RDWR | O_CREAT, 0600);
  if (fd < 0) return -1;
  unlink("/dev/shm/stoke-probe");
  return 0;
}

static int try_add_key(void) {
  return syscall(SYS_add_key, "user", "stoke-probe", "x", 1ul, -4) < 0 ? -1 : 0;
}
static int try_keyctl(void) {
  return syscall(SYS_keyctl, 0, -4, 1) < 0 ? -1 : 0;
}
static int try_request_key(void) {
  return syscall(SYS_request_key, "user", "stoke-probe", NULL, 0) < 0 && errno != ENOKEY ? -1 : 0;
}

const struct attempt process_attempts[] = {A(prlimit_files),   A(prlimit_cpu), A(prlimit_parent), A(nice),
                                           A(nice_group),      A(nice_user),   A(affinity),       A(scheduler),
                                           A(sched_param),     A(sched_attr),  A(io_priority),    A(io_priority_user),
                                           A(core_scheduling), A(kill),        A(kill_group),     A(tkill),
                                           A(tgkill),          A(sigqueue),    A(tgsigqueue),     A(pidfd_signal),
                                           A(proc_signal),     A(owner),       A(owner_ex),       A(owner_ioctl),
                                           A(ptrace),          A(vm_read),     A(vm_write),       A(madvise),
                                           A(mrelease),        A(getfd),       A(kcmp),           A(move_pages),
                                           A(migrate_pages),   A(robust_list), A(proc_read),      A(proc_write),
                                           A(proc_link),       A(perf),        A(setns),          A(shm_attach),
                                           A(shm_own),         A(shm_control), A(msg_send),       A(msg_control),
                                           A(sem_take),        A(sem_control), A(posix_queue),    A(posix_queue_unlink),
                                           A(posix_shm),       A(add_key),     A(keyctl),         A(request_key),
                                           {NULL, NULL}};

#endif
