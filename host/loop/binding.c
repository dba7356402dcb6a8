/* binding.c - the one place where an error object for Lua is made. */
#include "binding.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <string.h>

static void set_metatable(lua_State *L) {
  luaL_newmetatable(L, ERR_METATABLE); /* lua/errors.lua fills it with behaviour */
  lua_setmetatable(L, -2);
}

/* A block that was refused is the user's limit, where it is not the machine that has no more. */
static bool over_limit(lua_State *L, const char *kind, const char *message) {
  static const char words[] = "out of memory";
  struct mem *m = &host_of(L)->mem;
  if (m->refused == 0 || m->limit == 0 || strcmp(kind, "os") != 0) return false;
  return strncmp(message, words, sizeof words - 1) == 0;
}

static void push_object(lua_State *L, const char *kind, const char *message) {
  lua_createtable(L, 0, 4);
  if (over_limit(L, kind, message)) {
    host_of(L)->mem.refused = 0;
    kind = "limit";
    lua_pushliteral(L, "it would take the host far above its limit of memory: keep less at once, or raise --max-memory");
    lua_setfield(L, -2, "hint");
  }
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, message);
  lua_setfield(L, -2, "message");
  set_metatable(L);
}

int err_push(lua_State *L, const struct err *e) {
  luaL_checkstack(L, 6, "error object");
  lua_pushnil(L);
  push_object(L, e->kind ? e->kind : "os", e->message);
  if (e->code) {
    lua_pushinteger(L, e->code);
    lua_setfield(L, -2, "code");
  }
  if (e->phase) {
    lua_pushstring(L, e->phase);
    lua_setfield(L, -2, "phase");
  }
  if (e->hint) {
    lua_pushstring(L, e->hint);
    lua_setfield(L, -2, "hint");
  }
  return 2;
}

int err_pushf(lua_State *L, const char *kind, const char *fmt, ...) {
  char message[ERR_MESSAGE_MAX];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  luaL_checkstack(L, 6, "error object");
  lua_pushnil(L);
  push_object(L, kind, message);
  return 2;
}

int err_argument(lua_State *L, const char *fmt, ...) {
  char message[ERR_MESSAGE_MAX];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  luaL_checkstack(L, 6, "error object");
  push_object(L, "argument", message);
  return lua_error(L);
}
