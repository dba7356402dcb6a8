/* net_mem.c - HTTP without sockets: http://NAME.mem/ is answered by the server of this process that listens as NAME. Both
 * ends are here: the back end of net_impl.h and the engine of httpd_impl.h. Whatever crosses from one to the other is copied
 * and delivered at a later turn of the loop, so order depends on nothing but the program. Memory is the host's.
 *
 * A mem_request owns the bytes on their way to the client, a mem_exchange the copy of the request; each knows the other
 * until one of them ends. */
#include <errno.h>
#include <string.h>

#include "httpd/httpd_impl.h"
#include "net_impl.h"

#define NAME_MAX_LEN 64

struct mem_server {
  struct server base;
  struct timer closing;
  struct mem_exchange *exchanges; /* all, until their owners end them */
  size_t max_body, max_header;
  bool aborting, down;
  char name[NAME_MAX_LEN];
};

struct mem_exchange {
  struct exchange base;
  struct mem_exchange *next, **prev; /* in the server */
  struct mem_request *client;        /* NULL: has left, or was answered */
  struct timer left;                 /* reports later that the client has left */
  char bytes[];
};

enum mem_state { MEM_ASKING, MEM_WAITING, MEM_ENDED, MEM_CUT };

struct mem_request {
  struct net_request base;
  struct mem_exchange *exchange; /* NULL before it is sent and after its owner's end */
  enum mem_state state;
  int redirects, max_redirects;
  /* the question: all but the URL in one block */
  char *block, *url;
  const char **headers, *method, *body;
  size_t header_count, body_len;
  /* the answer on its way */
  char *head; /* "Name: value\n" lines; NULL once delivered */
  size_t head_len;
  int status;
  char *buf; /* unread bytes are buf[start, end) */
  size_t start, end, size;
};

static struct mem_request *of_net(struct net_request *r) {
  return CONTAINER_OF(r, struct mem_request, base);
}
static struct mem_exchange *of_exchange(struct exchange *x) {
  return CONTAINER_OF(x, struct mem_exchange, base);
}
static struct mem_server *of_server(struct server *s) {
  return CONTAINER_OF(s, struct mem_server, base);
}
static struct mem *mem_of(struct mem_request *r) {
  return &r->base.host->mem;
}

/* --- the client's question ---------------------------------------------------------------------------------------- */

static char *put(char **at, const char *s, size_t len) {
  char *start = *at;
  if (len) memcpy(start, s, len);
  start[len] = 0;
  *at += len + 1;
  return start;
}

static bool copy_question(struct mem_request *r, const struct net_options *o) {
  const char *method = o->method ? o->method : "GET";
  size_t count = 0, size = strlen(method) + o->body_len + 2;
  for (; o->headers && o->headers[count]; count++) size += strlen(o->headers[count]) + 1;
  char *at = r->block = mem_alloc(mem_of(r), count * sizeof(char *) + size);
  if (!at) return false;
  r->headers = (const char **)(void *)at;
  at += count * sizeof(char *);
  for (size_t i = 0; i < count; i++) r->headers[i] = put(&at, o->headers[i], strlen(o->headers[i]));
  r->header_count = count;
  r->method = put(&at, method, strlen(method));
  r->body = put(&at, o->body, o->body_len);
  r->body_len = o->body_len;
  r->url = mem_strndup(mem_of(r), o->url, strlen(o->url));
  return r->url != NULL;
}

static void request_free(struct mem_request *r) {
  struct mem *m = mem_of(r);
  mem_free(m, r->block);
  mem_free(m, r->url);
  mem_free(m, r->head);
  mem_free(m, r->buf);
  mem_free(m, r);
}

static struct net_request *start(struct host *h, const struct net_options *o, struct err *e) {
  struct mem_request *r = mem_calloc(&h->mem, sizeof *r);
  if (r) {
    r->base.host = h;
    r->max_redirects = o->max_redirects;
    if (copy_question(r, o)) {
      r->base.url = r->url;
      net_turn(&r->base);
      return &r->base;
    }
    request_free(r);
  }
  err_set(e, "os", ENOMEM, "out of memory: no room for a request");
  return NULL;
}

