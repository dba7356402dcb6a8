/* connection.c - connections and subscriptions as the loop thread sees them. */
#ifdef HAVE_NATS
#include "connection_impl.h"

#include <string.h>

#define STACK_SIZE (1u << 18)

/* The library begins its texts with a place in its source: "(conn.c:2088): ". */
static const char *plain_text(const char *text) {
  const char *end = *text == '(' ? strstr(text, "): ") : NULL;
  return end ? end + 3 : text;
}

void nats_error(natsStatus status, const char *what, struct err *e) {
  const char *kind = "refused", *hint = NULL;
  switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
      kind = "auth";
      hint = "check user and password in the URL, or the file of ?creds=";
      break;
    case NATS_TIMEOUT: kind = "timeout"; break;
    case NATS_SSL_ERROR:
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SECURE_CONNECTION_REQUIRED: kind = "tls"; break;
    case NATS_PROTOCOL_ERROR:
    case NATS_NO_SERVER_SUPPORT: kind = "protocol"; break;
    case NATS_ADDRESS_MISSING:
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT: kind = "argument"; break;
    case NATS_MAX_PAYLOAD: kind = "limit"; break;
    case NATS_INSUFFICIENT_BUFFER: kind = "overloaded"; break;
    case NATS_NO_MEMORY:
    case NATS_SYS_ERROR: kind = "os"; break;
    default: break;
  }
  natsStatus last = NATS_OK;
  const char *more = libnats.nats_GetLastError(&last);
  if (last != status || !more || !*more) more = libnats.natsStatus_GetText(status);
  err_set(e, kind, (int)status, "%s: %.160s", what, plain_text(more));
  e->hint = hint;
}

/* --- the engine --------------------------------------------------------------------------------------------------- */

static void conn_free(struct nats *n) {
  struct mem *m = &n->engine->host->mem;
  *n->prev = n->next;
  if (n->next) n->next->prev = n->prev;
  uv_mutex_destroy(&n->lock);
  uv_cond_destroy(&n->work);
  nats_copy_free(n->options);
  mem_free(m, n->asks);
  mem_free(m, n);
}

static void sub_unref(struct nats_sub *s) {
  struct nats *n = s->conn;
  CHECK(s->refs > 0);
  if (--s->refs > 0) return;
  natsMsg *msg;
  while ((msg = nats_sub_take(s))) nats_message_free(msg);
  *s->prev = s->next;
  if (s->next) s->next->prev = s->prev;
  bool counted = !s->inbox; /* that of answers belongs to the connection, which outlives it */
  mem_free(&n->engine->host->mem, s);
  if (counted) nats_release(n);
}

static void arrived(struct note *note) {
  struct nats_sub *s = note->sub;
  if (s->inbox) {
    atomic_fetch_sub(&s->kept, 1);
    nats_ask_answer(s->conn, note);
    free(note);
    return;
  }
  note->next = NULL;
  *s->tail = note;
  s->tail = &note->next;
  if (s->listener) s->listener->ready(s->listener);
}

static void opened(struct nats *n, struct note *note) {
  struct nats_wait *w = n->opening;
  n->opening = NULL;
  n->engine->host->inflight--;
  n->connected = note->err.kind == NULL;
  n->lost = !n->connected;
  w->err = note->err;
  w->done(w);
}

static void down(struct nats *n, const struct note *note) {
  n->connected = false;
  if (note->err.kind) n->lost = true;
  if (!n->closing) nats_asks_end(n, "refused", "the connection to NATS was lost");
}

static void closed(struct nats *n) {
  struct nats_wait *w = n->closer;
  uv_thread_join(&n->thread);
  n->joined = true;
  n->connected = false;
  n->engine->host->inflight--;
  n->engine->host->handles--;
  if (w) w->done(w);
  nats_release(n);
}

static void act(struct note *note) {
  struct nats *n = note->conn;
  switch (note->what) {
    case NOTE_MESSAGE: arrived(note); return; /* it keeps the note */
    case NOTE_OPEN: opened(n, note); break;
    case NOTE_FAILED: nats_ask_failed(n, note); break;
    case NOTE_COMPLETE:
      note->sub->over = true;
      if (note->sub->listener) note->sub->listener->ready(note->sub->listener);
      sub_unref(note->sub);
      break;
    case NOTE_RELEASED: sub_unref(note->sub); break;
    case NOTE_DOWN: down(n, note); break;
    case NOTE_UP:
      n->connected = true;
      n->reconnects++;
      break;
    case NOTE_CLOSED: closed(n); break;
  }
  free(note);
}

static void on_notes(uv_async_t *async) {
  struct nats_engine *g = CONTAINER_OF(async, struct nats_engine, async);
  uv_mutex_lock(&g->lock);
  struct note *note = g->head;
  g->head = NULL;
  g->tail = &g->head;
  uv_mutex_unlock(&g->lock);
  for (struct note *next; note; note = next) {
    next = note->next;
    act(note);
  }
}

