/* httpd.h - HTTP serving: an engine fills an accept queue with exchanges (one request and the reply to it), the loop takes
 * them out. httpd_mhd.c fills it from sockets (libmicrohttpd on its own thread), net_mem.c from this process, so a handler
 * cannot tell one from the other. All functions here are for the loop thread. */
#ifndef STOKE_HTTPD_H
#define STOKE_HTTPD_H

#include "base.h"
#include "loop/err.h"

struct host;
struct server;
struct exchange;

struct httpd_options {
  const char *address; /* "127.0.0.1"; ignored with mem */
  int port;            /* 0 = any free one */
  const char *mem;     /* in-process name: served at http://NAME.mem/ ; NULL = a socket */
  const char *path;    /* of a socket in the file system, instead of address and port; gone when the server closes */
  size_t max_body;     /* bytes; beyond it the engine answers 413 itself */
  size_t max_header;   /* bytes; 431 */
  int max_connections;
  double header_timeout; /* seconds for head and body to arrive */
  bool background;       /* does not keep the host from seeing that nothing else is left to wait for */
};

/* accepted: an exchange (head and whole body) waits in the queue; loop thread. */
struct server *server_open(struct host *h, const struct httpd_options *o, void (*accepted)(void *ud), void *ud,
                           struct err *e);
int server_port(const struct server *s);
struct exchange *server_accept(struct server *s); /* NULL when the queue is empty; the caller owns it */
/* Stops accepting; `closed` comes once every exchange is ended and the engine is down. abort = do not wait for them. */
void server_close(struct server *s, bool abort, void (*closed)(void *ud), void *ud);

const char *exchange_method(const struct exchange *x);
const char *exchange_target(const struct exchange *x); /* path and query as sent, undecoded */
const char *exchange_peer(const struct exchange *x);   /* "127.0.0.1:5123", "mem" or "unix" */
/* Calls each for every header in order, duplicates apart. */
void exchange_headers(const struct exchange *x, void (*each)(void *ud, const char *name, const char *value), void *ud);
const char *exchange_body(const struct exchange *x, size_t *len);
void exchange_forget_body(struct exchange *x); /* it was read: a long answer need not hold it */

/* headers as in net.h. A reply with len >= 0 bytes to come gets Content-Length; -1 = chunked. */
bool exchange_reply(struct exchange *x, int status, const char *const *headers, int64_t len, struct err *e);
/* A reply that is whole: its head and all its bytes, of which it takes a copy. Cheaper than exchange_reply and exchange_write. */
bool exchange_answer(struct exchange *x, int status, const char *const *headers, const char *bytes, size_t len,
                     struct err *e);
/* Copies the bytes. Returns how many bytes the engine still holds for the client (for backpressure), or -1 when the client
 * has gone or memory ran out. */
int64_t exchange_write(struct exchange *x, const char *bytes, size_t len);
/* Callbacks of a handler that waits: drained = the engine holds less than `low` bytes; left = the client has gone. */
void exchange_watch(struct exchange *x, size_t low, void (*drained)(void *ud), void (*left)(void *ud), void *ud);
void exchange_end(struct exchange *x);   /* a clean end; x is gone */
void exchange_reset(struct exchange *x); /* cut the connection without a clean end; x is gone */

#endif
