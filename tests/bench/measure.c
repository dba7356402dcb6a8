/* measure.c - runs a command and says what it cost, the same way for every side of a comparison:
 *
 *   measure [--stop] COMMAND...
 *
 * prints first_ms= (start to its first line of output), rss_kb= (its memory at that line) and cpu_ms= (user and system
 * time of its whole life). --stop ends it after the first line. Fails when it prints nothing, takes longer than
 * LIMIT_SECONDS or, without --stop, fails. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_SECONDS = 60 };

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double ms(struct timeval t) {
  return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

static unsigned long resident_kb(pid_t child) {
  char path[64];
  unsigned long size = 0, resident = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", (int)child);
  FILE *f = fopen(path, "r");
  if (f == NULL) return 0;
  if (fscanf(f, "%lu %lu", &size, &resident) != 2) resident = 0;
  fclose(f);
  return resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

int main(int argc, char **argv) {
  bool stop = argc > 1 && strcmp(argv[1], "--stop") == 0;
  char **command = argv + 1 + stop;
  int out[2];
  if (argc < 2 + stop || pipe(out) < 0) return 2;
  double start = now_ms(), first = 0;
  pid_t child = fork();
  if (child == 0) {
    dup2(out[1], 1);
    close(out[0]);
    close(out[1]);
    alarm(LIMIT_SECONDS); /* survives exec */
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
  }
  close(out[1]);
  char bytes[4096];
  unsigned long rss = 0;
  ssize_t n;
  while ((n = read(out[0], bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR)) {
    if (first == 0 && n > 0 && memchr(bytes, '\n', (size_t)n) != NULL) {
      first = now_ms() - start;
      rss = resident_kb(child);
      if (stop) kill(child, SIGKILL);
    }
  }
  struct rusage used;
  int status;
  wait4(child, &status, 0, &used);
  if (first == 0 || (!stop && status != 0)) {
    fprintf(stderr, "measure: %s %s\n", command[0], first == 0 ? "printed nothing" : "failed");
    return 1;
  }
  printf("first_ms=%.3f rss_kb=%lu cpu_ms=%.3f\n", first, rss, ms(used.ru_utime) + ms(used.ru_stime));
  return 0;
}