static struct nats_engine *engine_of(struct host *h, struct err *e) {
  if (h->nats) return h->nats;
  struct nats_engine *g = mem_calloc(&h->mem, sizeof *g);
  if (!g) {
    err_set(e, "os", 0, "out of memory: cannot connect to NATS");
    return NULL;
  }
  g->host = h;
  g->tail = &g->head;
  int rc = uv_mutex_init(&g->lock);
  if (rc == 0 && (rc = uv_async_init(&h->loop, &g->async, on_notes)) != 0) uv_mutex_destroy(&g->lock);
  if (rc != 0) {
    err_set_uv(e, rc, "cannot connect to NATS");
    mem_free(&h->mem, g);
    return NULL;
  }
  uv_unref((uv_handle_t *)&g->async); /* host->inflight says whether something is to come */
  return h->nats = g;
}

/* --- a connection ------------------------------------------------------------------------------------------------- */

static bool name_inbox(struct nats *n) {
  uint64_t random[2];
  if (uv_random(NULL, NULL, random, sizeof random, 0, NULL) != 0) return false;
  snprintf(n->inbox_prefix, sizeof n->inbox_prefix, "_INBOX.%016llx%06llx", (unsigned long long)random[0],
           (unsigned long long)random[1] & 0xffffff);
  return true;
}

static struct nats *conn_new(struct nats_engine *g, const struct nats_options *o) {
  struct mem *m = &g->host->mem;
  struct nats *n = mem_calloc(m, sizeof *n);
  if (!n) return NULL;
  n->options = nats_copy_new(o);
  if (!n->options || !name_inbox(n) || uv_mutex_init(&n->lock) != 0) {
    nats_copy_free(n->options);
    mem_free(m, n);
    return NULL;
  }
  CHECK(uv_cond_init(&n->work) == 0);
  n->engine = g;
  n->refs = 1;
  n->tail = &n->head;
  n->joined = true;
  n->next = g->conns;
  n->prev = &g->conns;
  if (n->next) n->next->prev = &n->next;
  g->conns = n;
  return n;
}

static bool start(struct nats *n, struct err *e) {
  char subject[sizeof n->inbox_prefix + 2];
  snprintf(subject, sizeof subject, "%s.>", n->inbox_prefix);
  n->inbox = nats_sub_new(n, subject, NULL, SIZE_MAX);
  if (!n->inbox) {
    err_set(e, "os", 0, "out of memory: cannot connect to NATS");
    return false;
  }
  n->inbox->inbox = true;
  n->inbox->refs = 2; /* the thread subscribes it by itself */
  uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_SIZE};
  int rc = uv_thread_create_ex(&n->thread, &options, nats_thread, n);
  if (rc == 0) return true;
  err_set_uv(e, rc, "cannot start the thread of a connection to NATS");
  n->inbox->refs = 1;
  sub_unref(n->inbox);
  return false;
}

struct nats *nats_open(struct host *h, const struct nats_options *o, struct nats_wait *w, struct err *e) {
  struct nats_engine *g = nats_api_open(e) ? engine_of(h, e) : NULL;
  if (!g) return NULL;
  struct nats *n = conn_new(g, o);
  if (!n) {
    err_set(e, "os", 0, "out of memory: cannot connect to NATS");
    return NULL;
  }
  n->opening = w;
  n->closing = true; /* until there is a thread to end */
  if (!start(n, e)) {
    nats_release(n);
    return NULL;
  }
  n->closing = n->joined = false;
  h->inflight++;
  h->handles++;
  return n;
}

void nats_hold(struct nats *n) {
  n->refs++;
}

void nats_release(struct nats *n) {
  CHECK(n->refs > 0);
  if (--n->refs > 0) return;
  if (n->joined)
    conn_free(n);
  else
    (void)nats_close(n, NULL);
}

static void enqueue(struct nats *n, struct out *o) {
  o->next = NULL;
  uv_mutex_lock(&n->lock);
  *n->tail = o;
  n->tail = &o->next;
  n->queued += o->bytes;
  bool waits = n->waits;
  uv_mutex_unlock(&n->lock);
  if (waits) uv_cond_signal(&n->work);
}

bool nats_queue(struct nats *n, struct out *o, struct err *e) {
  uv_mutex_lock(&n->lock);
  bool full = n->queued + o->bytes > NATS_QUEUED_MAX && n->queued > 0;
  uv_mutex_unlock(&n->lock);
  if (n->closing || n->lost)
    err_set(e, "refused", 0, "the connection to NATS is closed");
  else if (full)
    err_set(e, "overloaded", 0, "more than %zu MiB wait to be sent to NATS", NATS_QUEUED_MAX >> 20);
  else
    enqueue(n, o);
  return !e->kind;
}

