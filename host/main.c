/* main.c - read top down: a host, the first task, the loop, the end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/console.h"
#include "fence/luabox.h"
#include "fence/sandbox.h"
#include "loop/signals.h"
#include "state.h"
#include "loop/watchdog.h"

#define FLUSH_LIMIT 2.0 /* seconds given to a slow reader of our output at the end */
#define SLICE_LIMIT 1.0 /* seconds a task may run without waiting before it is reported */

static int fail(const struct err *e) {
  fprintf(stderr, "stoke: %s\n", e->message);
  return 1;
}

int main(int argc, char **argv) {
  struct host h;
  struct err e;
  if (argc > 1 && strcmp(argv[1], "--exec-helper") == 0) return sandbox_main(argc, argv);
  if (argc > 1 && strcmp(argv[1], "--lua-eval") == 0) return luabox_main(argc, argv);
  err_clear(&e);
  console_guard();
  signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, reported by the writer */
  signal(SIGXFSZ, SIG_IGN); /* and so is a file that grew to its limit */
  mem_tune();
  if (!host_init(&h, &e)) return fail(&e);
  signals_catch(&h);
  if (!watchdog_open(&h, SLICE_LIMIT))
    fprintf(stderr, "stoke: no watchdog: a task that never waits will not be reported\n");
  int code = host_start(&h, argc, argv, &e) ? host_run(&h) : fail(&e);
  bool lost = !console_flush(&h, FLUSH_LIMIT) && console_lost(&h, &e);
  if (lost && e.code != EPIPE && code == 0) code = fail(&e); /* a full disk; a reader that is gone is no failure */
  if (!host_close(&h)) _exit(code);                          /* exit() would wait for the thread that is stuck */
  return code;
}
