/* httpd_mhd_calls.c - the half of the socket engine that libmicrohttpd calls: collects a request, hands it over, and queues
 * the reply when it asks again; copies out what a handler has written, or suspends the connection until there is more. It
 * calls the owner of an exchange last: that may end it. Memory by malloc. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "httpd_mhd.h"

#define BODY_START  4096
#define BODY_KNOWN  (64u << 10) /* of an announced body, so much is made room for at once */
#define SWALLOW_MAX (16u << 20) /* bytes of a refused body that are still read */

static void free_segments(struct mhd_exchange *x) {
  struct segment *seg;
  while ((seg = x->segments) != NULL) {
    x->segments = seg->next;
    free(seg);
  }
  x->segments_tail = &x->segments;
  x->held = 0;
}

static void drop_body(struct mhd_exchange *x) {
  free(x->body);
  x->body = NULL;
  x->server->bodies -= x->body_size;
  x->body_size = 0;
}

void mhd_forget_body(struct exchange *base) {
  drop_body(CONTAINER_OF(base, struct mhd_exchange, base));
}

void mhd_free_exchange(struct mhd_exchange *x) {
  free_segments(x);
  if (x->response) mhd.destroy_response(x->response);
  free(x->head);
  drop_body(x);
  free(x);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void set_peer(struct mhd_connection *mc, struct MHD_Connection *c) {
  const union MHD_ConnectionInfo *info = mhd.get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  char ip[INET6_ADDRSTRLEN] = "?";
  const struct sockaddr *sa = info ? info->client_addr : NULL;
  int port = 0;
  if (sa && sa->sa_family == AF_UNIX) {
    snprintf(mc->peer, sizeof mc->peer, "unix");
    return;
  }
  if (sa && sa->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const void *)sa;
    uv_ip4_name(in, ip, sizeof ip);
    port = ntohs(in->sin_port);
  } else if (sa && sa->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const void *)sa;
    uv_ip6_name(in6, ip, sizeof ip);
    port = ntohs(in6->sin6_port);
  }
  snprintf(mc->peer, sizeof mc->peer, strchr(ip, ':') ? "[%s]:%d" : "%s:%d", ip, port);
}

static void connection_opened(struct mhd_server *s, struct MHD_Connection *c, void **socket) {
  const union MHD_ConnectionInfo *fd = mhd.get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
  struct mhd_connection *mc = calloc(1, sizeof *mc);
  *socket = mc;
  if (!mc) return; /* its requests are refused */
  mc->server = s;
  mc->fd = fd->connect_fd;
  mc->reading_since = uv_hrtime();
  set_peer(mc, c);
  mc->prev = &s->connections;
  mc->next = s->connections;
  if (mc->next) mc->next->prev = &mc->next;
  s->connections = mc;
  leave_watch(&s->leave, mc->fd, mc);
  if (++s->connection_count >= s->max_connections) mhd_make_room(s);
}

static void connection_closed(struct mhd_server *s, struct mhd_connection *mc) {
  s->freed_one = true;
  if (!mc) return;
  s->connection_count--;
  leave_forget(&s->leave, mc->fd); /* the descriptor is still open here */
  if (mc->ending) {
    struct mhd_connection **link = &s->ending;
    while (*link != mc) link = &(*link)->next_ending;
    *link = mc->next_ending;
  }
  *mc->prev = mc->next;
  if (mc->next) mc->next->prev = mc->prev;
  free(mc);
}

void mhd_on_connection(void *cls, struct MHD_Connection *c, void **socket, enum MHD_ConnectionNotificationCode code) {
  if (code == MHD_CONNECTION_NOTIFY_STARTED)
    connection_opened(cls, c, socket);
  else
    connection_closed(cls, *socket);
}

/* --- the head of a request ---------------------------------------------------------------------------------------- */

void *mhd_on_uri(void *cls, const char *uri, struct MHD_Connection *c) {
  size_t len = strlen(uri);
  struct mhd_exchange *x = calloc(1, sizeof *x + len + 1);
  if (!x) return NULL;
  memcpy(x->target, uri, len + 1);
  /* The query is read from the target. libmicrohttpd would take it apart, too, and close a connection whose pool that fills, without
   * a word: it finds an empty one. The text is in its own buffer of the request, which it changes as it reads. */
  char *query = strchr((char *)(uintptr_t)uri, '?');
  if (query && query[1]) query[1] = 0;
  x->base.target = x->target;
  x->server = cls;
  x->base.server = &x->server->base;
  x->connection = c;
  x->segments_tail = &x->segments;
  return x;
}

/* Two passes over the headers of libmicrohttpd: sizes, then copies. */
struct copy {
  struct header *headers;
  size_t count, bytes;
  char *to;
  bool bad;
};

