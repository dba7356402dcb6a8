/* embedder.c - host.embedder: from Lua to the C program that holds this host (host/api/stoke.h). */
#include <lauxlib.h>
#include <stdio.h>

#include "api/api.h"
#include "hostlibs.h"
#include "loop/binding.h"

static int told(lua_State *L, bool ok) {
  if (!ok) return err_pushf(L, "os", "out of memory: no room for what the program is told");
  lua_pushboolean(L, 1);
  return 1;
}

static void fill(lua_State *L, int arg, char *to, size_t size) {
  snprintf(to, size, "%s", luaL_optstring(L, arg, ""));
}

/* answer(number, json) or answer(number, nil, kind, message, hint) -> true | nil, err: a call of the program has ended */
static int l_answer(lua_State *L) {
  unsigned long number = (unsigned long)luaL_checkinteger(L, 1);
  size_t len = 0;
  const char *json = luaL_optlstring(L, 2, NULL, &len);
  struct stoke_error e = {0};
  fill(L, 3, e.kind, sizeof e.kind);
  fill(L, 4, e.message, sizeof e.message);
  fill(L, 5, e.hint, sizeof e.hint);
  return told(L, api_answer(host_of(L), number, json, len, json ? NULL : &e));
}

/* event(name, json) -> true | nil, err */
static int l_event(lua_State *L) {
  size_t len;
  const char *name = luaL_checkstring(L, 1), *json = luaL_checklstring(L, 2, &len);
  return told(L, api_event(host_of(L), name, json, len));
}

/* embedded() -> whether there is such a program */
static int l_embedded(lua_State *L) {
  lua_pushboolean(L, api_embedded(host_of(L)));
  return 1;
}

int luaopen_host_embedder(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"answer", l_answer}, {"event", l_event}, {"embedded", l_embedded}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
