/* nats.c - host.nats: connections to NATS. lua/engine/nats.lua speaks JetStream through them. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "hostlibs.h"
#include "loop/binding.h"
#include "loop/host.h"
#include "loop/op.h"
#include "loop/timers.h"

#ifndef HAVE_NATS
static int l_connect(lua_State *L) {
  struct err e;
  err_set(&e, "os", 0, "this stoke was built without NATS");
  e.hint = "install libnats-dev (Debian; nats.c or cnats elsewhere) and build it again";
  return err_push(L, &e);
}

int luaopen_host_nats(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_connect);
  lua_setfield(L, -2, "connect");
  return 1;
}
#else
#include "nats/connection.h"

#define CONN_TYPE    "host.nats.connection"
#define SUB_TYPE     "host.nats.subscription"
#define SERVERS_MAX  64
#define MESSAGES_MAX 10000

static struct nats *check_conn(lua_State *L) {
  struct nats **box = luaL_checkudata(L, 1, CONN_TYPE);
  if (!*box) err_argument(L, "this connection was never open");
  return *box;
}

static struct nats_sub *check_sub(lua_State *L) {
  struct nats_sub **box = luaL_checkudata(L, 1, SUB_TYPE);
  if (!*box) err_argument(L, "this subscription is closed");
  return *box;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

struct wait_op {
  struct op op;
  struct nats_wait wait;
  struct host *host;
  struct nats *conn; /* held; NULL once it went over to Lua */
};

static struct wait_op *wait_of(struct op *op) {
  return CONTAINER_OF(op, struct wait_op, op);
}

static void wait_done(struct nats_wait *w) {
  struct wait_op *o = CONTAINER_OF(w, struct wait_op, wait);
  op_done(&o->op);
  op_unref(&o->op);
}

static void wait_free(struct op *op) {
  struct wait_op *o = wait_of(op);
  if (o->conn) nats_release(o->conn);
  mem_free(&o->host->mem, o);
}

static int open_push(lua_State *L, struct op *op) {
  struct wait_op *o = wait_of(op);
  if (o->wait.err.kind) return err_push(L, &o->wait.err);
  struct nats **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, CONN_TYPE);
  *box = o->conn; /* the reference goes over */
  o->conn = NULL;
  return 1;
}

static int close_push(lua_State *L, struct op *op) {
  (void)op;
  lua_pushboolean(L, 1);
  return 1;
}

static const struct op_class open_class = {"nats.connect", open_push, NULL, wait_free};
static const struct op_class close_class = {"nats.close", close_push, NULL, wait_free};

static struct wait_op *wait_new(lua_State *L, const struct op_class *cls) {
  struct host *h = host_of(L);
  struct wait_op *o = mem_calloc(&h->mem, sizeof *o);
  if (!o) return NULL;
  op_init(&o->op, cls);
  o->host = h;
  o->wait.done = wait_done;
  return o;
}

static const char *text_option(lua_State *L, const char *name) {
  lua_getfield(L, 2, name); /* the table holds it */
  const char *s = luaL_optstring(L, -1, NULL);
  lua_pop(L, 1);
  return s;
}

static size_t check_servers(lua_State *L, const char *servers[SERVERS_MAX]) {
  luaL_checktype(L, 1, LUA_TTABLE);
  size_t n = lua_rawlen(L, 1);
  if (n < 1 || n > SERVERS_MAX) err_argument(L, "nats.connect: from 1 to %d servers", SERVERS_MAX);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING) err_argument(L, "nats.connect: a server must be a URL");
    servers[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  return n;
}

/* connect({ url, ... }, { name?, timeout (2), tls?, creds?, ca?, cert?, key? }) -> connection; nil, err. Lost, it is
 * made anew by itself. */
static int l_connect(lua_State *L) {
  const char *servers[SERVERS_MAX];
  op_enter(L, "nats.connect");
  size_t count = check_servers(L, servers);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct nats_options options = {.servers = servers,
                                 .count = count,
                                 .name = text_option(L, "name"),
                                 .creds = text_option(L, "creds"),
                                 .ca = text_option(L, "ca"),
                                 .cert = text_option(L, "cert"),
                                 .key = text_option(L, "key")};
  lua_getfield(L, 2, "tls");
  options.tls = lua_toboolean(L, -1);
  lua_getfield(L, 2, "timeout");
  options.timeout = luaL_optnumber(L, -1, 2.0);
  struct wait_op *o = wait_new(L, &open_class);
  if (!o) return err_pushf(L, "os", "out of memory: cannot connect to NATS");
  o->conn = nats_open(o->host, &options, &o->wait, &o->wait.err);
  if (!o->conn) wait_done(&o->wait);
  return op_await(L, &o->op);
}

