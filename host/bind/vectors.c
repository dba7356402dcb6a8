/* vectors.c - host.vectors: sets of vectors (host/store/vectors.h). lua/vectors.lua gives them to the core, and encodes ids and tags,
 * which are bytes here. A vector is an array of numbers, or a string of f32, the low byte first. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/op.h"
#include "store/vectors.h"

int luaopen_host_vectors(lua_State *L);

#define SET_TYPE    "host.vectors.set"
#define SEARCH_TYPE "host.vectors.search"

struct set {
  struct vectors *vectors;
  size_t dim;
  float scratch[]; /* dim numbers: a vector on its way in */
};

/* --- numbers ---------------------------------------------------------------------------------------------------------------------- */

static float read_f32(const char *at) {
  uint32_t bits = (uint32_t)(unsigned char)at[0] | (uint32_t)(unsigned char)at[1] << 8 | (uint32_t)(unsigned char)at[2] << 16 |
                  (uint32_t)(unsigned char)at[3] << 24;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void write_f32(char *at, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  for (int i = 0; i < 4; i++) at[i] = (char)(bits >> 8 * i);
}

/* The numbers of the array at `index`, into `out`, which has room for `n`. Raises `argument`. */
static void read_array(lua_State *L, int index, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, index, (lua_Integer)i + 1) != LUA_TNUMBER)
      err_argument(L, "number %d of the vector is a %s", (int)i + 1, luaL_typename(L, -1));
    out[i] = (float)lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
}

static void read_vector(lua_State *L, int index, struct set *s) {
  size_t len = 0;
  const char *bytes = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
  if (!bytes && !lua_istable(L, index))
    err_argument(L, "a vector is an array of numbers, or a string of vectors.pack; got a %s", luaL_typename(L, index));
  if (bytes && len != s->dim * 4)
    err_argument(L, "the vector has %d bytes, and the set is for %d numbers of 4 bytes", (int)len, (int)s->dim);
  size_t n = bytes ? s->dim : lua_rawlen(L, index);
  if (n != s->dim) err_argument(L, "the vector has %d numbers, and the set is for %d", (int)n, (int)s->dim);
  if (!bytes) {
    read_array(L, index, s->scratch, n);
    return;
  }
  for (size_t i = 0; i < n; i++) s->scratch[i] = read_f32(bytes + 4 * i);
}

static int l_pack(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  size_t n = lua_rawlen(L, 1);
  if (n > VECTORS_DIM_MAX) err_argument(L, "a vector has at most %d numbers, and this one %d", (int)VECTORS_DIM_MAX, (int)n);
  float *values = lua_newuserdatauv(L, n * sizeof *values + 1, 0);
  read_array(L, 1, values, n);
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, n * 4);
  for (size_t i = 0; i < n; i++) write_f32(out + 4 * i, values[i]);
  luaL_pushresultsize(&b, n * 4);
  return 1;
}

/* length(packed) -> the length of the vector; nil: a number of it is not finite */
static int l_length(lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  double sum = 0;
  for (size_t i = 0; i < len / 4; i++) {
    double value = (double)read_f32(bytes + 4 * i);
    sum += value * value;
  }
  if (!isfinite(sum)) return 0;
  lua_pushnumber(L, sqrt(sum));
  return 1;
}

