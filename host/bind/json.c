/* json.c - the binding host.json, and decoding: tokens become Lua values as they come, no tree
 * between. A container's items gather on the Lua stack, so that its table is made once, in its
 * final size. */
#include "bind_json.h"
#include "json_spec.h"

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "hostlibs.h"
#include "loop/binding.h"
#include "loop/mem.h"

const char json_order_mark = 0, json_fixed_mark = 0, json_growing_mark = 0;

static const char state_key = 0; /* its address is the registry's key */

/* ---- the state's marks and buffer ---- */

static int state_gc(lua_State *L) {
  struct json_state *s = lua_touserdata(L, 1);
  if (s->out.mem) {
    json_out_close(&s->out);
    mem_free(s->out.mem, s->entries);
  }
  memset(s, 0, sizeof *s);
  return 0;
}

/* Pushes a new state, with the metatables of the one on top when there is one (replaced), and
 * registers it. */
static struct json_state *state_new(lua_State *L, bool have_old) {
  void *ud;
  struct json_state *s = lua_newuserdatauv(L, sizeof *s, 3);
  memset(s, 0, sizeof *s);
  const void **marks[] = {&s->array_mt, &s->object_mt, &s->piece_mt};
  for (int i = 1; i <= 3; i++) {
    if (have_old) {
      lua_getiuservalue(L, -2, i);
    } else if (i == 3) {
      json_push_piece_metatable(L);
    } else {
      lua_createtable(L, 0, 1);
      lua_pushstring(L, i == 1 ? "json.array" : "json.object");
      lua_setfield(L, -2, "__name");
    }
    *marks[i - 1] = lua_topointer(L, -1);
    lua_setiuservalue(L, -2, i);
  }
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  (void)lua_getallocf(L, &ud); /* the struct mem, see mem_lua_alloc */
  json_out_init(&s->out, ud);
  if (have_old) lua_remove(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  return s;
}

struct json_state *json_push_state(lua_State *L, bool idle) {
  bool have = lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key) == LUA_TUSERDATA;
  struct json_state *s = lua_touserdata(L, -1);
  if (have && !(idle && s->busy)) return s;
  if (!have) lua_pop(L, 1);
  return state_new(L, have);
}

enum json_mark json_mark_of(lua_State *L, int idx, const struct json_state *s) {
  if (!lua_getmetatable(L, idx)) return JSON_UNMARKED;
  const void *mt = lua_topointer(L, -1);
  enum json_mark mark = mt == s->array_mt ? JSON_MARK_ARRAY : mt == s->object_mt ? JSON_MARK_OBJECT : JSON_UNMARKED;
  if (mark == JSON_UNMARKED) {
    const void *first = lua_rawgeti(L, -1, 1) == LUA_TLIGHTUSERDATA ? lua_touserdata(L, -1) : NULL;
    lua_pop(L, 1);
    if (first == &json_order_mark) return JSON_MARK_ORDERED;
    if (first == &json_fixed_mark) return JSON_MARK_FIXED;
    if (first == &json_growing_mark) return JSON_MARK_GROWING;
  }
  lua_pop(L, 1);
  return mark;
}

/* ---- decoding ---- */

/* A container being read. Stack: base = its table, once there is one, and nil before; above it the
 * items it lacks. */
struct frame {
  int base, pending;
  int count; /* items already in the table; of an ordered object, distinct keys */
  bool object, ordered, made;
};

struct builder {
  lua_State *L;
  int state_idx; /* the json_state */
  int top, room; /* where the stack ends, and how far it may grow */
  const char *ordered_in;
  bool key_found; /* the last key was ordered_in */
  struct frame *frame;
  struct json_reader reader;
  struct frame frames[JSON_DEPTH_MAX + 1];
};

/* Items a container may leave on the stack: many as long as the stack is short, so that it can
 * never reach its limit. A reply of a model fits into the first room: the stack of a task that reads
 * one does not grow, and there are thousands. */
enum { PENDING_MAX = 2048, PENDING_MIN = 32, STACK_LONG = 32768, STACK_FIRST = 60, STACK_STEP = 128, STACK_SPARE = 12 };

static void push_text(lua_State *L, const struct json_reader *r) {
  if (!r->escaped) {
    lua_pushlstring(L, r->text, r->len);
    return;
  }
  luaL_Buffer b;
  char *dst = luaL_buffinitsize(L, &b, r->len);
  luaL_pushresultsize(&b, json_unescape(dst, r->text, r->len));
}

static void open_frame(struct builder *b, bool object) {
  bool ordered = b->frame->ordered || b->key_found;
  struct frame *f = ++b->frame;
  lua_pushnil(b->L);
  *f = (struct frame){.base = ++b->top, .object = object, .ordered = ordered};
  b->key_found = false;
}