/* connection:close() -> true. What waits on it ends. Waits; a second call does not. */
static int conn_close(lua_State *L) {
  op_enter(L, "nats.close");
  struct nats *n = check_conn(L);
  struct wait_op *o = wait_new(L, &close_class);
  if (!o) return err_pushf(L, "os", "out of memory: cannot close a connection");
  o->conn = n;
  nats_hold(n);
  if (!nats_close(n, &o->wait)) wait_done(&o->wait);
  return op_await(L, &o->op);
}

static int conn_gc(lua_State *L) {
  struct nats **box = luaL_checkudata(L, 1, CONN_TYPE);
  struct nats *n = *box;
  *box = NULL;
  if (n) nats_release(n);
  return 0;
}

/* connection:about() -> { connected, closed, max_payload, reconnects, server, library } */
static int conn_about(lua_State *L) {
  struct nats_about about;
  nats_about(check_conn(L), &about);
  lua_createtable(L, 0, 6);
  lua_pushboolean(L, about.connected);
  lua_setfield(L, -2, "connected");
  lua_pushboolean(L, about.closed);
  lua_setfield(L, -2, "closed");
  lua_pushinteger(L, (lua_Integer)about.max_payload);
  lua_setfield(L, -2, "max_payload");
  lua_pushinteger(L, (lua_Integer)about.reconnects);
  lua_setfield(L, -2, "reconnects");
  lua_pushstring(L, about.server);
  lua_setfield(L, -2, "server");
  lua_pushstring(L, about.library);
  lua_setfield(L, -2, "library");
  return 1;
}

/* --- messages in -------------------------------------------------------------------------------------------------- */

/* The headers that are given, and as which fields: those that lua/engine/nats reads. Of a message that is read directly all of them
 * are half of its cost. */
static const struct {
  const char *header, *field;
} GIVEN[] = {{"Stoke", "meta"},          {"Status", "status"},      {"Description", "description"}, {"Nats-Sequence", "sequence"},
             {"Nats-Time-Stamp", "stamp"}, {"Nats-Subject", "of"}, {"KV-Operation", "operation"}};

/* Where a message of a stream stands is said by where it is to be acknowledged: "$JS.ACK.STREAM.CONSUMER.TIMES.SEQ.NUMBER.TIME.LEFT".
 * False: it is none. */
static bool place(const char *reply, unsigned long long part[5]) {
  const char *at = reply + strlen(reply);
  if (strncmp(reply, "$JS.ACK.", 8) != 0) return false;
  for (int i = 4; i >= 0; i--) {
    const char *end = at;
    while (at > reply && at[-1] != '.') at--;
    char *stop;
    part[i] = strtoull(at, &stop, 10);
    if (at == reply || stop != end || stop == at) return false;
    at--;
  }
  return true;
}

static void push_place(lua_State *L, const char *reply) {
  unsigned long long part[5];
  if (!place(reply, part)) {
    lua_pushstring(L, reply);
    lua_setfield(L, -2, "reply");
    return;
  }
  lua_pushinteger(L, (lua_Integer)part[1]);
  lua_setfield(L, -2, "seq");
  lua_pushnumber(L, (lua_Number)part[3] / 1e9);
  lua_setfield(L, -2, "time");
  lua_pushinteger(L, (lua_Integer)part[4]);
  lua_setfield(L, -2, "pending");
}

/* { data, subject?, reply?, seq?, time?, pending?, id?, what GIVEN says }. whole: an answer's subject is nobody's business. seq, time
 * (seconds since 1970), pending (how many are behind it), id (Nats-Msg-Id): of a stream's message. */
