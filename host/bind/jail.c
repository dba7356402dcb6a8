/* jail.c - host.jail: files below a root. Every function is one piece of work (host/fence/jail.h) for
 * libuv's thread pool and waits for it. A cancelled wait ends at once; the work ends at its next
 * look, and closes what it opened itself. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "loop/binding.h"
#include "loop/host.h"
#include "hostlibs.h"
#include "fence/jail.h"
#include "bind_fs.h"
#include "loop/op.h"

struct request {
  struct op op;
  struct host *host;
  uv_work_t work;
  struct jail jail;
  char text[]; /* the root, the path, what is written */
};

static struct request *of_op(struct op *op) {
  return CONTAINER_OF(op, struct request, op);
}

/* --- a request's life ------------------------------------------------------------------------- */

static void request_cancel(struct op *op) {
  struct request *r = of_op(op);
  jail_cancel(&r->jail);
  (void)uv_cancel((uv_req_t *)&r->work);
}

static void request_free(struct op *op) {
  struct request *r = of_op(op);
  jail_free(&r->jail);
  mem_free(&r->host->mem, r);
}

static void request_work(uv_work_t *work) {
  jail_run(&CONTAINER_OF(work, struct request, work)->jail);
}

static void request_done(uv_work_t *work, int status) {
  struct request *r = CONTAINER_OF(work, struct request, work);
  if (status) err_set(&r->jail.err, "cancelled", -status, "cancelled");
  r->host->inflight--;
  op_done(&r->op);
  op_unref(&r->op);
}

/* The first three arguments of every function: root, path, walk (true: not by openat2). */
struct args {
  const char *root, *path, *data, *token;
  size_t root_len, path_len, size, token_len;
  bool walk;
};

static void check_args(lua_State *L, struct args *a) {
  memset(a, 0, sizeof *a);
  a->root = luaL_checklstring(L, 1, &a->root_len);
  a->path = luaL_checklstring(L, 2, &a->path_len); /* whatever is wrong with it is an error of the world */
  a->walk = lua_toboolean(L, 3);
  if (a->root_len == 0) err_argument(L, "a root cannot be empty");
  if (strlen(a->root) != a->root_len) err_argument(L, "a root holds no NUL byte: \"%.100s...\"", a->root);
}

static const char *keep(char **at, const char *s, size_t len) {
  char *kept = *at;
  memcpy(kept, s, len);
  kept[len] = 0;
  *at += len + 1;
  return kept;
}

static struct request *request_new(lua_State *L, const struct op_class *cls, enum jail_verb verb,
                                   const struct args *a) {
  struct host *h = host_of(L);
  struct request *r = mem_alloc(&h->mem, sizeof *r + a->root_len + a->path_len + a->token_len + a->size + 4);
  if (!r) return NULL;
  memset(r, 0, sizeof *r);
  op_init(&r->op, cls);
  r->host = h;
  char *at = r->text;
  r->jail.verb = verb;
  r->jail.root = keep(&at, a->root, a->root_len);
  r->jail.path = keep(&at, a->path, a->path_len);
  r->jail.path_len = a->path_len;
  r->jail.token = a->token ? keep(&at, a->token, a->token_len) : NULL;
  r->jail.data = a->data ? keep(&at, a->data, a->size) : NULL;
  r->jail.size = a->size;
  r->jail.walk = a->walk;
  r->jail.mode = -1;
  return r;
}

static int request_await(lua_State *L, struct request *r) {
  int rc = uv_queue_work(&r->host->loop, &r->work, request_work, request_done);
  if (rc == 0) {
    r->host->inflight++;
  } else {
    err_set(&r->jail.err, "os", -rc, "cannot begin: %s", uv_strerror(rc));
    op_done(&r->op);
    op_unref(&r->op);
  }
  return op_await(L, &r->op);
}

static int out_of_memory(lua_State *L) {
  return err_pushf(L, "os", "out of memory: no file is touched");
}

/* --- results ---------------------------------------------------------------------------------- */

static int push_true(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->jail.err.kind) return err_push(L, &r->jail.err);
  lua_pushboolean(L, 1);
  return 1;
}

static int push_bytes(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->jail.err.kind) return err_push(L, &r->jail.err);
  lua_pushlstring(L, r->jail.len ? r->jail.bytes : "", r->jail.len);
  return 1;
}

static int push_stat(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->jail.err.kind) return err_push(L, &r->jail.err);
  if (r->jail.found)
    fs_push_stat(L, &r->jail.st);
  else
    lua_pushnil(L);
  return 1;
}

