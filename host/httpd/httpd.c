/* httpd.c - what every exchange shares, from whichever engine: the accept queue, the rules of a reply, the calls back and
 * the counters of the host. A server belongs to its engine, which frees it after httpd_closed; an exchange belongs to the
 * queue, then to whom server_accept gave it, and its engine frees it. */
#include <errno.h>
#include <string.h>

#include "httpd_impl.h"

#define STATUS_MIN 200
#define STATUS_MAX 999

/* --- the list of servers ------------------------------------------------------------------------------------------ */

struct httpd *httpd_of(struct host *h) {
  if (!h->httpd) h->httpd = mem_calloc(&h->mem, sizeof *h->httpd);
  return h->httpd;
}

struct server *server_open(struct host *h, const struct httpd_options *o, void (*accepted)(void *ud), void *ud,
                           struct err *e) {
  if (!httpd_of(h)) {
    err_set(e, "os", ENOMEM, "not enough memory");
    return NULL;
  }
  const struct server_class *const *cls = h->server_classes;
  while ((*cls)->in_memory != (o->mem != NULL)) cls++;
  return (*cls)->open(h, o, accepted, ud, e);
}

void httpd_opened(struct server *s, struct host *h, void (*accepted)(void *ud), void *ud) {
  s->host = h;
  s->accepted = accepted;
  s->ud = ud;
  s->tail = &s->head;
  s->next = h->httpd->servers;
  s->prev = &h->httpd->servers;
  if (s->next) s->next->prev = &s->next;
  h->httpd->servers = s;
  h->handles++;
}

static void free_when_empty(struct host *h) {
  if (!h->httpd->closing || h->httpd->servers) return;
  mem_free(&h->mem, h->httpd);
  h->httpd = NULL;
}

void httpd_closed(struct server *s) {
  *s->prev = s->next;
  if (s->next) s->next->prev = s->prev;
  s->host->handles--;
  if (s->closed) s->closed(s->closed_ud);
  free_when_empty(s->host);
}

int server_port(const struct server *s) {
  return s->cls->port(s);
}

struct exchange *server_accept(struct server *s) {
  struct exchange *x = s->head;
  if (!x) return NULL;
  s->head = x->next;
  if (!s->head) s->tail = &s->head;
  x->next = NULL;
  x->taken = true;
  s->host->handles++;
  return x;
}

/* Nobody will accept these any more. */
static void refuse_queued(struct server *s) {
  static const char *const headers[] = {"Connection: close", NULL};
  struct exchange *x;
  struct err e;
  while ((x = server_accept(s)) != NULL) {
    if (exchange_reply(x, 503, headers, 0, &e))
      exchange_end(x);
    else
      exchange_reset(x);
  }
}

void server_close(struct server *s, bool abort, void (*closed)(void *ud), void *ud) {
  s->closed = closed;
  s->closed_ud = ud;
  s->closing = true;
  refuse_queued(s);
  s->cls->close(s, abort);
}

