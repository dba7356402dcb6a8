/* For the clients of servers that are measured: a server is a child, which prints its address first and ends with its parent. */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* Starts a server, and reads the port it listens at from its first line. */
static pid_t start(char **command, int *port) {
  int out[2];
  if (pipe(out) < 0) fail("pipe");
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out[1], 1);
    close(out[0]);
    close(out[1]);
    execvp(command[0], command);
    fail(command[0]);
  }
  close(out[1]);
  char line[128];
  FILE *f = fdopen(out[0], "r");
  if (f == NULL || fgets(line, sizeof line, f) == NULL || sscanf(line, "http://127.0.0.1:%d", port) != 1) {
    fprintf(stderr, "%s prints no URL\n", command[0]);
    exit(1);
  }
  return child;
}

static double clock_us(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) fail("clock_gettime");
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

#endif
