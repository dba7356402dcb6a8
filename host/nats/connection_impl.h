/* connection_impl.h - what the files of this room share. Which thread may touch what is said here, member by member. */
#ifndef STOKE_NATS_CONNECTION_IMPL_H
#define STOKE_NATS_CONNECTION_IMPL_H

#include <stdatomic.h>
#include <uv.h>

#include "loop/host.h"
#include "connection.h"
#include "nats_api.h"

/* Bytes that wait to be written, at most: beyond it a message is refused. */
#define NATS_QUEUED_MAX ((size_t)64 << 20)
#define NATS_SERVER_ID  80

/* What the loop asks of the thread, in this order. */
enum out_what { OUT_SEND, OUT_SUBSCRIBE, OUT_UNSUBSCRIBE, OUT_CLOSE };

struct out {
  struct out *next;
  enum out_what what;
  bool embedded; /* in a subscription or a connection: not freed by itself */
  natsMsg *msg;
  size_t bytes;
  struct nats_sub *sub;
  uint32_t slot, serial, place; /* of the ask it belongs to; slot 0 = none */
};

/* What the other threads tell the loop. */
enum note_what {
  NOTE_OPEN,     /* connected, or failed with `err` */
  NOTE_MESSAGE,  /* of `sub` */
  NOTE_FAILED,   /* a message of an ask was not sent */
  NOTE_COMPLETE, /* `sub` gets no more messages; sent once for each */
  NOTE_RELEASED, /* the thread has unsubscribed `sub`, and does not know it any more */
  NOTE_DOWN,     /* the connection is lost, and made anew behind our back */
  NOTE_UP,
  NOTE_CLOSED /* the thread has ended */
};

struct note {
  struct note *next;
  enum note_what what;
  struct nats *conn;
  natsMsg *msg;
  struct nats_sub *sub;
  uint32_t slot, serial, place;
  struct err err;
};

struct nats_sub {
  struct nats *conn;               /* never changes, as the next four */
  char *subject, *queue;
  size_t room;
  bool inbox;                      /* of answers */
  natsSubscription *handle;        /* the connection's thread, as the next */
  struct nats_sub *retired;        /* the next of them */
  atomic_size_t kept;              /* messages that are not taken yet */
  atomic_uint_fast64_t lost;
  struct note *head, **tail;       /* loop thread, as the rest */
  struct nats_listener *listener;
  bool over;                       /* no more messages come */
  unsigned refs;                   /* its owner, libnats until NOTE_COMPLETE, the thread until NOTE_RELEASED */
  struct out ending;
  struct nats_sub *next, **prev;
};

struct nats {
  struct nats_engine *engine; /* never changes */
  struct nats *next, **prev;  /* loop thread, as the rest up to the lock */
  unsigned refs;
  bool closing, joined, connected, lost; /* lost: libnats gave it up */
  uint64_t reconnects;
  struct nats_wait *opening, *closer;
  struct out close_job;
  struct nats_sub *subs, *inbox;
  struct nats_ask **asks; /* by slot - 1; NULL = free */
  uint32_t slots, serial;
  char inbox_prefix[40];
  size_t max_payload;
  char server[NATS_SERVER_ID];

  uv_mutex_t lock; /* the next six */
  uv_cond_t work;
  struct out *head, **tail;
  size_t queued; /* bytes */
  bool waits;    /* the thread does, for work */
  char trouble[160]; /* what the server said last, where it refused something */

  uv_thread_t thread;
  struct nats_copy *options; /* the thread's, as is: */
  natsConnection *handle;
  struct nats_sub *retired;  /* unsubscribed, and not yet destroyed */
  atomic_size_t live;        /* subscriptions whose threads may still call us */
  atomic_bool gone;          /* libnats has closed the connection, and calls us no more */
};

struct nats_engine {
  struct host *host;
  struct nats *conns;
  uv_async_t async;
  uv_mutex_t lock;
  struct note *head, **tail; /* lock */
};

/* connection_thread.c: the thread of a connection; and its options, copied for it. */
void nats_thread(void *conn);
struct nats_copy *nats_copy_new(const struct nats_options *o);
void nats_copy_free(struct nats_copy *c);

/* message.c: what has arrived, on the loop thread */
void nats_ask_answer(struct nats *n, struct note *note); /* takes its message */
void nats_ask_failed(struct nats *n, const struct note *note);
void nats_asks_end(struct nats *n, const char *kind, const char *why);

/* connection.c */
bool nats_queue(struct nats *n, struct out *o, struct err *e);
struct nats_sub *nats_sub_new(struct nats *n, const char *subject, const char *queue, size_t room);
void nats_error(natsStatus status, const char *what, struct err *e); /* any thread */

#endif
