/* random.c - a server whose answers are drawn by chance, for tests/fuzz/net.lua. It prints its port and serves until it is
 * killed. The first number in the target of a request is the seed of its answer, which depends on nothing else but whether
 * the connection has served before; so an answer can be played again. GET /stats tells what it saw, GET /plain is answered
 * well, GET /slow after 20 ms. After GET /restart each connection that is open by then dies at its next request. It is asked as a proxy, too: CONNECT gets answers like any other method.
 * A thread for each connection, blocking calls. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define HEAD_MAX   (64 * 1024)
#define FLOOD_MAX  (96 << 20) /* bytes of a part without end */
#define MODEL_MAX  (24 << 20) /* the same for a model's answer, of which clients take much */
#define COUNT(a)   (sizeof(a) / sizeof *(a))
#define PICK(d, a) (a)[below(d, COUNT(a))]

/* How a connection goes on after an answer. */
enum ending { KEEP, CLOSE, RESET, HANG, HALF, SOON };

struct draw {
  uint64_t state; /* of the generator */
  char *out;
  size_t len, size;
  const char *flood; /* repeated after `out`, as if without end; NULL = nothing is */
  enum ending ending;
};

static struct {
  atomic_int connections, open, requests, restarts;
  atomic_llong most; /* bytes one answer got rid of */
  atomic_llong most_seed;
} stats;

/* --- chance ----------------------------------------------------------------------------------------------------------- */

