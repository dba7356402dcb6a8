/* httpd_mhd.h - what the two halves of the socket engine share: httpd_mhd.c runs on the loop, httpd_mhd_thread.c on
 * libmicrohttpd's thread. One mutex per server guards every field marked "shared". */
#ifndef STOKE_HTTPD_MHD_H
#define STOKE_HTTPD_MHD_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "httpd_impl.h"
#include "httpd_leave.h"

/* Bytes of one exchange_write; malloc'ed by the loop, freed by whoever empties it. One HTTP chunk each. */
struct segment {
  struct segment *next;
  size_t len, off;
  char bytes[];
};

enum stage { STAGE_HEAD, STAGE_BODY, STAGE_REFUSED, STAGE_WAITING, STAGE_REPLIED };

/* malloc'ed by the thread. Until it has arrived it is the thread's alone; afterwards it has two owners, the connection
 * (until `done`) and the loop (until `ended`), and the loop frees it when both are through. */
struct mhd_exchange {
  struct exchange base; /* the request: written before arrival, read by the loop; the rest: the loop's */
  struct mhd_server *server;
  struct MHD_Connection *connection;
  struct mhd_connection *socket;
  char *head; /* malloc'ed: method, header array and strings */
  char *body; /* malloc'ed */
  /* the thread's */
  enum stage stage;
  size_t body_size, body_seen;
  bool http_1_1;
  bool crowded; /* there was no room for its body */
  /* shared */
  struct MHD_Response *response; /* made by the loop, taken by the thread */
  int status;
  struct segment *segments, **segments_tail;
  size_t held, low;
  bool suspended;  /* only the loop may resume; while it is set, the connection cannot go away */
  bool ended, cut; /* the owner is through; cut: without a clean end */
  bool done, left; /* the connection is through; left: before it had everything */
  bool tell_low, tell_empty, low_reached;
  bool in_news;
  struct mhd_exchange *news_next, *arrived_next;
  /* the loop's */
  struct mhd_exchange *batch_next, *dirty_next;
  bool in_batch, dirty, counted, live;
  bool seen_done, seen_left, seen_low;
  char target[];
};

/* malloc'ed and freed by the thread, shared. */
struct mhd_connection {
  struct mhd_server *server;
  struct mhd_connection *next, **prev;
  struct mhd_exchange *exchange; /* the one that has arrived, until it is done */
  int fd;
  uint64_t reading_since; /* ns; 0 while a request is being answered */
  bool left, expired;
};

struct mhd_server {
  struct server base;
  struct MHD_Daemon *daemon;
  int port;
  char *path; /* of its socket, NULL = it has an address */
  /* constant */
  size_t max_body, max_header, max_bodies;
  uint64_t header_timeout; /* ns */
  /* both threads' */
  atomic_size_t bodies; /* bytes held of the bodies of requests */
  /* shared */
  pthread_mutex_t mutex;
  struct mhd_exchange *arrived, **arrived_tail;
  struct mhd_exchange *news, **news_tail;
  struct mhd_connection *connections;
  struct leave leave;
  bool closing, aborting;
  /* the loop's */
  struct mhd_exchange *dirty, **dirty_tail; /* to be resumed before the loop sleeps */
  uv_async_t async;
  struct poll_hook resumes; /* wanted while `dirty` holds some */
  uv_poll_t poll;
  uv_timer_t sweep;
  uv_work_t work;
  int open_handles;
  size_t live;      /* exchanges whose connection is not done */
  size_t exchanges; /* that exist on the loop */
  bool opened, stopping, down;
};

/* httpd_mhd_thread.c */
enum MHD_Result mhd_on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                               const char *version, const char *data, size_t *size, void **state);
void *mhd_on_uri(void *cls, const char *uri, struct MHD_Connection *c);
void mhd_on_completed(void *cls, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code);
void mhd_on_connection(void *cls, struct MHD_Connection *c, void **socket, enum MHD_ConnectionNotificationCode code);
ssize_t mhd_on_read(void *cls, uint64_t pos, char *buf, size_t max);
/* Under the mutex; the caller wakes the loop after it let go of it. */
void mhd_tell(struct mhd_exchange *x);
void mhd_free_exchange(struct mhd_exchange *x);

#endif
