/* net_curl_loop.c - libcurl's multi_socket interface on the loop: one uv_poll_t for each socket, one timer in each shard for all
 * of curl's own timers (resolver, happy eyeballs). The time limits of requests are not among them: those are net.c's. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/host.h"
#include "net_curl.h"

#define MAX_CONNECTIONS 16384L /* in use or at rest; a shard with more than its part closes the one unused for longest */
#define REST_MS         60000  /* a shard without requests keeps its connections for so long */
#define LOOK_MS         1000   /* until a dead one is looked at: others may die with it */

static void release(struct curl_engine *c) {
  if (--c->handles > 0) return;
  struct host *h = c->host;
  for (size_t i = 0; i < CURL_SHARDS; i++) mem_free(&h->mem, c->shards[i]);
  mem_free(&h->mem, c->polls);
  mem_free(&h->mem, c);
  curl.global_cleanup();
}

/* --- after curl ran -------------------------------------------------------------------------------------------- */

/* Removal waits until curl is off the stack; so does everything a sink may do when a request ends. */
static void reap(struct curl_shard *s) {
  struct curl_engine *c = s->engine;
  CURLMsg *m;
  int left;
  while (c->doomed) {
    struct transfer *t = c->doomed;
    c->doomed = t->next;
    transfer_drop(t);
  }
  while ((m = curl.multi_info_read(s->multi, &left))) {
    char *private = NULL;
    if (m->msg != CURLMSG_DONE) continue;
    CURLcode result = m->data.result;
    curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
    transfer_done((struct transfer *)private, result);
  }
}

static struct curl_poll *poll_find(const struct curl_engine *c, curl_socket_t fd) {
  return fd >= 0 && (size_t)fd < c->polls_size ? c->polls[fd] : NULL;
}

/* While curl is on the stack. */
static void doubt(struct transfer *t, curl_socket_t connecting) {
  struct curl_engine *c = t->engine;
  t->connecting = connecting;
  if (t->unsure) return;
  t->unsure = true;
  t->unsure_next = c->unsure;
  c->unsure = t;
}

/* curl (7.88 at least) tries the next address of a name only when it processes the transfer again. If an attempt failed before
 * there was a socket to poll, nothing triggers that, so we do. False: no such transfer. */
static bool look_again(struct curl_engine *c) {
  bool any = false;
  while (c->unsure) {
    struct transfer *t = c->unsure;
    c->unsure = t->unsure_next;
    t->unsure = false;
    struct curl_poll *p = poll_find(c, t->connecting);
    if (t->sent || t->doomed || (p && p->wanted)) continue;
    curl.easy_pause(t->easy, CURLPAUSE_RECV); /* either change of state makes it due at once */
    curl.easy_pause(t->easy, CURLPAUSE_CONT);
    any = true;
  }
  return any;
}

static void act(struct curl_shard *s, curl_socket_t fd, int events) {
  struct curl_engine *c = s->engine;
  int running;
  c->act++;
  c->inside = true;
  curl.multi_socket_action(s->multi, fd, events, &running);
  while (look_again(c)) curl.multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  c->inside = false;
  reap(s);
}

void curl_shard_kick(struct curl_shard *s) {
  act(s, CURL_SOCKET_TIMEOUT, 0);
}

/* --- timer ------------------------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer) {
  curl_shard_kick(CONTAINER_OF(timer, struct curl_shard, timer));
}

static void on_soon(uv_idle_t *idle) {
  uv_idle_stop(idle);
  curl_shard_kick(CONTAINER_OF(idle, struct curl_shard, soon));
}

/* libuv (before 1.46 at least) loops for ever if a timer callback starts a timer of 0 ms. curl does that while a server sends
 * faster than curl reads. */