static int l_unpack(lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  if (len % 4) err_argument(L, "a packed vector has 4 bytes a number, and this string %d", (int)len);
  lua_createtable(L, (int)(len / 4), 0);
  for (size_t i = 0; i < len / 4; i++) {
    lua_pushnumber(L, (lua_Number)read_f32(bytes + 4 * i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* Is there neither an infinite number nor a NaN in a packed vector? */
static int l_finite(lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  bool finite = true;
  for (size_t i = 0; i + 4 <= len && finite; i += 4) finite = isfinite(read_f32(bytes + i));
  lua_pushboolean(L, finite);
  return 1;
}

static void push_packed(lua_State *L, const float *values, size_t n) {
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, n * 4);
  for (size_t i = 0; i < n; i++) write_f32(out + 4 * i, values[i]);
  luaL_pushresultsize(&b, n * 4);
}

/* --- the set ---------------------------------------------------------------------------------------------------------------------- */

static struct set *check_set(lua_State *L) {
  struct set *s = luaL_checkudata(L, 1, SET_TYPE);
  if (!s->vectors) err_argument(L, "this set of vectors was never made");
  return s;
}

static const char *check_id(lua_State *L, int index, size_t *len) {
  const char *id = luaL_checklstring(L, index, len);
  if (*len > VECTORS_ID_MAX) err_argument(L, "an id has at most %d bytes, and this one %d", (int)VECTORS_ID_MAX, (int)*len);
  return id;
}

/* new(dim, metric, max_rows, max_bytes) -> set | nil, err */
static int l_new(lua_State *L) {
  static const char *const metrics[] = {"cosine", "dot", NULL};
  lua_Integer dim = luaL_checkinteger(L, 1);
  int metric = luaL_checkoption(L, 2, NULL, metrics);
  struct vectors_limits limits = {(size_t)luaL_checkinteger(L, 3), (size_t)luaL_checkinteger(L, 4)};
  if (dim < 1 || dim > (lua_Integer)VECTORS_DIM_MAX) err_argument(L, "a vector has 1 to %d numbers", (int)VECTORS_DIM_MAX);
  struct set *s = lua_newuserdatauv(L, sizeof *s + (size_t)dim * sizeof(float), 0);
  s->vectors = NULL;
  s->dim = (size_t)dim;
  luaL_setmetatable(L, SET_TYPE);
  s->vectors = vectors_new(&host_of(L)->mem, s->dim, metric == 0 ? VECTORS_COSINE : VECTORS_DOT, limits);
  return s->vectors ? 1 : err_pushf(L, "os", "out of memory: cannot make a set of vectors");
}

/* set:put(id, vector, tags, order?) -> was it added? | nil, err */
static int set_put(lua_State *L) {
  struct set *s = check_set(L);
  struct vectors_row row = {.values = s->scratch};
  row.id = check_id(L, 2, &row.id_len);
  read_vector(L, 3, s);
  row.tags = luaL_checklstring(L, 4, &row.tags_len);
  row.order = (uint64_t)luaL_optinteger(L, 5, 0);
  if (row.tags_len > VECTORS_TAGS_MAX)
    err_argument(L, "the tags of a row have at most %d bytes, and these %d", (int)VECTORS_TAGS_MAX, (int)row.tags_len);
  bool added;
  struct err e;
  if (!vectors_put(s->vectors, &row, &added, &e)) return err_push(L, &e);
  lua_pushboolean(L, added);
  return 1;
}

/* set:drop(id) -> was it there? | nil, err */
static int set_drop(lua_State *L) {
  size_t len;
  struct set *s = check_set(L);
  const char *id = check_id(L, 2, &len);
  struct err e;
  bool done = vectors_drop(s->vectors, id, len, &e);
  if (!done && e.kind) return err_push(L, &e);
  lua_pushboolean(L, done);
  return 1;
}

/* set:get(id) -> packed vector, tags, order | nil */
static int set_get(lua_State *L) {
  size_t len;
  struct set *s = check_set(L);
  const char *id = check_id(L, 2, &len);
  struct vectors_row row;
  if (!vectors_get(s->vectors, id, len, &row)) return 0;
  push_packed(L, row.values, s->dim);
  lua_pushlstring(L, row.tags, row.tags_len);
  lua_pushinteger(L, (lua_Integer)row.order);
  return 3;
}

/* set:next(at) -> at, id | nil. The first `at` is 0. */
static int set_next(lua_State *L) {
  struct set *s = check_set(L);
  size_t at = (size_t)luaL_checkinteger(L, 2);
  struct vectors_row row;
  if (!vectors_next(s->vectors, &at, &row)) return 0;
  lua_pushinteger(L, (lua_Integer)at);
  lua_pushlstring(L, row.id, row.id_len);
  return 2;
}

static int set_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)vectors_count(check_set(L)->vectors));
  return 1;
}

