/* hash.c - host.hash: sha256(s, raw?) -> hex, or the bytes; new() -> d; d:update(s) -> d; d:hex() -> hex of what was
 * fed so far; base64(s) -> text, with padding, in one line. */
#include <lauxlib.h>
#include <lua.h>

#include "loop/binding.h"
#include "sys/hash.h"

#define DIGEST "host.hash.digest"

int luaopen_host_hash(lua_State *L);

static int out_of_memory(lua_State *L) {
  return err_pushf(L, "os", "out of memory: cannot hash");
}

static struct hash *check_digest(lua_State *L) {
  struct hash **d = luaL_checkudata(L, 1, DIGEST);
  return *d;
}

static int l_sha256(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 1, &len);
  bool raw = lua_toboolean(L, 2);
  char hex[HASH_HEX_SIZE];
  unsigned char bytes[HASH_SIZE];
  struct err e;
  if (!hash_open(&e)) return err_push(L, &e);
  if (raw ? !hash_sha256_raw(s, len, bytes) : !hash_sha256(s, len, hex)) return out_of_memory(L);
  if (raw)
    lua_pushlstring(L, (const char *)bytes, sizeof bytes);
  else
    lua_pushlstring(L, hex, HASH_HEX_SIZE - 1);
  return 1;
}

static int l_new(lua_State *L) {
  struct err e;
  if (!hash_open(&e)) return err_push(L, &e);
  struct hash **d = lua_newuserdatauv(L, sizeof *d, 0);
  *d = NULL;
  luaL_setmetatable(L, DIGEST);
  *d = hash_new();
  return *d ? 1 : out_of_memory(L);
}

static int l_update(lua_State *L) {
  struct hash *d = check_digest(L);
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  if (!hash_update(d, s, len)) return out_of_memory(L);
  lua_settop(L, 1);
  return 1;
}

static int l_hex(lua_State *L) {
  char hex[HASH_HEX_SIZE];
  if (!hash_final(check_digest(L), hex)) return out_of_memory(L);
  lua_pushlstring(L, hex, HASH_HEX_SIZE - 1);
  return 1;
}

static int l_base64(lua_State *L) {
  size_t len;
  luaL_Buffer b;
  const char *s = luaL_checklstring(L, 1, &len);
  struct err e;
  if (!hash_open(&e)) return err_push(L, &e);
  if (len > HASH_BASE64_MAX) return err_pushf(L, "limit", "%zu bytes are too many for base64", len);
  char *out = luaL_buffinitsize(L, &b, (len + 2) / 3 * 4 + 1);
  luaL_pushresultsize(&b, hash_base64(s, len, out));
  return 1;
}

static int l_gc(lua_State *L) {
  struct hash **d = luaL_checkudata(L, 1, DIGEST);
  hash_free(*d);
  *d = NULL;
  return 0;
}

int luaopen_host_hash(lua_State *L) {
  static const luaL_Reg methods[] = {{"update", l_update}, {"hex", l_hex}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"sha256", l_sha256}, {"new", l_new}, {"base64", l_base64}, {NULL, NULL}};
  if (luaL_newmetatable(L, DIGEST)) {
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "digest");
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