static void push_message(lua_State *L, natsMsg *m, bool whole) {
  struct nats_view v;
  nats_message_view(m, &v);
  luaL_checkstack(L, 4, "nats");
  lua_createtable(L, 0, whole ? 8 : 4);
  lua_pushlstring(L, v.data, v.len);
  lua_setfield(L, -2, "data");
  const char *id = whole ? nats_message_header(m, "Nats-Msg-Id") : NULL;
  if (whole) {
    lua_pushstring(L, v.subject);
    lua_setfield(L, -2, "subject");
    if (v.reply) push_place(L, v.reply);
  }
  if (id) {
    lua_pushstring(L, id);
    lua_setfield(L, -2, "id");
  }
  for (size_t i = 0; i < COUNT_OF(GIVEN); i++) {
    const char *value = nats_message_header(m, GIVEN[i].header);
    if (!value) continue;
    lua_pushstring(L, value);
    lua_setfield(L, -2, GIVEN[i].field);
  }
}

/* --- messages out ------------------------------------------------------------------------------------------------- */

static bool plain_text(lua_State *L, int index, bool subject) {
  size_t len;
  const char *s = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
  if (!s || strlen(s) != len || strpbrk(s, subject ? " \t\r\n" : "\r\n")) return false;
  return !subject || len > 0;
}

/* The list at `index`: of { subject, data, name, value, ... }, whose headers are names with values. Returns how many.
 * */
static size_t check_messages(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  size_t n = lua_rawlen(L, index);
  if (n < 1 || n > MESSAGES_MAX) err_argument(L, "from 1 to %d messages at once", MESSAGES_MAX);
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, index, (lua_Integer)i);
    if (!lua_istable(L, -1)) err_argument(L, "message %d is no table", (int)i);
    int at = lua_gettop(L);
    size_t parts = lua_rawlen(L, at);
    if (parts < 2 || parts % 2 != 0 || parts > 32)
      err_argument(L, "message %d is not { subject, data, name, value ... }", (int)i);
    for (size_t k = 1; k <= parts; k++) {
      lua_rawgeti(L, at, (lua_Integer)k);
      bool good = k == 2 ? lua_type(L, -1) == LUA_TSTRING : plain_text(L, -1, k == 1 || k % 2 == 1);
      if (!good) err_argument(L, "message %d: its part %d is no text that NATS takes there", (int)i, (int)k);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  return n;
}

/* Message i of the checked list at `index`. Raises nothing: all it reads are strings. */
static natsMsg *make_message(lua_State *L, int index, size_t i, struct nats *n, const char *reply, struct err *e) {
  lua_rawgeti(L, index, (lua_Integer)i);
  int at = lua_gettop(L);
  size_t len, parts = lua_rawlen(L, at);
  lua_rawgeti(L, at, 1);
  lua_rawgeti(L, at, 2);
  const char *data = lua_tolstring(L, -1, &len);
  natsMsg *m = nats_message(n, lua_tostring(L, -2), reply, data, len, e);
  for (size_t k = 3; m && k < parts; k += 2) {
    lua_rawgeti(L, at, (lua_Integer)k);
    lua_rawgeti(L, at, (lua_Integer)k + 1);
    if (!nats_header(m, lua_tostring(L, -2), lua_tostring(L, -1), e)) {
      nats_message_free(m);
      m = NULL;
    }
    lua_pop(L, 2);
  }
  lua_settop(L, at - 1);
  return m;
}

/* connection:send(list, reply?) -> true; nil, err: some may be sent. Answers, if any, go to the subject `reply`. Does
 * not wait. */
static int conn_send(lua_State *L) {
  struct nats *n = check_conn(L);
  size_t count = check_messages(L, 2);
  if (!lua_isnoneornil(L, 3) && !plain_text(L, 3, true))
    return err_argument(L, "a subject for answers must be a text without blanks");
  const char *reply = lua_tostring(L, 3);
  struct err e;
  err_clear(&e);
  luaL_checkstack(L, 8, "nats");
  for (size_t i = 1; i <= count; i++) {
    natsMsg *m = make_message(L, 2, i, n, reply, &e);
    if (!m || !nats_send(n, m, &e)) return err_push(L, &e);
  }
  lua_pushboolean(L, 1);
  return 1;
}

struct ask_op {
  struct op op;
  struct nats_ask ask;
  struct timer timer;
  struct host *host;
  natsMsg *answers[];
};

static struct ask_op *ask_of(struct op *op) {
  return CONTAINER_OF(op, struct ask_op, op);
}

