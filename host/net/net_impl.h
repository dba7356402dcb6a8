/* net_impl.h - what net.c and its back ends share; no other file includes it. A back end (net_curl.c, net_mem.c) moves the
 * bytes; net.c chooses it, holds the phase timers, the byte cap and the counters of the host, and is the only one that
 * calls a sink. Loop thread only. */
#ifndef STOKE_NET_IMPL_H
#define STOKE_NET_IMPL_H

#include <uv.h>

#include "net.h"
#include "loop/host.h"
#include "net_egress.h"

struct net;
struct net_backend;
struct curl_engine;

enum net_phase { NET_CONNECT, NET_FIRST_BYTE, NET_IDLE };

/* First member of the request structure of every back end, which owns the memory. All but `url` is filled and used by
 * net.c; a back end may read `paused`. */
struct net_request {
  const struct net_backend *backend;
  struct host *host;
  const char *url; /* set by backend->start, the back end's own copy; for messages */
  const struct net_sink *sink;
  void *ud;
  struct net_timeouts timeouts;
  uint64_t max_bytes, bytes;
  uint64_t phase_due, total_due; /* ns of the host's clock; UINT64_MAX = none */
  struct timer timer;            /* one for all phases: armed at or before the nearest deadline */
  struct net_request *turn_next, **turn_prev;
  struct net_egress *guard; /* of only_public; NULL = anything may be reached. Gone once the request is cancelled */
  uint8_t phase;
  bool paused;  /* the sink did not take the last bytes; they are wanted again at the turn after net_resume */
  bool in_sink; /* inside a call of the sink */
  bool dead;    /* cancelled from inside a sink call: the back end gets NET_STOP */
  bool over;    /* max_bytes exceeded: likewise */
  bool counted; /* adds one to host->inflight */
};

/* No function of a back end is called from inside one of the upcalls below, and none but `turn` may make an upcall. */
struct net_backend {
  /* Allocates the request (net.c fills the base when this returns), copies what it needs of o, begins. NULL with e filled
   * when it cannot be made. */
  struct net_request *(*start)(struct host *h, const struct net_options *o, struct err *e);
  /* The loop turn asked for by net_turn, or by the sink with net_resume (then r->paused is false again: deliver the bytes
   * that were not taken). May make upcalls. */
  void (*turn)(struct net_request *r);
  /* Close the connection, free r. Also used when a timeout expires. */
  void (*cancel)(struct net_request *r);
  /* The proxy that r goes through: its "host:port" into `where`, and a hint that says where it was set; NULL: none. The function
   * may be NULL. */
  const char *(*proxy)(const struct net_request *r, char *where, size_t size);
  /* Gives back what all its requests share; none is left. The function may be NULL. */
  void (*close)(struct net *net);
  /* Real connections keep the loop and virtual time waiting (host->inflight); answers made in this process do not. */
  bool real;
};

/* Upcalls of a back end, each at most as often as the sink wants it: sent, head, data..., end. */

enum net_verdict {
  NET_TAKEN,
  NET_PAUSED, /* keep these bytes, give them again in `turn` */
  NET_STOP    /* no more: clean up and call net_end(r, NULL) soon, outside of this call */
};

/* Connected, the request goes off: the connect timer ends, first_byte begins. Harmless when repeated (redirects). */
void net_sent(struct net_request *r);
enum net_verdict net_head(struct net_request *r, int status, const char *block, size_t len);
enum net_verdict net_data(struct net_request *r, const char *bytes, size_t len);
/* The end, exactly once unless cancelled. e = NULL: clean. The back end frees r after it returns. */
void net_end(struct net_request *r, const struct err *e);

/* Ask for one call of backend->turn(r) in a coming loop turn; the host counts as busy until then. Idempotent. */
void net_turn(struct net_request *r);

/* Fills e with kind `denied` for a request that may not go to `url`, whose address is `address` (NULL: unknown), when it
 * began at another one (`first`; NULL: it did not). */
void net_denied(struct err *e, const char *url, const char *address, const char *first);
/* "host:port" out of a URL, port by the scheme when it names none; cut to size. */
void net_where(const char *url, char *out, size_t size);
/* The host of a URL without user, port and brackets, lower case; false if missing or too long. */
bool net_host(const char *url, char *out, size_t size);

/* One per host, in host->net; NULL when out of memory. */
struct net {
  struct host *host;
  struct poll_hook hook; /* wanted while there are turns */
  struct net_request *turns, **turns_tail;
  struct curl_engine *curl; /* net_curl.c */
  bool deny;
};
struct net *net_of(struct host *h);

extern const struct net_backend net_curl, net_mem; /* state.c lists them */

#endif
