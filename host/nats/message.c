/* message.c - messages that are sent, alone or to be answered. An answer finds its place by its subject: the inbox,
 * the ask's slot and serial, the place in it. */
#ifdef HAVE_NATS
#include <string.h>

#include "connection_impl.h"

#define HEADER_ROOM 1024 /* of headers that are still to come, when a message is measured */

natsMsg *nats_message(struct nats *n, const char *subject, const char *reply, const char *data, size_t len,
                      struct err *e) {
  natsMsg *m = NULL;
  if (len + HEADER_ROOM > n->max_payload) {
    err_set(e, "limit", 0, "a message of %zu bytes is too large for this server, whose max_payload is %zu", len,
            n->max_payload);
    e->hint = "raise max_payload in the server's configuration, or queue a reference to what is so large";
    return NULL;
  }
  natsStatus s = libnats.natsMsg_Create(&m, subject, reply, data, (int)len);
  if (s != NATS_OK) nats_error(s, "cannot make a message for NATS", e);
  return m;
}

bool nats_header(natsMsg *m, const char *name, const char *value, struct err *e) {
  natsStatus s = libnats.natsMsgHeader_Set(m, name, value);
  if (s != NATS_OK) nats_error(s, "cannot make a message for NATS", e);
  return s == NATS_OK;
}

void nats_message_free(natsMsg *m) {
  libnats.natsMsg_Destroy(m);
}

void nats_message_view(natsMsg *m, struct nats_view *view) {
  view->subject = libnats.natsMsg_GetSubject(m);
  view->reply = libnats.natsMsg_GetReply(m);
  view->data = libnats.natsMsg_GetData(m);
  view->len = view->data ? (size_t)libnats.natsMsg_GetDataLength(m) : 0;
  if (!view->data) view->data = "";
}

const char *nats_message_header(natsMsg *m, const char *name) {
  const char *value = NULL;
  return libnats.natsMsgHeader_Get(m, name, &value) == NATS_OK ? value : NULL;
}

static bool queue_message(struct nats *n, natsMsg *m, uint32_t slot, uint32_t serial, size_t place, struct err *e) {
  struct out *o = calloc(1, sizeof *o);
  err_clear(e);
  if (!o) {
    err_set(e, "os", 0, "out of memory: cannot send to NATS");
  } else {
    o->what = OUT_SEND;
    o->msg = m;
    o->bytes = (size_t)libnats.natsMsg_GetDataLength(m) + sizeof *o;
    o->slot = slot;
    o->serial = serial;
    o->place = (uint32_t)place;
    if (nats_queue(n, o, e)) return true;
  }
  free(o);
  nats_message_free(m);
  return false;
}

bool nats_send(struct nats *n, natsMsg *m, struct err *e) {
  return queue_message(n, m, 0, 0, 0, e);
}

/* --- asks --------------------------------------------------------------------------------------------------------- */

static bool find_slot(struct nats *n, struct nats_ask *a) {
  uint32_t i = 0;
  while (i < n->slots && n->asks[i]) i++;
  if (i == n->slots) {
    uint32_t more = n->slots ? n->slots * 2 : 16;
    struct nats_ask **grown = mem_grow(&n->engine->host->mem, n->asks, more * sizeof *grown);
    if (!grown) return false;
    memset(grown + n->slots, 0, (more - n->slots) * sizeof *grown);
    n->asks = grown;
    n->slots = more;
  }
  n->asks[i] = a;
  a->slot = i + 1;
  return true;
}

bool nats_ask_begin(struct nats *n, struct nats_ask *a, struct err *e) {
  a->conn = NULL;
  a->missing = a->count;
  err_clear(&a->err);
  if (!find_slot(n, a)) {
    err_set(e, "os", 0, "out of memory: cannot ask NATS");
    return false;
  }
  a->serial = ++n->serial;
  a->conn = n;
  nats_hold(n);
  n->engine->host->inflight++;
  return true;
}

void nats_ask_reply(const struct nats_ask *a, size_t place, char reply[NATS_REPLY_MAX]) {
  (void)snprintf(reply, NATS_REPLY_MAX, "%s.%x.%x.%zx", a->conn->inbox_prefix, a->slot, a->serial, place);
}

void nats_ask_drop(struct nats_ask *a) {
  struct nats *n = a->conn;
  if (!n) return;
  a->conn = NULL;
  n->asks[a->slot - 1] = NULL;
  n->engine->host->inflight--;
  nats_release(n);
}

static void end(struct nats_ask *a) {
  nats_ask_drop(a);
  a->done(a);
}

bool nats_ask_send(struct nats_ask *a, natsMsg **messages, struct err *e) {
  struct nats *n = a->conn;
  bool sent = true;
  for (size_t i = 0; i < a->count; i++) {
    if (sent)
      sent = queue_message(n, messages[i], a->slot, a->serial, i, e);
    else
      nats_message_free(messages[i]);
  }
  return sent;
}

static struct nats_ask *find(struct nats *n, uint32_t slot, uint32_t serial) {
  struct nats_ask *a = slot > 0 && slot <= n->slots ? n->asks[slot - 1] : NULL;
  return a && a->serial == serial ? a : NULL;
}

void nats_ask_answer(struct nats *n, struct note *note) {
  unsigned slot, serial, place;
  const char *subject = libnats.natsMsg_GetSubject(note->msg) + strlen(n->inbox_prefix);
  struct nats_ask *a = NULL;
  if (sscanf(subject, ".%x.%x.%x", &slot, &serial, &place) == 3) a = find(n, slot, serial);
  if (!a || place >= a->count || a->answers[place]) { /* too late, or answered twice */
    nats_message_free(note->msg);
    return;
  }
  a->answers[place] = note->msg;
  if (--a->missing == 0) end(a);
}

void nats_ask_failed(struct nats *n, const struct note *note) {
  struct nats_ask *a = find(n, note->slot, note->serial);
  if (!a) return;
  a->err = note->err;
  end(a);
}

void nats_asks_end(struct nats *n, const char *kind, const char *why) {
  for (uint32_t i = 0; i < n->slots; i++) {
    struct nats_ask *a = n->asks[i];
    if (!a) continue;
    err_set(&a->err, kind, 0, "%s", why);
    end(a);
  }
}
#endif
