/* json_spec.c - reads the definition of a spec, once; see json_spec.h. json_check.c does the rest.
 *
 *   spec { FIELD, FIELD ..., open = true? } -> spec; a FIELD is
 *     { name =, kind = "string" | "integer" | "number" | "boolean" | "null", several with | between | "record" | "list" | "table" |
 *       "any", required =, words = { strings }, least =, most =, above =, below = (numbers), min =, max = (characters, items),
 *       of = spec of a record | FIELD without a name of a list's items, pieces = true (pieces of JSON are taken unread),
 *       default = value written when it is absent, constant = value always written, and never given, unsent = not written } */
#include "json_spec.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bind_json.h"
#include "json_encoder.h"
#include "loop/binding.h"

#define SPEC "host.json.spec"

/* Where a search begins. */
static unsigned slot_of(const char *key) {
  uintptr_t x = (uintptr_t)key;
  return (unsigned)(x >> 4 ^ x >> 11) & (SPEC_INDEX - 1);
}

const struct spec_field *spec_find(const struct spec *spec, const char *key, size_t len) {
  for (unsigned i = slot_of(key); spec->index[i]; i = (i + 1) & (SPEC_INDEX - 1)) {
    const struct spec_field *f = &spec->fields[spec->index[i] - 1];
    if (f->key == key) return f;
  }
  for (unsigned i = 0; i < spec->count; i++) {
    const struct spec_field *f = &spec->fields[i];
    if (f->len == len && memcmp(f->key, key, len) == 0) return f;
  }
  return NULL;
}

/* ---- reading a definition ----
 *
 * Stack: 1 = the definition, 2 = the spec, 3 = what it holds on to (its user value), 4 = the field being read. */

enum { AT_SPEC = 2, AT_HELD = 3, AT_FIELD = 4 };

/* The value on top is kept as long as the spec; it is popped. */
static void hold(lua_State *L) {
  lua_rawseti(L, AT_HELD, (lua_Integer)lua_rawlen(L, AT_HELD) + 1);
}

static int get(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, AT_FIELD);
}

static bool flag(lua_State *L, const char *name) {
  (void)get(L, name);
  bool yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

static double number(lua_State *L, const char *name, double otherwise, bool *limited) {
  double x = otherwise;
  if (get(L, name) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER) err_argument(L, "json.spec: %s must be a number", name);
    x = lua_tonumber(L, -1);
    *limited = true;
  }
  lua_pop(L, 1);
  return x;
}

static size_t count(lua_State *L, const char *name, size_t otherwise) {
  bool given = false;
  double n = number(L, name, 0, &given);
  if (given && !(n >= 0 && n <= 1e9)) err_argument(L, "json.spec: %s must be a count", name);
  return given ? (size_t)n : otherwise;
}

static const struct {
  const char *name;
  unsigned kind;
} kinds[] = {{"string", SPEC_STRING},   {"integer", SPEC_INTEGER}, {"number", SPEC_NUMBER},
             {"boolean", SPEC_BOOLEAN}, {"null", SPEC_NULL},       {"record", SPEC_RECORD},
             {"list", SPEC_LIST},       {"table", SPEC_TABLE},     {"any", SPEC_ANY}};

static unsigned read_kinds(lua_State *L) {
  unsigned found = 0;
  if (get(L, "kind") == LUA_TNIL) {
    lua_pop(L, 1);
    return 0;
  }
  const char *at = luaL_checkstring(L, -1);
  while (*at) {
    size_t n = strcspn(at, "|"), i = 0;
    while (i < COUNT_OF(kinds) && !(strlen(kinds[i].name) == n && memcmp(kinds[i].name, at, n) == 0)) i++;
    if (i == COUNT_OF(kinds)) err_argument(L, "json.spec: there is no kind %s", at);
    found |= kinds[i].kind;
    at += n + (at[n] == '|');
  }
  lua_pop(L, 1);
  return found;
}

static void read_words(lua_State *L, struct spec_field *f) {
  if (get(L, "words") == LUA_TTABLE) {
    size_t n = lua_rawlen(L, -1);
    struct spec_word *words = lua_newuserdatauv(L, (n ? n : 1) * sizeof *words, 0);
    for (size_t i = 0; i < n; i++) {
      if (lua_rawgeti(L, -2, (lua_Integer)i + 1) != LUA_TSTRING) err_argument(L, "json.spec: words must be strings");
      words[i].text = lua_tolstring(L, -1, &words[i].len);
      hold(L);
    }
    hold(L);
    f->words = words;
    f->word_count = n;
  }
  lua_pop(L, 1);
}

static int l_spec(lua_State *L);

static void read_of(lua_State *L, struct spec_field *f) {
  if (get(L, "of") != LUA_TNIL) {
    if (lua_istable(L, -1)) { /* the items of a list: a spec of one field, which has no name */
      lua_pushcfunction(L, l_spec);
      lua_createtable(L, 1, 0);
      lua_pushvalue(L, -3);
      lua_rawseti(L, -2, 1);
      lua_pushboolean(L, 1);
      lua_call(L, 2, 1);
      lua_replace(L, -2);
    }
    f->of = luaL_checkudata(L, -1, SPEC);
    lua_pushvalue(L, -1);
    hold(L);
  }
  lua_pop(L, 1);
  if (f->kinds & SPEC_RECORD && (!f->of || f->kinds & SPEC_LIST))
    err_argument(L, "json.spec: a record needs `of`, its fields, and is no list");
}