static enum MHD_Result measure(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value,
                               size_t value_len) {
  struct copy *c = cls;
  (void)kind;
  c->count++;
  c->bytes += name_len + value_len + 2;
  if (memchr(name, 0, name_len) || (value && memchr(value, 0, value_len))) c->bad = true;
  return MHD_YES;
}

static char *put(struct copy *c, const char *s, size_t len) {
  char *at = c->to;
  if (len) memcpy(at, s, len);
  at[len] = 0;
  c->to += len + 1;
  return at;
}

static enum MHD_Result copy_one(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                const char *value, size_t value_len) {
  struct copy *c = cls;
  (void)kind;
  c->headers[c->count].name = put(c, name, name_len);
  c->headers[c->count].value = put(c, value, value ? value_len : 0);
  c->count++;
  return MHD_YES;
}

/* Fills the request but for its body. An HTTP status when it must be refused, -1 when out of memory. */
static int copy_head(struct mhd_exchange *x, const char *method) {
  struct copy c = {0};
  mhd.get_connection_values_n(x->connection, MHD_HEADER_KIND, measure, &c);
  if (c.bad) return 400;
  if (c.bytes + 2 * c.count + strlen(x->target) > x->server->max_header) return 431;
  x->head = malloc(c.count * sizeof(struct header) + c.bytes + strlen(method) + 1);
  if (!x->head) return -1;
  c.headers = x->base.headers = (struct header *)x->head;
  c.to = x->head + c.count * sizeof(struct header);
  c.count = 0;
  mhd.get_connection_values_n(x->connection, MHD_HEADER_KIND, copy_one, &c);
  x->base.header_count = c.count;
  x->base.method = put(&c, method, strlen(method));
  memcpy(x->base.peer, x->socket->peer, sizeof x->base.peer);
  return httpd_check_head(x->base.headers, c.count, x->http_1_1);
}

static const char *header_of(const struct mhd_exchange *x, const char *name) {
  for (size_t i = 0; i < x->base.header_count; i++)
    if (httpd_same(x->base.headers[i].name, name)) return x->base.headers[i].value;
  return NULL;
}

/* A body announced as too long is refused at once when its sender waits for our word, or when it is huge; else it is taken
 * and thrown away, because a connection closed in the middle of an upload often loses the answer. */
static bool refuse_body(const struct mhd_exchange *x) {
  const char *length = header_of(x, "Content-Length");
  if (!length) return false;
  errno = 0;
  unsigned long long n = strtoull(length, NULL, 10);
  if (errno == 0 && n <= x->server->max_body) return false;
  return errno != 0 || n > x->server->max_body + SWALLOW_MAX || header_of(x, "Expect");
}

/* Bytes to make room for when a body begins. */
static size_t first_room(const struct mhd_exchange *x) {
  const char *length = header_of(x, "Content-Length");
  unsigned long long n = length ? strtoull(length, NULL, 10) : 0;
  return n == 0 ? BODY_START : n < BODY_KNOWN ? (size_t)n : BODY_KNOWN;
}

/* Answers without the loop, and closes the connection: after a refusal nothing it says can be trusted. */
static enum MHD_Result refuse(struct mhd_exchange *x, int status) {
  const char *text = httpd_refusal(status);
  struct MHD_Response *r =
      mhd.create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
  if (!r) return MHD_NO;
  x->stage = STAGE_REFUSED;
  enum MHD_Result rc = mhd.add_response_header(r, "Connection", "close");
  if (rc == MHD_YES) rc = mhd.add_response_header(r, "Content-Type", "text/plain");
  if (rc == MHD_YES && status == 503) rc = mhd.add_response_header(r, "Retry-After", "1");
  if (rc == MHD_YES) rc = mhd.queue_response(x->connection, (unsigned)status, r);
  mhd.destroy_response(r);
  return rc;
}

