/* pick.c - the hot path of a token stream: rq lines whose one interesting member is a short text become event tables
 * here; every other line, every wait and every end is left to Lua. */
#include "bind_pick.h"

#include <lauxlib.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "json/json.h"
#include "bind_http.h"
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

/* Upvalues of the iterator. */
enum { UP_REQUEST = 1, UP_SPEC, UP_SLOW, UP_MERGE, UP_MORE };

/* pick(words) -> spec; words as in json.h */
int l_pick_compile(lua_State *L) {
  const char *why = NULL, *words = luaL_checkstring(L, 1);
  struct spec spec = {.last = 0};
  if (!pick_compile(&spec.pick, words, &why)) return err_argument(L, "pick: %s", why);
  memcpy(lua_newuserdatauv(L, sizeof spec, 0), &spec, sizeof spec);
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

static int after_slow(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  lua_replace(L, lua_upvalueindex(UP_MORE));
  return 1;
}

/* Lua goes on: slow(state, line | nil) -> event, whether the same line held more. */
static int call_slow(lua_State *L, const char *line, size_t len) {
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(UP_SLOW));
  lua_pushvalue(L, 1);
  if (line)
    lua_pushlstring(L, line, len);
  else
    lua_pushnil(L);
  lua_callk(L, 2, 2, 0, after_slow);
  return after_slow(L, LUA_OK, 0);
}

static int push_event(lua_State *L, const char *text, size_t len, bool second) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, second ? "thinking" : "text");
  lua_setfield(L, -2, "type");
  lua_pushlstring(L, text, len);
  lua_setfield(L, -2, "text");
  return 1;
}

/* Texts that have already come are handed over as one event: a script that is slower than the server gets larger pieces, not
 * a longer queue. `room` is full when a text might no longer fit. */
static int next_event(lua_State *L) {
  struct rq *r = *(struct rq **)lua_touserdata(L, lua_upvalueindex(UP_REQUEST));
  struct spec *spec = lua_touserdata(L, lua_upvalueindex(UP_SPEC));
  struct task *t = task_current(host_of(L));
  char room[ROOM];
  size_t used = 0, len;
  bool second = false;
  const char *line;
  if (!r || !t || t->interrupted || r->waiting || lua_toboolean(L, lua_upvalueindex(UP_MORE)))
    return call_slow(L, NULL, 0);
  bool merge = lua_toboolean(L, lua_upvalueindex(UP_MERGE));
  while (rq_next_line(r, &line, &len)) {
    struct pick p;
    bool plain = read_line(spec, line, len, room + used, sizeof room - used, &p);
    if (used > 0 && (!plain || (p.len > 0 && p.second != second) || p.len > sizeof room - used)) {
      rq_put_back(r, line);
      break;
    }
    rq_took(r);
    if (!plain) return call_slow(L, line, len);
    if (p.len > sizeof room) return push_event(L, p.text, p.len, p.second);
    memmove(room + used, p.text, p.len);
    used += p.len;
    if (p.len == 0) continue;
    second = p.second;
    if (!merge) break;
  }
  return used > 0 ? push_event(L, room, used, second) : call_slow(L, NULL, 0);
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

/* iterator(request, spec, slow, merge, more) -> function(state): the next event. Lines that the spec does not cover go to
 * slow(state, line); slow(state, nil) means that none is at hand: it waits for one, or tells the end. `more`: slow has some
 * already. */
int l_pick_iterator(lua_State *L) {
  (void)rq_check(L);
  luaL_checkudata(L, 2, SPEC);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  lua_settop(L, 5);
  lua_pushcclosure(L, next_event, 5);
  return 1;
}
