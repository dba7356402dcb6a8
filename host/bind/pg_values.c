/* pg_values.c - host.pg: Lua values packed for a job, and results as tables. */
#ifdef HAVE_LIBPQ
#include <arpa/inet.h>
#include <lauxlib.h>
#include <string.h>

#include "bind_pg.h"
#include "loop/binding.h"

/* What grows while it is packed: a userdata that is the Lua collector's. */
struct out {
  lua_State *L;
  char *bytes;
  size_t size, room;
  int slot;
};

static void *put(struct out *o, const void *bytes, size_t len) {
  if (o->room - o->size < len) {
    size_t room = o->room * 2 + len;
    if (room > PG_REQUEST_MAX * 2)
      err_argument(o->L, "more than %zu MB in one request to PostgreSQL", PG_REQUEST_MAX >> 20);
    char *grown = lua_newuserdatauv(o->L, room, 0);
    memcpy(grown, o->bytes, o->size);
    lua_replace(o->L, o->slot);
    o->bytes = grown;
    o->room = room;
  }
  char *at = o->bytes + o->size;
  if (bytes) memcpy(at, bytes, len);
  o->size += len;
  return at;
}

static void put_number(struct out *o, int32_t n) {
  put(o, &n, sizeof n);
}

static void put_param(struct out *o, const char *bytes, size_t len, int32_t format) {
  put_number(o, (int32_t)len);
  put_number(o, format);
  put(o, bytes, len);
  put(o, "", 1);
}

/* --- arrays: in the binary form, which tells the server their type ------------------------------------------------ */

enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25, OID_FLOAT8 = 701 };

static uint32_t element_type(lua_State *L, const char *name) {
  if (strcmp(name, "text") == 0) return OID_TEXT;
  if (strcmp(name, "bytea") == 0) return OID_BYTEA;
  if (strcmp(name, "bigint") == 0) return OID_INT8;
  if (strcmp(name, "float8") == 0) return OID_FLOAT8;
  return (uint32_t)err_argument(L, "an array is of text, bytea, bigint or float8, not of %s", name);
}

static void put_net(struct out *o, uint32_t n) {
  n = htonl(n);
  put(o, &n, sizeof n);
}

static void put_net64(struct out *o, uint64_t n) {
  put_net(o, 8);
  put_net(o, (uint32_t)(n >> 32));
  put_net(o, (uint32_t)n);
}

static void put_element(struct out *o, uint32_t type, lua_Integer place) {
  lua_State *L = o->L;
  size_t len;
  double number;
  uint64_t bits;
  if (lua_isnil(L, -1)) {
    put_net(o, UINT32_MAX);
    return;
  }
  bool fits = type == OID_INT8     ? lua_isinteger(L, -1)
              : type == OID_FLOAT8 ? lua_type(L, -1) == LUA_TNUMBER
                                   : lua_type(L, -1) == LUA_TSTRING;
  if (!fits) err_argument(L, "element %d of an array is a %s", (int)place, luaL_typename(L, -1));
  if (type == OID_INT8) {
    put_net64(o, (uint64_t)lua_tointeger(L, -1));
  } else if (type == OID_FLOAT8) {
    number = lua_tonumber(L, -1);
    memcpy(&bits, &number, sizeof bits);
    put_net64(o, bits);
  } else {
    const char *bytes = lua_tolstring(L, -1, &len);
    put_net(o, (uint32_t)len);
    put(o, bytes, len);
  }
}

static void put_array(struct out *o, int index) {
  lua_State *L = o->L;
  lua_getfield(L, index, "array");
  if (lua_type(L, -1) != LUA_TSTRING)
    err_argument(L, "a parameter that is a table is { array = TYPE, n = COUNT, ... }");
  uint32_t type = element_type(L, lua_tostring(L, -1));
  lua_getfield(L, index, "n");
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 2);
  if (n < 0 || n > 1000000) err_argument(L, "an array of %lld elements", (long long)n);
  size_t at = o->size;
  put_number(o, 0); /* its bytes, once they are known */
  put_number(o, 1);
  put_net(o, n > 0);
  put_net(o, 1); /* there may be NULLs */
  put_net(o, type);
  if (n > 0) {
    put_net(o, (uint32_t)n);
    put_net(o, 1);
  }
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, index, i);
    put_element(o, type, i);
    lua_pop(L, 1);
  }
  int32_t len = (int32_t)(o->size - at - 2 * sizeof len);
  memcpy(o->bytes + at, &len, sizeof len);
  put(o, "", 1);
}

