/* pick.c - the hot path of a token stream: rq lines whose one interesting member is a short text become event tables
 * here; every other line, every wait and every end is left to Lua. */
#include "bind_pick.h"

#include <lauxlib.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "json/json.h"
#include "bind_http.h"
#include "bind_transcript.h"
#include "json/shape.h"
#include "loop/task.h"

#define SPEC "stoke.pick"
#define ROOM 2048 /* bytes of one event; longer escaped texts take the slow path */

/* What a line may look like, and what the last ones did: of each role one. Shared by all streams that use the spec. */
struct spec {
  struct pick_spec pick;
  struct shape shapes[2]; /* [second] */
  uint8_t last;           /* the shape that fitted last */
};

/* User values of a spec: the strings of events, which C would have to look up for each one. */
enum { WORD_TYPE = 1, WORD_TEXT, WORD_SECOND, WORDS = WORD_SECOND };

/* Upvalues of the iterator. Its flags are the request's. */
enum { UP_REQUEST = 1, UP_SPEC, UP_SLOW, UP_TRANSCRIPT };

/* pick(words) -> spec; words as in json.h */
int l_pick_compile(lua_State *L) {
  const char *why = NULL, *words = luaL_checkstring(L, 1);
  struct spec spec = {.last = 0};
  if (!pick_compile(&spec.pick, words, &why)) return err_argument(L, "pick: %s", why);
  memcpy(lua_newuserdatauv(L, sizeof spec, WORDS), &spec, sizeof spec);
  static const char *const strings[] = {"type", "text", "thinking"};
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

static int after_slow(lua_State *L, int status, lua_KContext ctx);

/* Lua goes on: slow(state, line | nil) -> event, whether it has more; false = nothing for this reader, go on here. */
static int next_event(lua_State *L) {
  struct rq *r = *(struct rq **)lua_touserdata(L, lua_upvalueindex(UP_REQUEST));
  const char *line = NULL;
  size_t len = 0;
  while (!take_event(L, r, &line, &len)) {
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(UP_SLOW));
    lua_pushvalue(L, 1);
    if (line)
      lua_pushlstring(L, line, len);
    else
      lua_pushnil(L);
    lua_callk(L, 2, 2, (lua_KContext)r, after_slow);
    if (!slow_gave_none(L, r)) break;
    line = NULL;
  }
  return 1;
}

static int after_slow(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  return slow_gave_none(L, (struct rq *)ctx) ? next_event(L) : 1;
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

/* iterator(request, spec, slow, transcript | nil, merge, bare, more) -> function(state): the next event; `bare`: the texts
 * themselves, and none of the second ones. Lines that the spec does not cover go to slow(state, line); slow(state, nil) means
 * that none is at hand: it waits for one, or tells the end. `more`: slow has some already. What is given here is noted in the
 * transcript; what slow gives, Lua notes. */
int l_pick_iterator(lua_State *L) {
  struct rq *r = rq_check(L);
  luaL_checkudata(L, 2, SPEC);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  if (!lua_isnoneornil(L, 4)) (void)transcript_check(L, 4);
  r->merge = lua_toboolean(L, 5);
  r->bare = lua_toboolean(L, 6);
  r->more = lua_toboolean(L, 7);
  lua_settop(L, 4);
  lua_pushcclosure(L, next_event, 4);
  return 1;
}