/* Keeps `prefix` and the JSON text of the value on top, which is popped. */
static const char *literal(lua_State *L, const char *prefix, size_t prefix_len, size_t *len) {
  struct err e;
  lua_pushlstring(L, prefix, prefix_len);
  if (!json_encode(L, -2, NULL, &e)) err_argument(L, "json.spec: %s", e.message);
  lua_concat(L, 2);
  const char *text = lua_tolstring(L, -1, len);
  hold(L);
  lua_pop(L, 1);
  return text;
}

static void read_literals(lua_State *L, struct spec_field *f) {
  size_t len;
  lua_pushlstring(L, f->key, f->len);
  const char *quoted = literal(L, ",", 1, &len);
  lua_pushfstring(L, "%s:", quoted);
  f->head = lua_tolstring(L, -1, &f->head_len);
  hold(L);
  f->constant = get(L, "constant") != LUA_TNIL;
  if (!f->constant) {
    lua_pop(L, 1);
    if (get(L, "default") == LUA_TNIL) {
      lua_pop(L, 1);
      return;
    }
  }
  f->literal = literal(L, f->head, f->head_len, &f->literal_len);
}

static void read_field(lua_State *L, struct spec_field *f, bool nameless) {
  *f = (struct spec_field){.max = SIZE_MAX};
  if (!lua_istable(L, AT_FIELD))
    err_argument(L, "json.spec: a field must be a table, not a %s", luaL_typename(L, AT_FIELD));
  f->kinds = read_kinds(L);
  f->least = number(L, "least", -INFINITY, &f->limited);
  f->most = number(L, "most", INFINITY, &f->limited);
  f->above = number(L, "above", -INFINITY, &f->limited);
  f->below = number(L, "below", INFINITY, &f->limited);
  f->min = count(L, "min", 0);
  f->max = count(L, "max", SIZE_MAX);
  f->required = flag(L, "required");
  f->unsent = flag(L, "unsent");
  f->pieces = flag(L, "pieces");
  read_words(L, f);
  read_of(L, f);
  if (!nameless) {
    if (get(L, "name") != LUA_TSTRING || lua_rawlen(L, -1) == 0) err_argument(L, "json.spec: a field needs a name");
    f->key = lua_tolstring(L, -1, &f->len);
    hold(L);
    read_literals(L, f);
  }
  if (!f->kinds && !f->constant) err_argument(L, "json.spec: a field needs a kind or a constant");
}

static void add_to_index(lua_State *L, struct spec *spec, unsigned n) {
  const struct spec_field *f = &spec->fields[n];
  if (spec_find(spec, f->key, f->len)) err_argument(L, "json.spec: the field %s is there twice", f->key);
  unsigned i = slot_of(f->key);
  while (spec->index[i]) i = (i + 1) & (SPEC_INDEX - 1);
  spec->index[i] = (uint8_t)(n + 1);
}

/* spec(definition, nameless?) -> spec; nameless: of one field, which is the value itself */
static int l_spec(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  bool nameless = lua_toboolean(L, 2);
  size_t n = lua_rawlen(L, 1);
  if (nameless && n != 1) err_argument(L, "json.spec: one field has no name");
  if (n > SPEC_FIELDS_MAX) err_argument(L, "json.spec: more than %d fields", SPEC_FIELDS_MAX);
  lua_settop(L, 1);
  struct spec *spec = lua_newuserdatauv(L, sizeof *spec + n * sizeof *spec->fields, 1);
  memset(spec, 0, sizeof *spec);
  lua_newtable(L);
  lua_pushvalue(L, AT_HELD);
  lua_setiuservalue(L, AT_SPEC, 1);
  for (unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    read_field(L, &spec->fields[i], nameless);
    if (!nameless) add_to_index(L, spec, i);
    if (spec->fields[i].required) spec->required |= (uint64_t)1 << i;
    spec->count = i + 1;
    lua_settop(L, AT_HELD);
  }
  lua_pushliteral(L, "open");
  lua_rawget(L, 1);
  spec->open = lua_toboolean(L, -1);
  lua_settop(L, AT_SPEC);
  luaL_setmetatable(L, SPEC);
  return 1;
}

/* ---- host.json ---- */

static bool is_nameless(const struct spec *spec) {
  return spec->count == 1 && !spec->fields[0].key;
}

/* The metatable of specs is the upvalue: quicker than a name in the registry. */
static const struct spec *check_spec(lua_State *L, const char *method) {
  bool is = lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(1));
  if (!is) err_argument(L, "spec:%s: expected a spec, got %s", method, luaL_typename(L, 1));
  return lua_touserdata(L, 1);
}

/* spec:encode(table) -> text | nil: it is not what the spec says, or cannot be encoded */
static int l_encode(lua_State *L) {
  luaL_checkany(L, 2);
  const struct spec *spec = check_spec(L, "encode");
  if (!lua_istable(L, 2) || spec->open || is_nameless(spec) || !json_encode_spec(L, 2, spec)) lua_pushnil(L);
  return 1;
}

/* spec:fits(value) -> integer | nil: how many tables it is made of; nil = it is not what the spec says, as far as that was looked at */
static int l_fits(lua_State *L) {
  luaL_checkany(L, 2);
  const struct spec *spec = check_spec(L, "fits");
  unsigned tables = lua_istable(L, 2) ? json_fits_spec(L, 2, spec) : 0;
  if (tables)
    lua_pushinteger(L, (lua_Integer)tables);
  else
    lua_pushnil(L);
  return 1;
}

void json_spec_functions(lua_State *L) {
  static const luaL_Reg methods[] = {{"encode", l_encode}, {"fits", l_fits}, {NULL, NULL}};
  if (luaL_newmetatable(L, SPEC)) {
    luaL_newlibtable(L, methods);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, methods, 1);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "spec");
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  lua_pushcfunction(L, l_spec);
  lua_setfield(L, -2, "spec");
}