/* --- from the question to an exchange ------------------------------------------------------------------------------- */

/* Path and query of a URL: from its first '/' or '?' after the authority, up to '#'. */
static const char *target_of(const char *url, size_t *len) {
  const char *p = strstr(url, "://") + 3;
  p += strcspn(p, "/?#");
  *len = strcspn(p, "#");
  return p;
}

static const char *header_of(const struct mem_request *r, const char *name) {
  size_t n = strlen(name);
  for (size_t i = 0; i < r->header_count; i++)
    if (strncasecmp(r->headers[i], name, n) == 0 && r->headers[i][n] == ':') return r->headers[i];
  return NULL;
}

static void put_header(struct mem_exchange *x, char **at, const char *line) {
  const char *colon = strchr(line, ':');
  if (!colon) return;
  struct header *h = &x->base.headers[x->base.header_count++];
  h->name = put(at, line, (size_t)(colon - line));
  colon++;
  colon += strspn(colon, " \t");
  h->value = put(at, colon, strlen(colon));
}

/* What an HTTP client adds by itself: Host, and the length of a body. */
static struct mem_exchange *make_exchange(struct mem_request *r, struct mem_server *s) {
  char host[NAME_MAX_LEN + 16], length[48];
  size_t target_len, count = r->header_count + 2, size = 0;
  const char *target = target_of(r->url, &target_len);
  snprintf(host, sizeof host, "Host: %s.mem", s->name);
  snprintf(length, sizeof length, "Content-Length: %zu", r->body_len);
  bool has_length = r->body_len > 0 || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0;
  for (size_t i = 0; i < r->header_count; i++) size += strlen(r->headers[i]) + 1;
  size += sizeof host + sizeof length;
  size += strlen(r->method) + target_len + r->body_len + 8 + count;
  struct mem_exchange *x = mem_alloc(mem_of(r), sizeof *x + count * sizeof(struct header) + size);
  if (!x) return NULL;
  memset(x, 0, sizeof *x);
  x->base.headers = (struct header *)(void *)x->bytes;
  char *at = x->bytes + count * sizeof(struct header);
  if (!header_of(r, "Host")) put_header(x, &at, host);
  for (size_t i = 0; i < r->header_count; i++) put_header(x, &at, r->headers[i]);
  if (has_length && !header_of(r, "Content-Length")) put_header(x, &at, length);
  x->base.method = put(&at, r->method, strlen(r->method));
  x->base.target = at;
  if (target_len == 0 || *target != '/') *at++ = '/';
  put(&at, target, target_len);
  x->base.body = put(&at, r->body, r->body_len);
  x->base.body_len = r->body_len;
  x->base.server = &s->base;
  snprintf(x->base.peer, sizeof x->base.peer, "mem");
  return x;
}

static struct mem_server *find_server(struct host *h, const char *url) {
  char name[256];
  if (!h->httpd || !net_host(url, name, sizeof name)) return NULL;
  size_t len = strlen(name) - strlen(".mem");
  for (struct server *s = h->httpd->servers; s; s = s->next) {
    if (s->cls != &mem_class || s->closing) continue;
    struct mem_server *m = of_server(s);
    if (strlen(m->name) == len && memcmp(m->name, name, len) == 0) return m;
  }
  return NULL;
}

/* An answer the server gives without a handler. */
static bool answer_empty(struct mem_request *r, int status) {
  static const char head[] = "Content-Length: 0\n";
  r->head = mem_strndup(mem_of(r), head, sizeof head - 1);
  r->head_len = sizeof head - 1;
  r->status = status;
  r->state = MEM_ENDED;
  return r->head != NULL;
}

/* --- the answer's way to the client ------------------------------------------------------------------------------- */

static void fail(struct mem_request *r, const char *kind, const char *what) {
  struct err e;
  char where[256];
  net_where(r->url, where, sizeof where);
  err_set(&e, kind, 0, "%s %s", where, what);
  net_end(&r->base, &e);
  request_free(r);
}

static void finish(struct mem_request *r) {
  net_end(&r->base, NULL);
  request_free(r);
}

/* Disconnects both ends; the server is notified later. */
static void on_left(struct timer *t);