static int set_timer(CURLM *multi, long ms, void *ud) {
  struct curl_shard *s = ud;
  (void)multi;
  uv_timer_stop(&s->timer);
  uv_idle_stop(&s->soon);
  if (ms > 0)
    uv_timer_start(&s->timer, on_timer, (uint64_t)ms, 0);
  else if (ms == 0)
    uv_idle_start(&s->soon, on_soon);
  return 0;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

static void poll_freed(uv_handle_t *handle) {
  struct curl_poll *p = CONTAINER_OF((uv_poll_t *)handle, struct curl_poll, uv);
  struct curl_engine *c = p->shard->engine;
  mem_free(&c->host->mem, p);
  release(c);
}

static void poll_close(struct curl_poll *p) {
  struct curl_engine *c = p->shard->engine;
  c->polls[p->fd] = NULL;
  p->shard->kept -= p->rests;
  p->shard->dead -= p->dead;
  if (p->opened)
    uv_close((uv_handle_t *)&p->uv, poll_freed); /* also stops it */
  else
    mem_free(&c->host->mem, p);
}

static struct curl_poll *poll_make(struct curl_shard *s, curl_socket_t fd, bool mine) {
  struct curl_engine *c = s->engine;
  struct mem *m = &c->host->mem;
  if ((size_t)fd >= c->polls_size) {
    size_t size = c->polls_size ? c->polls_size * 2 : 64;
    while (size <= (size_t)fd) size *= 2;
    struct curl_poll **polls = mem_grow(m, c->polls, size * sizeof *polls);
    if (!polls) return NULL;
    memset(polls + c->polls_size, 0, (size - c->polls_size) * sizeof *polls);
    c->polls = polls;
    c->polls_size = size;
  }
  struct curl_poll *p = mem_calloc(m, sizeof *p);
  if (!p) return NULL;
  p->shard = s;
  p->fd = fd;
  p->mine = mine;
  return c->polls[fd] = p;
}

/* --- connections at rest ------------------------------------------------------------------------------------------ */

/* curl closes one only when it makes or puts away another. So a shard that has been without requests for long, or whose connections
 * are mostly dead, is closed as a whole: its next request makes a new multi handle. */
static bool is_stale(const struct curl_shard *s) {
  return s->live == 0 && s->kept > 0 && (2 * s->dead > s->kept || uv_now(&s->engine->host->loop) - s->idle_from >= REST_MS);
}

static void drop_multi(struct curl_shard *s) {
  if (!s->multi) return;
  curl.multi_cleanup(s->multi); /* closes the resting connections, and so their polls */
  s->multi = NULL;
  uv_timer_stop(&s->timer);
  uv_idle_stop(&s->soon);
}

static void on_rest(uv_timer_t *timer);

static void look_in(struct curl_engine *c, uint64_t ms) {
  if (uv_is_active((uv_handle_t *)&c->rest) && uv_timer_get_due_in(&c->rest) <= ms) return;
  uv_timer_start(&c->rest, on_rest, ms, 0);
  uv_unref((uv_handle_t *)&c->rest);
}

static void on_rest(uv_timer_t *timer) {
  struct curl_engine *c = CONTAINER_OF(timer, struct curl_engine, rest);
  bool more = false;
  for (size_t i = 0; i < CURL_SHARDS; i++) {
    struct curl_shard *s = c->shards[i];
    if (!s) continue;
    if (is_stale(s)) drop_multi(s);
    more |= s->live == 0 && s->kept > 0;
  }
  if (more) look_in(c, REST_MS);
}

void curl_shard_left(struct curl_shard *s) {
  if (--s->live > 0 || s->kept == 0) return;
  s->idle_from = uv_now(&s->engine->host->loop);
  look_in(s->engine, s->dead > 0 ? LOOK_MS : REST_MS);
}

/* No more descriptors: those at rest in other shards go first. False: there are none. */
static bool make_room(const struct curl_shard *mine) {
  bool any = false;
  for (size_t i = 0; i < CURL_SHARDS; i++) {
    struct curl_shard *s = mine->engine->shards[i];
    if (!s || s == mine || s->live > 0 || s->kept == 0) continue;
    drop_multi(s);
    any = true;
  }
  return any;
}

/* --- sockets of curl's -------------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *uv, int status, int events);

static void poll_want(struct curl_poll *p, int wanted) {
  if (!p->opened) {
    struct curl_engine *c = p->shard->engine;
    if (uv_poll_init(&c->host->loop, &p->uv, p->fd) != 0) return;
    p->opened = true;
    c->handles++;
  }
  p->wanted = wanted;
  uv_ref((uv_handle_t *)&p->uv);
  if (p->polled == wanted) return;
  p->polled = wanted;
  uv_poll_start(&p->uv, wanted, on_poll);
}

static void on_poll(uv_poll_t *uv, int status, int events) {
  struct curl_poll *p = CONTAINER_OF(uv, struct curl_poll, uv);
  struct curl_shard *s = p->shard;
  struct curl_engine *c = s->engine;
  curl_socket_t fd = p->fd;
  int what = 0;
  if (status < 0) p->polled = 0; /* libuv stopped it */
  if (!p->wanted) { /* at rest: most likely the server has closed it; curl looks before it uses it again */
    uv_poll_stop(uv);
    p->polled = 0;
    s->dead += !p->dead;
    p->dead = true;
    if (s->live == 0) look_in(c, LOOK_MS);
    return;
  }
  if (status >= 0 && host_yield_wanted(c->host)) return;     /* this socket is still ready in the next turn */
  if (status < 0) what = CURL_CSELECT_IN | CURL_CSELECT_OUT; /* let curl run into the error, and report it */
  if (events & UV_READABLE) what |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE) what |= CURL_CSELECT_OUT;
  act(s, fd, what);
  p = poll_find(c, fd); /* may have been freed or replaced */
  if (p && p->wanted && !p->polled) poll_want(p, p->wanted);
}

