/* net.c - what every request shares: the choice of the back end, the phase timers, the byte cap, the counters of the host,
 * and calls of the sink that never come from inside a call of the owner. */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "loop/host.h"
#include "net_impl.h"

#define NEVER    UINT64_MAX
#define HOST_MAX 256
#define ALMOST   1000 /* ns: a timer this early counts as due */

/* --- URLs ------------------------------------------------------------------------------------------------------- */

/* The authority of a URL ("host:port"), without the user; NULL when it has none. */
static const char *authority(const char *url, size_t *len) {
  const char *p = strstr(url, "://");
  if (!p) return NULL;
  p += 3;
  *len = strcspn(p, "/?#");
  for (size_t i = *len; i-- > 0;)
    if (p[i] == '@') {
      *len -= i + 1;
      return p + i + 1;
    }
  return p;
}

/* Length of the host part of an authority, brackets of an IPv6 address included. */
static size_t host_len(const char *p, size_t len) {
  if (len && *p == '[') {
    const char *end = memchr(p, ']', len);
    return end ? (size_t)(end - p) + 1 : len;
  }
  const char *colon = memchr(p, ':', len);
  return colon ? (size_t)(colon - p) : len;
}

bool net_host(const char *url, char *out, size_t size) {
  size_t len;
  const char *p = authority(url, &len);
  if (!p) return false;
  len = host_len(p, len);
  if (len >= 2 && *p == '[' && p[len - 1] == ']') {
    p++;
    len -= 2;
  }
  if (len == 0 || len >= size) return false;
  for (size_t i = 0; i < len; i++) out[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
  out[len] = 0;
  return true;
}

void net_where(const char *url, char *out, size_t size) {
  size_t len;
  const char *p = authority(url, &len);
  if (!p) {
    snprintf(out, size, "%s", url);
    return;
  }
  bool has_port = host_len(p, len) < len;
  int shown = len > size ? (int)size : (int)len;
  if (has_port)
    snprintf(out, size, "%.*s", shown, p);
  else
    snprintf(out, size, "%.*s:%s", shown, p, (url[4] | 32) == 's' ? "443" : "80");
}

/* "http://host[:port]/", cut to size. */
static void site(const char *url, char *out, size_t size) {
  size_t len;
  const char *p = authority(url, &len);
  if (p)
    snprintf(out, size, "%.*s://%.*s/", (int)strcspn(url, ":"), url, (int)(len < size ? len : size), p);
  else
    snprintf(out, size, "%s", url);
}

void net_denied(struct err *e, const char *url, const char *address, const char *first) {
  char host[HOST_MAX], place[100], origin[100];
  struct netaddr literal, a;
  bool same = address && net_host(url, host, sizeof host) && netaddr_parse(host, &literal) &&
              netaddr_parse(address, &a) && netaddr_equal(&literal, &a);
  site(url, place, sizeof place);
  if (first) site(first, origin, sizeof origin);
  const char *after = first ? " (after a redirect from " : "", *end = first ? ")" : "";
  if (address && !same)
    err_set(e, "denied", 0, "%s resolves to %s, which is not a public address%s%s%s", place, address, after,
            first ? origin : "", end);
  else
    err_set(e, "denied", 0, "%s is not a public address%s%s%s", place, after, first ? origin : "", end);
}

static bool is_mem(const char *host) {
  size_t len = strlen(host);
  return len > 4 && strcmp(host + len - 4, ".mem") == 0;
}

static const struct net_backend *backend_for(struct host *h, const char *host) {
  const struct net_backend *const *b = h->net_backends;
  while ((*b)->real == is_mem(host)) b++;
  return *b;
}

static void on_turns(struct poll_hook *hook);

/* --- the engine ------------------------------------------------------------------------------------------------- */

struct net *net_of(struct host *h) {
  if (h->net) return h->net;
  struct net *net = mem_calloc(&h->mem, sizeof *net);
  if (!net) return NULL;
  net->host = h;
  net->turns_tail = &net->turns;
  net->hook.run = on_turns;
  return h->net = net;
}

void net_close(struct host *h) {
  struct net *net = h->net;
  if (!net) return;
  CHECK(!net->turns);
  h->net = NULL;
  for (const struct net_backend *const *b = h->net_backends; *b; b++) {
    if ((*b)->close) (*b)->close(net);
  }
  host_before_poll_drop(&net->hook);
  mem_free(&h->mem, net);
}

void net_deny_real(struct host *h, bool deny) {
  struct net *net = net_of(h);
  if (net) net->deny = deny;
}

/* --- turns: calls back on a later turn of the loop ---------------------------------------------------------------- */

static void unqueue(struct net_request *r) {
  if (!r->turn_prev) return;
  struct net *net = r->host->net;
  *r->turn_prev = r->turn_next;
  if (r->turn_next) r->turn_next->turn_prev = r->turn_prev;
  if (net->turns_tail == &r->turn_next) net->turns_tail = r->turn_prev;
  r->turn_prev = NULL;
  r->host->inflight--;
}

static void on_turns(struct poll_hook *hook) {
  struct net *net = CONTAINER_OF(hook, struct net, hook);
  struct net_request *batch = net->turns;
  if (!batch) return;
  net->turns = NULL; /* those queued from here on wait for the next turn */
  net->turns_tail = &net->turns;
  batch->turn_prev = &batch;
  while (batch) {
    struct net_request *r = batch;
    unqueue(r);
    r->backend->turn(r);
  }
}

void net_turn(struct net_request *r) {
  struct net *net = r->host->net;
  if (r->turn_prev) return;
  host_before_poll(net->host, BEFORE_POLL_REQUESTS, &net->hook);
  r->turn_next = NULL;
  r->turn_prev = net->turns_tail;
  *net->turns_tail = r;
  net->turns_tail = &r->turn_next;
  r->host->inflight++;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static const char *const phase_names[] = {"connect", "first_byte", "idle", "total"};

/* Upcalls come from inside the loop, whose cached clock is fresh enough there and costs nothing. */
static uint64_t loop_now(const struct host *h) {
  return h->clock == CLOCK_VIRTUAL ? h->virtual_now : uv_now(&h->loop) * 1000000;
}

static uint64_t due_after(uint64_t now, double seconds) {
  if (!(seconds > 0)) return NEVER;
  if (seconds > 1e9) seconds = 1e9;
  return now + (uint64_t)(seconds * 1e9);
}

static void time_is_up(struct net_request *r, bool total) {
  struct err e;
  char where[2 * HOST_MAX + 32], proxy[HOST_MAX];
  const struct net_sink *sink = r->sink;
  void *ud = r->ud;
  const char *hint = r->backend->proxy ? r->backend->proxy(r, proxy, sizeof proxy) : NULL;
  net_where(r->url, where, HOST_MAX);
  if (hint) {
    size_t len = strlen(where);
    snprintf(where + len, sizeof where - len, " through the proxy %s", proxy);
  }
  if (total)
    err_set(&e, "timeout", 0, "%s: not done within %g s", where, r->timeouts.total);
  else if (r->phase == NET_CONNECT)
    err_set(&e, "timeout", 0, "cannot connect to %s within %g s", where, r->timeouts.connect);
  else if (r->phase == NET_FIRST_BYTE)
    err_set(&e, "timeout", 0, "%s: no answer within %g s", where, r->timeouts.first_byte);
  else
    err_set(&e, "timeout", 0, "%s: nothing came for %g s in the middle of the answer", where, r->timeouts.idle);
  e.phase = total ? "total" : phase_names[r->phase];
  if (r->phase == NET_CONNECT) e.hint = hint;
  net_cancel(r);
  sink->end(ud, &e);
}

/* One timer serves all phases. A deadline that moves away leaves it alone: it fires early, and is armed again for the
 * rest; so a delivery costs one store, not a change of the heap. */
static void on_timer(struct timer *t);

static void arm(struct net_request *r) {
  uint64_t due = r->phase_due < r->total_due ? r->phase_due : r->total_due;
  if (due == NEVER || (r->timer.armed && r->timer.at <= due)) return;
  uint64_t now = host_now(r->host);
  timer_start(r->host, &r->timer, due > now ? (double)(due - now) / 1e9 : 0, on_timer);
}

static void on_timer(struct timer *t) {
  struct net_request *r = CONTAINER_OF(t, struct net_request, timer);
  uint64_t now = host_now(r->host) + ALMOST;
  if (now >= r->total_due)
    time_is_up(r, true);
  else if (now >= r->phase_due)
    time_is_up(r, false);
  else
    arm(r);
}

static void enter_phase(struct net_request *r, enum net_phase phase, uint64_t now, double seconds) {
  r->phase = (uint8_t)phase;
  r->phase_due = due_after(now, seconds);
  arm(r);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* A paused connection waits for the script alone, so it must not keep the loop or virtual time waiting. */
static void count(struct net_request *r, bool on) {
  on = on && r->backend->real;
  if (on == r->counted) return;
  r->counted = on;
  if (on)
    r->host->inflight++;
  else
    r->host->inflight--;
}

/* Leaves every list and counter; the back end frees it. */
static void detach(struct net_request *r) {
  timer_stop(r->host, &r->timer);
  unqueue(r);
  count(r, false);
  r->host->handles--;
  if (r->guard) net_egress_free(&r->host->mem, r->guard);
  r->guard = NULL;
}

/* What may be said of a request before anything is begun. */
static bool admit(struct net *net, const struct net_options *o, const char *host, bool mem, struct net_egress **guard,
                  struct err *e) {
  for (const char *const *line = o->resolve; line && *line; line++)
    if (!net_resolve_check(*line, e)) return false;
  if (!mem && net->deny) {
    err_set(e, "denied", 0, "the real network is closed here: %.160s", o->url);
    return false;
  }
  if (!o->only_public) return true;
  if (o->socket) {
    err_set(e, "argument", 0, "a socket of this machine is no public address");
    return false;
  }
  if (o->proxy && *o->proxy) {
    err_set(e, "argument", 0, "a proxy would be asked instead of the public address");
    return false;
  }
  *guard = net_egress_new(&net->host->mem, o->allow, e);
  if (!*guard) return false;
  if (!mem || net_egress_name(*guard, host, 0)) return true;
  net_denied(e, o->url, NULL, NULL);
  net_egress_free(&net->host->mem, *guard);
  return false;
}

struct net_request *net_start(struct host *h, const struct net_options *o, const struct net_sink *sink, void *ud,
                              struct err *e) {
  char host[HOST_MAX];
  struct net *net = net_of(h);
  if (!net) {
    err_set(e, "os", ENOMEM, "out of memory: no room for a request");
    return NULL;
  }
  bool web = strncasecmp(o->url, "http://", 7) == 0 || strncasecmp(o->url, "https://", 8) == 0;
  if (!web || !net_host(o->url, host, sizeof host)) {
    err_set(e, "argument", 0, "not a URL this host can ask: '%.160s' (want http://host/... or https://host/...)",
            o->url);
    return NULL;
  }
  const struct net_backend *backend = backend_for(h, host);
  struct net_egress *guard = NULL;
  if (!admit(net, o, host, !backend->real, &guard, e)) return NULL;
  struct net_request *r = backend->start(h, o, e);
  if (!r) {
    net_egress_free(&h->mem, guard);
    return NULL;
  }
  *r = (struct net_request){.backend = backend,
                            .host = h,
                            .url = r->url,
                            .sink = sink,
                            .ud = ud,
                            .timeouts = o->timeouts,
                            .max_bytes = o->max_bytes ? o->max_bytes : UINT64_MAX,
                            .guard = guard,
                            .turn_next = r->turn_next,
                            .turn_prev = r->turn_prev};
  h->handles++;
  count(r, true);
  uint64_t now = host_now(h);
  r->total_due = due_after(now, o->timeouts.total);
  enter_phase(r, NET_CONNECT, now, o->timeouts.connect);
  return r;
}

void net_resume(struct net_request *r) {
  if (!r->paused) return;
  r->paused = false;
  count(r, true);
  if (r->phase == NET_IDLE) enter_phase(r, NET_IDLE, host_now(r->host), r->timeouts.idle);
  net_turn(r);
}

void net_cancel(struct net_request *r) {
  if (r->in_sink) { /* the back end is on the stack: it learns of it by NET_STOP */
    r->dead = true;
    timer_stop(r->host, &r->timer);
    return;
  }
  detach(r);
  r->backend->cancel(r);
}

void net_sent(struct net_request *r) {
  if (r->phase == NET_CONNECT) enter_phase(r, NET_FIRST_BYTE, loop_now(r->host), r->timeouts.first_byte);
}

enum net_verdict net_head(struct net_request *r, int status, const char *block, size_t len) {
  if (r->dead) return NET_STOP;
  enter_phase(r, NET_IDLE, loop_now(r->host), r->timeouts.idle);
  r->in_sink = true;
  r->sink->head(r->ud, status, block, len);
  r->in_sink = false;
  return r->dead ? NET_STOP : NET_TAKEN;
}

enum net_verdict net_data(struct net_request *r, const char *bytes, size_t len) {
  if (r->dead || r->over) return NET_STOP;
  if (r->paused) return NET_PAUSED;
  if (len > r->max_bytes - r->bytes) {
    r->over = true;
    return NET_STOP;
  }
  r->in_sink = true;
  bool taken = r->sink->data(r->ud, bytes, len);
  r->in_sink = false;
  if (r->dead) return NET_STOP;
  if (!taken) {
    r->paused = true;
    r->phase_due = NEVER;
    count(r, false);
    return NET_PAUSED;
  }
  r->bytes += len;
  r->phase_due = due_after(loop_now(r->host), r->timeouts.idle);
  return NET_TAKEN;
}

void net_end(struct net_request *r, const struct err *e) {
  struct err over;
  bool dead = r->dead;
  detach(r);
  if (dead) return;
  if (r->over) {
    char where[HOST_MAX];
    net_where(r->url, where, sizeof where);
    err_set(&over, "limit", 0, "%s: the answer is longer than max_bytes (%llu)", where,
            (unsigned long long)r->max_bytes);
    e = &over;
  }
  r->sink->end(r->ud, e);
}
