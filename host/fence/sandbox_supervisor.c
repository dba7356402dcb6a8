/* sandbox_supervisor.c - see sandbox.h: the process between us and a sandboxed program. It leads the process group, is not
 * restricted itself, and has four duties: it reports the start, decides the calls passed to it, measures what its process tree
 * uses, and exits as the program does. It ignores signals to the group, which are meant for the program, except the end of a
 * child. */
#include "sandbox.h"

#ifdef __linux__

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#define ORPHANED   SIGUSR2 /* our process has ended; ignored if another process sends it */
#define TEXT_MAX   1000
#define TREE_MAX   65536 /* processes counted in one round */
#define LOOK_FIRST 10    /* milliseconds between two measurements; doubled while nothing changes */
#define LOOK_LAST  160
#define GLANCE     20 /* milliseconds between two checks for new processes */

struct supervisor {
  const struct sandbox *s;
  pid_t program, self, host;
  int channel, listener, signals;
  uint64_t tasks, memory; /* of the last measurement */
  uint64_t newest;        /* number of the last process of the machine, then */
  int pause;
  struct seccomp_notif *call;
  struct seccomp_notif_resp *answer;
};

/* --- how much it uses -------------------------------------------------------------------------- */

struct tree {
  pid_t *pids;
  size_t count, room;
};

static bool tree_add(struct tree *t, pid_t pid) {
  if (t->count == t->room) {
    size_t room = t->room ? t->room * 2 : 64;
    pid_t *pids = room <= TREE_MAX ? realloc(t->pids, room * sizeof *pids) : NULL;
    if (!pids) return false;
    t->pids = pids;
    t->room = room;
  }
  t->pids[t->count++] = pid;
  return true;
}

static size_t read_small(const char *path, char *out, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
  if (fd >= 0) close(fd);
  out[n > 0 ? n : 0] = 0;
  return n > 0 ? (size_t)n : 0;
}

/* The children of one thread. A number may be cut where a read ends. */
static bool add_children_of(struct tree *t, pid_t pid, const char *thread) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)pid, thread);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno != ENOENT || access("/proc/thread-self/children", F_OK) == 0;
  long number = 0;
  for (ssize_t n; (n = read(fd, text, sizeof text)) > 0;) {
    for (ssize_t i = 0; i < n; i++) {
      if (isdigit((unsigned char)text[i])) {
        number = number * 10 + (text[i] - '0');
      } else if (number > 0) {
        (void)tree_add(t, (pid_t)number);
        number = 0;
      }
    }
  }
  close(fd);
  return true;
}

/* Adds its children and counts its threads. false: this kernel does not list children. */
static bool add_children(struct tree *t, pid_t pid, uint64_t *threads) {
  char path[32];
  bool told = true;
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *dir = opendir(path);
  if (!dir) return true;
  for (struct dirent *entry; told && (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') continue;
    ++*threads;
    told = add_children_of(t, pid, entry->d_name);
  }
  closedir(dir);
  return told;
}

/* All processes of our group: none can leave it. */
static void add_group(struct tree *t, uint64_t *threads) {
  DIR *dir = opendir("/proc");
  pid_t group = getpgrp();
  if (!dir) return;
  for (struct dirent *entry; (entry = readdir(dir));) {
    pid_t pid = (pid_t)atoi(entry->d_name);
    if (pid <= 0 || pid == getpid() || getpgid(pid) != group || !tree_add(t, pid)) continue;
    ++*threads;
  }
  closedir(dir);
}

/* Three measures of memory use, each cheaper and higher than the next: all resident pages including files; private pages and
 * those shared with the parent since the fork; the proportional share, for which the kernel walks all pages. */
enum count { COUNT_ALL, COUNT_OWN, COUNT_SHARE };

static uint64_t memory_of(pid_t pid, enum count how) {
  static const char *const files[] = {"statm", "status", "smaps_rollup"}, *const fields[][2] = {
                                                                              {"", ""},
                                                                              {"\nRssAnon:", "\nRssShmem:"},
                                                                              {"\nPss_Anon:", "\nPss_Shmem:"}};
  char path[40], text[4096];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[how]);
  if (read_small(path, text, sizeof text) == 0) return 0;
  if (how == COUNT_ALL) {
    const char *resident = strchr(text, ' ');
    return resident ? strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
  }
  uint64_t kilobytes = 0;
  for (size_t i = 0; i < 2; i++) {
    const char *at = strstr(text, fields[how][i]);
    if (at) kilobytes += strtoull(at + strlen(fields[how][i]), NULL, 10);
  }
  return kilobytes * 1024;
}

static uint64_t memory_of_all(const struct tree *t, uint64_t limit) {
  uint64_t sum = 0;
  for (int how = COUNT_ALL; how <= COUNT_SHARE; how++) {
    uint64_t before = sum;
    sum = 0;
    for (size_t i = 0; i < t->count; i++) sum += memory_of(t->pids[i], (enum count)how);
    if (how == COUNT_SHARE && sum == 0) return before; /* not available in this kernel */
    if (sum <= limit) break;
  }
  return sum;
}

