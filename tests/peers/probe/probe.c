/* probe.c - what can a process do to another one of the same user? `probe victim DIR` is the other one: it opens what services
 * open (sockets of each kind, queues, shared memory, a fifo) and tells where; when its standard input ends it tells what was
 * done to it. `probe try WORD...` gets these words, tries each way and prints one line for each: "NAME: through", or
 * "NAME: refused (REASON)". Each attempt is a process of its own, and none harms a machine without fences. `probe own` does what
 * programs do to themselves and to their children, `probe forks|threads|memory|shared|memfd|file N` how much of it.
 * Linux only: elsewhere it says so and ends with 77. */
#ifdef __linux__
#include "probe.h"

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

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  long n = argc > 2 ? atol(argv[2]) : 0;
  if (strcmp(verb, "victim") == 0 && argc == 3) return victim_main(argv[2]);
  if (strcmp(verb, "own") == 0) return own_all();
  if (strcmp(verb, "forks") == 0) return forks(n);
  if (strcmp(verb, "threads") == 0) return threads(n);
  if (strcmp(verb, "memory") == 0) return memory(n, 0);
  if (strcmp(verb, "shared") == 0) return memory(n, 1);
  if (strcmp(verb, "memfd") == 0) return memory(n, 2);
  if (strcmp(verb, "file") == 0) return file(n);
  if (strcmp(verb, "try") != 0 || argc < 11) {
    fprintf(stderr,
            "usage: probe victim DIR | try DIR PID SHM MSG SEM TCP UDP FD ADDRESS [NAME] | own | forks N ...\n");
    return 2;
  }
  v.dir = argv[2];
  int *words[] = {&v.pid, &v.shm, &v.msg, &v.sem, &v.tcp, &v.udp, &v.fd};
  for (size_t i = 0; i < COUNT_OF(words); i++) *words[i] = atoi(argv[3 + i]);
  v.address = strtoull(argv[10], NULL, 10);
  const struct attempt *const all[] = {socket_attempts, process_attempts, file_attempts, machine_attempts};
  for (size_t i = 0; i < COUNT_OF(all); i++)
    for (const struct attempt *a = all[i]; a->name; a++)
      if (argc < 12 || strcmp(argv[11], a->name) == 0) attempt(a);
  return 0;
}

#else
#include <stdio.h>

int main(void) {
  printf("no Linux here\n");
  return 77;
}
#endif
