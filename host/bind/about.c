/* about.c - host.about: what this binary is made of. */
#include <lauxlib.h>
#include <string.h>

#include "api/api.h"
#include "embed/embed.h"
#include "httpd/httpd_mhd_api.h"
#include "loop/binding.h"
#include "loop/host.h"
#include "net/net_curl_api.h"
#include "store/store_api.h"
#include "sys/hash_api.h"
#include "hostlibs.h"

#ifdef STOKE_LINKED
#define LINKED true
#else
#define LINKED false
#endif

/* versions() -> { stoke =, lua =, libuv =, libcurl =, libmicrohttpd =, openssl =, sqlite = } as found at run time: the libraries that nothing
 * needed so far are opened to be asked, and of one that is not there it says why */
static int l_versions(lua_State *L) {
  struct err e;
  lua_createtable(L, 0, 7);
  lua_pushliteral(L, STOKE_VERSION);
  lua_setfield(L, -2, "stoke");
  lua_pushliteral(L, LUA_RELEASE);
  lua_setfield(L, -2, "lua");
  lua_pushstring(L, uv_version_string());
  lua_setfield(L, -2, "libuv");
  lua_pushstring(L, curl_api_open(&e) ? curl.version() : e.message);
  lua_setfield(L, -2, "libcurl");
  lua_pushstring(L, mhd_api_open(&e) ? mhd.get_version() : e.message);
  lua_setfield(L, -2, "libmicrohttpd");
  lua_pushstring(L, crypto_api_open(&e) ? crypto.OpenSSL_version(OPENSSL_VERSION) : e.message);
  lua_setfield(L, -2, "openssl");
  lua_pushstring(L, sqlite_api_open(&e) ? sqlite.libversion() : e.message);
  lua_setfield(L, -2, "sqlite");
  return 1;
}

/* executable() -> path of the program stoke: the running one, or what the program that holds this host says; nothing where it did not */
static int l_executable(lua_State *L) {
  char path[4096];
  size_t size = sizeof path;
  struct host *h = host_of(L);
  if (api_embedded(h)) {
    lua_pushstring(L, api_program(h)); /* nil for NULL */
    return 1;
  }
  if (uv_exepath(path, &size) != 0) return 0;
  lua_pushlstring(L, path, size);
  return 1;
}

/* processors() -> how many this process may use */
static int l_processors(lua_State *L) {
  uv_cpu_info_t *infos;
  int count = 0;
  if (uv_cpu_info(&infos, &count) == 0) uv_free_cpu_info(infos, count);
  lua_pushinteger(L, count > 0 ? count : 1);
  return 1;
}

/* modules() -> names of the Lua modules in the binary, sorted: "core.effect", "stoke", "stoke.http" */
static int l_modules(lua_State *L) {
  lua_Integer n = 0;
  lua_createtable(L, (int)embedded_count, 0);
  for (size_t i = 0; i < embedded_count; i++) {
    if (strncmp(embedded_sources[i].name, "docs.", 5) == 0) continue;
    lua_pushstring(L, embedded_sources[i].name);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* source(name) -> the documentation comments of a Lua module in the binary, every line at its place, and its path
 * ("stdlib/http.lua"); of a document ("docs.guide") its text; nothing for any other name */
static int l_source(lua_State *L) {
  const struct embedded_source *s = embed_find(luaL_checkstring(L, 1));
  if (s == NULL) return 0;
  luaL_Buffer b;
  embed_unpack(&s->text, luaL_buffinitsize(L, &b, s->text.len));
  luaL_pushresultsize(&b, s->text.len);
  lua_pushstring(L, s->chunkname + strlen(EMBED_PREFIX));
  return 2;
}

/* memory() -> bytes held by Lua and the engines now, and at most */
static int l_memory(lua_State *L) {
  struct host *h = host_of(L);
  lua_pushinteger(L, (lua_Integer)h->mem.used);
  lua_pushinteger(L, (lua_Integer)h->mem.peak);
  return 2;
}

int luaopen_host_about(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"versions", l_versions},     {"modules", l_modules}, {"memory", l_memory}, {"executable", l_executable},
      {"processors", l_processors}, {"source", l_source},   {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushliteral(L, STOKE_VERSION);
  lua_setfield(L, -2, "version");
  lua_pushliteral(L, STOKE_DATE);
  lua_setfield(L, -2, "date");
  lua_pushboolean(L, LINKED); /* else the libraries are opened when they are first needed */
  lua_setfield(L, -2, "linked");
  return 1;
}