static void look(struct supervisor *v) {
  struct tree t = {0};
  uint64_t tasks = 0, own = 0;
  bool told = add_children(&t, v->self, &own);
  for (size_t i = 0; told && i < t.count; i++) told = add_children(&t, t.pids[i], &tasks);
  if (!told) {
    t.count = tasks = 0;
    add_group(&t, &tasks);
  }
  v->tasks = tasks;
  if (v->s->memory) v->memory = memory_of_all(&t, v->s->memory);
  free(t.pids);
}

/* --- the end ----------------------------------------------------------------------------------- */

/* Reports to the parent; errors go to a terminal when started by hand. */
static void tell(const char *line) {
  if (write(SANDBOX_REPORT, line, strlen(line)) < 0 && strncmp(line, "ok ", 3) != 0) fprintf(stderr, "stoke: %s", line);
}

/* The group with us in it. */
static _Noreturn void end_all(void) {
  (void)kill(-getpgrp(), SIGKILL);
  _exit(SANDBOX_EXIT);
}

static _Noreturn void end_over(const char *name) {
  char line[40];
  snprintf(line, sizeof line, "limit %s\n", name);
  tell(line);
  end_all();
}

/* Exits as the program did; our parent kills the processes it leaves behind. */
static _Noreturn void end_as(int status) {
  if (WIFSIGNALED(status)) {
    struct rlimit none = {0, 0};
    sigset_t one;
    int number = WTERMSIG(status);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(number, SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, number);
    (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
    (void)raise(number);
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void reap(const struct supervisor *v) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    if (pid == v->program) end_as(status);
}

static void take_signals(const struct supervisor *v) {
  struct signalfd_siginfo info;
  while (read(v->signals, &info, sizeof info) == sizeof info) {
    /* only that a process has ended, or may have */
  }
  if (getppid() != v->host) end_all();
  reap(v);
}

/* --- notified calls ----------------------------------------------------------------------------- */

#if defined(HAVE_SECCOMP) && defined(SCMP_ACT_NOTIFY)

static bool still_waits(void *ud) {
  struct supervisor *v = ud;
  return seccomp_notify_id_valid(v->listener, v->call->id) == 0;
}

static void take_call(struct supervisor *v) {
  memset(v->call, 0, sizeof *v->call);
  if (seccomp_notify_receive(v->listener, v->call) != 0) return; /* it was interrupted, or killed */
  struct call_answer a = call_judge(v->s, v->call, getpgrp(), v->self, still_waits, v);
  memset(v->answer, 0, sizeof *v->answer);
  v->answer->id = v->call->id;
  v->answer->error = -a.error;
  v->answer->flags = a.proceed ? 1u /* SECCOMP_USER_NOTIF_FLAG_CONTINUE */ : 0;
  (void)seccomp_notify_respond(v->listener, v->answer);
}

/* Caller and supervisor alternate, and Linux 6.6 and later can schedule them so. The sooner a call is received, the less likely
 * a signal interrupts it. */
static bool calls_open(struct supervisor *v) {
  const unsigned long take_turns = 1, set_flags = _IOW('!', 4, uint64_t);
  if (v->listener >= 0) (void)ioctl(v->listener, set_flags, take_turns);
  return v->listener < 0 || seccomp_notify_alloc(&v->call, &v->answer) == 0;
}

#else

static void take_call(struct supervisor *v) {
  (void)v;
}

static bool calls_open(struct supervisor *v) {
  (void)v;
  return true;
}

#endif

/* --- its life ------------------------------------------------------------------------------------ */

/* Process ids are assigned in order: how far they advanced shows whether many were created, anywhere on the machine. */
static uint64_t newest_process(void) {
  char text[128];
  const char *last = read_small("/proc/loadavg", text, sizeof text) ? strrchr(text, ' ') : NULL;
  return last ? strtoull(last, NULL, 10) : 0;
}

static bool many_are_made(const struct supervisor *v) {
  if (!v->s->processes) return false;
  uint64_t newest = newest_process();
  return newest < v->newest || newest - v->newest > v->s->processes / 8;
}

static int64_t since(const struct timespec *then, const struct timespec *now) {
  return (now->tv_sec - then->tv_sec) * 1000 + (now->tv_nsec - then->tv_nsec) / 1000000;
}

/* Schedules the next measurement: with many processes it is slow, and may use a tenth of the time. */
static void look_around(struct supervisor *v, struct timespec *last) {
  uint64_t tasks = v->tasks, memory = v->memory;
  struct timespec before;
  clock_gettime(CLOCK_MONOTONIC, &before);
  v->newest = newest_process();
  look(v);
  if (v->s->processes && v->tasks > v->s->processes) end_over("processes");
  if (v->s->memory && v->memory > v->s->memory) end_over("memory");
  bool calm = tasks == v->tasks && memory / 16 == v->memory / 16;
  v->pause = !calm ? LOOK_FIRST : v->pause < LOOK_LAST ? v->pause * 2 : LOOK_LAST;
  clock_gettime(CLOCK_MONOTONIC, last);
  int64_t took = since(&before, last);
  if (v->pause < took * 9) v->pause = (int)(took * 9);
}

static _Noreturn void supervise(struct supervisor *v) {
  struct pollfd watched[] = {{.fd = v->signals, .events = POLLIN}, {.fd = v->listener, .events = POLLIN}};
  struct timespec now, last;
  look_around(v, &last);
  v->pause = LOOK_FIRST;
  for (;;) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = v->pause - since(&last, &now);
    if (left <= 0 || many_are_made(v)) {
      look_around(v, &last);
      left = v->pause;
    }
    int wait = v->s->processes && left > GLANCE ? GLANCE : (int)left;
    if (poll(watched, watched[1].fd < 0 ? 1 : 2, wait) < 0 && errno != EINTR) end_all();
    if (watched[0].revents) take_signals(v);
    if (watched[1].revents & POLLIN)
      take_call(v);
    else if (watched[1].revents)
      watched[1].fd = -1; /* no process is left that could send one */
  }
}

/* Forwards the child's report until it executes the program; the listener comes with the first bytes. */
static bool take_start(struct supervisor *v) {
  char text[TEXT_MAX + 16];
  union {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  size_t len = 0;
  for (;;) {
    struct iovec part = {text + len, TEXT_MAX - len};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t n = recvmsg(v->channel, &m, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) memcpy(&v->listener, CMSG_DATA(c), sizeof(int));
    if (n <= 0) break;
    len += (size_t)n;
  }
  text[len] = 0;
  const char *failed = strstr(text, "failed ");
  bool started = strncmp(text, "ok ", 3) == 0 && !failed;
  if (started) strcpy(text + len, "started\n");
  tell(failed ? failed : text);
  return started;
}

/* Closes the program's descriptors here, so that readers of its pipes see their end. */
static void let_go(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; null >= 0 && fd <= 2; fd++) (void)dup2(null, fd);
  if (null > 2) close(null);
}

static _Noreturn void parent(struct supervisor *v) {
  sigset_t heard;
  int status;
  sigemptyset(&heard);
  sigaddset(&heard, SIGCHLD);
  sigaddset(&heard, ORPHANED);
  v->signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* other processes of the user must not read or write its memory */
  bool started = take_start(v);
  let_go();
  if (!started) {
    while (waitpid(v->program, &status, 0) < 0 && errno == EINTR) {
    }
    end_as(status);
  }
  if (v->signals < 0 || !calls_open(v)) end_all();
  close(v->channel);
  reap(v); /* the child may have exited already */
  supervise(v);
}

bool supervisor_start(const struct sandbox *s) {
  struct supervisor v = {.s = s, .self = getpid(), .host = getppid(), .listener = -1};
  int ends[2];
  sigset_t all, before;
  /* that number must not be a descriptor of ours */
  if (fcntl(SANDBOX_REPORT, F_GETFD) < 0 && open("/dev/full", O_WRONLY | O_CLOEXEC) < 0) return false;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  sigfillset(&all);
  bool ready = prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 && prctl(PR_SET_PDEATHSIG, ORPHANED, 0, 0, 0) == 0 &&
               getppid() == v.host && sigprocmask(SIG_SETMASK, &all, &before) == 0;
  v.program = ready ? fork() : -1;
  if (v.program > 0) {
    close(ends[1]);
    v.channel = ends[0];
    parent(&v);
  }
  if (ready) (void)sigprocmask(SIG_SETMASK, &before, NULL);
  if (v.program == 0 && dup3(ends[1], SANDBOX_REPORT, O_CLOEXEC) == SANDBOX_REPORT) {
    close(ends[0]);
    close(ends[1]);
    return true;
  }
  if (v.program == 0) _exit(SANDBOX_EXIT);
  close(ends[0]);
  close(ends[1]);
  return false;
}

bool supervisor_tell(const char *bytes, size_t len, int listener) {
  union {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {(void *)(uintptr_t)bytes, len};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
  if (listener >= 0) {
    m.msg_control = control.room;
    m.msg_controllen = sizeof control.room;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &listener, sizeof(int));
  }
  return sendmsg(SANDBOX_REPORT, &m, MSG_NOSIGNAL) == (ssize_t)len;
}

#else

bool supervisor_start(const struct sandbox *s) {
  (void)s;
  return false;
}

bool supervisor_tell(const char *bytes, size_t len, int listener) {
  (void)bytes;
  (void)len;
  (void)listener;
  return false;
}

#endif
