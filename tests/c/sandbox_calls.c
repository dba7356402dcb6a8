/* sandbox_calls.c - the supervisor of the sandbox, asked about calls that take the number of a process: those of the sandbox's
 * group go on, all else is refused, whatever numbers are given. Where Landlock keeps signals inside nobody asks about kill, so
 * the suite in the sandbox does not come here. */
#include "fence/sandbox.h"

#if defined(__linux__) && defined(HAVE_SECCOMP)

#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int failures;

static bool waits(void *ud) {
  (void)ud;
  return true;
}

/* 0: the kernel may go on. */
static int judged(int call, int64_t first, int64_t second, pid_t group, pid_t self) {
  const struct sandbox s = {0};
  struct seccomp_notif n;
  memset(&n, 0, sizeof n);
  n.id = 1;
  n.pid = (uint32_t)getpid();
  n.data.nr = call;
  n.data.args[0] = (uint64_t)first;
  n.data.args[1] = (uint64_t)second;
  struct call_answer a = call_judge(&s, &n, group, self, waits, NULL);
  return a.proceed ? 0 : a.error ? a.error : -1;
}

static void expect(const char *what, int got, int want) {
  if (got == want) return;
  failures++;
  printf("failed: %s: %d, not %d\n", what, got, want);
}

static void test_signals(pid_t me, pid_t ours, pid_t other) {
  expect("itself", judged(SYS_kill, me, SIGTERM, ours, 0), 0);
  expect("its group", judged(SYS_kill, 0, SIGTERM, ours, 0), 0);
  expect("its group, by number", judged(SYS_kill, -(int64_t)ours, SIGTERM, ours, 0), 0);
  expect("another's process", judged(SYS_kill, me, SIGTERM, other, 0), EPERM);
  expect("another group", judged(SYS_kill, -(int64_t)ours, SIGTERM, other, 0), EPERM);
  expect("the supervisor", judged(SYS_kill, me, SIGTERM, ours, me), EPERM);
  expect("everybody", judged(SYS_kill, -1, SIGTERM, ours, 0), EPERM);
  expect("everybody, where the group is the first", judged(SYS_kill, -1, SIGTERM, 1, 0), EPERM);
  expect("the least number", judged(SYS_kill, INT_MIN, SIGTERM, ours, 0), EPERM);
  expect("the largest number", judged(SYS_kill, INT_MAX, SIGTERM, ours, 0), ESRCH);
  expect("a thread", judged(SYS_tgkill, me, me, ours, 0), 0);
  expect("a thread of another's", judged(SYS_tgkill, me, me, other, 0), EPERM);
}

static void test_others(pid_t me, pid_t ours, pid_t other) {
  expect("own limits", judged(SYS_prlimit64, me, 0, ours, 0), 0);
  expect("another's limits", judged(SYS_prlimit64, me, 0, other, 0), EPERM);
  expect("a negative number", judged(SYS_prlimit64, -5, 0, ours, 0), EPERM);
  expect("own priority", judged(SYS_setpriority, PRIO_PROCESS, me, ours, 0), 0);
  expect("its group's priority", judged(SYS_setpriority, PRIO_PGRP, ours, ours, 0), 0);
  expect("another group's priority", judged(SYS_setpriority, PRIO_PGRP, ours, other, 0), EPERM);
  expect("a call that nobody asks about", judged(SYS_getpid, 0, 0, ours, 0), ENOSYS);
}

int main(void) {
  pid_t me = getpid(), ours = getpgid(0), other = ours + 1;
  test_signals(me, ours, other);
  test_others(me, ours, other);
  return failures > 0;
}

#else

int main(void) {
  return 0;
}

#endif
