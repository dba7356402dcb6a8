/* httpd_mhd.c - serving from sockets: libmicrohttpd reads and parses, run from the loop whenever its epoll descriptor is
 * ready (httpd_mhd_calls.c is what it calls); this half is what the host calls. A server is from the host's memory, the rest
 * malloc'ed.
 *
 * What tasks answer goes out before the loop sleeps (on_turn_over), in one run for all of them: a reply that is there when
 * libmicrohttpd asks for it a second time costs no system call but the send. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "httpd_mhd.h"
#include "httpd_unix.h"

#define BACKLOG             4096
#define CONNECTION_OVERHEAD (4 * 1024) /* of libmicrohttpd's memory per connection, beyond the head of a request */
#define COPY_BLOCK          16384
#define CHUNKED_BLOCK       512
#define ROOM_NS             UINT64_C(1000000000) /* idle at least so long, before it makes room for another */
#define RUNS                4  /* at most, one after the other, before the rest of the loop has its turn */
#define LOOK_MS             10 /* without epoll: between looks; who comes beyond max_connections is refused there */
#define BODIES_MAX          ((size_t)256 << 20) /* bytes of the bodies of all requests, and at least four of the longest */

static struct mhd_exchange *mhd_of(struct exchange *x) {
  return CONTAINER_OF(x, struct mhd_exchange, base);
}

static void check_down(struct mhd_server *s);
static void free_server(struct mhd_server *s);

/* --- what keeps virtual time waiting ------------------------------------------------------------------------------ */

void mhd_count(struct mhd_exchange *x, bool on) {
  struct host *h = x->server->base.host;
  if (on == x->counted) return;
  x->counted = on;
  if (on)
    h->inflight++;
  else
    h->inflight--;
}

/* --- running libmicrohttpd ---------------------------------------------------------------------------------------- */

/* Before the loop sleeps it is run once more; wanted while it runs so, the loop polls without waiting. */
static void want_run(struct mhd_server *s) {
  host_before_poll(s->base.host, BEFORE_POLL_REPLIES, &s->turn_over);
}

/* Is there something it would do now, though no socket is ready? */
static bool is_pending(struct mhd_server *s) {
  MHD_UNSIGNED_LONG_LONG ms;
  if (s->freed_one) return true; /* it listens again at its next run */
  return mhd.get_timeout(s->daemon, &ms) == MHD_YES && ms == 0;
}