void httpd_close(struct host *h) {
  if (!h->httpd) return;
  for (struct server *s = h->httpd->servers, *next; s; s = next) {
    next = s->next;
    s->closing = true;
    refuse_queued(s);
    s->cls->shut(s);
  }
  h->httpd->closing = true;
  free_when_empty(h);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

void httpd_arrived(struct exchange *x) {
  struct server *s = x->server;
  x->next = NULL;
  *s->tail = x;
  s->tail = &x->next;
  if (s->closing)
    refuse_queued(s);
  else
    s->accepted(s->ud);
}

const char *exchange_method(const struct exchange *x) {
  return x->method;
}
const char *exchange_target(const struct exchange *x) {
  return x->target;
}
const char *exchange_peer(const struct exchange *x) {
  return x->peer;
}

const char *exchange_body(const struct exchange *x, size_t *len) {
  *len = x->body_len;
  return x->body ? x->body : "";
}

void exchange_forget_body(struct exchange *x) {
  if (!x->server->cls->forget_body) return;
  x->server->cls->forget_body(x);
  x->body = NULL;
  x->body_len = 0;
}

void exchange_headers(const struct exchange *x, void (*each)(void *ud, const char *name, const char *value), void *ud) {
  for (size_t i = 0; i < x->header_count; i++) each(ud, x->headers[i].name, x->headers[i].value);
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool httpd_same(const char *a, const char *b) {
  while (*a && lower(*a) == lower(*b)) a++, b++;
  return lower(*a) == lower(*b);
}

static bool is_token(unsigned char c) {
  return (c >= '0' && c <= '9') || (lower((char)c) >= 'a' && lower((char)c) <= 'z') ||
         (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_len(const char *s) {
  size_t n = 0;
  while (is_token((unsigned char)s[n])) n++;
  return n;
}

int httpd_check_head(const struct header *headers, size_t count, bool http_1_1) {
  size_t hosts = 0, lengths = 0, codings = 0;
  for (size_t i = 0; i < count; i++) {
    const char *name = headers[i].name, *value = headers[i].value;
    if (!*name || name[token_len(name)]) return 400;
    if (httpd_same(name, "Host")) hosts++;
    if (httpd_same(name, "Content-Length")) {
      lengths++;
      if (!*value || value[strspn(value, "0123456789")]) return 400;
    }
    if (httpd_same(name, "Transfer-Encoding")) {
      codings++;
      if (!httpd_same(value, "chunked") || !http_1_1) return 400;
    }
  }
  return hosts > 1 || (http_1_1 && hosts == 0) || lengths + codings > 1 ? 400 : 0;
}

const char *httpd_refusal(int status) {
  switch (status) {
    case 413: return "the body is larger than this server takes (max_body)\n";
    case 431: return "the head is larger than this server takes (max_header)\n";
    case 503: return "this server takes no more requests now\n";
    default: return "the head of the request is malformed, or its length in doubt\n";
  }
}

/* --- replies ------------------------------------------------------------------------------------------------------ */

enum httpd_header httpd_header(const char *line, size_t *name_len, const char **value) {
  static const char *const own[] = {"Content-Length", "Transfer-Encoding", "Date", "Keep-Alive"};
  size_t n = token_len(line);
  if (n == 0 || line[n] != ':') return HTTPD_BAD;
  *name_len = n;
  const char *v = line + n + 1;
  while (*v == ' ' || *v == '\t') v++;
  *value = v;
  for (; *v; v++)
    if (((unsigned char)*v < 32 && *v != '\t') || *v == 127) return HTTPD_BAD;
  for (size_t i = 0; i < COUNT_OF(own); i++)
    if (strlen(own[i]) == n && strncasecmp(own[i], line, n) == 0) return HTTPD_OWN;
  return HTTPD_SEND;
}

static bool check_reply(const struct exchange *x, int status, const char *const *headers, struct err *e) {
  size_t n;
  const char *value;
  if (x->replied) {
    err_set(e, "argument", 0, "this request has been replied to already");
    return false;
  }
  if (status < STATUS_MIN || status > STATUS_MAX) {
    err_set(e, "argument", 0, "%d is no status a reply can have", status);
    return false;
  }
  for (; headers && *headers; headers++)
    if (httpd_header(*headers, &n, &value) == HTTPD_BAD) {
      err_set(e, "argument", 0, "not a header: '%.100s'", *headers);
      return false;
    }
  return true;
}

bool exchange_reply(struct exchange *x, int status, const char *const *headers, int64_t len, struct err *e) {
  if (!check_reply(x, status, headers, e)) return false;
  bool head = strcmp(x->method, "HEAD") == 0;
  x->bodyless = head || status == 204 || status == 304;
  if (!head && x->bodyless) len = 0;
  x->announced = len;
  if (!x->server->cls->reply(x, status, headers, len, e)) return false;
  x->replied = true;
  return true;
}

int64_t exchange_write(struct exchange *x, const char *bytes, size_t len) {
  CHECK(x->replied);
  if (x->gone) return -1;
  if (x->bodyless || len == 0) return 0;
  CHECK(x->announced < 0 || (uint64_t)len <= (uint64_t)(x->announced - x->written));
  int64_t held = x->server->cls->write(x, bytes, len);
  if (held >= 0) x->written += (int64_t)len;
  return held;
}

bool exchange_answer(struct exchange *x, int status, const char *const *headers, const char *bytes, size_t len,
                     struct err *e) {
  x->whole = len > 0 ? bytes : NULL;
  bool ok = exchange_reply(x, status, headers, (int64_t)len, e), taken = len > 0 && !x->whole;
  x->whole = NULL;
  if (ok && taken) x->written = (int64_t)len;
  if (!ok || taken || exchange_write(x, bytes, len) >= 0) return ok;
  err_set(e, "incomplete", 0, "the client has gone");
  return false;
}

static void end(struct exchange *x, bool clean) {
  timer_stop(x->server->host, &x->notice);
  x->drained = x->left = NULL;
  if (x->taken) x->server->host->handles--;
  x->taken = false;
  bool whole = x->replied && (x->bodyless || x->announced < 0 || x->written == x->announced);
  x->server->cls->end(x, clean && whole);
}

void exchange_end(struct exchange *x) {
  end(x, true);
}
void exchange_reset(struct exchange *x) {
  end(x, false);
}

/* --- calls back --------------------------------------------------------------------------------------------------- */

static void on_notice(struct timer *t) {
  struct exchange *x = CONTAINER_OF(t, struct exchange, notice);
  if (x->left) x->left(x->ud);
}

void exchange_watch(struct exchange *x, size_t low, void (*drained)(void *ud), void (*left)(void *ud), void *ud) {
  x->low = low;
  x->drained = drained;
  x->left = left;
  x->ud = ud;
  if (x->gone) timer_start(x->server->host, &x->notice, 0, on_notice);
}

void httpd_left(struct exchange *x) {
  if (x->gone) return;
  x->gone = true;
  if (x->left) x->left(x->ud);
}

void httpd_drained(struct exchange *x) {
  if (x->drained) x->drained(x->ud);
}