/* --- parameters: numbers and booleans as text, whose type the statement says; strings as their bytes -------------- */

static void put_value(struct out *o, int index, int place) {
  lua_State *L = o->L;
  char text[40];
  size_t len;
  const char *bytes;
  switch (lua_type(L, index)) {
    case LUA_TNIL:
      put_number(o, -1);
      put_number(o, 0);
      put(o, "", 1);
      break;
    case LUA_TBOOLEAN: put_param(o, lua_toboolean(L, index) ? "t" : "f", 1, 0); break;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index))
        snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, index));
      else
        snprintf(text, sizeof text, "%.17g", lua_tonumber(L, index));
      put_param(o, text, strlen(text), 0);
      break;
    case LUA_TSTRING:
      bytes = lua_tolstring(L, index, &len);
      put_param(o, bytes, len, 1);
      break;
    case LUA_TTABLE: put_array(o, index); break;
    default: err_argument(L, "parameter %d of a statement is a %s", place, luaL_typename(L, index));
  }
}

static void put_statement(struct out *o, int index) {
  lua_State *L = o->L;
  size_t len = 0;
  lua_rawgeti(L, index, 1);
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
  if (!text || strlen(text) != len) err_argument(L, "a job is an array of { statement, parameter, ... }");
  put_number(o, (int32_t)len);
  put(o, text, len + 1);
  lua_pop(L, 1);
  lua_getfield(L, index, "n"); /* parameters, where the last ones are nil */
  lua_Integer count = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : (lua_Integer)lua_rawlen(L, index) - 1;
  lua_pop(L, 1);
  if (count < 0 || count > PG_PARAMS_MAX) err_argument(L, "a statement has at most %d parameters", PG_PARAMS_MAX);
  put_number(o, (int32_t)count);
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, index, i + 1);
    put_value(o, lua_gettop(L), i);
    lua_pop(L, 1);
  }
}

size_t pg_pack(lua_State *L, int index, unsigned *statements) {
  luaL_checktype(L, index, LUA_TTABLE);
  size_t count = lua_rawlen(L, index);
  if (count == 0 || count > PG_STATEMENTS_MAX) err_argument(L, "a job has 1 to %d statements", PG_STATEMENTS_MAX);
  struct out o = {.L = L, .room = 512};
  luaL_checkstack(L, 8, "statements");
  o.bytes = lua_newuserdatauv(L, o.room, 0);
  o.slot = lua_gettop(L);
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(L, index, (lua_Integer)i);
    luaL_checktype(L, -1, LUA_TTABLE);
    put_statement(&o, lua_gettop(L));
    lua_pop(L, 1);
  }
  if (o.size > PG_REQUEST_MAX) err_argument(L, "more than %zu MB in one request to PostgreSQL", PG_REQUEST_MAX >> 20);
  *statements = (unsigned)count;
  return o.size;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static void push_value(lua_State *L, const void *result, size_t row, size_t column) {
  struct pg_value v;
  pg_value(result, row, column, &v);
  switch (v.type) {
    case PG_BOOLEAN: lua_pushboolean(L, v.boolean); break;
    case PG_INTEGER: lua_pushinteger(L, v.integer); break;
    case PG_FLOAT: lua_pushnumber(L, v.number); break;
    case PG_BYTES: lua_pushlstring(L, v.bytes, v.len); break;
    default: lua_pushnil(L);
  }
}

static void push_result(lua_State *L, const void *result) {
  size_t rows = pg_rows(result), columns = pg_columns(result);
  lua_createtable(L, (int)rows, columns == 0);
  for (size_t i = 0; i < rows; i++) {
    lua_createtable(L, (int)columns, 0);
    for (size_t k = 0; k < columns; k++) {
      push_value(L, result, i, k);
      lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  if (columns > 0) return;
  lua_pushinteger(L, (lua_Integer)pg_changes(result));
  lua_setfield(L, -2, "changes");
}

void pg_push_results(lua_State *L, const struct pg_job *job) {
  luaL_checkstack(L, 6, "results");
  lua_createtable(L, (int)job->answered, 0);
  for (unsigned i = 0; i < job->answered; i++) {
    push_result(L, job->results[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}
#endif
