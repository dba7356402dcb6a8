/* state.c - makes a host and takes it apart: the Lua state, the libraries scripts may come to see, the loop. */
#include "state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>
#include <sys/resource.h>

#include "loop/binding.h"
#include "loop/call.h"
#include "sys/console.h"
#include "embed/embed.h"
#include "loop/host.h"
#include "bind/hostlibs.h"
#include "httpd/httpd_impl.h"
#ifdef HAVE_NATS
#include "nats/connection.h"
#endif
#include "net/net_impl.h"
#include "store/store.h"
#include "loop/signals.h"
#include "loop/task.h"
#include "sys/tty.h"
#include "loop/traceback.h"
#include "loop/watchdog.h"

#define ENTRY(name) {"host." #name, luaopen_host_##name},
static const luaL_Reg hostlibs[] = {HOSTLIBS(ENTRY){NULL, NULL}};
#undef ENTRY

/* The engines: of several that could do it, the first does. */
static const struct net_backend *const net_backends[] = {&net_curl, &net_mem, NULL};
static const struct server_class *const server_classes[] = {&mhd_class, &mem_class, NULL};

/* While developing, STOKE_PATH names a source tree that is read instead of the binary's own copy. */
static bool load_from_tree(lua_State *L, const char *tree, const char *name) {
  static const char *const patterns[] = {"%s/%s/%s.lua", "%s/%s/%s/init.lua"};
  bool core = strncmp(name, "core.", 5) == 0, std = strncmp(name, "stoke.", 6) == 0;
  if (!core && !std && strcmp(name, "stoke") != 0) return false;
  const char *room = core ? "lua" : "stdlib";
  const char *rest = core ? name + 5 : std ? name + 6 : "init";
  rest = luaL_gsub(L, rest, ".", "/");
  for (size_t i = 0; i < COUNT_OF(patterns); i++) {
    const char *path = lua_pushfstring(L, patterns[i], tree, room, rest);
    FILE *f = fopen(path, "rb");
    if (!f) continue;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    size_t n;
    do {
      n = fread(luaL_prepbuffer(&b), 1, LUAL_BUFFERSIZE, f);
      luaL_addsize(&b, n);
    } while (n > 0);
    fclose(f);
    luaL_pushresult(&b);
    const char *chunkname = lua_pushfstring(L, EMBED_PREFIX "%s", path + strlen(tree) + 1);
    if (luaL_loadbufferx(L, lua_tostring(L, -2), lua_rawlen(L, -2), chunkname, "t") != LUA_OK) lua_error(L);
    lua_pushstring(L, path);
    return true;
  }
  return false;
}

static int load_embedded(lua_State *L, const struct embedded_source *s) {
  const struct packed *program = embed_program(s);
  if (embed_is_plain(program))
    return luaL_loadbufferx(L, (const char *)program->bytes, program->len, s->chunkname, NULL);
  struct mem *m = &host_of(L)->mem;
  char *bytes = mem_alloc(m, program->len);
  if (!bytes) return luaL_error(L, "not enough memory");
  embed_unpack(program, bytes);
  int status = luaL_loadbufferx(L, bytes, program->len, s->chunkname, NULL);
  mem_free(m, bytes);
  return status;
}

/* package.searchers entry: modules that are part of the binary. */
static int search_embedded(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *tree = getenv("STOKE_PATH");
  if (tree && load_from_tree(L, tree, name)) return 2;
  const struct embedded_source *s = embed_find(name);
  if (!s) {
    lua_pushfstring(L, "no module '%s' in the binary", name);
    return 1;
  }
  if (load_embedded(L, s) != LUA_OK) return lua_error(L);
  lua_pushstring(L, s->chunkname + 1);
  return 2;
}

static void keep_searchers(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_createtable(L, 3, 0);
  lua_rawgeti(L, -2, 1); /* preload */
  lua_rawseti(L, -2, 1);
  lua_pushcfunction(L, search_embedded);
  lua_rawseti(L, -2, 2);
  lua_setfield(L, -3, "searchers");
  lua_pop(L, 2);
}

static int open_libraries(lua_State *L) {
  luaL_openlibs(L);
  lua_getglobal(L, LUA_DBLIBNAME);
  lua_pushcfunction(L, traceback_lua);
  lua_setfield(L, -2, "traceback");
  lua_pop(L, 1);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const luaL_Reg *lib = hostlibs; lib->name; lib++) {
    lua_pushcfunction(L, lib->func);
    lua_setfield(L, -2, lib->name);
  }
  lua_pop(L, 1);
  keep_searchers(L);
  return 0;
}

static int on_panic(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  fprintf(stderr, "stoke: error outside any task: %s\n", message ? message : "?");
  return 0; /* Lua aborts */
}

static void raise_file_limit(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == r.rlim_max) return;
  r.rlim_cur = r.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &r);
}

static void on_nothing(uv_async_t *async) {
  (void)async; /* watchdog_catch_signals puts its own in place */
}