static void push_key(struct builder *b) {
  const struct json_reader *r = &b->reader;
  push_text(b->L, r);
  b->top++;
  b->frame->pending++;
  b->key_found = b->ordered_in && strlen(b->ordered_in) == r->len && memcmp(b->ordered_in, r->text, r->len) == 0;
}

static void make_table(struct builder *b, struct frame *f, int items) {
  lua_State *L = b->L;
  if (f->object)
    lua_createtable(L, 0, items);
  else
    lua_createtable(L, items, 0);
  if (!f->object) {
    lua_getiuservalue(L, b->state_idx, 1);
    lua_setmetatable(L, -2);
  } else if (!items) { /* nothing else distinguishes it from an array */
    lua_getiuservalue(L, b->state_idx, 2);
    lua_setmetatable(L, -2);
  } else if (f->ordered) {
    lua_createtable(L, items + 1, 0);
    lua_pushlightuserdata(L, (void *)&json_order_mark);
    lua_rawseti(L, -2, 1);
    lua_setmetatable(L, -2);
  }
  lua_replace(L, f->base);
  f->made = true;
}

/* A key that comes twice keeps its first place and its last value. */
static void add_ordered(struct builder *b, struct frame *f) {
  lua_State *L = b->L;
  if (!lua_getmetatable(L, f->base)) return; /* empty */
  int order = b->top + 1;
  for (int i = f->base + 1; i <= b->top; i += 2) {
    lua_pushvalue(L, i);
    if (lua_rawget(L, f->base) == LUA_TNIL) {
      lua_pushvalue(L, i);
      lua_rawseti(L, order, ++f->count + 1);
    }
    lua_pop(L, 1);
    lua_pushvalue(L, i);
    lua_pushvalue(L, i + 1);
    lua_rawset(L, f->base);
  }
}

/* Moves the pending values into the table. */
static void flush(struct builder *b, struct frame *f) {
  lua_State *L = b->L;
  if (f->object) {
    if (!f->made) make_table(b, f, f->pending / 2);
    if (f->ordered) {
      add_ordered(b, f);
    } else {
      for (int i = f->base + 1; i <= b->top; i += 2) {
        lua_pushvalue(L, i);
        lua_pushvalue(L, i + 1);
        lua_rawset(L, f->base);
      }
    }
  } else if (!f->made) { /* all there at once: from the last to the first, each popped as it goes */
    make_table(b, f, f->pending);
    for (int i = f->pending; i > 0; i--) lua_rawseti(L, f->base, i);
    f->count = f->pending;
  } else {
    for (int i = f->base + 1; i <= b->top; i++) {
      lua_pushvalue(L, i);
      lua_rawseti(L, f->base, ++f->count);
    }
  }
  b->top = f->base;
  lua_settop(L, b->top);
  f->pending = 0;
}

/* Pushes the value of a scalar token. */
static void push_scalar(lua_State *L, enum json_token token, const struct json_reader *r) {
  switch (token) {
    case JSON_STRING: push_text(L, r); break;
    case JSON_DIGITS: lua_pushlstring(L, r->text, r->len); break;
    case JSON_INTEGER: lua_pushinteger(L, (lua_Integer)r->integer); break;
    case JSON_FLOAT: lua_pushnumber(L, (lua_Number)r->number); break;
    case JSON_NULL: lua_pushlightuserdata(L, NULL); break;
    default: lua_pushboolean(L, token == JSON_TRUE); break;
  }
}

/* Leaves the value on the stack, one above the builder's first top; or false with the stack
 * anyhow. */
static bool build(struct builder *b) {
  lua_State *L = b->L;
  for (;;) {
    enum json_token token = json_next(&b->reader);
    if (b->room - b->top < STACK_SPARE) {
      luaL_checkstack(L, STACK_STEP, "no memory for JSON");
      b->room = b->top + STACK_STEP;
    }
    switch (token) {
      case JSON_ERROR: return false;
      case JSON_END: return true;
      case JSON_OBJECT: open_frame(b, true); continue;
      case JSON_ARRAY: open_frame(b, false); continue;
      case JSON_KEY: push_key(b); continue;
      case JSON_OBJECT_END:
      case JSON_ARRAY_END:
        if (b->frame->pending || !b->frame->made) flush(b, b->frame);
        b->frame--; /* its table, at base, is one item of the frame below */
        break;
      default:
        push_scalar(L, token, &b->reader);
        b->top++;
        b->key_found = false;
        break;
    }
    struct frame *f = b->frame;
    if (++f->pending >= PENDING_MIN && (f->pending >= PENDING_MAX || b->top > STACK_LONG)) flush(b, f);
  }
}

