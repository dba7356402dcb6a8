/* httpd_mhd.c - serving from sockets: libmicrohttpd parses on a thread of its own (httpd_mhd_thread.c), this half runs on
 * the loop. A server is from the host's memory; exchanges, replies and bytes cross between the threads and are malloc'ed. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "httpd_mhd.h"
#include "httpd_unix.h"

#define BACKLOG             4096
#define CONNECTION_OVERHEAD (8 * 1024) /* of libmicrohttpd's memory per connection, beyond the head of a request */
#define COPY_BLOCK          16384
#define CHUNKED_BLOCK       1024
#define BODIES_MAX          ((size_t)256 << 20) /* bytes of the bodies of all requests, and at least four of the longest */

static void lock(struct mhd_server *s) {
  pthread_mutex_lock(&s->mutex);
}
static void unlock(struct mhd_server *s) {
  pthread_mutex_unlock(&s->mutex);
}

static struct mhd_exchange *mhd_of(struct exchange *x) {
  return CONTAINER_OF(x, struct mhd_exchange, base);
}

static void check_down(struct mhd_server *s);
static void free_server(struct mhd_server *s);

/* --- what keeps virtual time waiting ------------------------------------------------------------------------------ */

static void count(struct mhd_exchange *x, bool on) {
  struct host *h = x->server->base.host;
  if (on == x->counted) return;
  x->counted = on;
  if (on)
    h->inflight++;
  else
    h->inflight--;
}

/* --- resuming: once per exchange and turn, when all that a handler writes in it is there --------------------------- */

static void flush(struct mhd_server *s) {
  host_before_poll_drop(&s->resumes);
  lock(s);
  for (struct mhd_exchange *x = s->dirty; x; x = x->dirty_next) x->suspended = false;
  unlock(s);
  struct mhd_exchange *next, *x = s->dirty;
  s->dirty = NULL;
  s->dirty_tail = &s->dirty;
  for (; x; x = next) {
    next = x->dirty_next;
    x->dirty = false;
    MHD_resume_connection(x->connection); /* not gone: it could not move before this */
  }
}

static void on_resumes(struct poll_hook *hook) {
  flush(CONTAINER_OF(hook, struct mhd_server, resumes));
}

/* Under the mutex. */
static void want_resume(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  if (!x->suspended || x->dirty) return;
  if (!s->dirty) host_before_poll(s->base.host, BEFORE_POLL_REPLIES, &s->resumes);
  x->dirty = true;
  x->dirty_next = NULL;
  *s->dirty_tail = x;
  s->dirty_tail = &x->dirty_next;
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
  return MHD_add_response_header(r, name, value) == MHD_YES;
}

static struct MHD_Response *make_response(struct mhd_exchange *x, int64_t len) {
  if (len == 0) return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
  size_t block = len < 0 ? CHUNKED_BLOCK : len < COPY_BLOCK ? (size_t)len : COPY_BLOCK;
  uint64_t size = len < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)len;
  return MHD_create_response_from_callback(size, block, mhd_on_read, x, NULL);
}

static bool reply(struct exchange *base, int status, const char *const *headers, int64_t len, struct err *e) {
  struct mhd_exchange *x = mhd_of(base);
  struct mhd_server *s = x->server;
  struct MHD_Response *r = make_response(x, len);
  bool ok = r != NULL;
  for (; ok && headers && *headers; headers++) ok = add_header(r, *headers);
  if (ok && base->server->closing) ok = add_header(r, "Connection: close");
  if (!ok) {
    if (r) MHD_destroy_response(r);
    err_set(e, "os", ENOMEM, "not enough memory for the head of a reply");
    return false;
  }
  lock(s);
  x->response = r;
  x->status = status;
  want_resume(x);
  unlock(s);
  return true;
}

static int64_t write_bytes(struct exchange *base, const char *bytes, size_t len) {
  struct mhd_exchange *x = mhd_of(base);
  struct mhd_server *s = x->server;
  struct segment *seg = malloc(sizeof *seg + len);
  if (!seg) return -1;
  *seg = (struct segment){.len = len};
  memcpy(seg->bytes, bytes, len);
  int64_t held = -1;
  lock(s);
  bool open = !x->done && !x->left;
  if (open) {
    *x->segments_tail = seg;
    x->segments_tail = &seg->next;
    held = (int64_t)(x->held += len);
    x->low = base->low;
    if (x->held >= x->low) x->tell_low = true;
    x->tell_empty = base->server->host->clock == CLOCK_VIRTUAL;
    if (x->tell_empty) count(x, true);
    want_resume(x);
  }
  unlock(s);
  if (!open) free(seg);
  return held;
}

static void release(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  CHECK(!x->dirty && !x->in_batch);
  count(x, false);
  s->exchanges--;
  mhd_free_exchange(x);
  if (s->down && s->exchanges == 0) free_server(s);
}

