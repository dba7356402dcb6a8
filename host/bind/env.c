/* env.c - host.env: the environment of the process. get(name) -> string | nil; names() -> sorted array; set(name, value)
 * -> true | nil, err, only before other threads run (they may read it); pid(); cwd(); lives(pid) -> whether there is such a
 * process; place() -> eight hex digits of where numbers of processes mean the same. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base.h"
#include "loop/binding.h"

extern char **environ;

int luaopen_host_env(lua_State *L);

struct name {
  const char *bytes;
  size_t len;
};

static int l_get(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  if (strlen(name) != len) return err_argument(L, "an environment variable's name holds no NUL byte");
  lua_pushstring(L, getenv(name)); /* nil when unset */
  return 1;
}

static int l_set(lua_State *L) {
  size_t name_len, value_len;
  const char *name = luaL_checklstring(L, 1, &name_len), *value = luaL_checklstring(L, 2, &value_len);
  if (name_len == 0 || strlen(name) != name_len || strchr(name, '=') || strlen(value) != value_len) {
    return err_argument(L, "an environment variable holds no NUL byte, and its name no '='");
  }
  if (setenv(name, value, 1) != 0) return err_pushf(L, "os", "not enough memory for an environment variable");
  lua_pushboolean(L, 1);
  return 1;
}

/* By bytes: `<` in Lua would follow the locale. */
static int by_bytes(const void *a, const void *b) {
  const struct name *x = a, *y = b;
  int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
  return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int l_names(lua_State *L) {
  int count = 0, kept = 0, n = 0;
  while (environ && environ[count]) count++;
  struct name *names = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *names, 0);
  for (int i = 0; i < count; i++) {
    const char *equals = strchr(environ[i], '=');
    if (equals && equals != environ[i]) {
      names[kept++] = (struct name){environ[i], (size_t)(equals - environ[i])};
    }
  }
  if (kept > 1) qsort(names, (size_t)kept, sizeof *names, by_bytes);
  lua_createtable(L, kept, 0);
  for (int i = 0; i < kept; i++) {
    if (i > 0 && by_bytes(&names[i], &names[i - 1]) == 0) continue; /* a name given twice */
    lua_pushlstring(L, names[i].bytes, names[i].len);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static int l_pid(lua_State *L) {
  lua_pushinteger(L, uv_os_getpid());
  return 1;
}

/* nil when the folder is gone */
static int l_cwd(lua_State *L) {
  char path[4096];
  size_t len = sizeof path;
  if (uv_cwd(path, &len) != 0) return 0;
  lua_pushlstring(L, path, len);
  return 1;
}

static int l_lives(lua_State *L) {
  lua_Integer pid = luaL_checkinteger(L, 1);
  bool lives = pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
  lua_pushboolean(L, lives);
  return 1;
}

static uint32_t mix(uint32_t hash, const void *bytes, size_t len) { /* FNV-1a */
  for (size_t i = 0; i < len; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * 16777619u;
  return hash;
}

/* One machine, since it was started, and in it one container: by what the system has for a name of each. */
static int l_place(lua_State *L) {
  uint32_t hash = 2166136261u;
  char text[65];
  size_t len = sizeof text;
  struct stat st;
  FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (boot) {
    hash = mix(hash, text, fread(text, 1, 36, boot));
    fclose(boot);
  } else if (uv_os_gethostname(text, &len) == 0) {
    hash = mix(hash, text, len);
  }
  if (stat("/proc/self/ns/pid", &st) == 0) hash = mix(hash, &st.st_ino, sizeof st.st_ino);
  snprintf(text, sizeof text, "%08x", (unsigned)hash);
  lua_pushstring(L, text);
  return 1;
}

int luaopen_host_env(lua_State *L) {
  static const luaL_Reg functions[] = {{"get", l_get}, {"set", l_set},     {"names", l_names}, {"pid", l_pid},
                                       {"cwd", l_cwd}, {"lives", l_lives}, {"place", l_place}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
