/* net_curl.c - requests over sockets: fills an easy handle, reads head and body out of curl's callbacks.
 *
 * Each request has an easy handle of its own: what curl keeps in one (before 8.0 a pointer to the last header, which the next
 * answer may write through) and what was set for a request ends with it. Kept between requests are the connections, which
 * belong to a multi handle, and our buffers. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "loop/host.h"
#include "net_curl.h"
#include "net_wire.h"

#define POOL_MAX    512
#define KEEP_BODY   4096          /* a larger buffer is not kept: neither for the rest of the answer nor for the next request */
#define BULK_BODY   (256 * 1024)  /* sent in larger pieces */
#define CROWD       128           /* requests at once; more have small buffers */
#define HEADS_MAX   (256 * 1024)  /* bytes of the heads of one hop, answers before the answer and trailers among them */
#define LINES_MAX   4000          /* their lines: curl joins folded ones anew for each */
#define SKIPPED_MAX (1024 * 1024) /* bytes of a redirect's body that are read and dropped */
#define TUNNEL_MAX  (64 * 1024)   /* bytes of a proxy's answer to CONNECT: curl reports each of them */
#define BARREN_MAX  (4 << 20)     /* bytes without one that is for us */
#define LOOK_EVERY  16            /* reports, before it is looked how many there were */
/* One turn of curl goes on for as long as the other side is fast enough to have more. Beyond so much the loop is next. */
#define WORK_MAX              (256 * 1024)
#define CALL_WORK             64 /* bytes that a delivery counts for beside its own */
#define ROUNDS_MAX            32 /* reports of curl: about two for up to 100 reads */
#define SET(t, option, value) ((void)curl.easy_setopt((t)->easy, option, value))

static struct mem *mem_of(const struct transfer *t) {
  return &t->engine->host->mem;
}

/* A byte came that is for us. */
static void not_barren(struct transfer *t) {
  t->quiet = 0;
  t->quiet_from = 0;
}

/* --- the head ----------------------------------------------------------------------------------------------------- */

static bool head_add(struct transfer *t, const char *s, size_t len) {
  if (t->head_len + len + 1 > t->head_size) {
    size_t size = t->head_size ? t->head_size * 2 : 256;
    while (size < t->head_len + len + 1) size *= 2;
    char *head = mem_grow(mem_of(t), t->head, size);
    if (!head) {
      t->oom = true;
      return false;
    }
    t->head = head;
    t->head_size = size;
  }
  memcpy(t->head + t->head_len, s, len);
  t->head_len += len;
  return true;
}

static int read_status(const char *line, size_t len) {
  const char *p = memchr(line, ' ', len), *end = line + len;
  int status = 0;
  while (p && p < end && *p == ' ') p++;
  for (int i = 0; p && p < end && i < 3 && *p >= '0' && *p <= '9'; i++) status = status * 10 + *p++ - '0';
  return status;
}

/* Nothing sends the request again once its answer has begun, and the answer may take long. Not while it is still being sent. */
static void drop_body(struct transfer *t) {
  curl_off_t sent = -1;
  if (t->body_size <= KEEP_BODY) return;
  curl.easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
  if (sent != (curl_off_t)t->body_len) return;
  mem_free(mem_of(t), t->body);
  t->body = NULL;
  t->body_size = 0;
}

/* The blank line came. Interim answers and those curl will follow elsewhere are not for the sink. */
static bool head_complete(struct transfer *t) {
  if (t->status < 200) return true;
  if (t->max_redirects > 0 && t->location && t->status < 400 && t->status >= 300) {
    if (t->guard) curl_guard_redirected(t);
    t->heads = t->lines = 0;
    return true;
  }
  t->head_done = true;
  t->stopped = net_head(&t->base, t->status, t->head ? t->head : "", t->head_len) != NET_TAKEN;
  mem_free(mem_of(t), t->head); /* the sink has a copy, and the answer may take long */
  t->head = NULL;
  t->head_len = t->head_size = 0;
  drop_body(t);
  return !t->stopped;
}