static void end(struct exchange *base, bool clean) {
  struct mhd_exchange *x = mhd_of(base);
  struct mhd_server *s = x->server;
  lock(s);
  x->ended = true;
  x->cut = !clean;
  bool done = x->done, told = x->in_news;
  if (!done) want_resume(x);
  unlock(s);
  if (!done)
    count(x, true);
  else if (!told && !x->in_batch)
    release(x);
}

/* --- news from the thread ----------------------------------------------------------------------------------------- */

static void take_arrivals(struct mhd_server *s) {
  lock(s);
  struct mhd_exchange *x = s->arrived, *next;
  s->arrived = NULL;
  s->arrived_tail = &s->arrived;
  for (struct mhd_exchange *a = x; a; a = a->arrived_next) a->base.gone = a->left;
  unlock(s);
  for (; x; x = next) {
    next = x->arrived_next;
    x->live = true;
    s->live++;
    s->exchanges++;
    httpd_arrived(&x->base);
  }
}

/* The callbacks may end x, so they come last. */
static void take_one(struct mhd_exchange *x) {
  struct mhd_server *s = x->server;
  x->in_batch = false;
  if (x->seen_done && x->live) {
    x->live = false;
    s->live--;
  }
  if (x->seen_done && x->ended) {
    release(x);
    return;
  }
  if (x->counted && !x->ended) {
    lock(s);
    bool held = x->held > 0;
    unlock(s);
    count(x, held);
  }
  if (x->seen_left)
    httpd_left(&x->base);
  else if (x->seen_low)
    httpd_drained(&x->base);
}

static void take_news(struct mhd_server *s) {
  take_arrivals(s);
  lock(s);
  struct mhd_exchange *x = s->news, *next;
  s->news = NULL;
  s->news_tail = &s->news;
  for (struct mhd_exchange *n = x; n; n = n->news_next) {
    n->batch_next = n->news_next;
    n->in_news = false;
    n->in_batch = true;
    n->seen_done = n->done;
    n->seen_left = n->left;
    n->seen_low = n->low_reached;
    n->low_reached = false;
  }
  unlock(s);
  for (; x; x = next) {
    next = x->batch_next;
    take_one(x);
  }
  check_down(s);
}

static void on_async(uv_async_t *a) {
  take_news(CONTAINER_OF(a, struct mhd_server, async));
}

static void on_leave(uv_poll_t *p, int status, int events) {
  struct mhd_server *s = CONTAINER_OF(p, struct mhd_server, poll);
  struct mhd_connection *mc;
  (void)status, (void)events;
  lock(s);
  while ((mc = leave_next(&s->leave)) != NULL) {
    struct mhd_exchange *x = mc->exchange;
    mc->left = true;
    if (!x || x->left) continue;
    x->left = true;
    want_resume(x); /* so that the thread closes the connection now */
    mhd_tell(x);
  }
  unlock(s);
  take_news(s);
}

/* Connections that have not brought a whole request for too long are shut; the thread sees their end. */
static void on_sweep(uv_timer_t *t) {
  struct mhd_server *s = CONTAINER_OF(t, struct mhd_server, sweep);
  uint64_t now = uv_hrtime();
  lock(s);
  for (struct mhd_connection *mc = s->connections; mc; mc = mc->next)
    if (mc->reading_since && !mc->expired && now - mc->reading_since > s->header_timeout) {
      mc->expired = true;
      (void)shutdown(mc->fd, SHUT_RDWR);
    }
  unlock(s);
}

/* --- closing ------------------------------------------------------------------------------------------------------ */

static void free_server(struct mhd_server *s) {
  pthread_mutex_destroy(&s->mutex);
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
  uv_handle_t *const handles[] = {(uv_handle_t *)&s->async, (uv_handle_t *)&s->sweep,
                                  (uv_handle_t *)&s->poll}; /* in the order of init_handles */
  int open = s->open_handles;
  if (open == 0) all_handles_closed(s);
  for (int i = 0; i < open; i++) {
    handles[i]->data = s;
    uv_close(handles[i], on_handle_closed);
  }
}

static void stop_daemon(uv_work_t *w) {
  MHD_stop_daemon(CONTAINER_OF(w, struct mhd_server, work)->daemon);
}

static void on_stopped(uv_work_t *w, int status) {
  struct mhd_server *s = CONTAINER_OF(w, struct mhd_server, work);
  (void)status;
  s->daemon = NULL;
  take_news(s);
  close_handles(s);
}

/* Nobody is being answered any more: join the thread, without waiting for it here. */
static void check_down(struct mhd_server *s) {
  if (!s->closing || s->stopping || (s->live > 0 && !s->aborting)) return;
  s->stopping = true;
  s->base.host->inflight++;
  flush(s);
  if (uv_queue_work(&s->base.host->loop, &s->work, stop_daemon, on_stopped) == 0) return;
  stop_daemon(&s->work);
  on_stopped(&s->work, 0);
}

