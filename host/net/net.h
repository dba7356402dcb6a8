/* net.h - the network interface: sends one HTTP request, delivers its response to a sink. net_curl.c (sockets) and net_mem.c (a
 * handler in this process) implement it; net.c picks one by the URL's host, and holds the phase timers for both.
 * All callbacks run on the loop thread, never from inside a call of this header, and never touch a lua_State. */
#ifndef STOKE_NET_H
#define STOKE_NET_H

#include "base.h"
#include "loop/err.h"
#include "loop/timers.h"

struct host;
struct net_request;

/* Seconds; 0 = none. They count from net_start. first_byte is armed when the request is sent and disarmed by the
 * head; idle is armed by the head, re-armed by every delivery, and stopped while the sink is paused. */
struct net_timeouts {
  double connect, first_byte, idle, total;
};

struct net_options {
  const char *method, *url;
  const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
  const char *body;           /* copied by net_start; may be NULL */
  size_t body_len;
  struct net_timeouts timeouts;
  int max_redirects;   /* 0 = do not follow: a 3xx is the response */
  uint64_t max_bytes;  /* decoded bytes of the response; 0 = no limit; exceeding it fails with kind `limit` */
  const char *ca_file; /* NULL = the system's */
  const char *proxy;   /* NULL = environment, "" = none; loopback never uses one */
  bool insecure;       /* do not verify TLS */
  bool plain;          /* do not offer to accept compressed responses */
  const char *socket;  /* of a server in the file system, instead of the URL's host; NULL = none */
  /* Connect to public addresses alone (netaddr.h), checked at each connection, after redirects too; otherwise kind `denied`.
   * No proxy, and no reuse of connections of other requests. */
  bool only_public;
  const char *const *allow;   /* exceptions to only_public (net_egress.h), NULL-terminated; may be NULL */
  const char *const *resolve; /* "name:port:address,address" for this request alone, NULL-terminated; may be NULL */
};

struct net_sink {
  /* Once, for the final response. `block` holds "Name: value\n" lines, status line left out. */
  void (*head)(void *ud, int status, const char *block, size_t len);
  /* Decoded bytes. false = not accepted: the request pauses, and delivers the same bytes again after net_resume. */
  bool (*data)(void *ud, const char *bytes, size_t len);
  /* Exactly once, unless cancelled; e is NULL after a clean end. The request is gone when this returns. */
  void (*end)(void *ud, const struct err *e);
};

/* NULL and e filled when the request cannot be made (bad URL, out of memory). ud stays the caller's. */
struct net_request *net_start(struct host *h, const struct net_options *o, const struct net_sink *sink, void *ud,
                              struct err *e);
void net_resume(struct net_request *r);
/* No sink call comes after this one. Closes the connection at once: that is what frees a slot of a model server. */
void net_cancel(struct net_request *r);

/* Where `location` leads from the URL `base` (NULL: base itself), and its host as curl connects to it, in one spelling: lower
 * case, without brackets and dot at the end, addresses as inet_ntop writes them. False: no URL, or a buffer is too small. */
bool net_place(const char *base, const char *location, char *url, size_t url_size, char *host, size_t host_size);

/* Requests to http://NAME.mem/ are answered by the in-process server listening as NAME (httpd.h); with deny set, any other
 * host is refused with kind `denied`: tests run so unless they say `real`. */
void net_deny_real(struct host *h, bool deny);
void net_close(struct host *h);

#endif