static bool head_line(struct transfer *t, const char *line, size_t len) {
  if (len > 5 && memcmp(line, "HTTP/", 5) == 0) {
    t->head_len = 0;
    t->location = t->encoded = false;
    t->status = read_status(line, len);
    return true;
  }
  while (len && (line[len - 1] == '\n' || line[len - 1] == '\r')) len--;
  if (len == 0) return head_complete(t);
  if (*line == ' ' || *line == '\t') { /* obsolete line folding: continues the line before */
    if (t->head_len) t->head_len--;
  } else {
    const char *colon = memchr(line, ':', len);
    if (!colon) return true;
    if (len > 17 && strncasecmp(line, "Content-Encoding:", 17) == 0) t->encoded = true;
    if (len > 9 && strncasecmp(line, "Location:", 9) == 0)
      for (const char *p = line + 9; p < line + len; p++) t->location |= *p != ' ' && *p != '\t';
  }
  return head_add(t, line, len) && head_add(t, "\n", 1);
}

static bool on_line(struct transfer *t, const char *line, size_t len) {
  t->heads += len;
  if (t->heads > HEADS_MAX || ++t->lines > LINES_MAX) {
    t->long_head = true;
    return false;
  }
  return t->head_done || head_line(t, line, len); /* else trailers */
}

/* Lines come one by one, but those that were read before a pause all at once after it. */
static size_t on_header(char *bytes, size_t size, size_t n, void *ud) {
  struct transfer *t = ud;
  const char *line = bytes, *end = bytes + size * n;
  if (t->doomed) return 0;
  not_barren(t);
  while (line < end) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    stop = stop ? stop + 1 : end;
    if (!on_line(t, line, (size_t)(stop - line))) return 0;
    line = stop;
  }
  return size * n;
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

/* curl goes on within one call for as long as there is more to read. So a transfer that has had its share is paused, and goes
 * on in the next turn of the loop, when all others and the timers have had theirs. */
static void yield(struct transfer *t) {
  t->yielded = true;
  net_turn(&t->base);
}

static void begin_turn(struct transfer *t) {
  if (t->act == t->engine->act) return;
  t->act = t->engine->act;
  t->work = t->rounds = 0;
}

/* Bytes arrive, but none of them is body: chunks that are all extensions, which max_bytes does not count. Not for HTTP/2 and later,
 * where a connection carries other requests too. */
static bool is_barren(struct transfer *t) {
  long version = 0;
  if (!t->status || ++t->quiet % LOOK_EVERY != 0 || t->socket == CURL_SOCKET_BAD) return false;
  curl.easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
  if (version >= CURL_HTTP_VERSION_2_0) return false;
  uint64_t received = wire_received(t->socket);
  if (t->quiet_from == 0) t->quiet_from = received;
  t->barren = received > t->quiet_from + BARREN_MAX;
  return t->barren;
}

/* Called after each read of curl, even if it delivers nothing (chunk extensions, the body of a redirect), and for each byte of a
 * proxy's answer to CONNECT. Non-zero aborts the transfer. */
