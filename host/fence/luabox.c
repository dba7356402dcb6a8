/* luabox.c - see luabox.h. The code meets four caps: the allocator's, a timer of processor time whose handler ends the
 * process (no hook would see a single long call into C), the size of what it prints, and the fences of sandbox.h. The Lua
 * half, lua/luabox.lua, compiles, runs and shows values. */
#include "luabox.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base.h"
#include "loop/call.h"
#include "embed/embed.h"
#include "sandbox.h"

#define CODE_MAX     (1u << 20)
#define PRINT_LARGE  (64u << 20)
#define DEFAULT_MEM  (32u << 20)
#define DEFAULT_MS   2000
#define DEFAULT_OUT  (64u << 10)
#define MB           (1024.0 * 1024.0)
#define STANDARD_OUT 1
#define STANDARD_ERR 2

static struct {
  struct sandbox fences;
  uint64_t cpu_ms, memory, output;
  size_t used; /* by the state */
  char level[SANDBOX_LEVEL_MAX];
  char late[SANDBOX_LEVEL_MAX + 80]; /* the message for a timeout, formatted in advance */
  char *printed;
  volatile sig_atomic_t cut;
  volatile size_t length;
} box;

static void put(int fd, const char *bytes, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, bytes, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return; /* the reader has closed its end */
    bytes += n;
    len -= (size_t)n;
  }
}

static void put_printed(void) {
  static const char mark[] = "\n... (the rest of the output was cut)\n";
  put(STANDARD_OUT, box.printed, box.length);
  if (box.cut) put(STANDARD_OUT, mark, sizeof mark - 1);
}

static void on_time_up(int number) {
  (void)number;
  put_printed();
  put(STANDARD_ERR, box.late, strlen(box.late));
  _exit(LUABOX_LIMIT);
}

static void *alloc(void *ud, void *block, size_t old_size, size_t new_size) {
  (void)ud;
  if (!block) old_size = 0; /* it was a type */
  if (new_size == 0) {
    free(block);
    box.used -= old_size;
    return NULL;
  }
  if (new_size > old_size && box.used + (new_size - old_size) > box.memory) return NULL;
  void *p = realloc(block, new_size);
  if (!p) return new_size <= old_size ? block : NULL; /* shrinking must not fail */
  box.used += new_size - old_size;
  return p;
}

/* write(text) */
static int l_write(lua_State *L) {
  size_t len, room = (size_t)box.output - box.length;
  const char *text = luaL_checklstring(L, 1, &len);
  if (len > room) {
    box.cut = 1;
    len = room;
  }
  memcpy(box.printed + box.length, text, len);
  box.length += len; /* last: the handler may look at any moment */
  return 0;
}

/* start(code, len) -> success, text to print */
static int start(lua_State *L) {
  static const luaL_Reg libraries[] = {{LUA_GNAME, luaopen_base},
                                       {LUA_TABLIBNAME, luaopen_table},
                                       {LUA_STRLIBNAME, luaopen_string},
                                       {LUA_MATHLIBNAME, luaopen_math},
                                       {LUA_UTF8LIBNAME, luaopen_utf8},
                                       {LUA_COLIBNAME, luaopen_coroutine},
                                       {NULL, NULL}};
  const struct embedded_source *s = embed_find("core.luabox");
  CHECK(s);
  for (const luaL_Reg *lib = libraries; lib->func; lib++) {
    luaL_requiref(L, lib->name, lib->func, 1);
    lua_pop(L, 1);
  }
  const struct packed *program = embed_program(s);
  char *bytes = lua_newuserdatauv(L, program->len, 0);
  embed_unpack(program, bytes);
  if (luaL_loadbufferx(L, bytes, program->len, s->chunkname, NULL) != LUA_OK) return lua_error(L);
  lua_pushlstring(L, lua_touserdata(L, 1), (size_t)lua_tointeger(L, 2));
  lua_pushcfunction(L, l_write);
  lua_call(L, 2, 2);
  return 2;
}

/* All of standard input; -1 = it is longer than CODE_MAX, or cannot be read. */
static ssize_t read_code(char *code) {
  size_t len = 0;
  while (len <= CODE_MAX) {
    ssize_t n = read(0, code + len, CODE_MAX + 1 - len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) return (ssize_t)len;
    len += (size_t)n;
  }
  return -1;
}

