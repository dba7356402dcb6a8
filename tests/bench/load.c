/* load.c - asks a server for what it costs: starts it, keeps CONNECTIONS requests under way over as many connections, and
 * reads the server's CPU time before and after.
 *
 *   load N CONNECTIONS COMMAND...    the first line that COMMAND prints is its URL;  prints  request_us=   CPU per request
 *
 * As many requests again come first, uncounted. The server gets SIGTERM at the end and is waited
 * for, so that it can itself run in what counts (valgrind, strace). */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

enum { LIMIT_SECONDS = 120, REPLY_MAX = 4096 };

struct connection {
  int fd;
  size_t have;
  char in[REPLY_MAX];
};

static const char request[] =
    "GET /time?zone=utc HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n";

static void ask(const struct connection *c) {
  if (send(c->fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1)) fail("send");
}

static void connect_to(struct connection *c, int port, int epoll) {
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  c->have = 0;
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev);
}

/* Reads what has come; true when it makes a whole reply: a head and what its Content-Length says. */
static bool replied(struct connection *c) {
  ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - 1 - c->have, 0);
  if (n <= 0) fail("recv");
  c->have += (size_t)n;
  c->in[c->have] = 0;
  const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "\r\nContent-Length:");
  if (end == NULL) return false;
  if (strncmp(c->in, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > end) {
    fprintf(stderr, "load: not a reply that counts: %.60s\n", c->in);
    exit(1);
  }
  if (c->have < (size_t)(end - c->in) + 4 + strtoul(length + 17, NULL, 10)) return false;
  c->have = 0;
  return true;
}

static void run(struct connection *all, size_t connections, int epoll, size_t n) {
  size_t to_ask = n, under_way = 0;
  for (size_t i = 0; i < connections && to_ask > 0; i++, to_ask--, under_way++) ask(&all[i]);
  while (under_way > 0) {
    struct epoll_event events[64];
    int came = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < came; i++) {
      struct connection *c = events[i].data.ptr;
      if (!replied(c)) continue;
      under_way--;
      if (to_ask == 0) continue;
      ask(c);
      to_ask--;
      under_way++;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fputs("usage: load N CONNECTIONS COMMAND...\n", stderr);
    return 2;
  }
  alarm(LIMIT_SECONDS);
  size_t n = strtoul(argv[1], NULL, 10), connections = strtoul(argv[2], NULL, 10);
  int port, epoll = epoll_create1(EPOLL_CLOEXEC);
  pid_t server = start(argv + 3, &port);
  clockid_t clock;
  if (clock_getcpuclockid(server, &clock) != 0) fail("clock_getcpuclockid");
  struct connection *all = calloc(connections, sizeof *all);
  if (all == NULL) fail("calloc");
  for (size_t i = 0; i < connections; i++) connect_to(&all[i], port, epoll);
  run(all, connections, epoll, n);
  double before = clock_us(clock);
  run(all, connections, epoll, n);
  printf("request_us=%.2f\n", (clock_us(clock) - before) / (double)n);
  kill(server, SIGTERM);
  waitpid(server, NULL, 0);
  return 0;
}
