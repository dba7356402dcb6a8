/* json_check.c - one pass over a script's table by its spec (json_spec.h): checked alone, or checked and written. No metamethod
 * runs, and nothing in the check raises. */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

#include "json_encoder.h"
#include "json_spec.h"

/* What one pass looks at, at most: tables that are shared many times over end here, as does a list that would hold up the loop. */
enum { STEPS = 200000, STACK_ROOM = 8 };

/* Numbers up to here are the same as doubles: limits are compared as those. */
#define EXACT 9007199254740992.0

struct walk {
  lua_State *L;
  const struct json_state *s;
  struct encoder *enc; /* NULL: checked alone */
  int steps;
  unsigned tables;
};

static bool value(struct walk *w, const struct spec_field *f, int idx);

static inline bool put(struct walk *w, const char *bytes, size_t len) {
  return json_put_raw(w->enc->out, bytes, len) == JSON_PUT_OK;
}

/* ---- scalars ---- */

/* Characters may be fewer than bytes: where that makes a difference, only ASCII is counted. */
static bool long_enough(const struct spec_field *f, const char *s, size_t len) {
  if (len < f->min) return false;
  if (len <= f->max && (f->min == 0 || len / 4 >= f->min)) return true;
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)s[i] >= 0x80) return false;
  return len <= f->max;
}

static bool string(struct walk *w, const struct spec_field *f, int idx) {
  size_t len, i = 0;
  const char *s = lua_tolstring(w->L, idx, &len);
  if (!long_enough(f, s, len) || (f->format && !json_has_format(f->format, s, len))) return false;
  if (f->words) {
    while (i < f->word_count && !(f->words[i].len == len && memcmp(f->words[i].text, s, len) == 0)) i++;
    if (i == f->word_count) return false;
  }
  return !w->enc || json_put_string(w->enc->out, s, len) == JSON_PUT_OK;
}

static bool number(struct walk *w, const struct spec_field *f, int idx) {
  bool whole = lua_isinteger(w->L, idx);
  double x = (double)lua_tonumber(w->L, idx);
  if (!(f->kinds & (whole ? SPEC_NUMBER | SPEC_INTEGER : SPEC_NUMBER)) || !isfinite(x)) return false;
  if (f->limited) {
    if (whole && (x >= EXACT || x <= -EXACT)) return false;
    if (x < f->least || x > f->most || x <= f->above || x >= f->below) return false;
  }
  if (!w->enc) return true;
  if (whole) return json_put_integer(w->enc->out, lua_tointeger(w->L, idx)) == JSON_PUT_OK;
  return json_put_float(w->enc->out, x) == JSON_PUT_OK;
}

/* ---- tables ---- */

/* The mark of a table that JSON knows; false = it has another metatable. */
static bool mark_of(struct walk *w, int idx, enum json_mark *mark) {
  int top = lua_gettop(w->L);
  *mark = JSON_UNMARKED;
  if (!lua_getmetatable(w->L, idx)) return true;
  *mark = json_mark_of(w->L, idx, w->s);
  lua_settop(w->L, top);
  return *mark != JSON_UNMARKED;
}

/* Any table of JSON, as the encoder has it. */
static bool table(struct walk *w, int idx) {
  enum json_mark mark;
  return mark_of(w, idx, &mark) && (!w->enc || json_put_value(w->enc, idx));
}

static bool items(struct walk *w, const struct spec_field *item, int idx, size_t *count) {
  lua_State *L = w->L;
  lua_Integer n = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != ++n || --w->steps < 0) return false;
    if (!item) continue;
    if (w->enc && n > 1 && !put(w, ",", 1)) return false;
    if (!value(w, item, lua_gettop(L))) return false;
  }
  *count = (size_t)n;
  return true;
}

/* Rejects an empty table without a mark, which could be an object. */
static bool list(struct walk *w, const struct spec_field *f, int idx) {
  enum json_mark mark;
  size_t n;
  const struct spec_field *item = f->of ? f->of->fields : NULL;
  if (!mark_of(w, idx, &mark) || mark == JSON_MARK_OBJECT || mark == JSON_MARK_ORDERED) return false;
  if (mark == JSON_UNMARKED && lua_rawlen(w->L, idx) == 0) return false;
  w->tables++;
  if (w->enc && item && !put(w, "[", 1)) return false;
  if (w->enc) w->enc->depth++;
  bool ok = items(w, item, idx, &n) && n >= f->min && n <= f->max;
  if (w->enc) w->enc->depth--;
  if (!ok || !w->enc) return ok;
  return item ? put(w, "]", 1) : json_put_value(w->enc, idx);
}