static int on_progress(void *ud, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
  struct transfer *t = ud;
  (void)total, (void)up_total, (void)up_now;
  if (t->doomed) return 1;
  if (!t->sent) {
    t->long_tunnel = ++t->unsent > TUNNEL_MAX;
    return t->long_tunnel;
  }
  t->long_body = !t->head_done && now > SKIPPED_MAX;
  if (t->long_body || is_barren(t)) return 1;
  begin_turn(t);
  if ((++t->rounds < ROUNDS_MAX && t->work < WORK_MAX) || t->yielded || t->base.paused) return 0;
  yield(t);
  curl.easy_pause(t->easy, CURLPAUSE_RECV);
  return 0;
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

/* While it pauses curl keeps what is decoded of the bytes it has read; of a compressed answer that may be far too much to be
 * kept again and again, so such a one pauses between two reads alone. */
static size_t on_body(char *bytes, size_t size, size_t n, void *ud) {
  struct transfer *t = ud;
  size_t len = size * n;
  if (t->doomed || !t->head_done) return 0;
  begin_turn(t);
  not_barren(t);
  t->work += len + CALL_WORK;
  if (t->work > WORK_MAX && t->work > len + CALL_WORK && !t->encoded) {
    if (!t->yielded) yield(t);
    return CURL_WRITEFUNC_PAUSE;
  }
  switch (net_data(&t->base, bytes, len)) {
    case NET_TAKEN: return len;
    case NET_PAUSED: return CURL_WRITEFUNC_PAUSE;
    default: t->stopped = true; return 0;
  }
}

/* Connected (or taken from the cache), and the request goes off next. */
static int on_sent(void *ud, char *ip, char *local_ip, int port, int local_port) {
  struct transfer *t = ud;
  (void)local_ip;
  (void)local_port;
  t->sent = true;
  if (t->guard && !curl_guard_sends(t, ip, port)) return CURL_PREREQFUNC_ABORT;
  if (!t->doomed) net_sent(&t->base);
  return CURL_PREREQFUNC_OK;
}

/* --- handles ------------------------------------------------------------------------------------------------------ */

/* What all requests have. */
static void set_common(struct transfer *t) {
  SET(t, CURLOPT_PRIVATE, t);
  SET(t, CURLOPT_ERRORBUFFER, t->error);
  SET(t, CURLOPT_NOSIGNAL, 1L);
  SET(t, CURLOPT_QUICK_EXIT, 1L); /* else a cancel during a name lookup waits for it */
  SET(t, CURLOPT_PROTOCOLS_STR, "http,https");
  SET(t, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  SET(t, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
  SET(t, CURLOPT_ACCEPT_ENCODING, ""); /* decode compressed responses even if not offered */
  SET(t, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  SET(t, CURLOPT_CONNECTTIMEOUT_MS, (long)INT_MAX); /* our timers decide */
  SET(t, CURLOPT_WRITEFUNCTION, on_body);
  SET(t, CURLOPT_WRITEDATA, t);
  SET(t, CURLOPT_HEADERFUNCTION, on_header);
  SET(t, CURLOPT_HEADERDATA, t);
  SET(t, CURLOPT_NOPROGRESS, 0L);
  SET(t, CURLOPT_XFERINFOFUNCTION, on_progress);
  SET(t, CURLOPT_XFERINFODATA, t);
  SET(t, CURLOPT_PREREQFUNCTION, on_sent);
  SET(t, CURLOPT_PREREQDATA, t);
  SET(t, CURLOPT_OPENSOCKETFUNCTION, curl_engine_open);
  SET(t, CURLOPT_OPENSOCKETDATA, t);
  SET(t, CURLOPT_CLOSESOCKETFUNCTION, curl_engine_close_socket);
  SET(t, CURLOPT_CLOSESOCKETDATA, t->engine);
}

static struct transfer *transfer_get(struct curl_engine *c) {
  struct transfer *t = c->pool;
  CURL *easy = curl.easy_init();
  if (!easy) return NULL;
  if (t) {
    c->pool = t->next;
    c->pooled--;
  } else {
    t = mem_calloc(&c->host->mem, sizeof *t);
    if (!t) {
      curl.easy_cleanup(easy);
      return NULL;
    }
    t->engine = c;
  }
  t->easy = easy;
  set_common(t);
  c->live++;
  return t;
}

static void end_easy(struct transfer *t) {
  curl.easy_cleanup(t->easy); /* NULL is fine */
  t->easy = NULL;
  curl_place_leave(t);
  curl_guard_free(t);
}

void transfer_free(struct transfer *t) {
  struct mem *m = mem_of(t);
  end_easy(t);
  curl.slist_free_all(t->headers);
  mem_free(m, t->url);
  mem_free(m, t->body);
  mem_free(m, t->proxy);
  mem_free(m, t->header_key);
  mem_free(m, t->head);
  mem_free(m, t);
}

static void transfer_put(struct transfer *t) {
  struct curl_engine *c = t->engine;
  c->live--;
  if (t->oom || c->pooled >= POOL_MAX) {
    transfer_free(t);
    return;
  }
  end_easy(t);
  if (t->body_size > KEEP_BODY) {
    mem_free(mem_of(t), t->body);
    t->body = NULL;
    t->body_size = 0;
  }
  t->next = c->pool;
  c->pool = t;
  c->pooled++;
}

void transfer_drop(struct transfer *t) {
  curl.multi_remove_handle(t->shard->multi, t->easy);
  transfer_put(t);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

/* *slot becomes a copy of s, or NULL; false when out of memory. */
static bool replace(struct transfer *t, char **slot, const char *s) {
  if (s && *slot && strcmp(*slot, s) == 0) return true;
  char *copy = s ? mem_strndup(mem_of(t), s, strlen(s)) : NULL;
  if (s && !copy) return false;
  mem_free(mem_of(t), *slot);
  *slot = copy;
  return true;
}

static bool same_headers(const char *key, const char *const *headers) {
  for (; headers && *headers; headers++) {
    size_t len = strlen(*headers);
    if (strncmp(key, *headers, len) != 0 || key[len] != '\n') return false;
    key += len + 1;
  }
  return *key == 0;
}

static bool append(struct curl_slist **list, const char *line) {
  struct curl_slist *longer = curl.slist_append(*list, line);
  if (longer) *list = longer;
  return longer != NULL;
}

/* curl takes "Name:" as "leave this header out"; one with an empty value is written "Name;". */
static bool append_header(struct mem *m, struct curl_slist **list, const char *line) {
  const char *colon = strchr(line, ':');
  if (!colon || colon[1 + strspn(colon + 1, " \t")]) return append(list, line);
  char *empty = mem_strndup(m, line, (size_t)(colon - line) + 1);
  if (!empty) return false;
  empty[colon - line] = ';';
  bool ok = append(list, empty);
  mem_free(m, empty);
  return ok;
}

static bool is_named(const char *line, const char *name) {
  size_t len = strlen(name);
  return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

/* The list of curl's, and what it was made from: kept, because most requests have the headers of the one before. */
static bool make_headers(struct transfer *t, const char *const *headers, bool plain) {
  struct mem *m = mem_of(t);
  struct curl_slist *list = NULL;
  size_t len = 0;
  bool typed = false, coded = !plain, ok = true;
  for (const char *const *p = headers; p && *p; p++) len += strlen(*p) + 1;
  char *key = mem_alloc(m, len + 1), *at = key;
  if (!key) return false;
  for (; ok && headers && *headers; headers++) {
    size_t n = strlen(*headers);
    memcpy(at, *headers, n);
    at[n] = '\n';
    at += n + 1;
    typed |= is_named(*headers, "Content-Type");
    coded |= is_named(*headers, "Accept-Encoding");
    ok = append_header(m, &list, *headers);
  }
  *at = 0;
  ok = ok && append(&list, "Expect:") && (typed || append(&list, "Content-Type:")) &&
       (coded || append(&list, "Accept-Encoding:"));
  if (!ok) {
    curl.slist_free_all(list);
    mem_free(m, key);
    return false;
  }
  curl.slist_free_all(t->headers);
  mem_free(m, t->header_key);
  t->headers = list;
  t->header_key = key;
  t->key_plain = plain;
  return true;
}

static bool set_headers(struct transfer *t, const struct net_options *o) {
  bool same = t->header_key && t->key_plain == o->plain && same_headers(t->header_key, o->headers);
  if (!same && !make_headers(t, o->headers, o->plain)) return false;
  SET(t, CURLOPT_HTTPHEADER, t->headers);
  return true;
}

static bool is_loopback(const char *url) {
  char host[256];
  if (!net_host(url, host, sizeof host)) return false;
  size_t len = strlen(host);
  return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0 ||
         (len > 10 && strcmp(host + len - 10, ".localhost") == 0);
}

static bool set_url(struct transfer *t, const struct net_options *o) {
  if (!replace(t, &t->url, o->url) || !replace(t, &t->proxy, o->proxy)) return false;
  if (curl.easy_setopt(t->easy, CURLOPT_URL, t->url) != CURLE_OK) return false;
  bool near = o->socket || is_loopback(t->url);
  if (!near) SET(t, CURLOPT_TCP_KEEPALIVE, 1L); /* three system calls a connection; this machine's own kernel tells of each end */
  t->no_proxy = o->only_public || near;
  const char *proxy = t->no_proxy ? "" : t->proxy; /* NULL: as the environment says */
  return curl_place_enter(t) && curl.easy_setopt(t->easy, CURLOPT_PROXY, proxy) == CURLE_OK;
}

static bool set_body(struct transfer *t, const struct net_options *o) {
  if (o->body_len > t->body_size) {
    char *body = mem_alloc(mem_of(t), o->body_len);
    if (!body) return false;
    mem_free(mem_of(t), t->body);
    t->body = body;
    t->body_size = o->body_len;
  }
  if (o->body_len) memcpy(t->body, o->body, o->body_len);
  t->body_len = o->body_len;
  return true;
}

/* What curl reads at once, and keeps room for while a request waits. What is asked by POST is mostly said in few words or trickles in,
 * as the answers of models do, and thousands wait for it: of a crowd each has little room, and of few each as much as saves system
 * calls. What comes in masses is fetched by GET. A body beyond 64 KB that was not sent at once has a buffer, too. */
static void set_buffers(struct transfer *t, bool post) {
  bool crowd = post && t->engine->live > CROWD;
  SET(t, CURLOPT_BUFFERSIZE, crowd ? 1024L : 16384L);
  if (t->body_len < BULK_BODY) SET(t, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
}

/* Method and body belong together in curl: each of these options changes what it takes the method to be. */
static bool set_method(struct transfer *t, const struct net_options *o) {
  bool post = strcmp(o->method, "POST") == 0, head_only = strcmp(o->method, "HEAD") == 0;
  if (!set_body(t, o)) return false;
  set_buffers(t, post);
  if (head_only) SET(t, CURLOPT_NOBODY, 1L);
  if (post || (o->body && !head_only)) {
    SET(t, CURLOPT_POST, 1L);
    SET(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body_len);
    SET(t, CURLOPT_POSTFIELDS, t->body_len ? t->body : "");
  }
  if (post || head_only || (!o->body && strcmp(o->method, "GET") == 0)) return true;
  return curl.easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, o->method) == CURLE_OK; /* copied */
}

/* Shares neither connections nor names with others. */
static bool alone(const struct net_options *o) {
  return o->only_public || o->resolve;
}

static bool set_special(struct transfer *t, const struct net_options *o) {
  if (o->socket) SET(t, CURLOPT_UNIX_SOCKET_PATH, o->socket); /* copied */
  if (alone(o) && !curl_guard_set(t, o)) return false;
  if (o->insecure) {
    SET(t, CURLOPT_SSL_VERIFYPEER, 0L);
    SET(t, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  return !o->ca_file || curl.easy_setopt(t->easy, CURLOPT_CAINFO, o->ca_file) == CURLE_OK;
}

static void set_redirects(struct transfer *t, int most) {
  t->max_redirects = most;
  if (most == 0) return;
  SET(t, CURLOPT_FOLLOWLOCATION, 1L);
  SET(t, CURLOPT_MAXREDIRS, (long)most);
}

/* --- the back end ------------------------------------------------------------------------------------------------- */

static struct net_request *start(struct host *h, const struct net_options *o, struct err *e) {
  struct curl_engine *c = curl_engine_of(h->net, e);
  if (!c) return NULL;
  struct transfer *t = transfer_get(c);
  if (!t) {
    err_set(e, "os", ENOMEM, "out of memory: no room for a request");
    return NULL;
  }
  t->head_len = t->heads = t->lines = 0;
  t->unsent = 0;
  t->status = 0;
  t->location = t->encoded = t->head_done = t->stopped = t->sent = t->yielded = t->doomed = t->oom = t->retried = false;
  t->long_head = t->long_body = t->long_tunnel = t->barren = false;
  not_barren(t);
  t->socket = CURL_SOCKET_BAD;
  t->error[0] = 0;
  memset(&t->base, 0, sizeof t->base);
  set_redirects(t, o->max_redirects);
  if (!set_special(t, o) || !set_url(t, o) || !set_method(t, o) || !set_headers(t, o) ||
      curl.multi_add_handle(t->shard->multi, t->easy) != CURLM_OK) {
    t->oom = true;
    transfer_put(t);
    err_set(e, "os", ENOMEM, "out of memory: no room for a request");
    return NULL;
  }
  t->base.url = t->url;
  return &t->base;
}

/* curl delivers from inside of the call what it held back. If the sink or a limit stops the transfer there, curl says so by the
 * result alone: it neither ends the transfer nor looks at it again. A "bad argument" has no connection now: it begins anew. */
static void turn(struct net_request *r) {
  struct transfer *t = (struct transfer *)r;
  struct curl_engine *c = t->engine;
  struct curl_shard *s = t->shard; /* t may be gone */
  t->yielded = false;
  c->act++;
  c->inside = true;
  CURLcode result = curl.easy_pause(t->easy, CURLPAUSE_CONT);
  c->inside = false;
  if (result != CURLE_OK && result != CURLE_BAD_FUNCTION_ARGUMENT && !t->doomed) transfer_done(t, result);
  curl_shard_kick(s);
}

static void cancel(struct net_request *r) {
  struct transfer *t = (struct transfer *)r;
  t->doomed = true; /* none of curl's calls back may do anything for it any more */
  if (!t->engine->inside) {
    transfer_drop(t);
    return;
  }
  t->next = t->engine->doomed;
  t->engine->doomed = t;
}

/* A kept-alive connection may die at the moment we use it. When not a byte of an answer came, the request is sent once
 * more, on a new one; curl does so too, but neither for HEAD nor when it was still sending a long body. */
static bool send_again(struct transfer *t, CURLcode result) {
  long connects = 1;
  if (result != CURLE_SEND_ERROR && result != CURLE_RECV_ERROR && result != CURLE_GOT_NOTHING) return false;
  if (t->retried || t->status || t->heads || t->stopped) return false;
  curl.easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
  if (connects != 0) return false;
  t->retried = true;
  SET(t, CURLOPT_FRESH_CONNECT, 1L);
  return curl.multi_add_handle(t->shard->multi, t->easy) == CURLM_OK;
}

/* A server that has said all it wants may close while we still send: EPIPE after a whole answer is an answer. */
static bool whole(struct transfer *t, CURLcode result) {
  curl_off_t length = -1;
  if (result != CURLE_SEND_ERROR || !t->head_done) return false;
  curl.easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return length >= 0 && (uint64_t)length == t->base.bytes;
}

void transfer_done(struct transfer *t, CURLcode result) {
  struct err e;
  curl.multi_remove_handle(t->shard->multi, t->easy);
  if (send_again(t, result)) return;
  if (result == CURLE_OK && !t->head_done) result = CURLE_PARTIAL_FILE; /* the head broke off */
  if (result == CURLE_OK || t->stopped || whole(t, result)) {
    net_end(&t->base, NULL);
  } else {
    transfer_error(t, result, &e);
    net_end(&t->base, &e);
  }
  transfer_put(t);
}

static const char *proxy(const struct net_request *r, char *where, size_t size) {
  return curl_proxy_of((const struct transfer *)r, where, size);
}

const struct net_backend net_curl = {
    .start = start, .turn = turn, .cancel = cancel, .proxy = proxy, .close = net_curl_close, .real = true};
