/* rand.c - host.rand: generators as objects. host.rand.new(seed?) -> g; g:float(), g:int(a, b),
 * g:bytes(n), g:seed(n). host.rand.id(g, prefix) -> the prefix and eight hexadecimal digits. */
#include <lauxlib.h>
#include <lua.h>

#include "loop/binding.h"
#include "sys/rng.h"

#define GENERATOR "host.rand.generator"
#define BYTES_MAX (16 << 20)

int luaopen_host_rand(lua_State *L);

static struct rng *check_generator(lua_State *L) {
  return luaL_checkudata(L, 1, GENERATOR);
}

/* A seed is any number; without one the system gives it. */
static uint64_t seed_arg(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return rng_entropy();
  if (lua_isinteger(L, arg)) return (uint64_t)lua_tointeger(L, arg);
  union {
    lua_Number n;
    uint64_t bits;
  } u = {.n = luaL_checknumber(L, arg)};
  return u.bits;
}

static int l_new(lua_State *L) {
  uint64_t seed = seed_arg(L, 1);
  struct rng *r = lua_newuserdatauv(L, sizeof *r, 0);
  rng_seed(r, seed);
  luaL_setmetatable(L, GENERATOR);
  return 1;
}

static int l_seed(lua_State *L) {
  struct rng *r = check_generator(L);
  rng_seed(r, seed_arg(L, 2));
  return 0;
}

static int l_float(lua_State *L) {
  lua_pushnumber(L, rng_float(check_generator(L)));
  return 1;
}

static int l_int(lua_State *L) {
  struct rng *r = check_generator(L);
  lua_Integer low = luaL_checkinteger(L, 2), high = luaL_checkinteger(L, 3);
  if (low > high) {
    return err_argument(L, "no integer between %lld and %lld", (long long)low, (long long)high);
  }
  lua_pushinteger(L, rng_int(r, low, high));
  return 1;
}

static int l_bytes(lua_State *L) {
  struct rng *r = check_generator(L);
  lua_Integer n = luaL_checkinteger(L, 2);
  if (n < 0 || n > BYTES_MAX) {
    return err_argument(L, "bytes(n): n must be 0 to %d, not %lld", BYTES_MAX, (long long)n);
  }
  luaL_Buffer b;
  unsigned char *out = (unsigned char *)luaL_buffinitsize(L, &b, (size_t)n);
  rng_bytes(r, out, (size_t)n);
  luaL_pushresultsize(&b, (size_t)n);
  return 1;
}

static int l_id(lua_State *L) {
  struct rng *r = check_generator(L);
  luaL_checkstring(L, 2);
  uint64_t number = (uint64_t)rng_int(r, 0, UINT32_MAX);
  char digits[8];
  for (size_t i = sizeof digits; i-- > 0; number >>= 4) digits[i] = "0123456789abcdef"[number & 15];
  lua_pushvalue(L, 2);
  lua_pushlstring(L, digits, sizeof digits);
  lua_concat(L, 2);
  return 1;
}

/* A permutation of 1..n (Fisher-Yates). */
static int l_permutation(lua_State *L) {
  struct rng *r = check_generator(L);
  lua_Integer n = luaL_checkinteger(L, 2);
  if (n < 0 || n > INT32_MAX) return err_argument(L, "permutation(n): %lld is out of range", (long long)n);
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_Integer j = rng_int(r, 1, i);
    lua_rawgeti(L, -1, j);
    lua_rawseti(L, -2, i);
    lua_pushinteger(L, i);
    lua_rawseti(L, -2, j);
  }
  return 1;
}

int luaopen_host_rand(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"seed", l_seed}, {"float", l_float}, {"int", l_int}, {"bytes", l_bytes}, {"permutation", l_permutation},
      {NULL, NULL}};
  static const luaL_Reg functions[] = {{"new", l_new}, {"id", l_id}, {NULL, NULL}};
  if (luaL_newmetatable(L, GENERATOR)) {
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "generator");
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
