/* httpd_impl.h - what httpd.c and its engines share; nobody else includes it, but for the few names of host.server's own.
 * httpd.c holds what a handler can see (the accept queue, the rules of a reply, the calls back); an engine (httpd_mhd.c,
 * net_mem.c) moves the bytes. Loop thread only; what an engine shares with a thread of its own it guards itself. */
#ifndef STOKE_HTTPD_IMPL_H
#define STOKE_HTTPD_IMPL_H

#include "loop/host.h"
#include "httpd.h"

struct header {
  const char *name, *value;
};

/* First member of an engine's exchange; the engine owns the memory, and whatever the pointers of the request lead to. It
 * lives until both ends are through with it: the owner (exchange_end, exchange_reset) and the connection. */
struct exchange {
  struct server *server;
  struct exchange *next; /* accept queue */
  /* the request, complete before it is queued */
  const char *method, *target, *body;
  struct header *headers;
  size_t header_count, body_len;
  char peer[64];
  /* the reply, so far */
  int64_t announced, written; /* bytes; announced < 0: chunked */
  bool replied, bodyless;     /* bodyless: an answer to HEAD, 204, 304 */
  const char *whole; /* all of its bytes, while the engine's reply runs; NULL when it took a copy, or never had them */
  /* the calls back */
  size_t low;
  void (*drained)(void *ud);
  void (*left)(void *ud);
  void *ud;
  struct timer notice; /* tells of what had happened before exchange_watch */
  bool gone;           /* the client has left */
  bool taken;          /* server_accept gave it out; counted in host->handles */
};

struct server_class {
  int (*port)(const struct server *s);
  /* First call: stop accepting. A later call may raise abort only. The engine calls httpd_closed when it is down. */
  void (*close)(struct server *s, bool abort);
  bool (*reply)(struct exchange *x, int status, const char *const *headers, int64_t len, struct err *e);
  int64_t (*write)(struct exchange *x, const char *bytes, size_t len);
  /* clean = false: cut, after what was written has gone out. The owner's half is over. */
  void (*end)(struct exchange *x, bool clean);
  /* Down at once, waiting for a thread if need be; calls httpd_closed before it returns or soon after. */
  void (*shut)(struct server *s);
  /* Begins to serve; NULL with e filled when it cannot. */
  struct server *(*open)(struct host *h, const struct httpd_options *o, void (*accepted)(void *ud), void *ud,
                         struct err *e);
  bool in_memory; /* serves what has o->mem; else what has not */
  /* The body was read and is not asked for again; NULL: it is nobody's to free. */
  void (*forget_body)(struct exchange *x);
};

/* First member of an engine's server. */
struct server {
  const struct server_class *cls;
  struct host *host;
  struct server *next, **prev;   /* in host->httpd */
  struct exchange *head, **tail; /* arrived, not yet accepted */
  void (*accepted)(void *ud);
  void *ud;
  void (*closed)(void *ud);
  void *closed_ud;
  bool closing;
};

struct httpd {
  struct server *servers;
  /* cutting of bytes for tests, see httpd_cut */
  uint64_t cut_state;
  size_t cut_max;
  bool closing; /* the last server frees this */
};

struct httpd *httpd_of(struct host *h); /* NULL when out of memory */

/* Links a new server; the engine has filled cls. */
void httpd_opened(struct server *s, struct host *h, void (*accepted)(void *ud), void *ud);
/* The engine is down: unlinks and calls closed; the engine may free s after it when no exchange is left. */
void httpd_closed(struct server *s);
/* The exchange is complete: queue it and tell the owner. */
void httpd_arrived(struct exchange *x);
void httpd_left(struct exchange *x);    /* the client has gone; tells the owner once */
void httpd_drained(struct exchange *x); /* less than x->low bytes are held now */

/* Why a request is refused: an HTTP status, or 0 when its head is sound. */
int httpd_check_head(const struct header *headers, size_t count, bool http_1_1);
const char *httpd_refusal(int status); /* what its sender is told */
bool httpd_same(const char *a, const char *b); /* header names: ASCII, no case */
/* A reply header the engine may send: not one of those that frame the message. *value_at gets the start of its value and
 * *name_len the length of its name. */
enum httpd_header { HTTPD_SEND, HTTPD_OWN, HTTPD_BAD };
enum httpd_header httpd_header(const char *line, size_t *name_len, const char **value);

extern const struct server_class mhd_class, mem_class; /* the engines; state.c lists them */

/* From now on answers in memory reach the client in pieces of 1 to max bytes, by a generator seeded with seed; max = 0
 * ends it. False when out of memory. */
bool net_mem_cut(struct host *h, uint64_t seed, size_t max);

/* For host_close, after all tasks are gone: cuts what is open, waits for threads; uv handles are closing afterwards. */
void httpd_close(struct host *h);

#endif
