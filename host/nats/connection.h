/* connection.h - connections to a NATS server: publish, ask and be answered, subscribe. JetStream is asked through
 * these, with its own messages (lua/engine/nats.lua): libnats' functions for it wait, and ours must not.
 *
 * Each connection has one thread that makes it, writes and closes it; libnats' own threads read. What arrives, they
 * put into a list, and one uv_async wakes the loop. All functions here belong to the loop thread, and callbacks come
 * there.
 *
 * Ownership: a connection is counted; nats_open gives one reference, and each ask and subscription holds one until it
 * ends. The caller owns asks, waits and subscriptions' names; it gives its messages away with nats_ask and nats_send,
 * and frees those that it takes with nats_message_free. */
#ifndef STOKE_NATS_CONNECTION_H
#define STOKE_NATS_CONNECTION_H

#include "loop/err.h"

typedef struct __natsMsg natsMsg; /* libnats' own */

struct host;
struct nats;
struct nats_sub;

struct nats_options { /* copied */
  const char *const *servers; /* URLs */
  size_t count;
  const char *name;
  const char *creds, *ca, *cert, *key; /* files; NULL = none */
  bool tls;
  double timeout; /* seconds for the first connection to one server */
};

/* Somebody waits for a connection to be made, or closed. */
struct nats_wait {
  void (*done)(struct nats_wait *w);
  struct err err; /* kind == NULL: success */
};

/* Messages with an answer each. */
struct nats_ask {
  void (*done)(struct nats_ask *a); /* all answers are there, or err says why some are missing */
  natsMsg **answers;                /* by the places of the messages; NULL = none came; the caller's */
  size_t count, missing;
  struct err err;
  struct nats *conn; /* the engine's own, as is: */
  uint32_t slot, serial;
};

/* Somebody waits for messages of a subscription. */
struct nats_listener {
  void (*ready)(struct nats_listener *l); /* there is one, or there will be none any more */
};

/* Begins to connect; w->done follows. NULL with e filled: it did not begin. If it fails, the caller still releases it.
 * */
struct nats *nats_open(struct host *h, const struct nats_options *o, struct nats_wait *w, struct err *e);
void nats_hold(struct nats *n);
void nats_release(struct nats *n); /* the last one closes it, without being told */
/* Closes: asks and listeners end. w may be NULL. False: it is being closed already, and w is not used. */
bool nats_close(struct nats *n, struct nats_wait *w);

struct nats_about {
  bool connected, closed;
  size_t max_payload;      /* of a message, headers included */
  uint64_t reconnects;     /* how often the connection was lost, and made anew */
  const char *server;      /* its id */
  const char *library;     /* version of libnats */
};
void nats_about(const struct nats *n, struct nats_about *about);

/* A message to send; NULL with e filled: a text that is none of NATS, too large, out of memory. */
natsMsg *nats_message(struct nats *n, const char *subject, const char *reply, const char *data, size_t len,
                      struct err *e);
bool nats_header(natsMsg *m, const char *name, const char *value, struct err *e);
void nats_message_free(natsMsg *m);

/* What a message says; the texts are the message's. */
struct nats_view {
  const char *subject, *reply, *data; /* reply: NULL = none */
  size_t len;
};
void nats_message_view(natsMsg *m, struct nats_view *view);
const char *nats_message_header(natsMsg *m, const char *name); /* NULL = there is none */

/* Queues the message. False with e filled: the connection is closed, or too much is queued; it is freed. */
bool nats_send(struct nats *n, natsMsg *m, struct err *e);

/* Asks: first nats_ask_begin, with room for `count` answers, then for each place one message, which is made with the
 * subject that nats_ask_reply writes, then nats_ask_send, which takes them all. False with e filled: none is sent, and
 * the caller drops the ask. */
#define NATS_REPLY_MAX 64
bool nats_ask_begin(struct nats *n, struct nats_ask *a, struct err *e);
void nats_ask_reply(const struct nats_ask *a, size_t place, char reply[NATS_REPLY_MAX]);
bool nats_ask_send(struct nats_ask *a, natsMsg **messages, struct err *e);
void nats_ask_drop(struct nats_ask *a); /* no more answers are wanted; after `done`, a no-op */

/* Subscribes, before all that is sent later. At most `room` messages are kept until they are taken: then others are
 * lost, and nats_sub_lost counts them. NULL with e filled. */
struct nats_sub *nats_subscribe(struct nats *n, const char *subject, const char *queue, size_t room, struct err *e);
natsMsg *nats_sub_peek(const struct nats_sub *s); /* the next one, which stays; NULL: there is none now */
natsMsg *nats_sub_take(struct nats_sub *s);
/* `ready`, from where the listener is to be forgotten, comes once. False: somebody else listens. */
bool nats_sub_listen(struct nats_sub *s, struct nats_listener *l);
void nats_sub_forget(struct nats_sub *s, struct nats_listener *l);
bool nats_sub_over(const struct nats_sub *s);       /* it is closed, or its connection */
uint64_t nats_sub_lost(const struct nats_sub *s);
void nats_unsubscribe(struct nats_sub *s);          /* a listener is woken; it is the owner's no more, and freed */
void nats_sub_hold(struct nats_sub *s);             /* once nobody holds it */
void nats_sub_release(struct nats_sub *s);

/* For state.c, as store_shut and store_finish. */
void nats_shut(struct host *h);
bool nats_finish(struct host *h);

#endif
