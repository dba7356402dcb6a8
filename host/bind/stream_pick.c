/* stream_pick.c - the hot path of a token stream: rq lines whose one interesting member is a short text become event tables
 * here; every other line, every wait and every end is left to Lua. */
#include "bind_stream_pick.h"

#include <lauxlib.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "json/json.h"
#include "bind_http.h"
#include "bind_transcript.h"
#include "json/line_predict.h"
#include "loop/task.h"

#define SPEC "stoke.pick"
#define HITS 8    /* lines after which it is looked at what they have in common */
#define ROOM 2048 /* bytes of one event; longer escaped texts take the slow path */

/* What a line may look like, and what the last ones did: of each role one. Shared by all streams that use the spec. */
struct spec {
  struct pick_spec pick;
  struct shape shapes[2]; /* [second] */
  uint8_t last;           /* the shape that fitted last */
  uint8_t hits;           /* lines until the shape is narrowed */
};

/* User values of a spec: the strings of events and of task records, which C would have to look up for each one. */
enum { WORD_TYPE = 1, WORD_TEXT, WORD_SECOND, WORD_SCOPE, WORD_CANCELLED, WORDS = WORD_CANCELLED };

/* Upvalues of the iterator. Its flags are the request's. */
enum { UP_REQUEST = 1, UP_SPEC, UP_STREAM, UP_SLOW, UP_TRANSCRIPT };

/* pick(words) -> spec; words as in json.h */
int l_pick_compile(lua_State *L) {
  const char *why = NULL, *words = luaL_checkstring(L, 1);
  struct spec spec = {.hits = HITS};
  if (!pick_compile(&spec.pick, words, &why)) return err_argument(L, "pick: %s", why);
  memcpy(lua_newuserdatauv(L, sizeof spec, WORDS), &spec, sizeof spec);
  static const char *const strings[] = {"type", "text", "thinking", "scope", "cancelled"};
  for (int i = 0; i < WORDS; i++) {
    lua_pushstring(L, strings[i]);
    lua_setiuservalue(L, -2, i + 1);
  }
  luaL_newmetatable(L, SPEC);
  lua_setmetatable(L, -2);
  return 1;
}

/* As pick_line, but most lines have the shape of the one before. */
static bool read_line(struct spec *s, const char *line, size_t len, char *scratch, size_t scratch_size,
                      struct pick *p) {
  enum shape_fit fit = SHAPE_MISS;
  for (unsigned i = 0; i < 2 && fit == SHAPE_MISS; i++) {
    unsigned role = s->last ^ i;
    fit = shape_match(&s->shapes[role], line, len, &p->text, &p->len);
    if (fit == SHAPE_HIT) {
      if (s->hits == 0) {
        shape_narrow(&s->shapes[role], line, len);
        s->hits = HITS;
      }
      if (!s->shapes[role].narrowed) s->hits--;
      s->last = (uint8_t)role;
      p->second = role == 1;
      return true;
    }
  }
  if (pick_line(&s->pick, line, len, scratch, scratch_size, p) != PICK_PLAIN) return false;
  if (fit == SHAPE_MISS && p->len > 0) {
    shape_learn(&s->shapes[p->second], line, len, p->text);
    s->last = p->second;
  }
  return true;
}

static void note(lua_State *L, const char *text, size_t len, bool second) {
  struct transcript *t = lua_touserdata(L, lua_upvalueindex(UP_TRANSCRIPT));
  if (t) transcript_note(t, second ? TRANSCRIPT_SECOND : TRANSCRIPT_TEXT, text, len);
}

static bool push_event(lua_State *L, const char *text, size_t len, bool second, bool bare) {
  note(L, text, len, second);
  if (bare) {
    lua_pushlstring(L, text, len);
    return true;
  }
  lua_createtable(L, 0, 2);
  lua_getiuservalue(L, lua_upvalueindex(UP_SPEC), WORD_TYPE);
  lua_getiuservalue(L, lua_upvalueindex(UP_SPEC), second ? WORD_SECOND : WORD_TEXT);
  lua_rawset(L, -3);
  lua_getiuservalue(L, lua_upvalueindex(UP_SPEC), WORD_TEXT);
  lua_pushlstring(L, text, len);
  lua_rawset(L, -3);
  return true;
}

/* Takes the second result of slow off the stack. */
static bool slow_gave_none(lua_State *L, struct rq *r) {
  if (r) r->more = lua_toboolean(L, -1);
  lua_settop(L, -2);
  return lua_isboolean(L, -1);
}

/* Pushes an event, out of lines that are here; false: Lua has to go on, with the line, if there is one.
 *
 * Texts that have already come are handed over as one event: a script that is slower than the server gets larger pieces, not
 * a longer queue. `room` is full when a text might no longer fit. */
static bool take_event(lua_State *L, struct rq *r, const char **line, size_t *line_len) {
  struct spec *spec = lua_touserdata(L, lua_upvalueindex(UP_SPEC));
  struct task *t = r ? task_current(r->host) : NULL;
  char room[ROOM];
  size_t used = 0, len;
  bool second = false;
  if (!t || t->interrupted || r->waiting || r->more) return false;
  while (rq_next_line(r, line, &len)) {
    struct pick p;
    bool plain = read_line(spec, *line, len, room + used, sizeof room - used, &p);
    if (used > 0 && (!plain || (p.len > 0 && p.second != second) || p.len > sizeof room - used)) {
      rq_put_back(r, *line);
      break;
    }
    rq_took(r);
    *line_len = len;
    if (!plain) return false;
    if (p.len == 0) continue;
    second = p.second;
    if (second && r->bare) {
      note(L, p.text, p.len, true);
    } else if (p.len > sizeof room || !r->merge) {
      return push_event(L, p.text, p.len, second, r->bare);
    } else {
      memmove(room + used, p.text, p.len);
      used += p.len;
    }
  }
  *line = NULL;
  return used > 0 && push_event(L, room, used, second, r->bare);
}