static void ask_over(struct ask_op *o) {
  timer_stop(o->host, &o->timer);
  nats_ask_drop(&o->ask);
  op_done(&o->op);
  op_unref(&o->op);
}

static void ask_done(struct nats_ask *a) {
  ask_over(CONTAINER_OF(a, struct ask_op, ask));
}

static void ask_late(struct timer *timer) {
  struct ask_op *o = CONTAINER_OF(timer, struct ask_op, timer);
  err_set(&o->ask.err, "timeout", 0, "NATS did not answer in time");
  ask_over(o);
}

static int ask_push(lua_State *L, struct op *op) {
  struct ask_op *o = ask_of(op);
  lua_createtable(L, (int)o->ask.count, 0);
  for (size_t i = 0; i < o->ask.count; i++) {
    if (o->answers[i])
      push_message(L, o->answers[i], false);
    else
      lua_pushboolean(L, 0);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  if (!o->ask.err.kind) return 1;
  (void)err_push(L, &o->ask.err);
  lua_remove(L, -2);
  return 2;
}

static void ask_cancel(struct op *op) {
  struct ask_op *o = ask_of(op);
  timer_stop(o->host, &o->timer);
  nats_ask_drop(&o->ask);
  op_unref(op);
}

static void ask_free(struct op *op) {
  struct ask_op *o = ask_of(op);
  for (size_t i = 0; i < o->ask.count; i++)
    if (o->answers[i]) nats_message_free(o->answers[i]);
  mem_free(&o->host->mem, o);
}

static const struct op_class ask_class = {"nats.ask", ask_push, ask_cancel, ask_free};

/* Sends messages 1 to count of the list at index 2. False with the ask's err filled. */
static bool ask_send(lua_State *L, struct nats *n, struct ask_op *o) {
  struct err *e = &o->ask.err;
  size_t count = o->ask.count, made = 0;
  natsMsg **messages = calloc(count, sizeof *messages);
  if (!messages) {
    err_set(e, "os", 0, "out of memory: cannot ask NATS");
    return false;
  }
  for (; made < count; made++) {
    char reply[NATS_REPLY_MAX];
    nats_ask_reply(&o->ask, made, reply);
    messages[made] = make_message(L, 2, made + 1, n, reply, e);
    if (!messages[made]) break;
  }
  bool sent = made == count && nats_ask_send(&o->ask, messages, e);
  if (made < count)
    while (made > 0) nats_message_free(messages[--made]);
  free(messages);
  return sent;
}

/* connection:ask(list, seconds) -> answers, err?: by the places of the messages; false where none came, and then err
 * says why. */
static int conn_ask(lua_State *L) {
  op_enter(L, "nats.ask");
  struct nats *n = check_conn(L);
  size_t count = check_messages(L, 2);
  double seconds = luaL_checknumber(L, 3);
  luaL_checkstack(L, 8, "nats");
  struct host *h = host_of(L);
  struct ask_op *o = mem_calloc(&h->mem, sizeof *o + count * sizeof *o->answers);
  if (!o) return err_pushf(L, "os", "out of memory: cannot ask NATS");
  op_init(&o->op, &ask_class);
  o->host = h;
  o->ask.count = count;
  o->ask.answers = o->answers;
  o->ask.done = ask_done;
  if (nats_ask_begin(n, &o->ask, &o->ask.err) && ask_send(L, n, o))
    timer_start(h, &o->timer, seconds, ask_late);
  else
    ask_over(o);
  return op_await(L, &o->op);
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

/* connection:subscribe(subject, queue | nil, room) -> subscription; nil, err. Does not wait. */
static int conn_subscribe(lua_State *L) {
  struct nats *n = check_conn(L);
  if (!plain_text(L, 2, true) || !(lua_isnil(L, 3) || plain_text(L, 3, true)))
    return err_argument(L, "a subject, or the name of a queue, must be a text without blanks");
  lua_Integer room = luaL_checkinteger(L, 4);
  if (room < 1) return err_argument(L, "a subscription has room for one message at least");
  struct nats_sub **box = lua_newuserdatauv(L, sizeof *box, 0);
  struct err e;
  *box = NULL;
  luaL_setmetatable(L, SUB_TYPE);
  *box = nats_subscribe(n, lua_tostring(L, 2), lua_tostring(L, 3), (size_t)room, &e);
  return *box ? 1 : err_push(L, &e);
}

static int sub_close(lua_State *L) {
  struct nats_sub **box = luaL_checkudata(L, 1, SUB_TYPE);
  struct nats_sub *s = *box;
  *box = NULL;
  if (s) nats_unsubscribe(s);
  return 0;
}

/* subscription:lost() -> how many messages there was no room for */
static int sub_lost(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)nats_sub_lost(check_sub(L)));
  return 1;
}

