/* net_curl.h - inside the libcurl back end: net_curl_loop.c ties multi handles to the loop, net_curl.c makes requests with
 * them, net_curl_place.c says with which, net_curl_err.c names what went wrong, net_curl_proxy.c whom it asked, net_curl_guard.c
 * keeps those apart that may not reach everything. */
#ifndef STOKE_NET_CURL_H
#define STOKE_NET_CURL_H

#include <uv.h>

#include "net_curl_api.h"
#include "net_impl.h"

/* One socket of curl's. Once it carries requests it is kept, also while curl lets it rest between two of them, so that a
 * reused connection costs no system call of ours; curl reports when it closes it. A socket that is still connecting (or in
 * the handshake of TLS) is closed by curl 7.88 without a word to CLOSESOCKETFUNCTION, so that one is let go at once. */
struct curl_poll {
  uv_poll_t uv;
  struct curl_shard *shard;
  curl_socket_t fd;
  int wanted; /* what curl waits for: UV_READABLE | UV_WRITABLE; 0 = at rest */
  int polled; /* what libuv polls for */
  bool mine;  /* opened by curl_engine_open */
  bool rests; /* carries requests */
  bool dead;  /* at rest, and the server has closed it or said what nobody asked for */
  bool opened;
};

struct transfer;
struct curl_guard;

/* A multi handle, with a share of the connections: curl (7.88 at least) looks at all of a multi handle's connections whenever a
 * request begins or ends. Made when it is first needed, freed with the engine. */
struct curl_shard {
  struct curl_engine *engine;
  CURLM *multi;
  uv_timer_t timer;
  uv_idle_t soon;      /* used instead of a timer when curl wants to be called at once */
  unsigned live;       /* requests in it */
  unsigned kept, dead; /* connections that carry requests, and those of them that are dead */
  uint64_t idle_from;  /* ms of the loop: since then it has no request */
};

#define CURL_SHARDS  32
#define CURL_SERVERS 64

struct curl_engine {
  struct host *host;
  struct curl_shard *shards[CURL_SHARDS];
  unsigned load[CURL_SERVERS][CURL_SHARDS]; /* requests in each, by a hash of the server */
  uv_timer_t rest;          /* runs while connections are at rest in shards without requests */
  struct curl_poll **polls; /* by fd */
  size_t polls_size;
  struct transfer *pool; /* ended ones, with their buffers, for the next request */
  size_t pooled, live;
  unsigned act;            /* counts the turns that curl gets */
  struct transfer *doomed; /* cancelled while curl was on the stack */
  struct transfer
      *unsure; /* those whose attempt to connect may have ended without curl noticing; while it is on the stack */
  int handles; /* uv handles not closed yet, and one for the engine itself */
  bool inside; /* curl is on the stack: nothing may be removed */
};

/* Its own first member is the base, so the two may be cast into each other. */
struct transfer {
  struct net_request base;
  struct curl_engine *engine;
  struct curl_shard *shard; /* that it is added to, or was last */
  unsigned *load;           /* of the engine's, counts it; NULL = it is not counted */
  CURL *easy;            /* made for this request alone; NULL in the pool */
  struct transfer *next; /* in the pool, or among the doomed */
  struct transfer *unsure_next;
  curl_socket_t connecting; /* the socket opened last for it; CURL_SOCKET_BAD = none, or it is closed */
  curl_socket_t socket;     /* that curl polls for it; CURL_SOCKET_BAD = not known */
  char *url, *body;
  char *proxy;      /* that the request names; NULL = none was named */
  char *header_key; /* what `headers` was made from, each followed by LF */
  struct curl_slist *headers;
  size_t body_len, body_size;
  char *head; /* "Name: value\n" of the head being read */
  size_t head_len, head_size;
  size_t heads, lines;      /* bytes and lines of all heads and trailers of this hop */
  size_t work;              /* done in this turn of curl: bytes delivered, and something for each call */
  unsigned act, rounds;     /* the turn that `work` is of; how often curl reported in it */
  unsigned unsent;          /* reports while there was no connection that carries requests */
  unsigned quiet;           /* reports since the last byte for us */
  uint64_t quiet_from;      /* bytes that the connection had brought when we first looked in that time; 0 = not yet */
  struct curl_guard *guard; /* has caches of its own; NULL = shares the engine's, as nearly all do */
  int max_redirects;
  int status;
  bool key_plain; /* header_key is of a request that offers no compression */
  bool location;  /* the head being read sends us elsewhere */
  bool encoded;   /* the answer is compressed */
  bool head_done; /* the final head was delivered */
  bool stopped;   /* the sink wants no more */
  bool sent;      /* connected: its socket carries requests */
  bool yielded;   /* paused until the next turn of the loop */
  bool no_proxy;  /* asks the server itself, whatever the environment says */
  bool unsure, doomed, oom, retried;
  bool long_head, long_body, long_tunnel, barren; /* the other side sent one without end */
  char error[CURL_ERROR_SIZE];
};

/* net_curl_loop.c */
struct curl_engine *curl_engine_of(struct net *net, struct err *e); /* makes it on first use; NULL with e filled */
struct curl_shard *curl_shard_of(struct curl_engine *c, unsigned number); /* likewise; NULL = out of memory */
curl_socket_t curl_engine_open(void *transfer, curlsocktype purpose, struct curl_sockaddr *address);
int curl_engine_close_socket(void *engine, curl_socket_t fd);
void curl_shard_left(struct curl_shard *s); /* one of its requests is gone */
void curl_shard_kick(struct curl_shard *s); /* let curl look at its timers, then end what is done */

/* net_curl_place.c: chooses the shard of a transfer whose URL and proxy are known; false = out of memory. */
bool curl_place_enter(struct transfer *t);
void curl_place_leave(struct transfer *t);

/* net_curl.c */
void transfer_done(struct transfer *t, CURLcode result); /* curl is through with it */
void transfer_free(struct transfer *t);
void transfer_drop(struct transfer *t); /* remove it from curl, recycle it */

/* net_curl_guard.c: for a transfer fresh from curl, before it is added. False when out of memory. */
bool curl_guard_set(struct transfer *t, const struct net_options *o);
void curl_guard_free(struct transfer *t); /* after its easy handle; a no-op without a guard */
/* For a transfer with a guard: may a connection be made to this address? May the request go off over this one? */
bool curl_guard_opens(struct transfer *t, const struct sockaddr *sa);
bool curl_guard_sends(struct transfer *t, const char *ip, int port);
void curl_guard_redirected(struct transfer *t);                                  /* the next hop begins */
bool curl_guard_error(const struct transfer *t, CURLcode result, struct err *e); /* false: it is another error */

/* net_curl_proxy.c: the proxy that the request goes through, by the rules that curl follows: its "host:port" into `where`. NULL:
 * none; else a hint that says where it was set, static. */
const char *curl_proxy_of(const struct transfer *t, char *where, size_t size);

/* net_curl_err.c */
void transfer_error(const struct transfer *t, CURLcode result, struct err *e);

/* net_curl_loop.c: see struct net_backend; a no-op when nothing was ever fetched. */
void net_curl_close(struct net *net);

#endif