static void part(struct mem_request *r) {
  struct mem_exchange *x = r->exchange;
  if (!x) return;
  r->exchange = NULL;
  x->client = NULL;
  timer_start(r->base.host, &x->left, 0, on_left);
}

static bool ask(struct mem_request *r) {
  struct host *h = r->base.host;
  struct mem_server *s = find_server(h, r->url);
  if (!s) {
    fail(r, "refused", "cannot be asked: no server of this process has that name");
    return false;
  }
  net_sent(&r->base);
  r->state = MEM_WAITING;
  size_t target_len, size = 0;
  target_of(r->url, &target_len);
  for (size_t i = 0; i < r->header_count; i++) size += strlen(r->headers[i]) + 2;
  if (size + target_len > s->max_header || r->body_len > s->max_body) {
    if (answer_empty(r, r->body_len > s->max_body ? 413 : 431)) return true;
    fail(r, "os", "cannot be asked: not enough memory");
    return false;
  }
  struct mem_exchange *x = make_exchange(r, s);
  if (!x) {
    fail(r, "os", "cannot be asked: not enough memory");
    return false;
  }
  r->exchange = x;
  x->client = r;
  x->prev = &s->exchanges;
  x->next = s->exchanges;
  if (x->next) x->next->prev = &x->next;
  s->exchanges = x;
  httpd_arrived(&x->base);
  return true;
}

/* --- redirects ---------------------------------------------------------------------------------------------------- */

static void deny(struct mem_request *r, char *url) {
  struct err e;
  net_denied(&e, url, NULL, r->url);
  mem_free(mem_of(r), url);
  net_end(&r->base, &e);
  request_free(r);
}

/* Where a redirect leads, as a URL in memory of its own; NULL when out of memory. */
static char *resolve(struct mem_request *r, const char *location, size_t len) {
  struct mem *m = mem_of(r);
  const char *colon = memchr(location, ':', len), *slash = memchr(location, '/', len);
  if (colon && (!slash || colon < slash)) return mem_strndup(m, location, len);
  const char *path = strstr(r->url, "://") + 3;
  path += strcspn(path, "/?#");
  size_t keep = (size_t)(path - r->url), dir = 0;
  if (len == 0 || location[0] != '/') { /* beside the document */
    dir = strcspn(path, "?#");
    while (dir > 0 && path[dir - 1] != '/') dir--;
    if (dir == 0) path = "/", dir = 1;
  }
  char *url = mem_alloc(m, keep + dir + len + 1), *at = url;
  if (!url) return NULL;
  memcpy(at, r->url, keep);
  memcpy(at + keep, path, dir);
  put(&(char *){at + keep + dir}, location, len);
  return url;
}

static const char *location_of(const struct mem_request *r, size_t *len) {
  const char *eol;
  for (const char *p = r->head; (eol = strchr(p, '\n')) != NULL; p = eol + 1) {
    if (strncasecmp(p, "Location:", 9) != 0) continue;
    p += 9;
    p += strspn(p, " \t");
    *len = (size_t)(eol - p);
    return p;
  }
  return NULL;
}

static void ask_again(struct mem_request *r, char *url) {
  if (r->status == 303 || ((r->status == 301 || r->status == 302) && strcmp(r->method, "POST") == 0)) {
    if (strcmp(r->method, "HEAD") != 0) r->method = "GET";
    r->body_len = 0;
  }
  mem_free(mem_of(r), r->url);
  mem_free(mem_of(r), r->head);
  r->base.url = r->url = url;
  r->head = NULL;
  r->start = r->end = 0;
  r->state = MEM_ASKING;
  net_turn(&r->base);
}

/* True when the head was a redirect to be followed, and is dealt with. */
static bool redirect(struct mem_request *r) {
  size_t len;
  char host[256];
  if (r->status < 300 || r->status > 399 || r->max_redirects <= 0) return false;
  const char *location = location_of(r, &len);
  if (!location) return false;
  part(r);
  char *url = resolve(r, location, len);
  size_t host_len = url && net_host(url, host, sizeof host) ? strlen(host) : 0;
  if (!url) {
    fail(r, "os", "cannot be asked again: not enough memory");
  } else if (r->redirects++ == r->max_redirects) {
    mem_free(mem_of(r), url);
    fail(r, "protocol", "answers with too many redirects");
  } else if (host_len <= 4 || strcmp(host + host_len - 4, ".mem") != 0) {
    mem_free(mem_of(r), url);
    fail(r, "protocol", "redirects out of this process");
  } else if (r->base.guard && !net_egress_name(r->base.guard, host, 0)) {
    deny(r, url);
  } else {
    ask_again(r, url);
  }
  return true;
}

