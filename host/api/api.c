/* api.c - libstoke, see stoke.h: a host that the program turns, instead of host_run.
 *
 * What scripts tell the program (answers, events) is queued as news and told between two turns, so that a callback never runs
 * under Lua and may begin further calls. */
#include "api.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/call.h"
#include "loop/host.h"
#include "sys/console.h"

#define FLUSH_LIMIT 2.0 /* seconds given to a slow reader of our output at the end */
#define CLOSE_LIMIT 6.0 /* and to what is cancelled */

struct job {
  struct job *next;
  unsigned long number;
  stoke_done_fn done;
  void *user;
};

struct news {
  struct news *next;
  unsigned long number; /* the call that has ended; 0: an event */
  struct stoke_error error;
  bool failed;
  size_t len;
  char *json; /* behind the name, in the same block */
  char name[];
};

struct stoke {
  struct host h;
  struct stoke_options options;
  char *program;
  int entry; /* registry: begin(number, kind, ...) of lua/embedder.lua */
  unsigned long last;
  struct job *jobs;
  size_t pending;
  struct news *first, **end;
  uv_timer_t limit; /* of a turn that waits */
  bool telling, late;
};

static stoke *of(const struct host *h) {
  return CONTAINER_OF(h, struct stoke, h);
}

/* --- errors --------------------------------------------------------------------------------------------------------- */

static bool fail(struct stoke_error *e, const char *kind, const char *message, const char *hint) {
  if (!e) return false;
  snprintf(e->kind, sizeof e->kind, "%s", kind);
  snprintf(e->message, sizeof e->message, "%s", message);
  snprintf(e->hint, sizeof e->hint, "%s", hint ? hint : "");
  return false;
}

static bool no_memory(struct stoke_error *e) {
  return fail(e, "os", "out of memory", NULL);
}

static bool fail_err(struct stoke_error *e, const struct err *err) {
  return fail(e, err->kind ? err->kind : "internal", err->message, err->hint);
}

/* --- from the host to the program ----------------------------------------------------------------------------------- */

bool api_embedded(const struct host *h) {
  return h->embedded;
}

const char *api_program(const struct host *h) {
  return h->embedded ? of(h)->program : NULL;
}

static struct news *queue(stoke *s, const char *name, const char *json, size_t len) {
  size_t named = strlen(name) + 1;
  struct news *n = malloc(sizeof *n + named + len + 1);
  if (!n) return NULL;
  memset(n, 0, sizeof *n);
  memcpy(n->name, name, named);
  n->json = n->name + named;
  memcpy(n->json, json, len);
  n->json[len] = '\0';
  n->len = len;
  *s->end = n;
  s->end = &n->next;
  uv_stop(&s->h.loop); /* the next poll must not block: there is something to tell */
  return n;
}

bool api_answer(struct host *h, unsigned long number, const char *json, size_t len, const struct stoke_error *e) {
  struct news *n = queue(of(h), "", json ? json : "", json ? len : 0);
  if (!n) return false;
  n->number = number;
  n->failed = e != NULL;
  if (e) n->error = *e;
  return true;
}

bool api_event(struct host *h, const char *name, const char *json, size_t len) {
  return !of(h)->options.event || queue(of(h), name, json, len) != NULL;
}

static struct job *take(stoke *s, unsigned long number) {
  for (struct job **link = &s->jobs; *link; link = &(*link)->next)
    if ((*link)->number == number) {
      struct job *j = *link;
      *link = j->next;
      s->pending--;
      return j;
    }
  return NULL;
}

static void tell_end(struct job *j, const char *json, const struct stoke_error *e) {
  if (!j) return;
  if (j->done) j->done(j->user, json, e);
  free(j);
}

/* Tell the program what waits for it; true: there was something. */
static bool tell(stoke *s) {
  bool any = false;
  s->telling = true;
  for (struct news *n; (n = s->first); any = true) {
    s->first = n->next;
    if (!s->first) s->end = &s->first;
    if (n->number)
      tell_end(take(s, n->number), n->failed ? NULL : n->json, n->failed ? &n->error : NULL);
    else
      s->options.event(s->options.user, n->name, n->json, n->len);
    free(n);
  }
  s->telling = false;
  return any;
}

/* The host works no more: so do its calls not. */
static void end_all(stoke *s) {
  struct stoke_error e;
  (void)fail(&e, "internal", "the host has stopped", NULL);
  s->telling = true;
  while (s->jobs) tell_end(take(s, s->jobs->number), NULL, &e);
  s->telling = false;
}

/* --- turns ---------------------------------------------------------------------------------------------------------- */