static bool field_is_nil(lua_State *L, int word) {
  lua_getiuservalue(L, lua_upvalueindex(UP_SPEC), word);
  return lua_rawget(L, -2) == LUA_TNIL;
}

/* May this task wait here, without asking Lua? Not when lua/scope.lua has to tell it that it was cancelled. */
static bool may_wait(lua_State *L, struct rq *r) {
  struct task *t = r ? task_current(r->host) : NULL;
  if (!t || t->interrupted || r->more || r->waiting || r->ended || !op_possible(L)) return false;
  int top = lua_gettop(L);
  task_push_record(L, t);
  if (field_is_nil(L, WORD_SCOPE)) lua_pop(L, 1);
  bool free = lua_istable(L, -1) && field_is_nil(L, WORD_CANCELLED);
  lua_settop(L, top);
  return free;
}

static int push_nothing(lua_State *L, struct op *op) {
  (void)L;
  (void)op;
  return 0;
}

static const struct op_class wait_class = {"http.line", push_nothing, rq_cancel_wait, rq_free_wait};

/* wait_line(request's pointer) -> nothing once a line is there, or the end | nil, err when the wait was cut off */
static int wait_line(lua_State *L) {
  struct rq *r = lua_touserdata(L, 1);
  op_enter(L, wait_class.name);
  return rq_wait(L, r, &wait_class, RQ_LINE);
}

/* slow(stream, line | nil, err | nil) -> event, whether it has more; false = nothing for this reader, go on here. The error is
 * on top of the stack. */
static void push_slow(lua_State *L, const char *line, size_t len, bool failed) {
  lua_pushvalue(L, lua_upvalueindex(UP_SLOW));
  lua_pushvalue(L, lua_upvalueindex(UP_STREAM));
  if (line)
    lua_pushlstring(L, line, len);
  else
    lua_pushnil(L);
  if (failed)
    lua_pushvalue(L, -4);
  else
    lua_pushnil(L);
}

static int after_wait(lua_State *L, int status, lua_KContext ctx);
static int after_slow(lua_State *L, int status, lua_KContext ctx);

/* The next event. What waits here is this function alone, not the Lua below it: a stream in flight keeps a small stack. */
static int go_on(lua_State *L, struct rq *r, bool failed) {
  for (;;) {
    const char *line = NULL;
    size_t len = 0;
    if (!failed) {
      if (take_event(L, r, &line, &len)) return 1;
      if (!line && may_wait(L, r)) {
        lua_settop(L, 0);
        lua_pushcfunction(L, wait_line);
        lua_pushlightuserdata(L, r);
        lua_callk(L, 1, 2, (lua_KContext)r, after_wait);
        failed = !lua_isnil(L, -1);
        continue;
      }
    }
    push_slow(L, line, len, failed);
    failed = false;
    lua_callk(L, 3, 2, (lua_KContext)r, after_slow);
    if (!slow_gave_none(L, r)) return 1;
    lua_settop(L, 0);
  }
}

static int after_wait(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  return go_on(L, (struct rq *)ctx, !lua_isnil(L, -1));
}

static int after_slow(lua_State *L, int status, lua_KContext ctx) {
  struct rq *r = (struct rq *)ctx;
  (void)status;
  return slow_gave_none(L, r) ? go_on(L, r, false) : 1;
}

static int next_event(lua_State *L) {
  return go_on(L, *(struct rq **)lua_touserdata(L, lua_upvalueindex(UP_REQUEST)), false);
}

/* plain(request, spec) -> the text of the next line, and whether it is the second one, when the line is there and the spec
 * covers it; else nil. It is not read. */
int l_pick_plain(lua_State *L) {
  struct rq *r = rq_check(L);
  struct spec *spec = luaL_checkudata(L, 2, SPEC);
  char room[ROOM];
  const char *line;
  size_t len;
  struct pick p;
  if (!rq_next_line(r, &line, &len)) return 0;
  bool plain = read_line(spec, line, len, room, sizeof room, &p) && p.len > 0;
  rq_put_back(r, line); /* its bytes stay where they are */
  if (!plain) return 0;
  lua_pushlstring(L, p.text, p.len);
  lua_pushboolean(L, p.second);
  return 2;
}

/* iterator(request, spec, stream, slow, transcript | nil, merge, bare, more) -> function: the next event; `bare`: the texts
 * themselves, and none of the second ones. Lines that the spec does not cover go to slow(stream, line); slow(stream) means that
 * the answer ended, or that this task has to be told something before it can wait. `more`: slow has some already. What is given
 * here is noted in the transcript; what slow gives, Lua notes. */
int l_pick_iterator(lua_State *L) {
  struct rq *r = rq_check(L);
  luaL_checkudata(L, 2, SPEC);
  luaL_checktype(L, 4, LUA_TFUNCTION);
  if (!lua_isnoneornil(L, 5)) (void)transcript_check(L, 5);
  rq_drop_head(r); /* whoever iterates has read it */
  r->merge = lua_toboolean(L, 6);
  r->bare = lua_toboolean(L, 7);
  r->more = lua_toboolean(L, 8);
  lua_settop(L, 5);
  lua_pushcclosure(L, next_event, 5);
  return 1;
}
