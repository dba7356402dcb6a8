/* probe.h - of tests/peers/probe: what its files share. See probe.c. Linux only. */
#ifndef PROBE_H
#define PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof *(a))

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

/* What the victim tells. */
struct victim {
  int pid, shm, msg, sem, tcp, udp, fd;
  unsigned long long address;
  const char *dir; /* its folder, with its sockets and files */
};
extern struct victim v;

/* 0 = it went through, else -1 and errno. Runs in a process of its own. */
struct attempt {
  const char *name;
  int (*try)(void);
};

#define A(name)                                                                                                        \
  { #name, try_##name }

/* Each ends with one without a name. */
extern const struct attempt socket_attempts[], process_attempts[], file_attempts[], machine_attempts[];

extern char text[4096];
const char *in_dir(const char *name); /* in the victim's folder; in `text` */
socklen_t unix_name(struct sockaddr_un *a, const char *path, bool abstract);

int victim_main(const char *dir);
int own_all(void);
int forks(long count), threads(long count), memory(long count, int how), file(long count);

#endif