static bool read_words(int argc, char **argv, struct err *e) {
  box.memory = DEFAULT_MEM;
  box.cpu_ms = DEFAULT_MS;
  box.output = DEFAULT_OUT;
  for (int i = 2; i < argc; i++) {
    unsigned long long n = 0;
    int end = 0;
    if (sscanf(argv[i], "cpu_ms=%llu%n", &n, &end) == 1 && !argv[i][end])
      box.cpu_ms = n;
    else if (sscanf(argv[i], "output=%llu%n", &n, &end) == 1 && !argv[i][end])
      box.output = n;
    else if (!sandbox_word(&box.fences, argv[i], e))
      return false;
  }
  if (box.fences.memory) box.memory = box.fences.memory;
  if (box.cpu_ms >= 1 && box.cpu_ms <= 86400000 && box.output <= PRINT_LARGE) return true;
  err_set(e, "argument", 0, "cpu_ms must be 1 to 86400000, output at most %u bytes", PRINT_LARGE);
  return false;
}

static bool fence(struct err *e) {
  struct itimerval once = {
      .it_value = {.tv_sec = (time_t)(box.cpu_ms / 1000), .tv_usec = (suseconds_t)(box.cpu_ms % 1000 * 1000)}};
  box.fences.closed = true;
  box.fences.cpu = (unsigned)(box.cpu_ms / 1000) + 2; /* should the handler fail */
  if (!sandbox_apply(&box.fences, NULL, box.level, e)) return false;
  snprintf(box.late, sizeof box.late, "%s\nstopped after %g s of CPU", box.level, (double)box.cpu_ms / 1000);
  signal(SIGPROF, on_time_up);
  if (setitimer(ITIMER_PROF, &once, NULL) == 0) return true;
  err_set(e, "denied", errno, "cannot set a timer: %s", strerror(errno));
  return false;
}

/* Its state is never closed: no finalizer of the code shall run on. */
static int run(const char *code, size_t len) {
  struct err e;
  int status = LUABOX_LIMIT;
  char message[ERR_MESSAGE_MAX];
  snprintf(message, sizeof message, "out of memory (%g MiB)", (double)box.memory / MB);
  lua_State *L = lua_newstate(alloc, NULL);
  size_t size = strlen(message);
  const char *text = message;
  if (L && lua_checkstack(L, 3)) {
    lua_pushcfunction(L, start);
    lua_pushlightuserdata(L, (void *)(uintptr_t)code);
    lua_pushinteger(L, (lua_Integer)len);
    if (call_protected(L, 2, 2, &e)) {
      const char *got = lua_tolstring(L, -1, &len);
      status = lua_toboolean(L, -2) ? LUABOX_OK : LUABOX_FAILED;
      if (status == LUABOX_FAILED && strcmp(got, "not enough memory") == 0) {
        status = LUABOX_LIMIT;
      } else {
        text = got;
        size = len;
      }
    } else if (strcmp(e.kind, "os") != 0) {
      text = e.message;
      size = strlen(text);
      status = LUABOX_FAILED;
    }
  }
  signal(SIGPROF, SIG_IGN);
  put_printed();
  put(STANDARD_ERR, box.level, strlen(box.level));
  put(STANDARD_ERR, "\n", 1);
  put(STANDARD_ERR, text, size);
  _exit(status);
}

int luabox_main(int argc, char **argv) {
  struct err e;
  err_clear(&e);
  char *code = NULL;
  ssize_t len = -1;
  sandbox_close_from(STANDARD_ERR + 1);
  bool ok = read_words(argc, argv, &e);
  if (ok) {
    code = malloc(CODE_MAX + 1);
    box.printed = malloc((size_t)box.output + 1);
    ok = code && box.printed;
    if (!ok) err_set(&e, "os", 0, "out of memory");
  }
  if (ok) {
    len = read_code(code);
    ok = len >= 0;
    if (!ok) err_set(&e, "limit", 0, "the code is longer than %u bytes", CODE_MAX);
  }
  if (ok && fence(&e)) return run(code, (size_t)len);
  fprintf(stderr, "stoke: %s\n", e.message);
  free(code);
  free(box.printed);
  return SANDBOX_EXIT;
}
