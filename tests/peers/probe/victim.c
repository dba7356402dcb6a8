/* victim.c - see probe.c: the process that things are done to. */
#ifdef __linux__
#include "probe.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

struct victim v;
char text[4096];

const char *in_dir(const char *name) {
  snprintf(text, sizeof text, "%s/%s", v.dir, name);
  return text;
}

/* --- the victim ------------------------------------------------------------------------------- */

static volatile sig_atomic_t signals;

static void on_signal(int number) {
  (void)number;
  signals++;
}

socklen_t unix_name(struct sockaddr_un *a, const char *path, bool abstract) {
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

static int niceness; /* at its begin: the suite itself may run with some */

static void report_harm(const struct rlimit *limits, const cpu_set_t *cpus, const struct stat *file, int *fds,
                        size_t count) {
  struct rlimit r;
  cpu_set_t now;
  for (int i = 0; i < 16; i++)
    if (getrlimit(i, &r) != 0 || memcmp(&r, &limits[i], sizeof r) != 0) printf("harm: limit %d\n", i);
  if (signals) printf("harm: %d signals\n", (int)signals);
  if (getpriority(PRIO_PROCESS, 0) != niceness) printf("harm: nice\n");
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

int victim_main(const char *dir) {
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
  niceness = getpriority(PRIO_PROCESS, 0);
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

#endif