static int push_entries(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->jail.err.kind) return err_push(L, &r->jail.err);
  lua_createtable(L, (int)r->jail.len, 0);
  for (size_t i = 0; i < r->jail.len; i++) {
    const struct jail_entry *e = &r->jail.entries[i];
    lua_createtable(L, 0, 3);
    lua_pushstring(L, e->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, fs_type_of_mode(e->mode));
    lua_setfield(L, -2, "type");
    lua_pushinteger(L, (lua_Integer)e->size);
    lua_setfield(L, -2, "size");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const struct op_class read_class = {"fs.read", push_bytes, request_cancel, request_free};
static const struct op_class write_class = {"fs.write", push_true, request_cancel, request_free};
static const struct op_class list_class = {"fs.list", push_entries, request_cancel, request_free};
static const struct op_class stat_class = {"fs.stat", push_stat, request_cancel, request_free};
static const struct op_class mkdir_class = {"fs.mkdir", push_true, request_cancel, request_free};
static const struct op_class remove_class = {"fs.remove", push_true, request_cancel, request_free};

/* --- functions: each takes root, path, walk and then its own --------------------------------------- */

static uint64_t check_max(lua_State *L) {
  lua_Integer max = luaL_checkinteger(L, 4);
  if (max < 0) err_argument(L, "max must be 0 or more, not %lld", (long long)max);
  return (uint64_t)max;
}

/* read(root, path, walk, max) -> bytes */
static int l_read(lua_State *L) {
  struct args a;
  op_enter(L, "fs.read");
  check_args(L, &a);
  uint64_t max = check_max(L);
  struct request *r = request_new(L, &read_class, JAIL_READ, &a);
  if (!r) return out_of_memory(L);
  r->jail.max = max;
  return request_await(L, r);
}

/* list(root, path, walk, max) -> { { name, type, size } ... }, sorted by the bytes of the names */
static int l_list(lua_State *L) {
  struct args a;
  op_enter(L, "fs.list");
  check_args(L, &a);
  uint64_t max = check_max(L);
  struct request *r = request_new(L, &list_class, JAIL_LIST, &a);
  if (!r) return out_of_memory(L);
  r->jail.max = max;
  return request_await(L, r);
}

/* write(root, path, walk, data, token, how, mode?). how: "replace", "append", "fresh" (an error when
 * it is there); token: text that no other write of this process uses */
static int l_write(lua_State *L) {
  static const char *const ways[] = {"replace", "append", "fresh", NULL};
  struct args a;
  op_enter(L, "fs.write");
  check_args(L, &a);
  a.data = luaL_checklstring(L, 4, &a.size);
  a.token = luaL_checklstring(L, 5, &a.token_len);
  int how = luaL_checkoption(L, 6, NULL, ways);
  lua_Integer mode = luaL_optinteger(L, 7, -1);
  if (mode < -1 || mode > 07777) err_argument(L, "a file mode is 0 to 07777 (octal), not %lld", (long long)mode);
  if (a.token_len > 40) err_argument(L, "the token is too long");
  struct request *r = request_new(L, &write_class, JAIL_WRITE, &a);
  if (!r) return out_of_memory(L);
  r->jail.append = how == 1;
  r->jail.fresh = how == 2;
  r->jail.mode = (int)mode;
  return request_await(L, r);
}

/* stat(root, path, walk, link) -> nil: nothing is there */
static int l_stat(lua_State *L) {
  struct args a;
  op_enter(L, "fs.stat");
  check_args(L, &a);
  bool link = lua_toboolean(L, 4);
  struct request *r = request_new(L, &stat_class, JAIL_STAT, &a);
  if (!r) return out_of_memory(L);
  r->jail.link = link;
  return request_await(L, r);
}

/* mkdir(root, path, walk, parents) */
static int l_mkdir(lua_State *L) {
  struct args a;
  op_enter(L, "fs.mkdir");
  check_args(L, &a);
  bool parents = lua_toboolean(L, 4);
  struct request *r = request_new(L, &mkdir_class, JAIL_MKDIR, &a);
  if (!r) return out_of_memory(L);
  r->jail.parents = parents;
  return request_await(L, r);
}

/* remove(root, path, walk, recursive) */
static int l_remove(lua_State *L) {
  struct args a;
  op_enter(L, "fs.remove");
  check_args(L, &a);
  bool recursive = lua_toboolean(L, 4);
  struct request *r = request_new(L, &remove_class, JAIL_REMOVE, &a);
  if (!r) return out_of_memory(L);
  r->jail.recursive = recursive;
  return request_await(L, r);
}

int luaopen_host_jail(lua_State *L) {
  static const luaL_Reg functions[] = {{"read", l_read},   {"write", l_write},   {"list", l_list}, {"stat", l_stat},
                                       {"mkdir", l_mkdir}, {"remove", l_remove}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushboolean(L, jail_by_kernel());
  lua_setfield(L, -2, "kernel");
  return 1;
}
