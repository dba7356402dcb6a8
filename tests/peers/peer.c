/* peer.c - a server with bad manners, for tests. It prints one line, "PORT REFUSED_PORT TLS_PORT STUCK_PORT", and serves
 * until it is killed; the path of a request names what it does (table `scenes` below; GET /stats tells what it saw). PORT is
 * served at ::1, too. A connection to REFUSED_PORT is refused, one to STUCK_PORT never gets through. TLS_PORT has a
 * certificate for "localhost" that nobody signed; `peer PREFIX` writes it to PREFIX.PID.
 * A thread for each connection, blocking calls: plain to read, and good for a few hundred of them. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
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

#define REQUEST_MAX (1 << 20)

struct stats {
  atomic_int connections, requests, left, waiting;
  atomic_bool releasing;
  atomic_llong flooded;
};

struct peer {
  int fd;
  SSL *ssl; /* NULL = plain */
  struct stats *stats;
  int port;
  int served;    /* requests on this connection before this one */
  char *request; /* as sent, NUL-terminated */
  size_t len, head_len;
  char method[16], path[512];
};

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

static bool put(struct peer *p, const char *bytes, size_t len) {
  while (len) {
    ssize_t n = p->ssl ? SSL_write(p->ssl, bytes, (int)len) : send(p->fd, bytes, len, MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes += n;
    len -= (size_t)n;
  }
  return true;
}

static bool say(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool say(struct peer *p, const char *fmt, ...) {
  char text[8192];
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  return put(p, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static bool chunk(struct peer *p, const char *bytes) {
  return say(p, "%zx\r\n%s\r\n", strlen(bytes), bytes);
}

static void rest(int ms) {
  struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
  nanosleep(&t, NULL);
}

static bool cut_off(struct peer *p) { /* RST */
  struct linger l = {1, 0};
  setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  return false;
}

/* Until the client has gone. */
static bool hang(struct peer *p) {
  struct pollfd f = {p->fd, POLLIN, 0};
  char byte;
  p->stats->waiting++;
  while (poll(&f, 1, 60000) >= 0 && recv(p->fd, &byte, 1, 0) > 0) {
  }
  p->stats->waiting--;
  p->stats->left++;
  return false;
}

/* --- one request ---------------------------------------------------------------------------------------------------- */

static long number_after(const char *s, const char *name, long otherwise) {
  const char *at = strcasestr(s, name);
  return at ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

static bool read_some(struct peer *p) {
  if (p->len + 1 >= REQUEST_MAX) return false;
  char *at = p->request + p->len;
  size_t room = REQUEST_MAX - p->len - 1;
  ssize_t n = p->ssl ? SSL_read(p->ssl, at, (int)room) : recv(p->fd, at, room, 0);
  if (n <= 0) return false;
  p->len += (size_t)n;
  p->request[p->len] = 0;
  return true;
}

static bool read_head(struct peer *p) {
  char *end;
  p->len = 0;
  p->request[0] = 0;
  while (!(end = strstr(p->request, "\r\n\r\n")))
    if (!read_some(p)) return false;
  p->head_len = (size_t)(end - p->request) + 4;
  if (sscanf(p->request, "%15s %511s", p->method, p->path) != 2) return false;
  char *slash = strncmp(p->path, "http://", 7) == 0 ? strchr(p->path + 7, '/') : NULL; /* asked as a proxy */
  if (slash) memmove(p->path, slash, strlen(slash) + 1);
  return true;
}

static bool read_body(struct peer *p) {
  size_t want = p->head_len + (size_t)number_after(p->request, "\r\ncontent-length:", 0);
  while (p->len < want)
    if (!read_some(p)) return false;
  return true;
}

#define STREAM_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"

static bool answer(struct peer *p, const char *status, const char *type, const char *body) {
  bool head = strcmp(p->method, "HEAD") == 0;
  return say(p, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", status, type, strlen(body),
             head ? "" : body);
}

/* --- scenes: true = keep the connection ------------------------------------------------------------------------------ */

static bool do_ok(struct peer *p) {
  return answer(p, "200 OK", "application/json", "{\"ok\":true}");
}

static bool do_echo(struct peer *p) { /* the request itself */
  return say(p, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", p->len) &&
         put(p, p->request, p->len);
}

static bool do_stats(struct peer *p) {
  char body[256];
  struct stats *s = p->stats;
  snprintf(body, sizeof body, "{\"connections\":%d,\"requests\":%d,\"left\":%d,\"waiting\":%d,\"flooded\":%lld}",
           s->connections, s->requests, s->left, s->waiting, (long long)s->flooded);
  return answer(p, "200 OK", "application/json", body);
}

static bool do_status(struct peer *p) { /* /status/499 */
  char status[32];
  snprintf(status, sizeof status, "%ld Said so", strtol(p->path + 8, NULL, 10));
  return answer(p, status, "application/json", "{\"error\":\"the peer was told to say this\"}");
}

static bool do_html(struct peer *p) {
  return answer(p, "502 Bad Gateway", "text/html", "<html><body><h1>502 Bad Gateway</h1></body></html>\n");
}

static bool do_canceled(struct peer *p) {
  return answer(p, "499 Client Closed Request", "application/json", "{\"error\":\"request canceled\"}");
}

static bool do_reset(struct peer *p) {
  return cut_off(p);
}
static bool do_close(struct peer *p) {
  (void)p;
  return false;
}
static bool do_hang(struct peer *p) {
  return hang(p);
}

static bool do_half_head(struct peer *p) {
  say(p, "HTTP/1.1 200 OK\r\nContent-Ty");
  return false;
}

static bool do_hang_head(struct peer *p) {
  say(p, "HTTP/1.1 200 OK\r\nContent-Ty");
  return hang(p);
}

static bool do_hang_stream(struct peer *p) {
  say(p, STREAM_HEAD);
  chunk(p, "{\"n\":1}\n");
  return hang(p);
}

static bool do_reset_line(struct peer *p) {
  say(p, STREAM_HEAD);
  chunk(p, "{\"n\":1}\n");
  chunk(p, "{\"n\":");
  rest(50); /* or the reset would overtake what was sent */
  return cut_off(p);
}

static bool do_silent_end(struct peer *p) {
  say(p, STREAM_HEAD);
  chunk(p, "{\"n\":1}\n{\"n\":2}\n");
  return false;
}

static bool do_short(struct peer *p) {
  say(p, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
  return false;
}

static bool do_bad_chunk(struct peer *p) {
  say(p, STREAM_HEAD);
  chunk(p, "{\"n\":1}\n");
  say(p, "zz\r\nwhat\r\n");
  return false;
}

static bool do_no_http(struct peer *p) {
  say(p, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
  return false;
}

static bool do_big_head(struct peer *p) { /* without end */
  say(p, "HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 1000000; i++)
    if (!say(p, "X-Filler-%d: %0200d\r\n", i, 0)) return false;
  return false;
}

static bool do_slow(struct peer *p) { /* /slow?5: ms between the bytes */
  const char *bytes = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";
  char one[2] = "";
  int ms = (int)number_after(p->path, "?", 1);
  say(p, STREAM_HEAD);
  for (; *bytes; bytes++) {
    one[0] = *bytes;
    if (!chunk(p, one)) return false;
    rest(ms);
  }
  return chunk(p, "");
}

static bool do_lines(struct peer *p) { /* /lines?1000 */
  long n = number_after(p->path, "?", 10);
  char line[64];
  say(p, STREAM_HEAD);
  for (long i = 1; i <= n; i++) {
    snprintf(line, sizeof line, "{\"n\":%ld}\n", i);
    if (!chunk(p, line)) return false;
  }
  return chunk(p, "");
}

static bool do_sse(struct peer *p) {
  static const char *const parts[] = {"\xEF\xBB\xBF: hi\nda", "ta: one\n\nevent: n", "ote\r\nid: 7\r\ndata: two\r",
                                      "\ndata:  three\r\n\r\nretry: 5\n\ndata\n\ndata: lost"};
  say(p, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    chunk(p, parts[i]);
    rest(2);
  }
  return chunk(p, "");
}

static bool do_long_line(struct peer *p) { /* /long-line?BYTES */
  long left = number_after(p->path, "?", 1 << 20);
  char block[4096];
  memset(block, 'x', sizeof block);
  say(p, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n", left + 1);
  for (; left > 0; left -= (long)sizeof block)
    if (!put(p, block, left < (long)sizeof block ? (size_t)left : sizeof block)) return false;
  return put(p, "\n", 1);
}

static bool do_flood(struct peer *p) { /* for ever */
  char block[4096];
  memset(block, 'x', sizeof block);
  say(p, "HTTP/1.1 200 OK\r\n\r\n");
  while (put(p, block, sizeof block)) p->stats->flooded += (long long)sizeof block;
  p->stats->left++;
  return false;
}

/* A gzip of n equal bytes in fixed Huffman codes: thirteen bits for each 258 of them. */
struct bits {
  char *out;
  size_t len;
  unsigned hold, count;
};

static void bits_put(struct bits *b, unsigned value, unsigned n) {
  b->hold |= value << b->count;
  for (b->count += n; b->count >= 8; b->count -= 8, b->hold >>= 8) b->out[b->len++] = (char)b->hold;
}

static void bits_code(struct bits *b, unsigned code, unsigned n) { /* Huffman codes go highest bit first */
  while (n-- > 0) bits_put(b, code >> n & 1, 1);
}

static bool do_gzip(struct peer *p) { /* /gzip?RUNS: 1 + 258 * RUNS letters 'a' */
  long runs = number_after(p->path, "?", 10);
  size_t size = 1 + 258 * (size_t)runs;
  struct bits b = {malloc((size_t)runs * 2 + 64), 10, 0, 0};
  unsigned crc = 0xffffffff;
  memcpy(b.out, "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
  bits_put(&b, 3, 3); /* last block, fixed codes */
  bits_code(&b, 0x30 + 'a', 8);
  for (long i = 0; i < runs; i++) {
    bits_code(&b, 0xc5, 8); /* length 258 */
    bits_code(&b, 0, 5);    /* distance 1 */
  }
  bits_code(&b, 0, 7); /* end */
  bits_put(&b, 0, 7);  /* fill the byte */
  for (size_t i = 0; i < size; i++) {
    crc ^= 'a';
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  unsigned tail[2] = {~crc, (unsigned)size};
  memcpy(b.out + b.len, tail, 8);
  b.len += 8;
  say(p, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", b.len);
  bool ok = put(p, b.out, b.len);
  free(b.out);
  return ok;
}

static bool do_redirect(struct peer *p) { /* /redirect/3: so many times, then /echo */
  long left = strtol(p->path + 10, NULL, 10);
  char to[64] = "/echo";
  if (left > 1) snprintf(to, sizeof to, "/redirect/%ld", left - 1);
  return say(p, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 5\r\n\r\nmoved", to);
}

static bool do_redirect_to(struct peer *p) { /* /redirect-to?307,http://... */
  const char *target = strchr(p->path, ',');
  return say(p, "HTTP/1.1 %ld Elsewhere\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", number_after(p->path, "?", 302),
             target ? target + 1 : "/");
}

static bool do_loop(struct peer *p) {
  return say(p, "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n");
}

/* Answers once on each connection; a second request on it is read and the connection reset (or closed). */
static bool do_once(struct peer *p) {
  return p->served == 0 ? do_ok(p) : cut_off(p);
}
static bool do_once_close(struct peer *p) {
  return p->served == 0 && do_ok(p);
}

static bool do_heads(struct peer *p) { /* odd, but lawful */
  return say(
      p, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 Fine\r\nX-Two: a\r\nx-two: b\r\nX-Folded: one\r\n"
         "  two\r\nX-Empty:\r\nSet-Cookie: a=1, b\r\nSet-Cookie: c=2\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2;ext=1\r\nhi\r\n0\r\nX-Trailer: late\r\n\r\n");
}

/* Says 200 before the body has come, and goes. Runs before the body is read. */
static bool do_early(struct peer *p) {
  say(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  return false;
}

static bool do_raw(struct peer *p) { /* POST: the body is the answer */
  return put(p, p->request + p->head_len, p->len - p->head_len);
}

static bool do_endless(struct peer *p) { /* POST: the body up to a NUL begins it, the rest comes again and again */
  char block[16384], *begin = p->request + p->head_len, *unit = begin + strlen(begin) + 1;
  size_t size = p->len - (size_t)(unit - p->request), used = 0;
  if (!put(p, begin, strlen(begin))) return false;
  while (used + size <= sizeof block) memcpy(block + used, unit, size), used += size;
  while (put(p, block, used)) p->stats->flooded += (long long)used;
  p->stats->left++;
  return false;
}

static bool do_tail(struct peer *p) { /* POST: a chunk of 1 MB; once somebody asks for /release the body, in one piece */
  static const char block[1 << 20];
  say(p, STREAM_HEAD "%zx\r\n", sizeof block);
  if (!put(p, block, sizeof block) || !say(p, "\r\n")) return false;
  while (!p->stats->releasing) rest(1);
  do_raw(p);
  p->stats->releasing = false;
  return hang(p);
}

static bool do_release(struct peer *p) { /* answered when it has been sent */
  p->stats->releasing = true;
  while (p->stats->releasing) rest(1);
  return do_ok(p);
}

static const struct scene {
  const char *path;
  bool (*play)(struct peer *p);
} scenes[] = {
    {"/ok", do_ok},
    {"/raw", do_raw},
    {"/endless", do_endless},
    {"/tail", do_tail},
    {"/release", do_release},
    {"/echo", do_echo},
    {"/stats", do_stats},
    {"/status/", do_status},
    {"/html", do_html},
    {"/499", do_canceled},
    {"/reset-line", do_reset_line},
    {"/reset", do_reset},
    {"/close", do_close},
    {"/hang-stream", do_hang_stream},
    {"/hang-head", do_hang_head},
    {"/hang", do_hang},
    {"/half-head", do_half_head},
    {"/silent-end", do_silent_end},
    {"/short", do_short},
    {"/bad-chunk", do_bad_chunk},
    {"/no-http", do_no_http},
    {"/big-head", do_big_head},
    {"/slow", do_slow},
    {"/lines", do_lines},
    {"/sse", do_sse},
    {"/long-line", do_long_line},
    {"/flood", do_flood},
    {"/gzip", do_gzip},
    {"/redirect-to", do_redirect_to},
    {"/redirect/", do_redirect},
    {"/loop", do_loop},
    {"/once-close", do_once_close},
    {"/once", do_once},
    {"/heads", do_heads},
    {"/early", do_early},
};

static bool do_connect(struct peer *p) { /* asked as a proxy for "status-407.test:443" */
  char status[32];
  snprintf(status, sizeof status, "%ld Said so", number_after(p->path, "status-", 403));
  return answer(p, status, "text/html", "<html>no</html>");
}

static bool play(struct peer *p) {
  if (strcmp(p->method, "CONNECT") == 0) return do_connect(p);
  if (strncmp(p->path, "/early", 6) != 0 && !read_body(p)) return false;
  for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
    if (strncmp(p->path, scenes[i].path, strlen(scenes[i].path)) == 0) return scenes[i].play(p);
  return answer(p, "404 Not Found", "application/json", "{\"error\":\"no such scene\"}");
}

/* --- connections ------------------------------------------------------------------------------------------------------ */

static void *serve(void *arg) {
  struct peer *p = arg;
  char first;
  p->request = malloc(REQUEST_MAX);
  p->stats->connections++;
  if (p->ssl) {
    SSL_set_fd(p->ssl, p->fd);
    if (SSL_accept(p->ssl) != 1) goto out;
  } else if (recv(p->fd, &first, 1, MSG_PEEK) == 1 && first == 0x16) { /* TLS was spoken to a plain port */
    say(p, "certainly not TLS");
    goto out;
  }
  while (read_head(p)) {
    p->stats->requests++;
    if (!play(p)) break;
    p->served++;
  }
out:
  if (p->ssl) SSL_free(p->ssl);
  close(p->fd);
  free(p->request);
  free(p);
  return NULL;
}

struct door {
  int fd, port;
  SSL_CTX *tls;
  struct stats *stats;
};

static void *accept_all(void *arg) {
  struct door *d = arg;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 128 * 1024);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  for (;;) {
    pthread_t thread;
    int fd = accept(d->fd, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct peer *p = calloc(1, sizeof *p);
    p->fd = fd;
    p->stats = d->stats;
    p->port = d->port;
    p->ssl = d->tls ? SSL_new(d->tls) : NULL;
    if (pthread_create(&thread, &attr, serve, p) != 0) abort();
  }
}

static int open_port(int *port, int backlog) { /* backlog < 0: not listening */
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 || getsockname(fd, (struct sockaddr *)&a, &len) != 0 ||
      (backlog >= 0 && listen(fd, backlog) != 0)) {
    perror("peer");
    exit(1);
  }
  *port = ntohs(a.sin_port);
  return fd;
}

/* The same port at ::1, where this machine has one; < 0 where it has not. */
static int open_v6(int port) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  a.sin6_port = htons((unsigned short)port);
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
  if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 4096) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

/* Nobody accepts and the backlog is full, so that the kernel lets further connections wait. */
static void open_stuck(int *port) {
  open_port(port, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  a.sin_port = htons((unsigned short)*port);
  for (int i = 0; i < 4; i++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(fd, (struct sockaddr *)&a, sizeof a);
  }
}

/* A certificate for localhost, signed by itself, in memory. */
static SSL_CTX *make_tls(const char *prefix) {
  char file[512];
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = X509_new();
  X509_NAME *name = X509_get_subject_name(cert);
  X509V3_CTX ctx;
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
  X509_gmtime_adj(X509_getm_notAfter(cert), 10 * 86400);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
  X509_set_issuer_name(cert, name);
  X509_set_pubkey(cert, key);
  X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
  X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, "DNS:localhost");
  X509_add_ext(cert, ext, -1);
  X509_EXTENSION_free(ext);
  X509_sign(cert, key, EVP_sha256());
  SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate(tls, cert) != 1 || SSL_CTX_use_PrivateKey(tls, key) != 1) exit(1);
  snprintf(file, sizeof file, "%s.%d", prefix ? prefix : "", (int)getpid());
  FILE *out = prefix ? fopen(file, "w") : NULL;
  if (out) {
    PEM_write_X509(out, cert);
    fclose(out);
  }
  X509_free(cert);
  EVP_PKEY_free(key);
  return tls;
}

int main(int argc, char **argv) {
  static struct stats stats;
  struct door plain = {.stats = &stats}, tls = {.stats = &stats}, v6 = {.stats = &stats};
  pthread_t thread;
  int refused, stuck;
  signal(SIGPIPE, SIG_IGN);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  alarm(600); /* never outlives its test run for long */
  plain.fd = open_port(&plain.port, 4096);
  v6.fd = open_v6(v6.port = plain.port);
  tls.fd = open_port(&tls.port, 4096);
  tls.tls = make_tls(argc > 1 ? argv[1] : NULL);
  open_port(&refused, -1); /* bound, so that nobody else gets the number */
  open_stuck(&stuck);
  printf("%d %d %d %d\n", plain.port, refused, tls.port, stuck);
  fflush(stdout);
  if (pthread_create(&thread, NULL, accept_all, &tls) != 0) return 1;
  if (v6.fd >= 0 && pthread_create(&thread, NULL, accept_all, &v6) != 0) return 1;
  accept_all(&plain);
}
