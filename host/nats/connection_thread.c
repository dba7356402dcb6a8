/* connection_thread.c - the thread of a connection, and what libnats' own threads call: they hand over, and decide
 * nothing. */
#ifdef HAVE_NATS
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "connection_impl.h"

#define RECONNECT_MS      250
#define PING_MS           5000
#define PINGS_OUT         2
#define WRITE_DEADLINE_MS 10000
#define FLUSH_MS          1000

/* --- options, copied ---------------------------------------------------------------------------------------------- */

struct nats_copy {
  struct nats_options o;
  const char **servers;
  char *texts;
};

static const char *copy_text(char **at, const char *s) {
  if (!s) return NULL;
  size_t len = strlen(s) + 1;
  char *to = memcpy(*at, s, len);
  *at += len;
  return to;
}

static size_t text_size(const char *s) {
  return s ? strlen(s) + 1 : 0;
}

struct nats_copy *nats_copy_new(const struct nats_options *o) {
  size_t size = text_size(o->name) + text_size(o->creds) + text_size(o->ca) + text_size(o->cert) + text_size(o->key);
  for (size_t i = 0; i < o->count; i++) size += text_size(o->servers[i]);
  struct nats_copy *c = calloc(1, sizeof *c + o->count * sizeof *c->servers + size);
  if (!c) return NULL;
  c->o = *o;
  c->servers = (const char **)(c + 1);
  char *at = (char *)(c->servers + o->count);
  for (size_t i = 0; i < o->count; i++) c->servers[i] = copy_text(&at, o->servers[i]);
  c->o.servers = c->servers;
  c->o.name = copy_text(&at, o->name);
  c->o.creds = copy_text(&at, o->creds);
  c->o.ca = copy_text(&at, o->ca);
  c->o.cert = copy_text(&at, o->cert);
  c->o.key = copy_text(&at, o->key);
  return c;
}

void nats_copy_free(struct nats_copy *c) {
  free(c);
}

/* --- to the loop -------------------------------------------------------------------------------------------------- */

/* Where there is no memory for a message it is lost, as one may be on the way; whoever waits for it has a deadline. */
static struct note *note_new(struct nats *n, enum note_what what) {
  struct note *note = calloc(1, sizeof *note);
  if (!note) return NULL;
  note->what = what;
  note->conn = n;
  return note;
}

static void post(struct note *note) {
  struct nats_engine *g = note->conn->engine;
  note->next = NULL;
  uv_mutex_lock(&g->lock);
  bool first = !g->head; /* of others the loop has been told */
  *g->tail = note;
  g->tail = &note->next;
  uv_mutex_unlock(&g->lock);
  if (first) uv_async_send(&g->async);
}

/* What must arrive. */
static struct note *note_sure(struct nats *n, enum note_what what) {
  struct note *note = note_new(n, what);
  CHECK(note);
  return note;
}

static void on_message(natsConnection *nc, natsSubscription *handle, natsMsg *msg, void *closure) {
  struct nats_sub *s = closure;
  (void)nc, (void)handle;
  struct note *note = NULL;
  if (s->inbox || atomic_load(&s->kept) < s->room) note = note_new(s->conn, NOTE_MESSAGE);
  if (!note) {
    atomic_fetch_add(&s->lost, 1);
    libnats.natsMsg_Destroy(msg);
    return;
  }
  atomic_fetch_add(&s->kept, 1);
  note->sub = s;
  note->msg = msg;
  post(note);
}

static void complete(struct nats_sub *s) {
  struct nats *n = s->conn;
  struct note *note = note_sure(n, NOTE_COMPLETE);
  note->sub = s;
  post(note);
}

static void on_complete(void *closure) {
  struct nats_sub *s = closure;
  struct nats *n = s->conn;
  complete(s);
  atomic_fetch_sub(&n->live, 1); /* n lives until its thread has seen zero */
}

static void on_down(natsConnection *nc, void *closure) {
  (void)nc;
  post(note_sure(closure, NOTE_DOWN));
}

static void on_up(natsConnection *nc, void *closure) {
  (void)nc;
  post(note_sure(closure, NOTE_UP));
}

static void on_closed(natsConnection *nc, void *closure) {
  struct nats *n = closure;
  (void)nc;
  struct note *note = note_sure(n, NOTE_DOWN);
  err_set(&note->err, "refused", 0, "the connection to NATS was closed by the server");
  post(note);
  atomic_store(&n->gone, true);
}