static struct transfer *transfer_of(CURL *easy) {
  char *private = NULL;
  curl.easy_getinfo(easy, CURLINFO_PRIVATE, &private);
  return (struct transfer *)private;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *unused) {
  struct curl_shard *s = ud;
  struct curl_engine *c = s->engine;
  struct curl_poll *p = poll_find(c, fd);
  (void)unused;
  /* curl (7.88) rarely passes no socket at all: nothing to poll, and the request's timeouts still apply */
  if (fd < 0) return 0;
  if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE) {
    if (!p) return 0;
    if (!p->rests) {
      struct transfer *t = p->mine && c->inside ? transfer_of(easy) : NULL;
      if (t && !t->sent) doubt(t, CURL_SOCKET_BAD);
      poll_close(p);
      return 0;
    }
    p->wanted = 0;
    if (p->opened) uv_unref((uv_handle_t *)&p->uv);
    return 0;
  }
  if (!p) p = poll_make(s, fd, false); /* a pipe of the resolver */
  /* An error here would make curl abort all transfers. Without a poll handle the resolver still works by its timer, and a
   * connection runs into its timeout. */
  if (!p) return 0;
  struct transfer *t = p->mine ? transfer_of(easy) : NULL;
  if (t) {
    t->socket = fd;
    if (t->sent && !p->rests) { /* it carries requests by now */
      p->rests = true;
      s->kept++;
    }
    s->dead -= p->dead;
    p->dead = false;
  }
  poll_want(p, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0));
  return 0;
}

/* Ours, for CLOEXEC: a child process that inherited the connection would keep it open past a cancel. */
curl_socket_t curl_engine_open(void *transfer, curlsocktype purpose, struct curl_sockaddr *a) {
  struct transfer *t = transfer;
  struct curl_engine *c = t->engine;
  int wanted = 0;
  (void)purpose;
  t->sent = false;
  t->unsent = 0;
  doubt(t, CURL_SOCKET_BAD);
  if (t->guard && !curl_guard_opens(t, &a->addr)) return CURL_SOCKET_BAD;
  int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE) && make_room(t->shard))
    fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
  if (fd < 0) return CURL_SOCKET_BAD;
  struct curl_poll *p = poll_find(c, fd);
  if (p) { /* closed without notice and its number reused: the shard believes that it is polled already */
    if (p->shard == t->shard) wanted = p->wanted;
    poll_close(p);
  }
  p = poll_make(t->shard, fd, true);
  if (!p) {
    close(fd);
    errno = ENOMEM;
    return CURL_SOCKET_BAD;
  }
  if (wanted) poll_want(p, wanted);
  t->connecting = fd;
  return fd;
}

int curl_engine_close_socket(void *engine, curl_socket_t fd) {
  struct curl_poll *p = poll_find(engine, fd);
  if (p) poll_close(p); /* before close(): libuv must forget the number first */
  return close(fd);
}

/* --- the engine ------------------------------------------------------------------------------------------------- */

struct curl_engine *curl_engine_of(struct net *net, struct err *e) {
  if (net->curl) return net->curl;
  if (!curl_api_open(e)) return NULL;
  struct host *h = net->host;
  struct curl_engine *c = mem_calloc(&h->mem, sizeof *c);
  if (!c) goto oom;
  if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) goto oom;
  c->host = h;
  c->handles = 2;
  CHECK(uv_timer_init(&h->loop, &c->rest) == 0);
  return net->curl = c;

oom:
  mem_free(&h->mem, c);
  err_set(e, "os", ENOMEM, "out of memory: no room for the HTTP client");
  return NULL;
}

static bool make_multi(struct curl_shard *s) {
  s->multi = curl.multi_init();
  if (!s->multi) return false;
  curl.multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
  curl.multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
  curl.multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, set_timer);
  curl.multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
  curl.multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, MAX_CONNECTIONS / CURL_SHARDS);
  return true;
}

struct curl_shard *curl_shard_of(struct curl_engine *c, unsigned number) {
  struct host *h = c->host;
  struct curl_shard *s = c->shards[number];
  if (!s) {
    s = mem_calloc(&h->mem, sizeof *s);
    if (!s) return NULL;
    s->engine = c;
    CHECK(uv_timer_init(&h->loop, &s->timer) == 0);
    CHECK(uv_idle_init(&h->loop, &s->soon) == 0);
    c->handles += 2;
    c->shards[number] = s;
  }
  return s->multi || make_multi(s) ? s : NULL;
}

static void rest_freed(uv_handle_t *handle) {
  release(CONTAINER_OF((uv_timer_t *)handle, struct curl_engine, rest));
}

static void timer_freed(uv_handle_t *handle) {
  release(CONTAINER_OF((uv_timer_t *)handle, struct curl_shard, timer)->engine);
}

static void soon_freed(uv_handle_t *handle) {
  release(CONTAINER_OF((uv_idle_t *)handle, struct curl_shard, soon)->engine);
}

void net_curl_close(struct net *net) {
  struct curl_engine *c = net->curl;
  if (!c) return;
  CHECK(c->live == 0 && !c->inside);
  net->curl = NULL;
  while (c->pool) {
    struct transfer *t = c->pool;
    c->pool = t->next;
    transfer_free(t);
  }
  for (size_t i = 0; i < CURL_SHARDS; i++) {
    struct curl_shard *s = c->shards[i];
    if (!s) continue;
    drop_multi(s);
    uv_close((uv_handle_t *)&s->timer, timer_freed);
    uv_close((uv_handle_t *)&s->soon, soon_freed);
  }
  uv_close((uv_handle_t *)&c->rest, rest_freed);
  release(c);
}
