/* keystroke.c - how long a key takes to be seen at the prompt while many streams run in the same process.
 *
 *   keystroke STREAMS KEYS PROGRAM     OLLAMA_HOST names the server, model "bench"
 *
 * Runs PROGRAM on a terminal of its own, starts the streams there, types KEYS letters one by one, and prints the time from the
 * write of a letter to the first byte that comes back: key=value, milliseconds. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 20 /* between two letters */

static char seen[1 << 16];

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fail(const char *what) {
  fprintf(stderr, "keystroke: %s\n%s\n", what, seen);
  exit(1);
}

static pid_t start(const char *program, int *master) {
  struct winsize size = {.ws_col = 200, .ws_row = 50};
  *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*master < 0 || grantpt(*master) != 0 || unlockpt(*master) != 0) fail("no terminal");
  (void)ioctl(*master, TIOCSWINSZ, &size);
  pid_t child = fork();
  if (child != 0) return child;
  setsid();
  int slave = open(ptsname(*master), O_RDWR);
  for (int fd = 0; fd <= 2; fd++) dup2(slave, fd);
  setenv("TERM", "xterm", 1);
  setenv("NO_COLOR", "1", 1);
  setenv("XDG_STATE_HOME", "/dev/null", 1);
  execl(program, program, "repl", (char *)NULL);
  _exit(127);
}

/* Bytes that come within `ms`; appended to what was seen, its older half dropped when it is full. */
static ssize_t take(int fd, int ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  size_t have = strlen(seen);
  if (have > sizeof seen / 2) {
    memmove(seen, seen + have / 2, have - have / 2 + 1);
    have -= have / 2;
  }
  if (poll(&p, 1, ms) <= 0) return 0;
  ssize_t n = read(fd, seen + have, sizeof seen / 2 - 1);
  if (n <= 0) fail("the program has ended");
  seen[have + (size_t)n] = '\0';
  return n;
}

static void wait_for(int fd, const char *text, double seconds) {
  double until = now_ms() + seconds * 1e3;
  while (!strstr(seen, text)) {
    if (now_ms() > until) fail(text);
    take(fd, 100);
  }
}

static void type(int fd, const char *text) {
  seen[0] = '\0';
  if (write(fd, text, strlen(text)) < 0) fail("cannot type");
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double one_key(int fd) {
  while (take(fd, PAUSE_MS) > 0) continue;
  double began = now_ms();
  type(fd, "a");
  while (take(fd, 1000) == 0) continue;
  return now_ms() - began;
}

int main(int argc, char **argv) {
  int fd;
  char entry[1024];
  if (argc != 4) return 2;
  int streams = atoi(argv[1]), keys = atoi(argv[2]);
  double *times = calloc((size_t)keys, sizeof *times);
  pid_t child = start(argv[3], &fd);
  if (!times || keys < 1) return 2;
  wait_for(fd, "> ", 20);
  snprintf(
      entry, sizeof entry,
      "begun, events = 0, 0 for i = 1, %d do stoke.spawn(function() local first = true for ev in ollama.stream { model "
      "= "
      "'bench', prompt = 'x' } do if first then begun, first = begun + 1, false end events = events + 1 end end) end "
      "print('sta' .. 'rted')\r",
      streams);
  type(fd, entry);
  wait_for(fd, "started", 20);
  snprintf(entry, sizeof entry,
           "while begun < %d do stoke.sleep(0.1) end before = events stoke.sleep(2) "
           "print('all', 'run', (events - before) // 2, 'each second')\r",
           streams);
  type(fd, entry);
  wait_for(fd, "\teach second", 120);
  take(fd, 100);
  long rate = strtol(strstr(seen, "all\trun\t") + 8, NULL, 10);
  for (int i = 0; i < keys; i++) times[i] = one_key(fd);
  qsort(times, (size_t)keys, sizeof *times, by_size);
  printf("streams=%d events_per_second=%ld median_ms=%.2f p99_ms=%.2f most_ms=%.2f\n", streams, rate, times[keys / 2],
         times[keys * 99 / 100], times[keys - 1]);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  free(times);
  return 0;
}