static bool is_unread(const struct mhd_connection *mc) {
  int bytes;
  return ioctl(mc->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* The end of a client that came in one edge of epoll with its last bytes was not seen with them, and no other edge will come:
 * once they are read, shutting the receiving side makes one. */
static void show_ends(struct mhd_server *s) {
  struct mhd_connection **link = &s->ending, *mc;
  while ((mc = *link) != NULL) {
    if (!mc->exchange && is_unread(mc)) {
      link = &mc->next_ending;
      continue;
    }
    *link = mc->next_ending;
    mc->ending = false;
    if (!mc->exchange) (void)shutdown(mc->fd, SHUT_RD);
  }
}

/* Lets it do what it can without waiting. Once its tasks have something to do, the rest comes when they have run. */
static void run(struct mhd_server *s) {
  int runs = 0;
  bool pending;
  if (s->stopping) return;
  do {
    s->freed_one = false;
    mhd.run(s->daemon);
    pending = is_pending(s);
    if (s->ending) show_ends(s);
  } while (pending && ++runs < RUNS && !s->base.host->ready_head);
  if (pending) want_run(s);
  check_down(s);
}

/* --- resuming: once per exchange and turn, when all that a handler writes in it is there --------------------------- */

static void flush(struct mhd_server *s) {
  struct mhd_exchange *next, *x = s->dirty;
  s->dirty = NULL;
  s->dirty_tail = &s->dirty;
  for (; x; x = next) {
    next = x->dirty_next;
    x->dirty = x->suspended = false;
    mhd.resume_connection(x->connection); /* not gone: it could not move before this */
  }
}

static void on_turn_over(struct poll_hook *hook) {
  struct mhd_server *s = CONTAINER_OF(hook, struct mhd_server, turn_over);
  s->turn++;
  flush(s);
  run(s);
}

static void want_resume(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  if (!x->suspended || x->dirty) return;
  want_run(s);
  x->dirty = true;
  x->dirty_next = NULL;
  *s->dirty_tail = x;
  s->dirty_tail = &x->dirty_next;
}

static void on_poll(uv_poll_t *p, int status, int events) {
  (void)status, (void)events;
  run(CONTAINER_OF(p, struct mhd_server, poll));
}

static void on_look(uv_timer_t *t) {
  run(CONTAINER_OF(t, struct mhd_server, look));
}

/* --- the exchange class ------------------------------------------------------------------------------------------- */

static bool add_header(struct MHD_Response *r, const char *line) {
  char name[128];
  size_t n;
  const char *value;
  if (httpd_header(line, &n, &value) != HTTPD_SEND || !*value) return true;
  if (n >= sizeof name) return false;
  memcpy(name, line, n);
  name[n] = 0;
  if (httpd_same(name, "Connection") && !httpd_same(value, "close")) return true;
  return mhd.add_response_header(r, name, value) == MHD_YES;
}

/* One that is whole goes out in one packet with its head, for which libmicrohttpd must have it in one piece. */
static struct MHD_Response *make_response(struct mhd_exchange *x, int64_t len) {
  const char *whole = x->base.whole;
  if (len == 0) return mhd.create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
  if (whole && !x->base.bodyless) {
    x->base.whole = NULL;
    return mhd.create_response_from_buffer((size_t)len, (void *)(uintptr_t)whole, MHD_RESPMEM_MUST_COPY);
  }
  size_t block = len < 0 ? CHUNKED_BLOCK : len < COPY_BLOCK ? (size_t)len : COPY_BLOCK;
  uint64_t size = len < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)len;
  return mhd.create_response_from_callback(size, block, mhd_on_read, x, NULL);
}

static bool reply(struct exchange *base, int status, const char *const *headers, int64_t len, struct err *e) {
  struct mhd_exchange *x = mhd_of(base);
  struct MHD_Response *r = make_response(x, len);
  bool ok = r != NULL;
  for (; ok && headers && *headers; headers++) ok = add_header(r, *headers);
  if (ok && base->server->closing) ok = add_header(r, "Connection: close");
  if (!ok) {
    if (r) mhd.destroy_response(r);
    err_set(e, "os", ENOMEM, "not enough memory for the head of a reply");
    return false;
  }
  x->response = r;
  x->status = status;
  want_resume(x);
  return true;
}

static int64_t write_bytes(struct exchange *base, const char *bytes, size_t len) {
  struct mhd_exchange *x = mhd_of(base);
  if (x->done || x->left) return -1;
  struct segment *seg = malloc(sizeof *seg + len);
  if (!seg) return -1;
  *seg = (struct segment){.len = len};
  memcpy(seg->bytes, bytes, len);
  *x->segments_tail = seg;
  x->segments_tail = &seg->next;
  x->held += len;
  if (x->held >= base->low) x->tell_low = true;
  if (base->server->host->clock == CLOCK_VIRTUAL) mhd_count(x, true);
  want_resume(x);
  return (int64_t)x->held;
}

void mhd_release(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  CHECK(!x->dirty);
  mhd_count(x, false);
  s->exchanges--;
  mhd_free_exchange(x);
  if (s->down && s->exchanges == 0) free_server(s);
}

static void end(struct exchange *base, bool clean) {
  struct mhd_exchange *x = mhd_of(base);
  x->ended = true;
  x->cut = !clean;
  if (x->done) {
    mhd_release(x);
    return;
  }
  mhd_count(x, true);
  want_resume(x);
}

/* Between looks at connections that dawdle; 0 = none are looked at. */
static uint64_t sweep_ms(const struct mhd_server *s) {
  return s->header_timeout ? s->header_timeout / 4000000 + 1 : 0;
}

/* --- clients that leave or dawdle --------------------------------------------------------------------------------- */

static void on_leaving(uv_poll_t *p, int status, int events) {
  struct mhd_server *s = CONTAINER_OF(p, struct mhd_server, leaving);
  struct mhd_connection *mc;
  (void)status, (void)events;
  while ((mc = leave_next(&s->leave)) != NULL) {
    struct mhd_exchange *x = mc->exchange;
    if (mc->left) continue;
    mc->left = true;
    if (!x) {
      mc->ending = true;
      mc->next_ending = s->ending;
      s->ending = mc;
      continue;
    }
    if (x->left) continue;
    x->left = true;
    want_resume(x); /* so that the connection is closed now */
    httpd_left(&x->base);
  }
  if (s->ending) run(s);
}

static uint64_t idle_for(const struct mhd_connection *mc, uint64_t now) {
  return mc->reading_since && !mc->expired ? now - mc->reading_since : 0;
}

/* Connections that have not brought a whole request for so long are shut; libmicrohttpd sees their end. */
static void shut_idle(struct mhd_server *s, uint64_t now, uint64_t limit) {
  for (struct mhd_connection *mc = s->connections; mc; mc = mc->next)
    if (idle_for(mc, now) > limit) {
      mc->expired = true;
      (void)shutdown(mc->fd, SHUT_RDWR);
    }
}

static void on_sweep(uv_timer_t *t) {
  struct mhd_server *s = CONTAINER_OF(t, struct mhd_server, sweep);
  if (s->header_timeout) shut_idle(s, uv_hrtime(), s->header_timeout);
  if (s->connection_count >= s->max_connections) mhd_make_room(s);
}

/* Half as idle as the idlest, and more: so whoever sits on all of them makes few such passes. Where none has been idle for
 * long they are looked at again soon. */
void mhd_make_room(struct mhd_server *s) {
  uint64_t now = uv_hrtime(), most = 0;
  for (struct mhd_connection *mc = s->connections; mc; mc = mc->next)
    if (idle_for(mc, now) > most) most = idle_for(mc, now);
  if (most >= ROOM_NS)
    shut_idle(s, now, most / 2 > ROOM_NS ? most / 2 : ROOM_NS - 1);
  else if (most > 0)
    uv_timer_start(&s->sweep, on_sweep, ROOM_NS / 1000000, sweep_ms(s));
}

/* --- closing ------------------------------------------------------------------------------------------------------ */

static void free_server(struct mhd_server *s) {
  mem_free(&s->base.host->mem, s->path);
  mem_free(&s->base.host->mem, s);
}

static void all_handles_closed(struct mhd_server *s) {
  leave_close(&s->leave);
  s->down = true;
  s->base.host->inflight--;
  bool last = s->exchanges == 0; /* else release frees it after the last one */
  if (s->opened) httpd_closed(&s->base);
  if (last) free_server(s);
}

static void on_handle_closed(uv_handle_t *handle) {
  struct mhd_server *s = handle->data;
  if (--s->open_handles == 0) all_handles_closed(s);
}

static void close_handles(struct mhd_server *s) {
  uv_handle_t *const handles[] = {
      (uv_handle_t *)&s->sweep, (uv_handle_t *)&s->look, (uv_handle_t *)&s->leaving, (uv_handle_t *)&s->poll}; /* in the order of init_handles */
  int open = s->open_handles;
  host_before_poll_drop(&s->turn_over);
  if (open == 0) all_handles_closed(s);
  for (int i = 0; i < open; i++) {
    handles[i]->data = s;
    uv_close(handles[i], on_handle_closed);
  }
}

/* All connections are closed, and what they carried is told of its end. */
static void stop(struct mhd_server *s) {
  s->stopping = true;
  s->base.host->inflight++;
  flush(s); /* none may be suspended */
  mhd.stop_daemon(s->daemon);
  s->daemon = NULL;
  close_handles(s);
}

/* Nobody is being answered any more. */
static void check_down(struct mhd_server *s) {
  if (s->closing && !s->stopping && (s->live == 0 || s->aborting)) stop(s);
}

/* No more connections, no more requests. */
static void quiesce(struct mhd_server *s) {
  if (s->closing) return;
  s->closing = true;
  int fd = mhd.quiesce_daemon(s->daemon);
  if (fd >= 0) close(fd);
  if (s->path) unlink(s->path);
}

/* All connections are let go, to be cut. */
static void abort_all(struct mhd_server *s) {
  s->aborting = true;
  for (struct mhd_connection *mc = s->connections; mc; mc = mc->next)
    if (mc->exchange) want_resume(mc->exchange);
}

static void mhd_close(struct server *base, bool abort) {
  struct mhd_server *s = CONTAINER_OF(base, struct mhd_server, base);
  if (s->stopping) return;
  quiesce(s);
  if (abort) abort_all(s);
  check_down(s);
}

static void shut(struct server *base) {
  mhd_close(base, true);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int port_of(const struct server *base) {
  return CONTAINER_OF(base, const struct mhd_server, base)->port;
}

static struct server *mhd_open(struct host *h, const struct httpd_options *o, void (*accepted)(void *ud), void *ud,
                               struct err *e);

const struct server_class mhd_class = {
    port_of, mhd_close, reply, write_bytes, end, shut, .open = mhd_open, .forget_body = mhd_forget_body};

static bool resolve(const struct httpd_options *o, struct sockaddr_storage *addr) {
  const char *address = o->address ? o->address : "127.0.0.1";
  memset(addr, 0, sizeof *addr);
  if (httpd_same(address, "localhost")) address = "127.0.0.1";
  return uv_ip4_addr(address, o->port, (struct sockaddr_in *)addr) == 0 ||
         uv_ip6_addr(address, o->port, (struct sockaddr_in6 *)addr) == 0;
}

/* A listening socket, or -1 with e filled. */
static int listen_on(const struct httpd_options *o, int *port, struct err *e) {
  struct sockaddr_storage addr;
  struct sockaddr *sa = (struct sockaddr *)&addr;
  int on = 1;
  if (o->port < 0 || o->port > 65535 || !resolve(o, &addr)) {
    err_set(e, "argument", 0, "cannot listen on '%.100s' port %d: want an IP address and a port from 0 to 65535",
            o->address ? o->address : "127.0.0.1", o->port);
    return -1;
  }
  socklen_t len = sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
  int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, sa, len) == 0 &&
            listen(fd, BACKLOG) == 0 && getsockname(fd, sa, &len) == 0;
  if (!ok) {
    int code = errno;
    if (fd >= 0) close(fd);
    err_set(e, "os", code, "cannot listen on %.100s port %d: %s", o->address ? o->address : "127.0.0.1", o->port,
            strerror(code));
    return -1;
  }
  *port =
      ntohs(sa->sa_family == AF_INET6 ? ((struct sockaddr_in6 *)sa)->sin6_port : ((struct sockaddr_in *)sa)->sin_port);
  return fd;
}

static size_t keep_escapes(void *cls, struct MHD_Connection *c, char *s) {
  (void)cls, (void)c;
  return strlen(s);
}

/* Descriptors are for what handlers open as well: clients get three of four. */
static size_t connections_of(int wanted) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY) return (size_t)wanted;
  size_t most = (size_t)r.rlim_cur - (size_t)r.rlim_cur / 4;
  return (size_t)wanted < most ? (size_t)wanted : most;
}

