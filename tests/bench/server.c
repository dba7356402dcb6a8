/* server.c - the yardstick server: the smallest thing that answers like Ollama, in a process of its own, so that a
 * benchmark measures clients. Epoll, one thread, keep-alive, replies made once at start.
 *
 *   server        prints its address as its first line and serves until killed
 *
 * /api/chat with "stream":false gets one object; with "model":"tools" that is a tool call, until a tool has answered; with
 * "model":"held" nothing ever comes. With "model":"slow" one line now and one every SLOW_SECONDS until the client leaves;
 * else the whole stream of LINES chunks at once. Any other path gets a small object. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 256, SLOW_SECONDS = 5, REQUEST_MAX = 16384 };

struct reply {
  char *bytes;
  size_t len;
};

struct connection {
  int fd;
  size_t have;             /* bytes of the request in `in` */
  const struct reply *out; /* being written, NULL = reading */
  size_t sent;
  bool waits_out; /* EPOLLOUT is asked for */
  struct connection *next_slow, **prev_slow;
  char *in;
};

struct server {
  int epoll, listener;
  struct reply whole, call, stream, slow_head, slow_line, empty;
  struct connection *slow;
};

#define STAMP "\"model\":\"bench\",\"created_at\":\"2026-01-02T03:04:05.678901Z\","
#define USAGE                                                                                                          \
  "\"done\":true,\"done_reason\":\"stop\",\"total_duration\":900000000,\"load_duration\":"                             \
  "40000000,"                                                                                                          \
  "\"prompt_eval_count\":12,\"prompt_eval_duration\":30000000,\"eval_count\":256,\"eval_"                              \
  "duration\":500000000}"

static const char chunk_line[] =
    "{" STAMP "\"message\":{\"role\":\"assistant\",\"content\":\" word\"},\"done\":false}\n";
static const char last_line[] = "{" STAMP "\"message\":{\"role\":\"assistant\",\"content\":\"\"}," USAGE "\n";

static void append(struct reply *r, const char *bytes, size_t len) {
  r->bytes = realloc(r->bytes, r->len + len);
  if (r->bytes == NULL) abort();
  memcpy(r->bytes + r->len, bytes, len);
  r->len += len;
}

static void append_text(struct reply *r, const char *text) {
  append(r, text, strlen(text));
}

static void append_chunk(struct reply *r, const char *text) {
  char head[32];
  snprintf(head, sizeof head, "%zx\r\n", strlen(text));
  append_text(r, head);
  append_text(r, text);
  append_text(r, "\r\n");
}

static void append_whole(struct reply *r, const char *body) {
  char head[128];
  snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
           strlen(body));
  append_text(r, head);
  append_text(r, body);
}

static void make_replies(struct server *s) {
  static const char stream_head[] =
      "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
  char body[1024];
  snprintf(body, sizeof body, "{" STAMP "\"message\":{\"role\":\"assistant\",\"content\":\"%0250d\"}," USAGE, 0);
  append_whole(&s->whole, body);
  append_whole(&s->call,
               "{" STAMP
               "\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"call_1a2b3c4d\","
               "\"function\":{\"index\":0,\"name\":\"get_weather\",\"arguments\":{\"city\":\"Oslo\"}}}]}," USAGE);
  append_whole(&s->empty, "{\"models\":[],\"version\":\"0.0.0\"}");
  append_text(&s->stream, stream_head);
  for (int i = 0; i < LINES; i++) append_chunk(&s->stream, chunk_line);
  append_chunk(&s->stream, last_line);
  append_text(&s->stream, "0\r\n\r\n");
  append_text(&s->slow_head, stream_head);
  append_chunk(&s->slow_head, chunk_line);
  append_chunk(&s->slow_line, chunk_line);
}

static void drop(struct connection *c) {
  if (c->prev_slow != NULL) {
    *c->prev_slow = c->next_slow;
    if (c->next_slow != NULL) c->next_slow->prev_slow = c->prev_slow;
  }
  close(c->fd);
  free(c->in);
  free(c);
}