static bool make_state(struct host *h, struct err *e) {
  int rc = uv_async_init(&h->loop, &h->wake, on_nothing);
  if (rc != 0) {
    err_set_uv(e, rc, "cannot make a wake-up descriptor");
    return false;
  }
  uv_unref((uv_handle_t *)&h->wake);
  h->L = lua_newstate(mem_lua_alloc, &h->mem);
  if (!h->L) {
    err_set(e, "os", 0, "out of memory: cannot make a Lua state");
    return false;
  }
  lua_gc(h->L, LUA_GCSTOP, 0); /* nearly all that is made until the loop runs stays; see host_pace_collector */
  lua_atpanic(h->L, on_panic);
  memset(lua_getextraspace(h->L), 0, LUA_EXTRASPACE); /* no task; coroutines copy it */
  lua_pushcfunction(h->L, open_libraries);
  return call_protected(h->L, 0, 0, e);
}

bool host_init(struct host *h, struct err *e) {
  memset(h, 0, sizeof *h);
  mem_init(&h->mem);
  h->ready_tail = &h->ready_head;
  h->event_tail = &h->event_head;
  h->net_backends = net_backends;
  h->server_classes = server_classes;
  h->deadlock.ref = h->signal.ref = h->terminal.ref = h->judge = LUA_NOREF;
  const char *fail_at = getenv("STOKE_MEM_FAIL"), *gc = getenv("STOKE_GC");
  if (fail_at) h->mem.fail_at = strtoull(fail_at, NULL, 10);
  h->gc_stress = gc && strcmp(gc, "stress") == 0;
  int rc = uv_loop_init(&h->loop);
  if (rc != 0) {
    err_set_uv(e, rc, "cannot make an event loop");
    return false;
  }
  host_poll_init(h);
  uv_timer_init(&h->loop, &h->uv_timer);
  uv_unref((uv_handle_t *)&h->uv_timer);
  if (make_state(h, e)) return true;
  (void)host_close(h);
  return false;
}

/* start(argv, argc): require "core.boot" (arguments) */
static int start(lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  int argc = (int)lua_tointeger(L, 2);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "core.boot");
  lua_call(L, 1, 1);
  lua_createtable(L, argc, 0);
  for (int i = 1; i < argc; i++) { /* argv[0] is the program */
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_call(L, 1, 0);
  return 0;
}

bool host_start(struct host *h, int argc, char **argv, struct err *e) {
  raise_file_limit(); /* of our own process; what a program that embeds a host may open is its own affair */
  lua_pushcfunction(h->L, start); /* outside a protected call nothing may allocate */
  lua_pushlightuserdata(h->L, argv);
  lua_pushinteger(h->L, argc);
  return call_protected(h->L, 2, 0, e);
}

/* --- taking it apart ------------------------------------------------------------------------------------------------ */

static void close_leftover(uv_handle_t *handle, void *ud) {
  (void)ud;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

#define NATIVE_LIMIT  3.0 /* seconds: children get two between SIGTERM and SIGKILL */
#define CLOSING_LIMIT 0.5

/* Runs the loop until nothing (or, with `all` false, no operation) is left; false when the time is up. */
static bool drain(struct host *h, bool all, double seconds) {
  uint64_t until = uv_hrtime() + (uint64_t)(seconds * 1e9);
  while (all || h->inflight > 0) {
    if (uv_run(&h->loop, UV_RUN_NOWAIT) == 0) return true;
    if (uv_hrtime() > until) return false;
    uv_sleep(1);
  }
  return true;
}

/* Each step needs the ones after it still standing. What was never made is skipped. */
bool host_close(struct host *h) {
  /* 1. Waits first: their native halves still know the loop, and none of their tasks will run again. */
  for (struct task *t = h->live; t; t = t->live_next)
    if (t->op && t->op->verdict == OP_PENDING) op_cancel(t->op);
  /* 2. The state: finalizers close what scripts left open; they may still use engines and loop. */
  if (h->L) lua_gc(h->L, LUA_GCSTOP, 0);
  tasks_free(h);
  if (h->L) lua_close(h->L);
  h->L = NULL;
  /* 3. Engines, which then hold no request any more. */
  net_close(h);
  tty_close(h);
  console_close(h);
  httpd_close(h);
  store_shut(h);
#ifdef HAVE_NATS
  nats_shut(h);
#endif
  watchdog_close(h);
  signals_release(h);
  /* 4. Closings in flight; bounded, because a stuck native call must not keep the process. */
  (void)drain(h, false, NATIVE_LIMIT);
  if (!store_finish(h)) return false;
#ifdef HAVE_NATS
  if (!nats_finish(h)) return false;
#endif
  /* 5. Whatever is still there, and the loop itself. */
  uv_walk(&h->loop, close_leftover, NULL);
  if (!drain(h, true, CLOSING_LIMIT)) return false;
  (void)uv_loop_close(&h->loop);
  mem_release(&h->mem);
  return true;
}