static struct MHD_Daemon *start_daemon(struct mhd_server *s, int fd) {
  unsigned flags = mhd.is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES ? MHD_USE_EPOLL : 0;
  return mhd.start_daemon(flags | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, mhd_on_request, s, MHD_OPTION_LISTEN_SOCKET,
                          fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->max_connections,
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->max_header + CONNECTION_OVERHEAD,
                          MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK, mhd_on_uri, s,
                          MHD_OPTION_NOTIFY_COMPLETED, mhd_on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
                          mhd_on_connection, s, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

/* The descriptor that is ready when libmicrohttpd has something to do; -1: there is none, and it is looked at by the clock. */
static int descriptor_of(struct mhd_server *s) {
  const union MHD_DaemonInfo *info = mhd.get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  return info ? info->epoll_fd : -1;
}

/* True when all handles are there; those that are count in open_handles and get closed by close_handles. */
static bool init_handles(struct mhd_server *s, uv_loop_t *loop, bool background) {
  int fd = descriptor_of(s);
  uv_timer_init(loop, &s->sweep);
  uv_timer_init(loop, &s->look);
  s->open_handles = 2;
  if (s->header_timeout) uv_timer_start(&s->sweep, on_sweep, sweep_ms(s), sweep_ms(s));
  uv_unref((uv_handle_t *)&s->sweep);
  if (background) uv_unref((uv_handle_t *)&s->look);
  if (uv_poll_init(loop, &s->leaving, s->leave.fd) != 0) return false;
  s->open_handles++;
  uv_poll_start(&s->leaving, UV_READABLE, on_leaving);
  uv_unref((uv_handle_t *)&s->leaving);
  if (fd < 0) return uv_timer_start(&s->look, on_look, LOOK_MS, LOOK_MS) == 0;
  if (uv_poll_init(loop, &s->poll, fd) != 0) return false;
  s->open_handles++;
  if (background) uv_unref((uv_handle_t *)&s->poll);
  return uv_poll_start(&s->poll, UV_READABLE, on_poll) == 0;
}

static struct mhd_server *make_server(struct host *h, const struct httpd_options *o, struct err *e) {
  struct mhd_server *s = mem_calloc(&h->mem, sizeof *s);
  if (s && o->path) s->path = mem_strndup(&h->mem, o->path, strlen(o->path));
  if (!s || (o->path && !s->path) || !leave_open(&s->leave)) {
    int code = s && (!o->path || s->path) ? errno : ENOMEM;
    err_set(e, "os", code, "cannot make a server: %s", strerror(code));
    if (s) mem_free(&h->mem, s->path);
    mem_free(&h->mem, s);
    return NULL;
  }
  s->base.cls = &mhd_class;
  s->base.host = h;
  s->max_body = o->max_body;
  s->max_header = o->max_header;
  s->max_connections = connections_of(o->max_connections);
  s->max_bodies = o->max_body > BODIES_MAX / 4 ? o->max_body * 4 : BODIES_MAX;
  s->header_timeout = o->header_timeout > 0 ? (uint64_t)(o->header_timeout * 1e9) : 0;
  s->dirty_tail = &s->dirty;
  s->turn_over.run = on_turn_over;
  return s;
}

static struct server *mhd_open(struct host *h, const struct httpd_options *o, void (*accepted)(void *ud), void *ud,
                               struct err *e) {
  if (!mhd_api_open(e)) return NULL;
  int port = 0, fd = o->path ? unix_listen(o->path, e) : listen_on(o, &port, e);
  if (fd < 0) return NULL;
  struct mhd_server *s = make_server(h, o, e);
  if (!s) {
    close(fd);
    if (o->path) unlink(o->path);
    return NULL;
  }
  s->port = port;
  s->daemon = start_daemon(s, fd);
  if (!s->daemon) close(fd); /* else it is the daemon's */
  if (!s->daemon || !init_handles(s, &h->loop, o->background)) {
    err_set(e, "os", errno, "cannot start a server on port %d: %s", port, strerror(errno));
    if (o->path) unlink(o->path);
    if (s->daemon) mhd.stop_daemon(s->daemon);
    h->inflight++; /* until its handles are closed */
    close_handles(s);
    return NULL;
  }
  want_run(s); /* it begins to listen at its first run */
  httpd_opened(&s->base, h, accepted, ud);
  s->opened = true;
  return &s->base;
}