bool json_push(lua_State *L, const char *bytes, size_t len, const struct json_options *opts, struct err *e) {
  size_t max_size = opts && opts->max_size ? opts->max_size : JSON_SIZE_DEFAULT;
  struct builder b;
  int first = lua_gettop(L);
  if (len > max_size) {
    err_set(e, "protocol", 0, "JSON text of %zu bytes, more than the %zu allowed", len, max_size);
    if (opts && opts->offset) *opts->offset = max_size + 1;
    return false;
  }
  luaL_checkstack(L, STACK_FIRST, "no memory for JSON");
  (void)json_push_state(L, false);
  b.L = L;
  b.state_idx = b.top = first + 1;
  b.room = first + STACK_FIRST;
  b.ordered_in = opts ? opts->ordered_in : NULL;
  b.key_found = false;
  b.frame = b.frames;
  b.frames[0] = (struct frame){.base = b.top, .ordered = opts && opts->ordered};
  json_open(&b.reader, bytes, len, opts ? opts->max_depth : 0);
  if (opts) b.reader.flags = (uint8_t)opts->flags;
  if (build(&b)) {
    lua_remove(L, first + 1);
    return true;
  }
  lua_settop(L, first);
  char message[ERR_MESSAGE_MAX];
  json_describe(&b.reader, message, sizeof message);
  err_set(e, "protocol", 0, "%s", message);
  if (opts && opts->offset) *opts->offset = b.reader.offset + 1;
  return false;
}

/* ---- host.json ---- */

/* An option that is a whole number in [1, max]; 0 when it is not given. */
static size_t check_count(lua_State *L, const char *function, const char *name, size_t max) {
  int is_int = 1;
  lua_pushstring(L, name);
  lua_Integer n = lua_rawget(L, 2) == LUA_TNIL ? 0 : lua_tointegerx(L, -1, &is_int);
  bool given = !lua_isnil(L, -1);
  if (given && (!is_int || lua_type(L, -1) != LUA_TNUMBER || n < 1 || (uint64_t)n > max))
    err_argument(L, "json.%s: %s must be a whole number from 1 to %d", function, name, (int)max);
  lua_pop(L, 1);
  return (size_t)n;
}