static int set_bytes(lua_State *L) {
  struct set *s = check_set(L);
  lua_pushinteger(L, (lua_Integer)(vectors_bytes(s->vectors) + sizeof *s + s->dim * sizeof *s->scratch));
  return 1;
}

static int set_clear(lua_State *L) {
  vectors_clear(check_set(L)->vectors);
  return 0;
}

static int set_gc(lua_State *L) {
  struct set *s = luaL_checkudata(L, 1, SET_TYPE);
  vectors_free(s->vectors);
  s->vectors = NULL;
  return 0;
}

/* --- searches --------------------------------------------------------------------------------------------------------------------- */

/* Everything of (set, vector, k, min?, filter, only?) that can be wrong, before anything is allocated. */
static void check_search(lua_State *L, struct set *s) {
  read_vector(L, 2, s);
  if (luaL_checkinteger(L, 3) < 1) err_argument(L, "k, how many rows are wanted, must be at least 1");
  (void)luaL_optnumber(L, 4, 0);
  (void)luaL_checkstring(L, 5);
  if (lua_isnoneornil(L, 6)) return;
  luaL_checktype(L, 6, LUA_TTABLE);
  for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, 6); i <= n; i++) {
    if (lua_rawgeti(L, 6, i) != LUA_TSTRING) err_argument(L, "an id is a string here");
    lua_pop(L, 1);
  }
}

/* Does not raise. NULL with e filled. */
static struct vectors_search *begin_search(lua_State *L, struct set *s, struct err *e) {
  size_t filter_len;
  const char *filter = lua_tolstring(L, 5, &filter_len);
  double min = lua_isnumber(L, 4) ? lua_tonumber(L, 4) : -INFINITY;
  struct vectors_search *search =
      vectors_search_new(s->vectors, s->scratch, (size_t)lua_tointeger(L, 3), min, filter, filter_len, e);
  if (!search || !lua_istable(L, 6)) return search;
  if (!vectors_search_only_begin(search)) {
    err_set(e, "os", 0, "out of memory: cannot search the set of vectors");
    vectors_search_free(search);
    return NULL;
  }
  for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, 6); i <= n; i++) {
    size_t len;
    lua_rawgeti(L, 6, i);
    const char *id = lua_tolstring(L, -1, &len);
    vectors_search_only(search, s->vectors, id, len);
    lua_pop(L, 1);
  }
  return search;
}

/* { id, score, tags, id, ... }, and how many rows were scored from f32. */
static int push_found(lua_State *L, const struct vectors_search *search) {
  size_t count;
  struct err e;
  const struct vectors_found *found = vectors_search_found(search, &count, &e);
  if (!found) return err_push(L, &e);
  lua_createtable(L, (int)count * 3, 0);
  for (size_t i = 0; i < count; i++) {
    lua_Integer at = (lua_Integer)i * 3;
    lua_pushlstring(L, found[i].row.id, found[i].row.id_len);
    lua_rawseti(L, -2, at + 1);
    lua_pushnumber(L, found[i].score);
    lua_rawseti(L, -2, at + 2);
    lua_pushlstring(L, found[i].row.tags, found[i].row.tags_len);
    lua_rawseti(L, -2, at + 3);
  }
  lua_pushinteger(L, (lua_Integer)vectors_search_scored(search));
  return 2;
}

static int search_gc(lua_State *L) {
  struct vectors_search **box = luaL_checkudata(L, 1, SEARCH_TYPE);
  struct vectors_search *search = *box;
  *box = NULL;
  vectors_search_free(search);
  return 0;
}