/* --- the turn of a request ---------------------------------------------------------------------------------------- */

bool net_mem_cut(struct host *h, uint64_t seed, size_t max) {
  struct httpd *d = httpd_of(h);
  if (!d) return false;
  d->cut_state = seed;
  d->cut_max = max;
  return true;
}

/* How much of `len` bytes goes in one piece. */
static size_t piece(struct httpd *d, size_t len) {
  if (!d || d->cut_max == 0) return len;
  uint64_t z = d->cut_state += 0x9e3779b97f4a7c15ull; /* splitmix64 (Steele, Lea, Flood 2014) */
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  size_t n = 1 + (size_t)((z ^ (z >> 31)) % d->cut_max);
  return n < len ? n : len;
}

/* False: the client wants no more. */
static bool deliver(struct mem_request *r) {
  if (r->head) {
    enum net_verdict v = net_head(&r->base, r->status, r->head, r->head_len);
    mem_free(mem_of(r), r->head);
    r->head = NULL;
    if (v == NET_STOP) return false;
  }
  while (r->start < r->end) {
    size_t n = piece(r->base.host->httpd, r->end - r->start);
    enum net_verdict v = net_data(&r->base, r->buf + r->start, n);
    if (v == NET_STOP) return false;
    if (v == NET_PAUSED) return true;
    r->start += n;
  }
  r->start = r->end = 0;
  return true;
}

static void turn(struct net_request *base) {
  struct mem_request *r = of_net(base);
  if (r->state == MEM_ASKING && !ask(r)) return;
  if (r->head && redirect(r)) return;
  size_t before = r->end - r->start;
  if (!deliver(r)) {
    part(r);
    finish(r);
    return;
  }
  size_t held = r->end - r->start;
  struct mem_exchange *x = r->exchange;
  if (x && before >= x->base.low && held < x->base.low) httpd_drained(&x->base);
  if (held > 0) return;
  if (r->state == MEM_ENDED)
    finish(r);
  else if (r->state == MEM_CUT)
    fail(r, "incomplete",
         r->status ? "broke off in the middle of its answer" : "closed the connection without an answer");
}

static void cancel(struct net_request *base) {
  struct mem_request *r = of_net(base);
  part(r);
  request_free(r);
}

const struct net_backend net_mem = {.start = start, .turn = turn, .cancel = cancel};

/* --- the handler's end -------------------------------------------------------------------------------------------- */

static void on_left(struct timer *t) {
  httpd_left(&CONTAINER_OF(t, struct mem_exchange, left)->base);
}

static bool reply(struct exchange *base, int status, const char *const *headers, int64_t len, struct err *e) {
  struct mem_request *r = of_exchange(base)->client;
  char frame[64];
  size_t n, size = 0;
  const char *value;
  if (!r) return true; /* the client is gone */
  if (len < 0)
    snprintf(frame, sizeof frame, "Transfer-Encoding: chunked");
  else
    snprintf(frame, sizeof frame, "Content-Length: %lld", (long long)len);
  for (const char *const *h = headers; h && *h; h++) size += strlen(*h) + 2;
  r->head = mem_alloc(mem_of(r), size + sizeof frame + 2);
  if (!r->head) {
    err_set(e, "os", ENOMEM, "out of memory: no room for the head of a reply");
    return false;
  }
  char *at = r->head;
  for (; headers && *headers; headers++)
    if (httpd_header(*headers, &n, &value) == HTTPD_SEND) at += sprintf(at, "%.*s: %s\n", (int)n, *headers, value);
  if (status != 204 && status != 304) at += sprintf(at, "%s\n", frame);
  *at = 0;
  r->head_len = (size_t)(at - r->head);
  r->status = status;
  net_turn(&r->base);
  return true;
}