static void on_limit(uv_timer_t *timer) {
  CONTAINER_OF(timer, struct stoke, limit)->late = true;
}

/* One turn of the loop. False: there is nothing left that it could wait for. */
static bool turn(stoke *s) {
  struct host *h = &s->h;
  if (h->stopping) return false;
  h->idle = false;
  host_turn(h);
  if (!h->idle || s->first) return true; /* an end may wait to be told */
  if (s->pending == 0 || !h->keeper_wait) return false;
  host_event(h, &h->deadlock, EVENT_DEADLOCK, 0); /* the keeper cancels the calls */
  return true;
}

/* Turns until `until` says so, the time is up (below 0: no limit), or nothing is left. */
static void turns(stoke *s, bool (*until)(const stoke *s, const void *what), const void *what, double seconds) {
  s->late = false;
  if (seconds >= 0) {
    double ms = ceil(seconds * 1000.0);
    uv_update_time(&s->h.loop);
    uv_timer_start(&s->limit, on_limit, ms < 1e15 ? (uint64_t)ms : (uint64_t)1e15, 0);
  }
  bool more;
  do {
    more = turn(s);
    if (tell(s) && !until) break;
  } while (more && !s->late && !(until && until(s, what)));
  uv_timer_stop(&s->limit);
  if (s->h.stopping) end_all(s);
}

size_t stoke_turn(stoke *s, double seconds) {
  if (s->telling) return s->pending;
  turns(s, NULL, NULL, seconds);
  return s->pending;
}

void stoke_wake(stoke *s) {
  uv_async_send(&s->h.wake);
}

int stoke_fd(const stoke *s) {
  return uv_backend_fd(&s->h.loop);
}

double stoke_wait(stoke *s) {
  struct host *h = &s->h;
  if (host_runnable(h) || s->first || h->event_head) return 0;
  uv_update_time(&h->loop);
  uv_ref((uv_handle_t *)&h->wake); /* a loop without any handle gives 0 */
  int ms = uv_backend_timeout(&h->loop);
  uv_unref((uv_handle_t *)&h->wake);
  double wait = ms < 0 ? -1 : ms / 1000.0;
  uint64_t at, now = host_now(h); /* the loop's own timer is set anew by the next turn */
  if (h->clock != CLOCK_REAL || !timers_next(h, &at)) return wait;
  double next = at <= now ? 0 : (double)(at - now) / 1e9;
  return wait < 0 || next < wait ? next : wait;
}

/* --- calls ---------------------------------------------------------------------------------------------------------- */

struct order {
  stoke *s;
  unsigned long number;
  const char *kind, *first, *second;
  const char *const *words;
};

static void push_words(lua_State *L, const char *const *words) {
  lua_newtable(L);
  for (int i = 1; words && words[i - 1]; i++) {
    lua_pushstring(L, words[i - 1]);
    lua_rawseti(L, -2, i);
  }
}

/* give(order): begin(number, kind, first, second, words) of lua/embedder.lua */
static int give(lua_State *L) {
  const struct order *o = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, o->s->entry);
  lua_pushinteger(L, (lua_Integer)o->number);
  lua_pushstring(L, o->kind);
  lua_pushstring(L, o->first);
  lua_pushstring(L, o->second);
  push_words(L, o->words);
  lua_call(L, 5, 0);
  return 0;
}

static bool ask_lua(struct order *o, struct stoke_error *e) {
  lua_State *L = o->s->h.L;
  struct err err;
  err_clear(&err);
  lua_pushcfunction(L, give); /* outside a protected call nothing may allocate */
  lua_pushlightuserdata(L, o);
  return call_protected(L, 1, 0, &err) || fail_err(e, &err);
}

static unsigned long begin(struct order *o, stoke_done_fn done, void *user, struct stoke_error *e) {
  stoke *s = o->s;
  if (s->h.stopping) {
    (void)fail(e, "internal", "the host has stopped", NULL);
    return 0;
  }
  struct job *j = malloc(sizeof *j);
  if (!j) {
    (void)no_memory(e);
    return 0;
  }
  o->number = ++s->last;
  *j = (struct job){.next = s->jobs, .number = o->number, .done = done, .user = user};
  s->jobs = j;
  s->pending++;
  if (ask_lua(o, e)) return o->number;
  free(take(s, o->number));
  return 0;
}

struct result {
  char *json;
  struct stoke_error error;
  bool over, failed;
};

static void keep(void *user, const char *json, const struct stoke_error *e) {
  struct result *r = user;
  r->over = true;
  if (e) r->error = *e;
  r->json = json ? strdup(json) : NULL;
  r->failed = !r->json;
  if (!e && r->failed) (void)no_memory(&r->error);
}

