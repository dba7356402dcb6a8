/* streams.c - chats with a server and reads their answers as streams, and says what that costs the server:
 *
 *   streams chat N CONNECTIONS COMMAND...    line_ns=   CPU of the server per line; first_us= request to first line, median
 *   streams hold N COMMAND...                stream_bytes=   memory of the server per stream, all of them under way at once
 *
 * The first line that COMMAND prints is its URL, which may have a path. Before what counts, as many chats come uncounted; before the
 * streams that are held, one of them. The server gets SIGTERM at the end and is waited for. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

enum { LIMIT_SECONDS = 120, TAIL = 5 };

struct stream {
  int fd;
  bool head_read, begun;
  double asked_us;
  size_t lines, tail_len;
  char tail[TAIL]; /* the last bytes: "0\r\n\r\n" ends an answer */
  char head[1024];
  size_t head_len;
};

static char request[1024];
static size_t request_len;
static double *firsts;
static size_t first_count, begun_count, line_count;

static void make_request(void) {
  static const char body[] = "{\"model\":\"poet\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}";
  request_len = (size_t)snprintf(request, sizeof request,
                                 "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                 "Content-Length: %zu\r\n\r\n%s",
                                 sizeof body - 1, body);
}

static void ask(struct stream *s) {
  s->head_read = s->begun = false;
  s->lines = s->tail_len = s->head_len = 0;
  s->asked_us = clock_us(CLOCK_MONOTONIC);
  if (send(s->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len) fail("send");
}

static void connect_to(struct stream *s, int port, int epoll) {
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(s->fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &ev);
}

/* Takes what belongs to the head; how many bytes those are. */
static size_t take_head(struct stream *s, const char *bytes, size_t len) {
  size_t n = len < sizeof s->head - 1 - s->head_len ? len : sizeof s->head - 1 - s->head_len, before = s->head_len;
  memcpy(s->head + before, bytes, n);
  s->head_len += n;
  s->head[s->head_len] = 0;
  char *end = strstr(s->head, "\r\n\r\n");
  if (!end) return n;
  if (strncmp(s->head, "HTTP/1.1 200 ", 13) != 0) {
    fprintf(stderr, "streams: not an answer that counts: %.300s\n", s->head);
    exit(1);
  }
  s->head_read = true;
  return (size_t)(end + 4 - s->head) - before;
}

/* Counts the lines of an answer; true when it has ended. */
static bool take(struct stream *s, const char *bytes, size_t len) {
  if (!s->head_read) {
    size_t n = take_head(s, bytes, len);
    bytes += n;
    len -= n;
  }
  if (len == 0) return false;
  if (!s->begun) {
    s->begun = true;
    begun_count++;
    if (firsts) firsts[first_count++] = clock_us(CLOCK_MONOTONIC) - s->asked_us;
  }
  for (const char *at = bytes; (at = memmem(at, (size_t)(bytes + len - at), "}\n", 2)) != NULL; at += 2) line_count++;
  for (size_t i = len > TAIL ? len - TAIL : 0; i < len; i++) {
    if (s->tail_len == TAIL) memmove(s->tail, s->tail + 1, --s->tail_len);
    s->tail[s->tail_len++] = bytes[i];
  }
  return s->tail_len == TAIL && memcmp(s->tail, "0\r\n\r\n", TAIL) == 0;
}

static bool read_some(struct stream *s) {
  char bytes[65536];
  ssize_t n = recv(s->fd, bytes, sizeof bytes, 0);
  if (n <= 0) fail("recv");
  return take(s, bytes, (size_t)n);
}

static void chat(struct stream *all, size_t connections, int epoll, size_t n) {
  size_t to_ask = n, under_way = 0;
  for (size_t i = 0; i < connections && to_ask > 0; i++, to_ask--, under_way++) ask(&all[i]);
  while (under_way > 0) {
    struct epoll_event events[64];
    int came = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < came; i++) {
      struct stream *s = events[i].data.ptr;
      if (!read_some(s)) continue;
      under_way--;
      if (to_ask == 0) continue;
      ask(s);
      to_ask--;
      under_way++;
    }
  }
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void do_chats(size_t n, size_t connections, pid_t server, int port) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct stream *all = calloc(connections, sizeof *all);
  clockid_t clock;
  if (all == NULL || clock_getcpuclockid(server, &clock) != 0) fail("calloc");
  for (size_t i = 0; i < connections; i++) connect_to(&all[i], port, epoll);
  chat(all, connections, epoll, n);
  firsts = calloc(n, sizeof *firsts);
  if (firsts == NULL) fail("calloc");
  line_count = 0;
  double before = clock_us(clock);
  chat(all, connections, epoll, n);
  double took = clock_us(clock) - before;
  qsort(firsts, first_count, sizeof *firsts, by_size);
  printf("line_ns=%.1f lines=%zu first_us=%.1f\n", took * 1e3 / (double)line_count, line_count / n, firsts[first_count / 2]);
}

static double resident(pid_t child) {
  char path[64];
  unsigned long size = 0, pages = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", (int)child);
  FILE *f = fopen(path, "r");
  if (f == NULL || fscanf(f, "%lu %lu", &size, &pages) != 2) fail("statm");
  fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Until so many answers have begun. */
static void wait_for(int epoll, size_t count) {
  while (begun_count < count) {
    struct epoll_event events[64];
    int came = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < came; i++) (void)read_some(events[i].data.ptr);
  }
}

static void do_hold(size_t n, pid_t server, int port) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct stream *all = calloc(n + 1, sizeof *all);
  if (all == NULL) fail("calloc");
  double before = 0;
  for (size_t i = 0; i <= n; i++) {
    connect_to(&all[i], port, epoll);
    ask(&all[i]);
    if (i > 0) continue;
    wait_for(epoll, 1);
    before = resident(server);
  }
  wait_for(epoll, n + 1);
  sleep(2); /* and the server has collected what it need not hold */
  printf("stream_bytes=%.0f\n", (resident(server) - before) / (double)n);
}

int main(int argc, char **argv) {
  bool hold = argc > 3 && strcmp(argv[1], "hold") == 0;
  if (!hold && (argc < 5 || strcmp(argv[1], "chat") != 0)) {
    fputs("usage: streams chat N CONNECTIONS COMMAND... | streams hold N COMMAND...\n", stderr);
    return 2;
  }
  alarm(LIMIT_SECONDS);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  make_request();
  int port;
  size_t n = strtoul(argv[2], NULL, 10);
  pid_t server = start(argv + (hold ? 3 : 4), &port);
  if (hold)
    do_hold(n, server, port);
  else
    do_chats(n, strtoul(argv[3], NULL, 10), server, port);
  fflush(stdout);
  kill(server, SIGTERM);
  waitpid(server, NULL, 0);
  return 0;
}