/* Such as a subject that this user may not publish to. */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *closure) {
  struct nats *n = closure;
  (void)nc, (void)sub;
  uv_mutex_lock(&n->lock);
  snprintf(n->trouble, sizeof n->trouble, "%s", libnats.natsStatus_GetText(status));
  uv_mutex_unlock(&n->lock);
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static natsStatus secure(natsOptions *to, const struct nats_options *o) {
  natsStatus s = libnats.natsOptions_SetSecure(to, true);
  if (s == NATS_OK && o->ca) s = libnats.natsOptions_LoadCATrustedCertificates(to, o->ca);
  if (s == NATS_OK && o->cert) s = libnats.natsOptions_LoadCertificatesChain(to, o->cert, o->key);
  return s;
}

static natsStatus behave(natsOptions *to) {
  natsStatus s = libnats.natsOptions_SetMaxReconnect(to, -1);
  if (s == NATS_OK) s = libnats.natsOptions_SetReconnectWait(to, RECONNECT_MS);
  if (s == NATS_OK) s = libnats.natsOptions_SetReconnectBufSize(to, (int)NATS_QUEUED_MAX);
  if (s == NATS_OK) s = libnats.natsOptions_SetPingInterval(to, PING_MS);
  if (s == NATS_OK) s = libnats.natsOptions_SetMaxPingsOut(to, PINGS_OUT);
  if (s == NATS_OK) s = libnats.natsOptions_SetWriteDeadline(to, WRITE_DEADLINE_MS);
  return s;
}

static natsStatus call_back(natsOptions *to, struct nats *n) {
  natsStatus s = libnats.natsOptions_SetErrorHandler(to, on_error, n);
  if (s == NATS_OK) s = libnats.natsOptions_SetDisconnectedCB(to, on_down, n);
  if (s == NATS_OK) s = libnats.natsOptions_SetReconnectedCB(to, on_up, n);
  if (s == NATS_OK) s = libnats.natsOptions_SetClosedCB(to, on_closed, n);
  return s;
}

static natsStatus make_options(struct nats *n, natsOptions **made) {
  const struct nats_options *o = &n->options->o;
  natsStatus s = libnats.natsOptions_Create(made);
  if (s == NATS_OK) s = libnats.natsOptions_SetServers(*made, n->options->servers, (int)o->count);
  if (s == NATS_OK && o->name) s = libnats.natsOptions_SetName(*made, o->name);
  if (s == NATS_OK) s = libnats.natsOptions_SetTimeout(*made, (int64_t)(o->timeout * 1000));
  if (s == NATS_OK && o->creds) s = libnats.natsOptions_SetUserCredentialsFromFiles(*made, o->creds, NULL);
  if (s == NATS_OK && (o->tls || o->ca || o->cert)) s = secure(*made, o);
  if (s == NATS_OK) s = behave(*made);
  if (s == NATS_OK) s = call_back(*made, n);
  return s;
}

static void subscribe(struct nats *n, struct nats_sub *sub) {
  natsStatus s = sub->queue ? libnats.natsConnection_QueueSubscribe(&sub->handle, n->handle, sub->subject, sub->queue,
                                                                    on_message, sub)
                            : libnats.natsConnection_Subscribe(&sub->handle, n->handle, sub->subject, on_message, sub);
  if (s != NATS_OK) {
    complete(sub);
    return;
  }
  atomic_fetch_add(&n->live, 1);
  (void)libnats.natsSubscription_SetPendingLimits(sub->handle, -1, -1); /* we take each at once, and count ourselves */
  if (libnats.natsSubscription_SetOnCompleteCB(sub->handle, on_complete, sub) == NATS_OK) return;
  atomic_fetch_sub(&n->live, 1);
  complete(sub); /* it is closed already, with its connection */
}

static void release(struct nats_sub *sub) {
  struct note *note = note_sure(sub->conn, NOTE_RELEASED);
  note->sub = sub;
  if (sub->handle) libnats.natsSubscription_Destroy(sub->handle);
  post(note);
}

/* libnats' reading thread finds a subscription, copies the message, and only then takes hold of it (3.4): it must live
 * until that thread has read something that came behind, such as the answer to a ping. */
static void unsubscribe(struct nats *n, struct nats_sub *sub) {
  if (!sub->handle) {
    release(sub);
    return;
  }
  (void)libnats.natsSubscription_Unsubscribe(sub->handle);
  sub->retired = n->retired;
  n->retired = sub;
}

static void release_retired(struct nats *n) {
  for (struct nats_sub *sub = n->retired, *next; sub; sub = next) {
    next = sub->retired;
    release(sub);
  }
  n->retired = NULL;
}

static bool open_connection(struct nats *n) {
  struct note *note = note_sure(n, NOTE_OPEN);
  natsOptions *options = NULL;
  natsStatus s = make_options(n, &options);
  if (s == NATS_OK) s = libnats.natsConnection_Connect(&n->handle, options);
  libnats.natsOptions_Destroy(options);
  if (s == NATS_OK) {
    n->max_payload = (size_t)libnats.natsConnection_GetMaxPayload(n->handle);
    (void)libnats.natsConnection_GetConnectedServerId(n->handle, n->server, sizeof n->server);
    s = libnats.natsConnection_HasHeaderSupport(n->handle);
  }
  if (s == NATS_OK)
    subscribe(n, n->inbox);
  else
    complete(n->inbox);
  if (s != NATS_OK) nats_error(s, "cannot connect to NATS", &note->err);
  post(note);
  return s == NATS_OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static struct out *next_work(struct nats *n) {
  uv_mutex_lock(&n->lock);
  while (!n->head) {
    n->waits = true;
    uv_cond_wait(&n->work, &n->lock);
    n->waits = false;
  }
  struct out *all = n->head;
  n->head = NULL;
  n->tail = &n->head;
  uv_mutex_unlock(&n->lock);
  return all;
}

static void not_sent(struct nats *n, const struct out *o, natsStatus s) {
  if (!o->slot) return;
  struct note *note = note_new(n, NOTE_FAILED);
  if (!note) return;
  note->slot = o->slot;
  note->serial = o->serial;
  note->place = o->place;
  nats_error(s, "cannot send to NATS", &note->err);
  post(note);
}

static void work(struct nats *n, struct out *o) {
  natsStatus s = NATS_CONNECTION_CLOSED;
  switch (o->what) {
    case OUT_SEND:
      if (n->handle) s = libnats.natsConnection_PublishMsg(n->handle, o->msg);
      libnats.natsMsg_Destroy(o->msg);
      if (s != NATS_OK) not_sent(n, o, s);
      uv_mutex_lock(&n->lock);
      n->queued -= o->bytes;
      uv_mutex_unlock(&n->lock);
      break;
    case OUT_SUBSCRIBE:
      if (n->handle)
        subscribe(n, o->sub);
      else
        complete(o->sub);
      break;
    case OUT_UNSUBSCRIBE: unsubscribe(n, o->sub); break;
    case OUT_CLOSE: break;
  }
}

static void close_connection(struct nats *n) {
  if (n->handle) {
    libnats.natsConnection_Close(n->handle);
    while (atomic_load(&n->live) > 0 || !atomic_load(&n->gone)) uv_sleep(1); /* its threads end on their own */
    release_retired(n);
    libnats.natsConnection_Destroy(n->handle);
    n->handle = NULL;
  }
  libnats.nats_ReleaseThreadMemory();
}

/* What was written goes out now, in one piece, not when libnats' flusher wakes up after a millisecond; the server's
 * answer is awaited, and what is asked for meanwhile goes together. */
static void flush(struct nats *n, bool over) {
  if (n->handle && !over && libnats.natsConnection_FlushTimeout(n->handle, FLUSH_MS) == NATS_OK) release_retired(n);
}

void nats_thread(void *conn) {
  struct nats *n = conn;
  bool over = false;
  sigset_t all;
  sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are for the loop thread; libnats' threads inherit this */
  (void)open_connection(n);
  while (!over) {
    for (struct out *o = next_work(n), *next; o; o = next) {
      next = o->next;
      bool embedded = o->embedded;
      over = over || o->what == OUT_CLOSE;
      work(n, o);
      if (!embedded) free(o);
    }
    flush(n, over);
  }
  close_connection(n);
  post(note_sure(n, NOTE_CLOSED));
}
#endif