/* No more connections, no more requests. */
static void quiesce(struct mhd_server *s) {
  lock(s);
  bool first = !s->closing;
  s->closing = true;
  unlock(s);
  if (!first) return;
  int fd = MHD_quiesce_daemon(s->daemon);
  if (fd >= 0) close(fd);
  if (s->path) unlink(s->path);
  take_news(s);
}

/* All connections are let go, to be cut by the thread. */
static void abort_all(struct mhd_server *s) {
  lock(s);
  s->aborting = true;
  for (struct mhd_connection *mc = s->connections; mc; mc = mc->next)
    if (mc->exchange) want_resume(mc->exchange);
  unlock(s);
  flush(s);
}

static void mhd_close(struct server *base, bool abort) {
  struct mhd_server *s = CONTAINER_OF(base, struct mhd_server, base);
  if (s->stopping) return;
  quiesce(s);
  if (s->stopping) return;
  if (abort) abort_all(s);
  check_down(s);
}

static void shut(struct server *base) {
  struct mhd_server *s = CONTAINER_OF(base, struct mhd_server, base);
  if (s->stopping) return; /* under way: the loop ends it */
  s->stopping = true;
  base->host->inflight++;
  quiesce(s);
  abort_all(s);
  stop_daemon(&s->work);
  on_stopped(&s->work, 0);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int port_of(const struct server *base) {
  return CONTAINER_OF(base, const struct mhd_server, base)->port;
}

static const struct server_class mhd_class = {port_of, mhd_close, reply, write_bytes, end, shut};

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

/* Its thread must take no signals: they are the loop's. */
static struct MHD_Daemon *start_daemon(struct mhd_server *s, int fd, int max_connections) {
  sigset_t all, before;
  bool epoll = MHD_is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES;
  unsigned flags = epoll ? MHD_USE_EPOLL_INTERNAL_THREAD : MHD_USE_POLL_INTERNAL_THREAD;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct MHD_Daemon *d =
      MHD_start_daemon(flags | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, mhd_on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
                       MHD_OPTION_CONNECTION_LIMIT, (unsigned)max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                       s->max_header + CONNECTION_OVERHEAD, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
                       MHD_OPTION_URI_LOG_CALLBACK, mhd_on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, mhd_on_completed, s,
                       MHD_OPTION_NOTIFY_CONNECTION, mhd_on_connection, s, MHD_OPTION_END);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return d;
}

/* True when all three handles are there; those that are count in open_handles and get closed by close_handles. */
static bool init_handles(struct mhd_server *s, uv_loop_t *loop) {
  uint64_t sweep_ms = s->header_timeout / 4000000 + 1;
  if (uv_async_init(loop, &s->async, on_async) != 0) return false;
  s->open_handles++;
  s->resumes.run = on_resumes;
  uv_timer_init(loop, &s->sweep);
  s->open_handles++;
  if (s->header_timeout) uv_timer_start(&s->sweep, on_sweep, sweep_ms, sweep_ms);
  uv_unref((uv_handle_t *)&s->sweep);
  if (uv_poll_init(loop, &s->poll, s->leave.fd) != 0) return false;
  s->open_handles++;
  uv_poll_start(&s->poll, UV_READABLE, on_leave);
  uv_unref((uv_handle_t *)&s->poll);
  return true;
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
  pthread_mutex_init(&s->mutex, NULL);
  s->base.cls = &mhd_class;
  s->base.host = h;
  s->max_body = o->max_body;
  s->max_header = o->max_header;
  s->max_bodies = o->max_body > BODIES_MAX / 4 ? o->max_body * 4 : BODIES_MAX;
  s->header_timeout = o->header_timeout > 0 ? (uint64_t)(o->header_timeout * 1e9) : 0;
  s->arrived_tail = &s->arrived;
  s->news_tail = &s->news;
  s->dirty_tail = &s->dirty;
  return s;
}

struct server *mhd_open(struct host *h, const struct httpd_options *o, void (*accepted)(void *ud), void *ud,
                        struct err *e) {
  int port = 0, fd = o->path ? unix_listen(o->path, e) : listen_on(o, &port, e);
  if (fd < 0) return NULL;
  struct mhd_server *s = make_server(h, o, e);
  if (!s) {
    close(fd);
    if (o->path) unlink(o->path);
    return NULL;
  }
  s->port = port;
  bool ready = init_handles(s, &h->loop);
  if (ready && o->background) uv_unref((uv_handle_t *)&s->async);
  if (ready) s->daemon = start_daemon(s, fd, o->max_connections);
  if (!s->daemon) {
    err_set(e, "os", errno, "cannot start a server on port %d: %s", port, strerror(errno));
    close(fd);
    if (o->path) unlink(o->path);
    h->inflight++; /* until its handles are closed */
    close_handles(s);
    return NULL;
  }
  httpd_opened(&s->base, h, accepted, ud);
  s->opened = true;
  return &s->base;
}