static void sub_end(struct nats_sub *s) {
  s->ending.what = OUT_UNSUBSCRIBE;
  s->ending.embedded = true;
  s->ending.sub = s;
  s->refs++;
  enqueue(s->conn, &s->ending);
}

bool nats_close(struct nats *n, struct nats_wait *w) {
  if (n->closing) return false;
  n->closing = true;
  n->closer = w;
  n->refs++; /* until its thread has ended */
  n->engine->host->inflight++;
  nats_asks_end(n, "refused", "the connection to NATS was closed");
  for (struct nats_sub *s = n->subs; s; s = s->next)
    if (!s->ending.embedded) sub_end(s);
  n->close_job.what = OUT_CLOSE;
  n->close_job.embedded = true;
  enqueue(n, &n->close_job);
  sub_unref(n->inbox);
  return true;
}

void nats_about(const struct nats *n, struct nats_about *about) {
  *about = (struct nats_about){.connected = n->connected,
                               .closed = n->closing || n->lost,
                               .max_payload = n->max_payload,
                               .reconnects = n->reconnects,
                               .server = n->server,
                               .library = libnats.nats_GetVersion()};
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

struct nats_sub *nats_sub_new(struct nats *n, const char *subject, const char *queue, size_t room) {
  size_t len = strlen(subject) + 1, more = queue ? strlen(queue) + 1 : 0;
  struct nats_sub *s = mem_calloc(&n->engine->host->mem, sizeof *s + len + more);
  if (!s) return NULL;
  s->conn = n;
  s->subject = memcpy((char *)(s + 1), subject, len);
  if (queue) s->queue = memcpy((char *)(s + 1) + len, queue, more);
  s->room = room;
  s->tail = &s->head;
  s->next = n->subs;
  s->prev = &n->subs;
  if (s->next) s->next->prev = &s->next;
  n->subs = s;
  return s;
}

struct nats_sub *nats_subscribe(struct nats *n, const char *subject, const char *queue, size_t room, struct err *e) {
  struct nats_sub *s = nats_sub_new(n, subject, queue, room);
  struct out *o = calloc(1, sizeof *o);
  err_clear(e);
  if (s) nats_hold(n);
  if (s && o) {
    s->refs = 2;
    o->what = OUT_SUBSCRIBE;
    o->sub = s;
    if (nats_queue(n, o, e)) return s;
  } else {
    err_set(e, "os", 0, "out of memory: cannot subscribe");
  }
  free(o);
  if (s) {
    s->refs = 1;
    sub_unref(s);
  }
  return NULL;
}

natsMsg *nats_sub_peek(const struct nats_sub *s) {
  return s->head ? s->head->msg : NULL;
}

natsMsg *nats_sub_take(struct nats_sub *s) {
  struct note *note = s->head;
  if (!note) return NULL;
  s->head = note->next;
  if (!s->head) s->tail = &s->head;
  natsMsg *msg = note->msg;
  free(note);
  atomic_fetch_sub(&s->kept, 1);
  return msg;
}

bool nats_sub_listen(struct nats_sub *s, struct nats_listener *l) {
  if (s->listener) return false;
  s->listener = l;
  s->conn->engine->host->inflight++;
  return true;
}

void nats_sub_forget(struct nats_sub *s, struct nats_listener *l) {
  if (s->listener != l) return;
  s->listener = NULL;
  s->conn->engine->host->inflight--;
}

bool nats_sub_over(const struct nats_sub *s) {
  return s->over || s->conn->closing || s->conn->lost;
}

uint64_t nats_sub_lost(const struct nats_sub *s) {
  return atomic_load(&s->lost);
}

void nats_sub_hold(struct nats_sub *s) {
  s->refs++;
}

void nats_sub_release(struct nats_sub *s) {
  sub_unref(s);
}

void nats_unsubscribe(struct nats_sub *s) {
  s->over = true;
  if (s->listener) s->listener->ready(s->listener);
  if (!s->ending.embedded) sub_end(s);
  sub_unref(s);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

void nats_shut(struct host *h) {
  if (!h->nats) return;
  for (struct nats *n = h->nats->conns; n; n = n->next) (void)nats_close(n, NULL);
}

bool nats_finish(struct host *h) {
  struct nats_engine *g = h->nats;
  if (!g) return true;
  if (g->conns) return false;
  if (!uv_is_closing((uv_handle_t *)&g->async)) uv_close((uv_handle_t *)&g->async, NULL);
  (void)uv_run(&h->loop, UV_RUN_NOWAIT);
  uv_mutex_destroy(&g->lock);
  mem_free(&h->mem, g);
  h->nats = NULL;
  return true;
}
#endif