/* The member on top, its key below: noted at `at`, where it is to be written, and else looked at now. */
static bool member(struct walk *w, const struct spec *spec, int *at, uint64_t *seen) {
  lua_State *L = w->L;
  size_t len;
  if (lua_type(L, -2) != LUA_TSTRING || --w->steps < 0) return false;
  const char *key = lua_tolstring(L, -2, &len);
  const struct spec_field *f = spec_find(spec, key, len);
  if (!f) return spec->open && !w->enc;
  if (f->constant) return false;
  *seen |= (uint64_t)1 << (f - spec->fields);
  if (!w->enc) return value(w, f, lua_gettop(L));
  at[f - spec->fields] = lua_gettop(L);
  return true;
}

/* What was noted, in the order of the spec, with what stands for what is absent. */
static bool members(struct walk *w, const struct spec *spec, const int *at) {
  struct json_out *out = w->enc->out;
  bool first = true;
  if (!put(w, "{", 1)) return false;
  for (unsigned i = 0; i < spec->count; i++) {
    const struct spec_field *f = &spec->fields[i];
    if (f->unsent) {
      struct walk aside = {.L = w->L, .s = w->s, .steps = w->steps};
      if (at[i] && !value(&aside, f, at[i])) return false;
      continue;
    }
    const char *text = at[i] ? f->head : f->literal;
    size_t len = at[i] ? f->head_len : f->literal_len;
    if (!text) continue;
    if (json_put_raw(out, text + first, len - first) != JSON_PUT_OK) return false;
    if (at[i] && !value(w, f, at[i])) return false;
    first = false;
  }
  return put(w, "}", 1);
}

static bool record(struct walk *w, const struct spec *spec, int idx) {
  lua_State *L = w->L;
  int at[SPEC_FIELDS_MAX];
  enum json_mark mark;
  uint64_t seen = 0;
  if (!mark_of(w, idx, &mark) || mark == JSON_MARK_ARRAY || mark == JSON_MARK_FIXED) return false;
  if (w->enc && mark == JSON_MARK_ORDERED) return false; /* it is written in an order of its own */
  if (!lua_checkstack(L, STACK_ROOM + (w->enc ? 2 * (int)spec->count : 0))) return false;
  if (w->enc) memset(at, 0, spec->count * sizeof *at);
  w->tables++;
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    if (!member(w, spec, at, &seen)) return false;
    if (w->enc)
      lua_pushvalue(L, -2);
    else
      lua_pop(L, 1);
  }
  if ((seen & spec->required) != spec->required) return false;
  if (!w->enc) return true;
  w->enc->depth++;
  bool ok = members(w, spec, at);
  w->enc->depth--;
  return ok;
}

/* ---- one value ---- */

/* True = the stack is as it was. */
static bool tables(struct walk *w, const struct spec_field *f, int idx) {
  int top = lua_gettop(w->L);
  bool ok = false;
  if (!lua_checkstack(w->L, STACK_ROOM)) return false;
  if (f->kinds & (SPEC_TABLE | SPEC_ANY))
    ok = table(w, idx);
  else if (f->kinds & SPEC_RECORD)
    ok = record(w, f->of, idx);
  else if (f->kinds & SPEC_LIST)
    ok = list(w, f, idx);
  lua_settop(w->L, top);
  return ok;
}

static bool value(struct walk *w, const struct spec_field *f, int idx) {
  lua_State *L = w->L;
  unsigned any = f->kinds & SPEC_ANY;
  if (any && !w->enc) return true;
  switch (lua_type(L, idx)) {
    case LUA_TSTRING: return (any || f->kinds & SPEC_STRING) && string(w, f, idx);
    case LUA_TNUMBER: return any ? json_put_value(w->enc, idx) : number(w, f, idx);
    case LUA_TBOOLEAN: {
      bool yes = lua_toboolean(L, idx);
      return (any || f->kinds & SPEC_BOOLEAN) && (!w->enc || put(w, yes ? "true" : "false", yes ? 4 : 5));
    }
    case LUA_TLIGHTUSERDATA:
      return !lua_touserdata(L, idx) && (any || f->kinds & SPEC_NULL) && (!w->enc || put(w, "null", 4));
    case LUA_TTABLE: return tables(w, f, idx);
    case LUA_TUSERDATA:
      if (!(f->pieces || any) || !json_piece_at(L, idx, w->s)) return false;
      return !w->enc || json_put_value(w->enc, idx);
    default: return false;
  }
}

bool json_put_spec(struct encoder *enc, int idx) {
  struct walk w = {.L = enc->L, .s = enc->s, .enc = enc, .steps = STEPS};
  return record(&w, enc->spec, idx);
}

unsigned json_fits_spec(lua_State *L, int idx, const struct spec *spec) {
  int top = lua_gettop(L);
  idx = lua_absindex(L, idx);
  if (!lua_checkstack(L, STACK_ROOM)) return 0;
  struct walk w = {.L = L, .s = json_push_state(L, false), .steps = STEPS};
  bool nameless = spec->count == 1 && !spec->fields[0].key;
  bool ok = nameless ? value(&w, spec->fields, idx) : record(&w, spec, idx);
  lua_settop(L, top);
  return ok ? w.tables : 0;
}
