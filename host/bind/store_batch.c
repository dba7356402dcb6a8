/* store_batch.c - host.store: batches of statements for db:append. What is added is packed at once, so that nothing of it has to be
 * remembered as Lua values until it is appended. */
#include "bind_store.h"

/* Bytes that statements of a batch take, about; of so many of them that is made room for at once. A batch keeps so many for its next
 * statements, unless it was larger. */
enum { ROOM_FIRST = 1024, ROOM_EACH = 512, ROOM_MANY = 256, ROOM_KEPT = 128 * 1024, STATEMENTS_MAX = 100000 };

/* The bytes are a userdata of their own, its user value. */
struct batch {
  char *bytes;
  size_t size, room, count;
};

static struct batch *check_batch(lua_State *L, int index) {
  return luaL_checkudata(L, index, STORE_BATCH_TYPE);
}

/* store.batch() -> batch */
int store_l_batch(lua_State *L) {
  struct batch *b = lua_newuserdatauv(L, sizeof *b, 1);
  *b = (struct batch){0};
  luaL_setmetatable(L, STORE_BATCH_TYPE);
  return 1;
}

static void open_batch(lua_State *L, struct pack *p, const struct batch *b) {
  if (!b->bytes) {
    store_pack_open(L, p, ROOM_FIRST);
    return;
  }
  lua_getiuservalue(L, 1, 1);
  *p = (struct pack){.L = L, .bytes = b->bytes, .room = b->room, .size = b->size, .slot = lua_gettop(L)};
}

/* A statement that raised is not part of it. */
static void close_batch(lua_State *L, const struct pack *p, struct batch *b) {
  if (p->bytes != b->bytes) {
    lua_pushvalue(L, p->slot);
    lua_setiuservalue(L, 1, 1);
  }
  b->bytes = p->bytes;
  b->room = p->room;
  b->size = p->size;
  b->count++;
}

/* batch:add(sql, value...): a statement and its parameters; nil is NULL */
static int batch_add(lua_State *L) {
  struct batch *b = check_batch(L, 1);
  struct pack p;
  int last = lua_gettop(L);
  luaL_checkstack(L, 8, "a statement of a batch");
  open_batch(L, &p, b);
  store_pack_places(L, &p, 2, last);
  close_batch(L, &p, b);
  return 0;
}

/* batch:put({ sql, value, ... }) */
static int batch_put(lua_State *L) {
  struct batch *b = check_batch(L, 1);
  struct pack p;
  lua_settop(L, 2);
  open_batch(L, &p, b);
  store_pack_batch_item(L, &p, 2);
  close_batch(L, &p, b);
  return 0;
}

/* #batch: statements in it */
static int batch_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_batch(L, 1)->count);
  return 1;
}

size_t store_pack_batch(lua_State *L, int index, struct pack *p) {
  struct batch *b = luaL_testudata(L, index, STORE_BATCH_TYPE);
  if (!b) luaL_checktype(L, index, LUA_TTABLE);
  size_t n = b ? b->count : lua_rawlen(L, index);
  if (n == 0 || n > STATEMENTS_MAX)
    err_argument(L, "a batch has 1 to %d statements, not %d", STATEMENTS_MAX, (int)n);
  if (b) {
    *p = (struct pack){.L = L, .bytes = b->bytes, .room = b->room, .size = b->size};
    return n;
  }
  store_pack_open(L, p, ROOM_FIRST + ROOM_EACH * (n < ROOM_MANY ? n : ROOM_MANY));
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, index, (lua_Integer)i);
    store_pack_batch_item(L, p, lua_gettop(L));
    lua_pop(L, 1);
  }
  return n;
}

void store_batch_taken(lua_State *L, int index) {
  struct batch *b = luaL_testudata(L, index, STORE_BATCH_TYPE);
  if (!b) return;
  b->size = b->count = 0;
  if (b->room <= ROOM_KEPT) return;
  b->bytes = NULL;
  lua_pushnil(L);
  lua_setiuservalue(L, index, 1);
}

void store_batch_open(lua_State *L) {
  static const luaL_Reg methods[] = {{"add", batch_add}, {"put", batch_put}, {NULL, NULL}};
  store_type(L, STORE_BATCH_TYPE, methods, NULL);
  luaL_getmetatable(L, STORE_BATCH_TYPE);
  lua_pushcfunction(L, batch_len);
  lua_setfield(L, -2, "__len");
  lua_pop(L, 1);
}