static bool check_flag(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_rawget(L, 2);
  bool flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

/* The options at stack index 2. False = there are none. */
static bool check_options(lua_State *L, const char *function, struct json_options *o) {
  *o = (struct json_options){0};
  if (lua_isnoneornil(L, 2)) return false;
  if (!lua_istable(L, 2)) err_argument(L, "json.%s: options must be a table, not a %s", function, luaL_typename(L, 2));
  o->max_depth = (unsigned)check_count(L, function, "max_depth", JSON_DEPTH_MAX);
  o->max_size = check_count(L, function, "max_size", 1u << 30);
  return true;
}

static void check_decoding(lua_State *L, struct json_options *o) {
  if (!check_options(L, "decode", o)) return;
  lua_pushliteral(L, "ordered");
  if (lua_rawget(L, 2) == LUA_TSTRING)
    o->ordered_in = lua_tostring(L, -1); /* the options hold it */
  else
    o->ordered = lua_toboolean(L, -1);
  lua_pushliteral(L, "exact");
  if (lua_rawget(L, 2) == LUA_TSTRING)
    o->flags = JSON_EXACT | JSON_ANY_BYTES;
  else if (lua_toboolean(L, -1))
    o->flags = JSON_EXACT;
  lua_pop(L, 2);
}

/* decode(text, { ordered = true | name of a member, exact = true | "bytes", max_depth, max_size })
 *   -> value | nil, err (with err.offset)
 * exact: numbers that neither an integer nor a float holds are strings of their digits; "bytes": and strings may hold anything,
 * see JSON_ANY_BYTES. */
static int l_decode(lua_State *L) {
  struct json_options o;
  struct err e;
  size_t len, offset = 0;
  if (lua_type(L, 1) != LUA_TSTRING) err_argument(L, "json.decode: expected a string, got %s", luaL_typename(L, 1));
  const char *text = lua_tolstring(L, 1, &len);
  check_decoding(L, &o);
  o.offset = &offset;
  if (json_push(L, text, len, &o, &e)) return 1;
  int n = err_push(L, &e);
  lua_pushliteral(L, "offset");
  lua_pushinteger(L, (lua_Integer)offset);
  lua_rawset(L, -3);
  return n;
}

/* digest(value, raw?) -> the SHA-256 of its form, see json_digest, as hex or as its bytes | nil, err */
static int l_digest(lua_State *L) {
  struct err e;
  unsigned char digest[HASH_SIZE];
  char hex[HASH_HEX_SIZE];
  luaL_checkany(L, 1);
  bool raw = lua_toboolean(L, 2);
  if (!json_digest(L, 1, digest, &e)) return err_push(L, &e);
  if (!raw) hash_to_hex(digest, hex);
  lua_pushlstring(L, raw ? (const char *)digest : hex, raw ? HASH_SIZE : HASH_HEX_SIZE - 1);
  return 1;
}

/* encode(value, { pretty, max_depth, max_size }) -> text | nil, err */
static int l_encode(lua_State *L) {
  struct json_options o;
  struct err e;
  if (lua_isnoneornil(L, 1)) err_argument(L, "json.encode: expected a value, got nil (json.null is null)");
  if (check_options(L, "encode", &o)) o.pretty = check_flag(L, "pretty");
  if (json_encode(L, 1, &o, &e)) return 1;
  return err_push(L, &e);
}

/* Checks the table to be marked at index 1, a new one when there is none; pushes the json_state. */
static void check_markable(lua_State *L, const char *function) {
  lua_settop(L, 2);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  if (!lua_istable(L, 1)) err_argument(L, "json.%s: expected a table, got %s", function, luaL_typename(L, 1));
  struct json_state *s = json_push_state(L, false);
  if (json_mark_of(L, 1, s) == JSON_UNMARKED && lua_getmetatable(L, 1))
    err_argument(L, "json.%s: the table has a metatable of its own", function);
  lua_settop(L, 3);
}

/* array(t?) -> t, marked: it is an array even when empty */
static int l_array(lua_State *L) {
  check_markable(L, "array");
  lua_getiuservalue(L, 3, 1);
  lua_setmetatable(L, 1);
  lua_settop(L, 1);
  return 1;
}

/* object(t?, order?) -> t, marked: it is an object; its keys are written in this order, others
 * after them, sorted */
static int l_object(lua_State *L) {
  check_markable(L, "object");
  if (lua_isnil(L, 2)) {
    lua_getiuservalue(L, 3, 2);
  } else {
    if (!lua_istable(L, 2)) err_argument(L, "json.object: the order must be a list, not a %s", luaL_typename(L, 2));
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    lua_createtable(L, (int)n + 1, 0); /* 4: the metatable */
    lua_newtable(L);                   /* 5: keys seen */
    lua_pushlightuserdata(L, (void *)&json_order_mark);
    lua_rawseti(L, 4, 1);
    for (lua_Integer i = 1; i <= n; i++) {
      if (lua_rawgeti(L, 2, i) != LUA_TSTRING)
        err_argument(L, "json.object: item %d of the order is a %s, not a key", (int)i, luaL_typename(L, -1));
      lua_pushvalue(L, -1);
      if (lua_rawget(L, 5) != LUA_TNIL)
        err_argument(L, "json.object: the order names the key '%s' twice", lua_tostring(L, -2));
      lua_pop(L, 1);
      lua_pushvalue(L, -1);
      lua_rawseti(L, 4, i + 1);
      lua_pushboolean(L, 1);
      lua_rawset(L, 5);
    }
    lua_settop(L, 4);
  }
  lua_setmetatable(L, 1);
  lua_settop(L, 1);
  return 1;
}

/* fixed(list) -> list, encoded now: it is not changed any more, and later encodings take the text. A list that cannot be encoded
 * stays as it is. */
static int l_fixed(lua_State *L) {
  struct err e;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_createtable(L, 2, 0);
  lua_pushlightuserdata(L, (void *)&json_fixed_mark);
  lua_rawseti(L, 2, 1);
  if (lua_rawlen(L, 1) == 0 || !json_encode(L, 1, NULL, &e)) {
    lua_settop(L, 1);
    return 1;
  }
  lua_rawseti(L, 2, 2);
  lua_setmetatable(L, 1);
  return 1;
}

/* is_array(v) -> does it stand for an array: marked as one, or a list with a first item and not
 * marked as an object */
static int l_is_array(lua_State *L) {
  bool yes = false;
  if (lua_istable(L, 1)) {
    lua_settop(L, 1);
    enum json_mark mark = json_mark_of(L, 1, json_push_state(L, false));
    bool list = mark == JSON_MARK_ARRAY || mark == JSON_MARK_FIXED || mark == JSON_MARK_GROWING;
    yes = list || (mark == JSON_UNMARKED && lua_rawlen(L, 1) > 0);
  }
  lua_pushboolean(L, yes);
  return 1;
}

/* host.json = { decode, encode, digest, array, object, fixed, is_array, null, piece, is_piece, growing, spec } */
int luaopen_host_json(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"decode", l_decode}, {"encode", l_encode}, {"digest", l_digest},     {"array", l_array},
      {"object", l_object}, {"fixed", l_fixed},   {"is_array", l_is_array}, {NULL, NULL},
  };
  luaL_newlib(L, functions);
  json_piece_functions(L);
  json_spec_functions(L);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
