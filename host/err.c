/* err.c - the one place where an error object is made. */
#include "err.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <string.h>
#include <uv.h>

#include "hostlibs.h"

#define METATABLE "stoke.error"

void err_clear(struct err *e) {
  e->kind = NULL;
  e->code = 0;
  e->phase = NULL;
  e->hint = NULL;
  e->message[0] = 0;
}

void err_set(struct err *e, const char *kind, int code, const char *fmt, ...) {
  va_list args;
  e->kind = kind;
  e->code = code;
  e->phase = NULL;
  e->hint = NULL;
  va_start(args, fmt);
  vsnprintf(e->message, sizeof e->message, fmt, args);
  va_end(args);
}

static const char *kind_of_uv(int code) {
  switch (code) {
    case UV_ECONNREFUSED: return "refused";
    case UV_EAI_NONAME:
    case UV_EAI_AGAIN:
    case UV_EAI_FAIL:
    case UV_EAI_NODATA: return "dns";
    case UV_ETIMEDOUT: return "timeout";
    case UV_EHOSTUNREACH:
    case UV_ENETUNREACH: return "unreachable";
    case UV_ECANCELED: return "cancelled";
    default: return "os";
  }
}

void err_set_uv(struct err *e, int uv_code, const char *what) {
  err_set(e, kind_of_uv(uv_code), -uv_code, "%s: %s", what, uv_strerror(uv_code));
}

static void set_metatable(lua_State *L) {
  luaL_newmetatable(L, METATABLE); /* lua/errors.lua fills it with behaviour */
  lua_setmetatable(L, -2);
}

static void push_object(lua_State *L, const char *kind, const char *message) {
  lua_createtable(L, 0, 4);
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

int luaopen_host_err(lua_State *L) {
  lua_createtable(L, 0, 1);
  luaL_newmetatable(L, METATABLE);
  lua_setfield(L, -2, "metatable");
  return 1;
}