static enum MHD_Result begin(struct mhd_exchange *x, const char *method, const char *version) {
  const union MHD_ConnectionInfo *info = mhd.get_connection_info(x->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  x->socket = info ? info->socket_context : NULL;
  x->http_1_1 = strcmp(version, "HTTP/1.1") == 0;
  int status = x->socket ? copy_head(x, method) : -1;
  if (status < 0) return MHD_NO;
  if (status == 0 && refuse_body(x)) status = 413;
  if (status == 0) x->body_first = first_room(x);
  if (status > 0) return refuse(x, status);
  x->stage = STAGE_BODY;
  return MHD_YES;
}

/* --- its body ----------------------------------------------------------------------------------------------------- */

/* Room for all of the body that has come. False: the memory of the server, or its share for bodies, is full. */
static bool make_room(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  size_t size = x->body_size ? x->body_size : x->body_first;
  while (size < x->body_seen) size *= 2;
  size_t more = size - x->body_size;
  if (s->bodies + more > s->max_bodies) return false;
  char *grown = realloc(x->body, size);
  if (!grown) return false;
  s->bodies += more;
  x->body = grown;
  x->body_size = size;
  return true;
}

static enum MHD_Result take_body(struct mhd_exchange *x, const char *data, size_t len) {
  size_t max = x->server->max_body;
  x->body_seen += len;
  if (x->body_seen <= max && !x->crowded) x->crowded = x->body_seen > x->body_size && !make_room(x);
  if (x->body_seen > max || x->crowded) { /* the refusal waits for its end, but not for ever */
    drop_body(x);
    return x->body_seen > max + SWALLOW_MAX ? MHD_NO : MHD_YES;
  }
  memcpy(x->body + x->body_seen - len, data, len);
  return MHD_YES;
}

/* The request is complete: over to its handler. The connection is not suspended yet: most handlers answer before
 * libmicrohttpd asks again, and to suspend and to resume costs system calls. */
static enum MHD_Result arrive(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  if (x->body_seen > s->max_body) return refuse(x, 413);
  if (x->crowded || s->closing) return refuse(x, 503);
  x->base.body = x->body;
  x->base.body_len = x->body_seen;
  x->stage = STAGE_WAITING;
  x->turn = s->turn;
  x->socket->exchange = x;
  x->socket->reading_since = 0;
  x->base.gone = x->left = x->socket->left;
  s->live++;
  s->exchanges++;
  httpd_arrived(&x->base);
  return MHD_YES;
}

/* One segment; several when nothing shows where one ends. */
static size_t copy_out(struct mhd_exchange *x, char *buf, size_t max) {
  size_t n = 0;
  struct segment *seg;
  while ((seg = x->segments) != NULL && n < max) {
    size_t part = seg->len - seg->off < max - n ? seg->len - seg->off : max - n;
    memcpy(buf + n, seg->bytes + seg->off, part);
    n += part;
    seg->off += part;
    if (seg->off < seg->len) break;
    x->segments = seg->next;
    if (!x->segments) x->segments_tail = &x->segments;
    free(seg);
    if (x->base.announced < 0) break;
  }
  x->held -= n;
  return n;
}

static void suspend(struct mhd_exchange *x) {
  x->suspended = true;
  mhd.suspend_connection(x->connection);
}

/* Asked again: the reply is there, or the connection must end, or its handler waits for something. */
static enum MHD_Result reply(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  struct MHD_Response *r = x->response;
  if (s->aborting || x->left || (x->ended && !r)) return MHD_NO;
  if (!r) {
    if (x->turn != s->turn) suspend(x); /* else the tasks have not run yet */
    return MHD_YES;
  }
  x->response = NULL;
  x->stage = STAGE_REPLIED;
  enum MHD_Result rc = mhd.queue_response(x->connection, (unsigned)x->status, r);
  mhd.destroy_response(r);
  return rc;
}

enum MHD_Result mhd_on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                               const char *version, const char *data, size_t *size, void **state) {
  struct mhd_exchange *x = *state;
  (void)cls, (void)c, (void)url;
  if (!x) return MHD_NO;
  if (x->stage == STAGE_HEAD) return begin(x, method, version);
  if (*size > 0) {
    enum MHD_Result rc = x->stage == STAGE_BODY ? take_body(x, data, *size) : MHD_YES;
    *size = 0;
    return rc;
  }
  if (x->stage == STAGE_BODY) return arrive(x);
  if (x->stage == STAGE_WAITING) return reply(x);
  return MHD_YES;
}

/* --- the reply ---------------------------------------------------------------------------------------------------- */

ssize_t mhd_on_read(void *cls, uint64_t pos, char *buf, size_t max) {
  struct mhd_exchange *x = cls;
  (void)pos;
  if (x->server->aborting || x->left) return MHD_CONTENT_READER_END_WITH_ERROR;
  if (!x->segments && x->ended) return x->cut ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
  if (!x->segments) {
    suspend(x);
    return 0;
  }
  ssize_t n = (ssize_t)copy_out(x, buf, max);
  if (!x->ended) mhd_count(x, x->counted && x->held > 0);
  if (x->tell_low && x->held < x->base.low) {
    x->tell_low = false;
    httpd_drained(&x->base);
  }
  return n;
}

/* The exchange is over, for better or worse; also called for those that never arrived. */
void mhd_on_completed(void *cls, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code) {
  struct mhd_exchange *x = *state;
  struct mhd_server *s = cls;
  (void)c;
  if (!x) return;
  *state = NULL;
  if (x->stage < STAGE_WAITING) {
    mhd_free_exchange(x);
    return;
  }
  x->done = true;
  if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK) x->left = true;
  x->socket->exchange = NULL;
  x->socket->reading_since = uv_hrtime();
  s->live--;
  free_segments(x);
  mhd_count(x, false);
  if (x->ended)
    mhd_release(x);
  else if (x->left)
    httpd_left(&x->base);
}