/* set:search(vector, k, min?, filter, only?) -> found, scored | nil, err. In place. */
static int set_search(lua_State *L) {
  struct set *s = check_set(L);
  struct err e;
  check_search(L, s);
  lua_settop(L, 6);
  struct vectors_search **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, SEARCH_TYPE);
  *box = begin_search(L, s, &e);
  if (!*box) return err_push(L, &e);
  vectors_search_run(*box);
  int results = push_found(L, *box);
  vectors_search_free(*box);
  *box = NULL;
  return results;
}

struct find {
  struct op op;
  uv_work_t work;
  struct host *host;
  struct vectors_search *search;
  struct err err;
};

static struct find *find_of(struct op *op) {
  return CONTAINER_OF(op, struct find, op);
}

static void find_work(uv_work_t *work) {
  vectors_search_run(CONTAINER_OF(work, struct find, work)->search);
}

static void find_done(uv_work_t *work, int status) {
  struct find *f = CONTAINER_OF(work, struct find, work);
  if (status) err_set(&f->err, "cancelled", 0, "the search was cancelled");
  f->host->inflight--;
  op_done(&f->op);
  op_unref(&f->op);
}

static int find_push(lua_State *L, struct op *op) {
  struct find *f = find_of(op);
  return f->err.kind ? err_push(L, &f->err) : push_found(L, f->search);
}

static void find_cancel(struct op *op) {
  vectors_search_cancel(find_of(op)->search);
  (void)uv_cancel((uv_req_t *)&find_of(op)->work);
}

static void find_free(struct op *op) {
  struct find *f = find_of(op);
  vectors_search_free(f->search);
  mem_free(&f->host->mem, f);
}

static const struct op_class find_class = {"vectors.find", find_push, find_cancel, find_free};

/* set:find(...): as search, on another thread. Waits. */
static int set_find(lua_State *L) {
  op_enter(L, "vectors.find");
  struct set *s = check_set(L);
  struct err e;
  struct host *h = host_of(L);
  check_search(L, s);
  lua_settop(L, 6);
  struct find *f = mem_alloc(&h->mem, sizeof *f);
  if (!f) return err_pushf(L, "os", "out of memory: cannot search the set of vectors");
  struct vectors_search *search = begin_search(L, s, &e);
  if (!search) {
    mem_free(&h->mem, f);
    return err_push(L, &e);
  }
  memset(f, 0, sizeof *f);
  op_init(&f->op, &find_class);
  f->host = h;
  f->search = search;
  int rc = uv_queue_work(&h->loop, &f->work, find_work, find_done);
  if (rc == 0) {
    h->inflight++;
  } else {
    err_set(&f->err, "os", -rc, "cannot begin to search: %s", uv_strerror(rc));
    op_done(&f->op);
    op_unref(&f->op);
  }
  return op_await(L, &f->op);
}

/* --- the module ------------------------------------------------------------------------------------------------------------------- */

/* kernels() -> their names, the fastest first */
static int l_kernels(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; vectors_kernel(i); i++) {
    lua_pushstring(L, vectors_kernel(i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* use(name?): the kernel of searches from now on; nil = the fastest. For tests. */
static int l_use(lua_State *L) {
  if (!vectors_use(luaL_optstring(L, 1, NULL))) err_argument(L, "this machine has no such kernel");
  return 0;
}

int luaopen_host_vectors(lua_State *L) {
  static const luaL_Reg methods[] = {{"put", set_put},       {"drop", set_drop},   {"get", set_get},     {"next", set_next},
                                     {"search", set_search}, {"find", set_find},   {"count", set_count}, {"bytes", set_bytes},
                                     {"clear", set_clear},   {NULL, NULL}};
  static const luaL_Reg functions[] = {{"new", l_new},       {"pack", l_pack},     {"unpack", l_unpack},
                                       {"finite", l_finite}, {"length", l_length}, {"kernels", l_kernels},
                                       {"use", l_use},       {NULL, NULL}};
  luaL_newmetatable(L, SEARCH_TYPE);
  lua_pushcfunction(L, search_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, SET_TYPE);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, set_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "set");
  lua_setfield(L, -2, "__metatable");
  luaL_newlib(L, functions);
  return 1;
}