static bool is_over(const stoke *s, const void *what) {
  (void)s;
  return ((const struct result *)what)->over;
}

/* Begin, and wait for the end. */
static char *wait_for(struct order *o, double seconds, struct stoke_error *e) {
  struct result r = {0};
  if (o->s->telling) {
    (void)fail(e, "argument", "this waits, and a callback of libstoke must not", "stoke_begin does not wait");
    return NULL;
  }
  if (!begin(o, keep, &r, e)) return NULL;
  turns(o->s, is_over, &r, seconds);
  if (!r.over) { /* the time of stoke_close is up: nobody is told any more */
    free(take(o->s, o->number));
    (void)fail(&r.error, "timeout", "it did not end in time", NULL);
    r.failed = true;
  }
  if (r.failed && e) *e = r.error;
  return r.json;
}

static bool succeeds(struct order *o, struct stoke_error *e) {
  char *json = wait_for(o, -1, e);
  free(json);
  return json != NULL;
}

bool stoke_run_file(stoke *s, const char *path, const char *const *words, struct stoke_error *e) {
  return succeeds(&(struct order){.s = s, .kind = "run", .first = path, .words = words}, e);
}

bool stoke_load(stoke *s, const char *path, struct stoke_error *e) {
  return succeeds(&(struct order){.s = s, .kind = "load", .first = path}, e);
}

char *stoke_run_chunk(stoke *s, const char *name, const char *code, struct stoke_error *e) {
  return wait_for(&(struct order){.s = s, .kind = "chunk", .first = name, .second = code}, -1, e);
}

char *stoke_call(stoke *s, const char *function, const char *arguments, struct stoke_error *e) {
  return wait_for(&(struct order){.s = s, .kind = "call", .first = function, .second = arguments}, -1, e);
}

unsigned long stoke_begin(stoke *s, const char *function, const char *arguments, stoke_done_fn done, void *user,
                          struct stoke_error *e) {
  return begin(&(struct order){.s = s, .kind = "call", .first = function, .second = arguments}, done, user, e);
}

bool stoke_cancel(stoke *s, unsigned long call) {
  for (struct job *j = s->jobs; j; j = j->next)
    if (j->number == call) return ask_lua(&(struct order){.s = s, .number = call, .kind = "cancel"}, NULL);
  return false;
}

/* --- the beginning and the end -------------------------------------------------------------------------------------- */

const char *stoke_version(void) {
  return STOKE_VERSION;
}

/* open(stoke): the function that lua/embedder.lua gives becomes its entry. */
static int open_entry(lua_State *L) {
  stoke *s = lua_touserdata(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "core.embedder");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "start");
  lua_call(L, 0, 1);
  s->entry = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static bool start(stoke *s, struct stoke_error *e) {
  struct err err;
  err_clear(&err);
  lua_pushcfunction(s->h.L, open_entry);
  lua_pushlightuserdata(s->h.L, s);
  if (!call_protected(s->h.L, 1, 0, &err)) return fail_err(e, &err);
  return succeeds(&(struct order){.s = s, .kind = "open", .words = s->options.flags}, e);
}

stoke *stoke_open(const struct stoke_options *options, struct stoke_error *e) {
  struct err err;
  stoke *s = calloc(1, sizeof *s);
  if (!s) {
    (void)no_memory(e);
    return NULL;
  }
  err_clear(&err);
  if (options) s->options = *options;
  s->end = &s->first;
  s->program = s->options.program ? strdup(s->options.program) : NULL;
  if (!host_init(&s->h, &err)) {
    (void)fail_err(e, &err);
    free(s->program);
    free(s);
    return NULL;
  }
  s->h.embedded = true;
  uv_timer_init(&s->h.loop, &s->limit);
  uv_unref((uv_handle_t *)&s->limit);
  bool ok = start(s, e);
  s->options.flags = NULL; /* the program's, and read by now */
  if (ok) return s;
  stoke_close(s);
  return NULL;
}

void stoke_close(stoke *s) {
  if (!s || s->telling) return;
  if (s->entry && !s->h.stopping) free(wait_for(&(struct order){.s = s, .kind = "close"}, CLOSE_LIMIT, NULL));
  end_all(s);
  (void)console_flush(&s->h, FLUSH_LIMIT);
  for (struct news *n; (n = s->first); free(n)) s->first = n->next;
  free(s->program);
  if (host_close(&s->h)) free(s); /* else a native call is stuck in it, and may still write there */
}
