/* bind_http.h - one request as Lua sees it: received bytes are kept here until they are read. http.c makes requests,
 * http_read.c reads their answers. */
#ifndef STOKE_BIND_HTTP_H
#define STOKE_BIND_HTTP_H

#include <lua.h>

#include "loop/err.h"
#include "net/lines.h"
#include "net/net.h"
#include "loop/op.h"

/* What the waiter waits for; the sink wakes it when that is there. */
enum rq_want { RQ_HEAD, RQ_CHUNK, RQ_LINE, RQ_EVENT, RQ_BODY };

/* Lives on the C heap, because a wait may outlive the userdata: held by the userdata (a box with a pointer) and by the
 * wait in progress. */
struct rq {
  struct op op; /* the one wait at a time */
  struct host *host;
  struct net_request *net; /* NULL once it ended or was cut */
  struct lines lines;      /* bytes that came and are not read yet, whatever they are read as */
  struct sse sse;
  const struct err *err; /* why it failed; NULL = it did not; owned, but for the one about memory */
  char *head;            /* "Name: value\n" lines */
  size_t head_len;
  int status; /* 0 until the head is there */
  uint8_t refs, want;
  bool waiting; /* op is in use */
  bool armed;   /* its native half is still to come */
  bool event;   /* sse holds an unread event */
  bool paused;  /* over the high-water mark */
  bool ended;   /* nothing more comes: clean end, failure or close */
  bool shared;  /* a cancelled reader leaves the connection open for the others */
  /* of its iterator (stream_pick.c) */
  bool merge; /* texts that have come become one event */
  bool bare;  /* texts, not tables */
  bool more;  /* Lua has events at hand */
};

/* The request that is argument 1 of a method made by rq_open_methods; raises `argument` otherwise. */
struct rq *rq_check(lua_State *L);

/* A read is: rq_begin; take what is there and return it (rq_took afterwards); else `return rq_wait`. rq_begin raises when
 * nothing can wait here or another task is waiting. */
struct rq *rq_begin(lua_State *L, const char *name);
void rq_took(struct rq *r); /* lets a paused sender go on when enough was read */
int rq_wait(lua_State *L, struct rq *r, const struct op_class *cls, enum rq_want want);
/* The end of what can be read: nil after a clean end, nil and an error after a failure. */
int rq_push_end(lua_State *L, struct rq *r);
/* Cuts the connection; what waits is woken. The error is what reads say from now on (the first one stays). */
void rq_fail(struct rq *r, const struct err *e);
/* For the op_class of every read: { name, push, rq_cancel_wait, rq_free_wait }. */
void rq_cancel_wait(struct op *op);
void rq_free_wait(struct op *op);

/* A complete line is at hand: true. The over-long one fails the request. */
bool rq_next_line(struct rq *r, const char **line, size_t *len);
/* The line that was just taken is read again next time; nothing may have been fed in between. */
void rq_put_back(struct rq *r, const char *line);

/* Gives the memory of the head back: it reads as empty from then on. */
void rq_drop_head(struct rq *r);

extern const struct net_sink rq_sink;
void rq_unref(struct rq *r);
void rq_close(struct rq *r);
/* Puts the methods into the table on top of the stack; each has the metatable (below it) as upvalue. */
void rq_open_methods(lua_State *L);

#endif