static int64_t write_bytes(struct exchange *base, const char *bytes, size_t len) {
  struct mem_request *r = of_exchange(base)->client;
  if (!r) return -1;
  if (r->size - r->end < len && r->start > 0) {
    memmove(r->buf, r->buf + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
  }
  if (r->size - r->end < len) {
    size_t size = r->size ? r->size * 2 : 512;
    while (size - r->end < len) size *= 2;
    char *grown = mem_grow(mem_of(r), r->buf, size);
    if (!grown) return -1;
    r->buf = grown;
    r->size = size;
  }
  memcpy(r->buf + r->end, bytes, len);
  r->end += len;
  if (!r->base.paused) net_turn(&r->base);
  return (int64_t)(r->end - r->start);
}

static void check_down(struct mem_server *s);

/* The owner is through with x. */
static void end(struct exchange *base, bool clean) {
  struct mem_exchange *x = of_exchange(base);
  struct mem_server *s = of_server(base->server);
  struct mem_request *r = x->client;
  if (r) {
    r->state = clean ? MEM_ENDED : MEM_CUT;
    r->exchange = NULL;
    if (!r->base.paused) net_turn(&r->base);
  }
  timer_stop(s->base.host, &x->left);
  *x->prev = x->next;
  if (x->next) x->next->prev = x->prev;
  mem_free(&s->base.host->mem, x);
  if (s->down && !s->exchanges)
    mem_free(&s->base.host->mem, s);
  else
    check_down(s);
}

/* --- the server ----------------------------------------------------------------------------------------------------- */

static int port_of(const struct server *s) {
  (void)s;
  return 0;
}

static void down(struct timer *t) {
  struct mem_server *s = CONTAINER_OF(t, struct mem_server, closing);
  struct mem *m = &s->base.host->mem;
  bool last = !s->exchanges; /* else end() frees s */
  s->down = true;
  httpd_closed(&s->base);
  if (last) mem_free(m, s);
}

static void check_down(struct mem_server *s) {
  if (!s->base.closing || s->down || s->closing.armed || (s->exchanges && !s->aborting)) return;
  timer_start(s->base.host, &s->closing, 0, down);
}

static void mem_close(struct server *base, bool abort) {
  struct mem_server *s = of_server(base);
  if (abort && !s->aborting) {
    s->aborting = true;
    for (struct mem_exchange *x = s->exchanges; x; x = x->next) {
      struct mem_request *r = x->client;
      if (!r) continue;
      part(r);
      r->state = MEM_CUT;
      net_turn(&r->base);
    }
  }
  check_down(s);
}

static void shut(struct server *base) {
  struct mem_server *s = of_server(base);
  mem_close(base, true);
  timer_stop(base->host, &s->closing);
  down(&s->closing);
}

static bool good_name(const char *name) {
  size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
  return n > 0 && n < NAME_MAX_LEN && !name[n];
}

static struct server *mem_open(struct host *h, const struct httpd_options *o, void (*accepted)(void *ud), void *ud,
                               struct err *e) {
  char url[NAME_MAX_LEN + 16];
  if (!good_name(o->mem)) {
    err_set(e, "argument", 0, "'%.80s' cannot name a server in memory: want lower-case letters, digits and -", o->mem);
    return NULL;
  }
  snprintf(url, sizeof url, "http://%s.mem/", o->mem);
  if (find_server(h, url)) {
    err_set(e, "os", EADDRINUSE, "a server of this process listens as %s already", o->mem);
    return NULL;
  }
  struct mem_server *s = mem_calloc(&h->mem, sizeof *s);
  if (!s) {
    err_set(e, "os", ENOMEM, "out of memory: no room for a server");
    return NULL;
  }
  s->base.cls = &mem_class;
  s->max_body = o->max_body;
  s->max_header = o->max_header;
  memcpy(s->name, o->mem, strlen(o->mem) + 1);
  httpd_opened(&s->base, h, accepted, ud);
  return &s->base;
}

const struct server_class mem_class = {port_of,          mem_close,        reply, write_bytes, end, shut,
                                       .open = mem_open, .in_memory = true};