static void ask_out(struct server *s, struct connection *c, bool out) {
  if (c->waits_out == out) return;
  c->waits_out = out;
  struct epoll_event ev = {.events = EPOLLIN | (out ? (unsigned)EPOLLOUT : 0u), .data.ptr = c};
  epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/* Writes what the socket takes; false when the client is gone. */
static bool push(struct server *s, struct connection *c) {
  while (c->out != NULL) {
    ssize_t n = send(c->fd, c->out->bytes + c->sent, c->out->len - c->sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN) return false;
      ask_out(s, c, true);
      return true;
    }
    c->sent += (size_t)n;
    if (c->sent == c->out->len) c->out = NULL;
  }
  ask_out(s, c, false);
  return true;
}

static bool holds(const struct connection *c, const char *text) {
  return memmem(c->in, c->have, text, strlen(text)) != NULL;
}

/* Length of the whole request at the front of the buffer; 0 = not all here yet. */
static size_t request_length(const struct connection *c) {
  const char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  size_t head = (size_t)(end - c->in) + 4, body = 0;
  for (const char *p = c->in; p < end; p++) {
    if (*p == '\n' && strncasecmp(p + 1, "content-length:", 15) == 0) body = strtoul(p + 16, NULL, 10);
  }
  return c->have >= head + body ? head + body : 0;
}

static bool answer(struct server *s, struct connection *c) {
  size_t len = request_length(c);
  if (len == 0) return c->have < REQUEST_MAX;
  c->sent = 0;
  if (strncmp(c->in, "POST /api/chat ", 15) != 0) {
    c->out = &s->empty;
  } else if (holds(c, "\"held\"")) {
    c->out = NULL;
  } else if (holds(c, "\"stream\":false")) {
    c->out = holds(c, "\"tools\"") && !holds(c, "\"role\":\"tool\"") ? &s->call : &s->whole;
  } else if (holds(c, "\"slow\"")) {
    c->out = &s->slow_head;
    c->next_slow = s->slow;
    c->prev_slow = &s->slow;
    if (s->slow != NULL) s->slow->prev_slow = &c->next_slow;
    s->slow = c;
  } else {
    c->out = &s->stream;
  }
  c->have = 0; /* clients here do not pipeline */
  return push(s, c);
}

static bool readable(struct server *s, struct connection *c) {
  if (c->in == NULL && (c->in = malloc(REQUEST_MAX)) == NULL) abort();
  ssize_t n = recv(c->fd, c->in + c->have, REQUEST_MAX - c->have, 0);
  if (n <= 0) return n < 0 && errno == EAGAIN;
  c->have += (size_t)n;
  return answer(s, c);
}

static void accept_all(struct server *s) {
  for (;;) {
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) abort();
    c->fd = fd;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev);
  }
}

static void tick(struct server *s) {
  struct connection *next;
  for (struct connection *c = s->slow; c != NULL; c = next) {
    next = c->next_slow;
    if (c->out != NULL) continue;
    c->out = &s->slow_line;
    c->sent = 0;
    if (!push(s, c)) drop(c);
  }
}

static void listen_somewhere(struct server *s) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (bind(s->listener, (struct sockaddr *)&at, len) < 0 || listen(s->listener, 4096) < 0) {
    perror("server");
    exit(1);
  }
  getsockname(s->listener, (struct sockaddr *)&at, &len);
  printf("http://127.0.0.1:%d\n", ntohs(at.sin_port));
  fflush(stdout);
  s->epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = s});
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);
  struct server s = {0};
  make_replies(&s);
  listen_somewhere(&s);
  time_t last = time(NULL);
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(s.epoll, events, 256, 1000);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if ((void *)c == (void *)&s) {
        accept_all(&s);
        continue;
      }
      bool alive = true;
      if (events[i].events & EPOLLOUT) alive = push(&s, c);
      if (alive && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) alive = readable(&s, c);
      if (!alive) drop(c);
    }
    if (time(NULL) - last >= SLOW_SECONDS) {
      last = time(NULL);
      tick(&s);
    }
  }
}
