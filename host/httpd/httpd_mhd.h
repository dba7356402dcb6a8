/* httpd_mhd.h - what the two halves of the socket engine share: httpd_mhd.c is what the host calls, httpd_mhd_calls.c what
 * libmicrohttpd calls. Both run on the loop. */
#ifndef STOKE_HTTPD_MHD_H
#define STOKE_HTTPD_MHD_H

#include <uv.h>

#include "httpd_impl.h"
#include "httpd_leave.h"
#include "httpd_mhd_api.h"

/* Bytes of one exchange_write; malloc'ed, freed when they have been copied out. One HTTP chunk each. */
struct segment {
  struct segment *next;
  size_t len, off;
  char bytes[];
};

enum stage { STAGE_HEAD, STAGE_BODY, STAGE_REFUSED, STAGE_WAITING, STAGE_REPLIED };

/* malloc'ed when a request begins. It has two owners, the connection (until `done`) and, from its arrival on, the handler
 * (until `ended`); who lets go last frees it. */
struct mhd_exchange {
  struct exchange base;
  struct mhd_server *server;
  struct MHD_Connection *connection;
  struct mhd_connection *socket;
  char *head; /* malloc'ed: method, header array and strings */
  char *body; /* malloc'ed */
  enum stage stage;
  size_t body_size, body_seen, body_first;
  bool http_1_1;
  bool crowded;                  /* there was no room for its body */
  struct MHD_Response *response; /* made by the handler, queued when libmicrohttpd asks */
  int status;
  struct segment *segments, **segments_tail;
  size_t held;
  uint64_t turn;   /* of the server, when it arrived */
  bool suspended;  /* while it is set, the connection cannot go away */
  bool dirty;      /* will be resumed before the loop sleeps */
  bool ended, cut; /* the handler is through; cut: without a clean end */
  bool done, left; /* the connection is through; left: before it had everything */
  bool tell_low;   /* the handler waits until less than base.low bytes are held */
  bool counted;    /* in host->inflight */
  struct mhd_exchange *dirty_next;
  char target[];
};

/* malloc'ed; lives as long as its connection. */
struct mhd_connection {
  struct mhd_server *server;
  struct mhd_connection *next, **prev;
  struct mhd_exchange *exchange; /* the one that has arrived, until it is done */
  int fd;
  uint64_t reading_since; /* ns; 0 while a request is being answered */
  bool left, expired;
  bool ending; /* in server->ending */
  struct mhd_connection *next_ending;
  char peer[sizeof((struct exchange *)0)->peer];
};

struct mhd_server {
  struct server base;
  struct MHD_Daemon *daemon;
  int port;
  char *path; /* of its socket, NULL = it has an address */
  size_t max_body, max_header, max_bodies;
  uint64_t header_timeout; /* ns */
  size_t max_connections, connection_count;
  size_t bodies;           /* bytes held of the bodies of requests */
  struct mhd_connection *connections;
  struct mhd_connection *ending; /* whose clients have gone in the middle of a request */
  struct leave leave;
  struct mhd_exchange *dirty, **dirty_tail; /* to be resumed before the loop sleeps */
  uint64_t turn;                            /* counts the times the tasks have run */
  size_t live;                              /* exchanges whose connection is not done */
  size_t exchanges;                         /* that their handlers have not let go of */
  uv_poll_t poll;                           /* libmicrohttpd has something to do */
  struct poll_hook turn_over;               /* has what tasks have answered sent, before the loop sleeps */
  uv_timer_t look;                          /* instead of poll, where there is no epoll */
  uv_poll_t leaving;
  uv_timer_t sweep;
  int open_handles;
  bool freed_one; /* a connection was closed: there may be room for another */
  bool opened, closing, aborting, stopping, down;
};

/* httpd_mhd_calls.c */
void mhd_forget_body(struct exchange *base);
enum MHD_Result mhd_on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                               const char *version, const char *data, size_t *size, void **state);
void *mhd_on_uri(void *cls, const char *uri, struct MHD_Connection *c);
void mhd_on_completed(void *cls, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code);
void mhd_on_connection(void *cls, struct MHD_Connection *c, void **socket, enum MHD_ConnectionNotificationCode code);
ssize_t mhd_on_read(void *cls, uint64_t pos, char *buf, size_t max);

/* httpd_mhd.c */
void mhd_make_room(struct mhd_server *s); /* all connections are taken: those that have been idle longest are closed */
void mhd_count(struct mhd_exchange *x, bool on); /* whether virtual time waits for it */
void mhd_release(struct mhd_exchange *x); /* both owners are through: frees it, and a server that is down with it */
void mhd_free_exchange(struct mhd_exchange *x); /* httpd_mhd_calls.c */

#endif