static uint64_t next(struct draw *d) { /* splitmix64 */
  uint64_t z = d->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static size_t below(struct draw *d, size_t n) {
  return (size_t)(next(d) % n);
}

static bool chance(struct draw *d, size_t percent) {
  return below(d, 100) < percent;
}

/* --- text ------------------------------------------------------------------------------------------------------------- */

static void put(struct draw *d, const char *bytes, size_t len) {
  if (d->len + len + 1 > d->size) {
    d->size = (d->len + len + 1) * 2;
    d->out = realloc(d->out, d->size);
    if (!d->out) abort();
  }
  memcpy(d->out + d->len, bytes, len);
  d->len += len;
}

static void say(struct draw *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct draw *d, const char *fmt, ...) {
  char text[1024];
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  put(d, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void fill(struct draw *d, char c, size_t n) {
  char block[4096];
  memset(block, c, sizeof block);
  for (; n; n -= n < sizeof block ? n : sizeof block) put(d, block, n < sizeof block ? n : sizeof block);
}

/* --- heads ------------------------------------------------------------------------------------------------------------ */

static const char *line_end(struct draw *d) {
  static const char *const odd[] = {"\n", "\r\r\n", " \r\n", "\r", "\n\r", "\r\n\t\r\n", "\r\n \r\n"};
  return chance(d, 93) ? "\r\n" : PICK(d, odd);
}

static void status_line(struct draw *d) {
  static const char *const odd[] = {"HTTP/1.0 200 OK",
                                    "HTTP/1.1 200",
                                    "HTTP/1.1  200  OK",
                                    "HTTP/2 200",
                                    "HTTP/2.0 200 OK",
                                    "HTTP/3 200",
                                    "HTTP/1.1 999 What",
                                    "HTTP/1.1 000 Zero",
                                    "HTTP/1.1 20 Short",
                                    "HTTP/1.1 2000 Long",
                                    "HTTP/1.1 -1 Minus",
                                    "http/1.1 200 OK",
                                    "HTTP/1.1\t200\tOK",
                                    "HTTP/9.9 200 OK",
                                    "HTTP/1.1",
                                    "ICY 200 OK",
                                    "HTP/1.1 200 OK",
                                    "HTTP/1.1 101 Switching Protocols",
                                    "HTTP/1.1 204 No Content",
                                    "HTTP/1.1 205 Reset",
                                    "HTTP/1.1 304 Not Modified",
                                    "HTTP/1.1 206 Partial",
                                    "HTTP/1.1 407 Proxy",
                                    "HTTP/1.1 417 Expectation Failed",
                                    "HTTP/1.1 421 Misdirected"};
  static const int statuses[] = {200, 200, 201, 301, 302, 303, 307, 308, 400, 401,
                                 403, 404, 407, 413, 429, 499, 500, 502, 503, 504};
  if (chance(d, 10))
    say(d, "%s%s", PICK(d, odd), line_end(d));
  else
    say(d, "HTTP/1.1 %d Drawn%s", chance(d, 60) ? 200 : PICK(d, statuses), line_end(d));
}

/* clang-format off */
static const char *const odd_lines[] = {
    " A: b", "\tA: b", " ", "no colon here", ": no name", "A : b", "A:", "A: b\r\n c", "A: b\r\n\tc\r\n d",
    "A:\r\n b", "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 5, 5",
    "Content-Length: 0x10", "Content-Length:", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: what", "Transfer-Encoding:", "Content-Encoding: gzip", "Content-Encoding: deflate",
    "Content-Encoding: br", "Content-Encoding: zstd", "Content-Encoding: what",
    "Content-Encoding: gzip, gzip, gzip, gzip, gzip, gzip", "Connection: close", "Connection: keep-alive, Upgrade",
    "Upgrade: h2c", "Keep-Alive: timeout=0", "Trailer: X", "Set-Cookie: a=b; Domain=.", "Location: /plain",
    "Location: //", "Location: http://", "Location: http://[", "Location: ftp://a/", "Location:",
    "Location: http://127.0.0.1:1/", "Location: file:///etc/passwd", "Location: /%00%0d%0aX", "Location: ?1",
    "WWW-Authenticate: Basic", "WWW-Authenticate: NTLM", "WWW-Authenticate: Negotiate", "Proxy-Authenticate: Digest",
    "WWW-Authenticate: Digest realm=\"", "Alt-Svc: h2=\":1\"", "Strict-Transport-Security: max-age=1",
    "Retry-After: 0", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: -5", "Content-Range: bytes 5-4/3",
    "Last-Modified: never", "HTTP/1.1 200 OK", "Content-Type: \x80\xff\xfe", "X: \x01\x02\x7f",
};
/* clang-format on */

static void odd_line(struct draw *d) {
  if (chance(d, 4)) { /* a byte of no text */
    put(d, "X-Nul: a\0b\r\n", 12);
    return;
  }
  if (chance(d, 4)) {
    say(d, "%s", chance(d, 50) ? "X-Long: " : "Location: /");
    fill(d, 'x', 1000 + below(d, 300000));
  } else {
    say(d, "%s", PICK(d, odd_lines));
  }
  say(d, "%s", line_end(d));
}

static void lines(struct draw *d) {
  size_t n = chance(d, 50) ? 0 : below(d, 5);
  if (chance(d, 1)) n = 3000;
  if (chance(d, 12)) say(d, "%cA: b\r\n", chance(d, 50) ? ' ' : '\t'); /* goes on, but there is nothing before it */
  for (; n; n--)
    if (chance(d, 55))
      odd_line(d);
    else
      say(d, "X-%zu: %0*d\r\n", below(d, 9), (int)below(d, 60) + 1, 0);
}

/* Answers before the answer. */
static void interim(struct draw *d) {
  static const int statuses[] = {100, 100, 102, 103, 199, 101};
  size_t n = chance(d, 90) ? 0 : chance(d, 95) ? 1 + below(d, 3) : 5000;
  for (; n; n--) {
    say(d, "HTTP/1.1 %d Interim\r\n", PICK(d, statuses));
    if (chance(d, 30)) lines(d);
    say(d, "\r\n");
  }
}

/* --- bodies ----------------------------------------------------------------------------------------------------------- */

static void text(struct draw *d, size_t *at, size_t *len) {
  static const char chat[] =
      "{\"model\":\"m\",\"created_at\":\"2026-01-01T00:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"}"
      ","
      "\"done\":false}\n{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"
      "\"done_reason\":\"stop\",\"eval_count\":3,\"prompt_eval_count\":4}\n";
  static const char reply[] =
      "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"done\":true}\n";
  static const char events[] = "data: one\n\nevent: two\r\ndata: {}\r\n\r\n: comment\n\ndata: end";
  *at = d->len;
  switch (below(d, 7)) {
    case 0:
    case 1: say(d, "%s", chat); break;
    case 2: say(d, "%s", reply); break;
    case 3: say(d, "%s", events); break;
    case 4: fill(d, 'x', below(d, 200000)); break;
    case 5:
      put(d, "\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c\x4a\x06\0\xc2\x41\x24\x35\x03\0\0\0", 23);
      break; /* gzip: abc */
    default:
      for (size_t n = below(d, 300); n; n--) put(d, (char[]){(char)next(d)}, 1);
      break;
  }
  *len = d->len - *at;
}

static void trailers(struct draw *d) {
  size_t n = chance(d, 80) ? 0 : 1 + below(d, 3);
  if (chance(d, 3)) {
    d->flood = chance(d, 50) ? "X-Trailer: 0123456789012345678901234567890123456789\r\n" : "x";
    return;
  }
  for (; n; n--)
    if (chance(d, 60))
      odd_line(d);
    else
      say(d, "X-Late: %zu\r\n", n);
  if (chance(d, 97)) say(d, "%s", line_end(d));
}

static void chunked(struct draw *d, const char *bytes, size_t len) {
  static const char *const faults[] = {
      "zz\r\n",  "-1\r\n", "ffffffffffffffff\r\n", "fffffffffffffffff\r\n", "\r\n",       " 5\r\n",
      "0x5\r\n", "5;\r\n", "7fffffff\r\n",         "5 \r\nabcde\r\n",       "5\nabcde\n", "00000000000000000000"};
  for (size_t part; len; bytes += part, len -= part) {
    part = 1 + below(d, len < 5000 ? len : 5000);
    if (chance(d, 1)) say(d, "%s", PICK(d, faults));
    say(d, "%zx", part);
    if (chance(d, 2)) {
      say(d, ";ext=");
      fill(d, 'e', below(d, 100000));
    }
    say(d, "%s", chance(d, 99) ? "\r\n" : "\n");
    put(d, bytes, part);
    if (chance(d, 99)) say(d, "%s", chance(d, 99) ? "\r\n" : "\n");
  }
  if (chance(d, 2)) {
    say(d, "5");
    d->flood = ";extension-without-end";
    return;
  }
  if (chance(d, 96)) {
    say(d, "0\r\n");
    trailers(d);
  }
}

/* --- whole answers ------------------------------------------------------------------------------------------------------ */

static void good(struct draw *d, bool head_only) {
  size_t at, len;
  text(d, &at, &len);
  char *body = malloc(len + 1);
  if (!body) abort();
  if (len) memcpy(body, d->out + at, len);
  d->len = at;
  say(d, "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n");
  if (chance(d, 50)) {
    say(d, "Content-Length: %zu\r\n\r\n", len);
    if (!head_only) put(d, body, len);
  } else {
    say(d, "Transfer-Encoding: chunked\r\n\r\n");
    if (!head_only) say(d, "%zx\r\n", len);
    if (!head_only) put(d, body, len);
    if (!head_only) say(d, len ? "\r\n0\r\n\r\n" : "\r\n");
  }
  free(body);
}

static void framed(struct draw *d, bool head_only) {
  size_t at, len;
  struct draw body = {.state = next(d)};
  text(&body, &at, &len);
  switch (below(d, 8)) {
    case 0: break; /* until the end of the connection */
    case 1: say(d, "Content-Length: %zu\r\n", len + below(d, 50)); break;
    case 2: say(d, "Content-Length: %zu\r\n", len - (len ? below(d, len) : 0)); break;
    case 3:
    case 4: say(d, "Content-Length: %zu\r\n", len); break;
    default: say(d, "Transfer-Encoding: chunked\r\n"); break;
  }
  bool is_chunked = d->len > 12 && memcmp(d->out + d->len - 9, "chunked\r\n", 9) == 0;
  if (chance(d, 96)) say(d, "%s", line_end(d));
  if (!head_only || chance(d, 5)) {
    if (is_chunked)
      chunked(d, body.out + at, len);
    else
      put(d, body.out ? body.out + at : "", len);
  }
  free(body.out);
}

static void answer(struct draw *d, bool head_only) {
  static const enum ending endings[] = {KEEP, KEEP, KEEP, CLOSE, RESET, HANG, HALF, SOON};
  static const char *const floods[] = {"X: y\r\n",
                                       "x",
                                       "HTTP/1.1 100 Continue\r\n\r\n",
                                       " folded\r\n",
                                       "\r\n",
                                       "Set-Cookie: a=0123456789\r\n",
                                       "Location: /plain\r\n"};
  d->ending = PICK(d, endings);
  if (chance(d, 45)) {
    good(d, head_only);
    if (d->ending != RESET && d->ending != HANG) d->ending = chance(d, 90) ? KEEP : SOON;
    return;
  }
  if (chance(d, 3)) say(d, "%s", chance(d, 50) ? "\r\n" : "\r\n\r\n\n");
  interim(d);
  status_line(d);
  lines(d);
  if (chance(d, 4))
    d->flood = PICK(d, floods);
  else
    framed(d, head_only);
  if (!d->flood && chance(d, 3)) d->flood = "0123456789\n";
  if (chance(d, 6) && d->len) d->len = below(d, d->len);                    /* cut */
  if (chance(d, 3) && d->len) d->out[below(d, d->len)] = (char)next(d);     /* damaged */
  if (chance(d, 4)) say(d, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); /* nobody asked for it */
}

/* --- connections ------------------------------------------------------------------------------------------------------ */

static void rest(size_t ms) {
  struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
  nanosleep(&t, NULL);
}

static bool send_all(int fd, const char *bytes, size_t len, long long *sent) {
  while (len) {
    ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes += n;
    len -= (size_t)n;
    *sent += n;
  }
  return true;
}

static bool deliver(struct draw *d, int fd, long long most, long long *sent) {
  size_t pace = below(d, 10), naps = 20;
  for (size_t at = 0, part; at < d->len; at += part) {
    part = pace < 6 ? d->len : pace < 8 ? 1 + below(d, 3000) : 1 + below(d, 40);
    if (part > d->len - at) part = d->len - at;
    if (!send_all(fd, d->out + at, part, sent)) return false;
    if (pace > 7 && naps && chance(d, 30)) naps--, rest(below(d, 4));
  }
  if (!d->flood) return true;
  char block[8192];
  size_t unit = strlen(d->flood), used = sizeof block / unit * unit;
  for (size_t i = 0; i < used; i += unit) memcpy(block + i, d->flood, unit);
  while (*sent < most)
    if (!send_all(fd, block, used, sent)) return false;
  return false;
}

/* Until the client has gone, for ten seconds at most. */
static void wait_for_end(int fd) {
  struct pollfd f = {fd, POLLIN, 0};
  char bytes[4096];
  for (int i = 0; i < 100; i++)
    if (poll(&f, 1, 100) > 0 && recv(fd, bytes, sizeof bytes, 0) <= 0) return;
}

static bool end_with(int fd, enum ending ending) {
  struct linger now = {1, 0};
  switch (ending) {
    case KEEP: return true;
    case RESET: setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); return false;
    case HANG: wait_for_end(fd); return false;
    case HALF:
      shutdown(fd, SHUT_WR);
      wait_for_end(fd);
      return false;
    case SOON: rest(5); return false;
    default: return false;
  }
}

static void note(long long sent, uint64_t seed) {
  if (sent <= stats.most) return;
  stats.most = sent;
  stats.most_seed = (long long)seed;
}

static bool play(int fd, const char *request, int served) {
  struct draw d = {0};
  long long sent = 0;
  const char *digit = request + strcspn(request, "0123456789\r");
  uint64_t seed = strtoull(digit, NULL, 10);
  d.state = seed;
  if (served > 0 && chance(&d, 20))
    return end_with(fd, chance(&d, 50) ? RESET : CLOSE); /* a kept connection that is dead */
  if (served == 0 && chance(&d, 4)) return end_with(fd, HANG);
  answer(&d, strncmp(request, "HEAD ", 5) == 0);
  bool ok = deliver(&d, fd, strstr(request, "/api/") ? MODEL_MAX : FLOOD_MAX, &sent);
  note(sent, seed);
  free(d.out);
  return ok && end_with(fd, d.ending);
}

static bool plain(int fd, const char *what) {
  char body[256] = "{\"ok\":true}", head[512];
  long long sent = 0;
  if (strcmp(what, "stats") == 0)
    snprintf(body, sizeof body, "{\"connections\":%d,\"open\":%d,\"requests\":%d,\"most\":%lld,\"most_seed\":%lld}",
             stats.connections, stats.open, stats.requests, (long long)stats.most, (long long)stats.most_seed);
  if (strcmp(what, "slow") == 0) rest(20);
  if (strcmp(what, "restart") == 0) stats.restarts++;
  snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  return send_all(fd, head, strlen(head), &sent);
}

static bool serve_one(int fd, const char *request, int served) {
  static const char *const known[] = {"plain", "slow", "stats", "restart"};
  char path[64];
  for (size_t i = 0; i < COUNT(known); i++) {
    snprintf(path, sizeof path, "/%s HTTP", known[i]);
    if (strstr(request, path)) return plain(fd, known[i]);
  }
  return play(fd, request, served);
}

/* A request's head, NUL-terminated; its body is read and thrown away. What follows it is lost: nobody pipelines. */
static bool read_request(int fd, char *request) {
  size_t len = 0, want;
  char *end, *length, waste[65536];
  request[0] = 0;
  while (!(end = strstr(request, "\r\n\r\n"))) {
    ssize_t n = len + 1 < HEAD_MAX ? recv(fd, request + len, HEAD_MAX - len - 1, 0) : 0;
    if (n <= 0) return false;
    request[len += (size_t)n] = 0;
  }
  length = strcasestr(request, "\r\ncontent-length:");
  want = (size_t)(end - request) + 4 + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
  while (len < want) {
    ssize_t n = recv(fd, waste, sizeof waste, 0);
    if (n <= 0) return false;
    len += (size_t)n;
  }
  return true;
}

static void *serve(void *arg) {
  int fd = (int)(intptr_t)arg;
  char *request = malloc(HEAD_MAX);
  int restarts = stats.restarts;
  stats.connections++;
  stats.open++;
  for (int served = 0; request && read_request(fd, request); served++) {
    stats.requests++;
    if (served > 0 && restarts != stats.restarts) {
      end_with(fd, RESET);
      break;
    }
    if (!serve_one(fd, request, served)) break;
  }
  free(request);
  close(fd);
  stats.open--;
  return NULL;
}

int main(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  pthread_attr_t attr;
  signal(SIGPIPE, SIG_IGN);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  alarm(3600); /* never outlives its driver for long */
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&a, len) != 0 ||
      getsockname(listener, (struct sockaddr *)&a, &len) != 0 || listen(listener, 4096) != 0) {
    perror("random");
    return 1;
  }
  printf("%d\n", ntohs(a.sin_port));
  fflush(stdout);
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 256 * 1024);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  for (;;) {
    pthread_t thread;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd) != 0) close(fd);
  }
}