struct take_op {
  struct op op;
  struct nats_listener listener;
  struct timer timer;
  struct host *host;
  struct nats_sub *sub; /* held */
  size_t max;
};

static struct take_op *take_of(struct op *op) {
  return CONTAINER_OF(op, struct take_op, op);
}

static void take_over(struct take_op *o) {
  timer_stop(o->host, &o->timer);
  nats_sub_forget(o->sub, &o->listener);
  op_done(&o->op);
  op_unref(&o->op);
}

static void take_ready(struct nats_listener *l) {
  take_over(CONTAINER_OF(l, struct take_op, listener));
}

static void take_late(struct timer *timer) {
  take_over(CONTAINER_OF(timer, struct take_op, timer));
}

static int take_push(lua_State *L, struct op *op) {
  struct take_op *o = take_of(op);
  natsMsg *m = nats_sub_peek(o->sub);
  if (!m && nats_sub_over(o->sub))
    return err_pushf(L, "refused", "the subscription, or its connection to NATS, was closed");
  lua_createtable(L, 8, 0);
  for (lua_Integer i = 1; m && (size_t)i <= o->max; m = nats_sub_peek(o->sub), i++) {
    push_message(L, m, true);
    lua_rawseti(L, -2, i);
    nats_message_free(nats_sub_take(o->sub));
  }
  return 1;
}

static void take_cancel(struct op *op) {
  struct take_op *o = take_of(op);
  timer_stop(o->host, &o->timer);
  nats_sub_forget(o->sub, &o->listener);
  op_unref(op);
}

static void take_free(struct op *op) {
  struct take_op *o = take_of(op);
  nats_sub_release(o->sub);
  mem_free(&o->host->mem, o);
}

static const struct op_class take_class = {"nats.take", take_push, take_cancel, take_free};

/* subscription:take(max, seconds) -> messages, at least one of those that came, or {} when the time is up; nil, err:
 * there will be none any more. */
static int sub_take(lua_State *L) {
  op_enter(L, "nats.take");
  struct nats_sub *s = check_sub(L);
  lua_Integer max = luaL_checkinteger(L, 2);
  double seconds = luaL_checknumber(L, 3);
  if (max < 1) return err_argument(L, "take: one message at least");
  struct host *h = host_of(L);
  struct take_op *o = mem_calloc(&h->mem, sizeof *o);
  if (!o) return err_pushf(L, "os", "out of memory: cannot wait for messages");
  op_init(&o->op, &take_class);
  o->host = h;
  o->sub = s;
  o->max = (size_t)max;
  o->listener.ready = take_ready;
  nats_sub_hold(s);
  if (nats_sub_peek(s) || nats_sub_over(s) || seconds <= 0) {
    take_over(o);
  } else if (!nats_sub_listen(s, &o->listener)) {
    op_unref(&o->op);
    op_unref(&o->op);
    return err_argument(L, "another task waits for these messages already");
  } else {
    timer_start(h, &o->timer, seconds, take_late);
  }
  return op_await(L, &o->op);
}

/* --- the module --------------------------------------------------------------------------------------------------- */

static void new_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

int luaopen_host_nats(lua_State *L) {
  static const luaL_Reg conn[] = {{"ask", conn_ask},     {"send", conn_send},   {"subscribe", conn_subscribe},
                                  {"about", conn_about}, {"close", conn_close}, {NULL, NULL}};
  static const luaL_Reg sub[] = {{"take", sub_take}, {"lost", sub_lost}, {"close", sub_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"connect", l_connect}, {NULL, NULL}};
  new_type(L, CONN_TYPE, conn, conn_gc);
  new_type(L, SUB_TYPE, sub, sub_close);
  luaL_newlib(L, functions);
  return 1;
}
#endif
