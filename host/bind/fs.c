/* fs.c - host.fs: files. Every function is one request to libuv's thread pool and waits for it;
 * lua/driver/fs.lua composes them. A cancelled wait ends at once; the request ends when it ends,
 * and what it made is cleaned up then. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>
#include <sys/stat.h>

#include "loop/binding.h"
#include "sys/fs.h"
#include "loop/host.h"
#include "bind_fs.h"
#include "loop/op.h"

#define FILE_TYPE "host.fs.file"
#define READ_MAX  (256 << 20)

int luaopen_host_fs(lua_State *L);

/* One wait: a request, what it works on, and what it is called in messages. */
struct request {
  struct op op;
  struct host *host;
  struct file *file; /* held; NULL for requests on paths */
  const char *verb;  /* "cannot VERB "path": reason"; static */
  ssize_t result;
  uv_fs_t fs;
  uv_work_t work; /* remove_tree */
  uv_poll_t poll; /* file:wait */
  struct tree tree;
  char *bytes; /* behind path: what is read or written */
  char path[];
};

static struct request *of_op(struct op *op) {
  return CONTAINER_OF(op, struct request, op);
}

/* --- a request's life ------------------------------------------------------------------------- */

static int out_of_memory(lua_State *L, const char *verb) {
  return err_pushf(L, "os", "out of memory: cannot %s a file", verb);
}

static struct request *request_new(lua_State *L, const struct op_class *cls, const char *verb, const char *path,
                                   struct file *file, size_t room) {
  struct host *h = host_of(L);
  size_t len = strlen(path);
  struct request *r = mem_alloc(&h->mem, sizeof *r + len + 1 + room);
  if (!r) return NULL;
  memset(r, 0, sizeof *r);
  op_init(&r->op, cls);
  r->host = h;
  r->verb = verb;
  memcpy(r->path, path, len + 1);
  r->bytes = r->path + len + 1;
  r->file = file;
  if (file) file_hold(file);
  return r;
}

static void request_free(struct op *op) {
  struct request *r = of_op(op);
  uv_fs_req_cleanup(&r->fs);
  if (r->file) file_release(r->file);
  mem_free(&r->host->mem, r);
}

static void request_over(struct request *r) {
  op_done(&r->op);
  op_unref(&r->op);
}

static void request_done(uv_fs_t *fs) {
  struct request *r = CONTAINER_OF(fs, struct request, fs);
  r->result = fs->result;
  r->host->inflight--;
  request_over(r);
}

/* rc is what the uv_fs_* call said: the request is on its way, or failed before it began. */
static int request_await(lua_State *L, struct request *r, int rc) {
  if (rc == 0) {
    r->host->inflight++;
  } else {
    r->result = rc;
    request_over(r);
  }
  return op_await(L, &r->op);
}

static void request_cancel(struct op *op) {
  (void)uv_cancel(
      (uv_req_t *)&of_op(op)->fs); /* works only while it is queued; otherwise it runs on and its result is dropped */
}

static int push_failure(lua_State *L, const struct request *r) {
  struct err e;
  const char *where = r->file ? r->file->name : r->path;
  size_t len = strlen(where);
  err_set(&e, "os", (int)-r->result, "cannot %s \"%.120s%s\": %s", r->verb, where, len > 120 ? "..." : "",
          uv_strerror((int)r->result));
  return err_push(L, &e);
}

/* --- results ---------------------------------------------------------------------------------- */

static int push_true(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->result < 0) return push_failure(L, r);
  lua_pushboolean(L, 1);
  return 1;
}

/* How many bytes; false when none can be written yet. */
static int push_count(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->result == UV_EAGAIN)
    lua_pushboolean(L, 0);
  else if (r->result < 0)
    return push_failure(L, r);
  else
    lua_pushinteger(L, r->result);
  return 1;
}

/* Bytes; "" at the end; false when there is nothing yet (a fifo, a terminal): file:wait(), then
 * again. */
static int push_bytes(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->result == UV_EAGAIN) {
    lua_pushboolean(L, 0);
    return 1;
  }
  if (r->result < 0) return push_failure(L, r);
  lua_pushlstring(L, r->bytes, (size_t)r->result);
  return 1;
}

static int push_file(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->file->fd < 0) return push_failure(L, r);
  struct file **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, FILE_TYPE);
  *box = r->file; /* the reference goes over to the userdata */
  r->file = NULL;
  return 1;
}

static int push_resolved(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->result < 0) return push_failure(L, r);
  lua_pushstring(L, r->fs.ptr);
  return 1;
}

const char *fs_type_of_mode(uint64_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "link";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFCHR:
    case S_IFBLK: return "device";
    default: return "unknown";
  }
}

static const char *type_of_entry(uv_dirent_type_t type) {
  switch (type) {
    case UV_DIRENT_FILE: return "file";
    case UV_DIRENT_DIR: return "directory";
    case UV_DIRENT_LINK: return "link";
    case UV_DIRENT_FIFO: return "fifo";
    case UV_DIRENT_SOCKET: return "socket";
    case UV_DIRENT_CHAR:
    case UV_DIRENT_BLOCK: return "device";
    default: return "unknown";
  }
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void set_time(lua_State *L, const char *name, const uv_timespec_t *t) {
  lua_pushnumber(L, (double)t->tv_sec + (double)t->tv_nsec / 1e9);
  lua_setfield(L, -2, name);
}

void fs_push_stat(lua_State *L, const uv_stat_t *st) {
  lua_createtable(L, 0, 11);
  lua_pushstring(L, fs_type_of_mode(st->st_mode));
  lua_setfield(L, -2, "type");
  set_integer(L, "mode", st->st_mode & 07777);
  set_integer(L, "size", st->st_size);
  set_integer(L, "uid", st->st_uid);
  set_integer(L, "gid", st->st_gid);
  set_integer(L, "ino", st->st_ino);
  set_integer(L, "dev", st->st_dev);
  set_integer(L, "nlink", st->st_nlink);
  set_time(L, "mtime", &st->st_mtim);
  set_time(L, "atime", &st->st_atim);
  set_time(L, "ctime", &st->st_ctim);
}

/* A missing path is no failure of the world: nil alone. */
static int push_stat(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->result == UV_ENOENT || r->result == UV_ENOTDIR) {
    lua_pushnil(L);
    return 1;
  }
  if (r->result < 0) return push_failure(L, r);
  fs_push_stat(L, &r->fs.statbuf);
  return 1;
}

struct entry {
  const char *name;
  uv_dirent_type_t type;
};

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* libuv frees each entry when it gives the next one (the last, when it says there is none), so the
 * names live in a table of Lua. */
static size_t read_entries(lua_State *L, struct request *r, struct entry *entries, size_t max) {
  uv_dirent_t d;
  size_t n = 0;
  lua_createtable(L, (int)max, 0);
  while (uv_fs_scandir_next(&r->fs, &d) == 0) {
    CHECK(n < max);
    entries[n++] = (struct entry){lua_pushstring(L, d.name), d.type};
    lua_rawseti(L, -2, (lua_Integer)n);
  }
  return n;
}

/* Sorted here, by bytes: scandir's order and that of `<` in Lua follow the locale. */
static int push_entries(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->result < 0) return push_failure(L, r);
  size_t max = (size_t)r->result;
  struct entry *entries = lua_newuserdatauv(L, (max + 1) * sizeof *entries, 0);
  size_t n = read_entries(L, r, entries, max);
  qsort(entries, n, sizeof *entries, by_name);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, entries[i].name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, type_of_entry(entries[i].type));
    lua_setfield(L, -2, "type");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const struct op_class true_class = {"fs", push_true, request_cancel, request_free};
static const struct op_class count_class = {"fs.write", push_count, request_cancel, request_free};
static const struct op_class bytes_class = {"fs.read", push_bytes, request_cancel, request_free};
static const struct op_class file_class = {"fs.open", push_file, request_cancel, request_free};
static const struct op_class resolve_class = {"fs.resolve", push_resolved, request_cancel, request_free};
static const struct op_class stat_class = {"fs.stat", push_stat, request_cancel, request_free};
static const struct op_class list_class = {"fs.list", push_entries, request_cancel, request_free};

/* --- arguments -------------------------------------------------------------------------------- */

static const char *check_path(lua_State *L, int arg) {
  size_t len;
  const char *path = luaL_checklstring(L, arg, &len);
  if (len == 0) err_argument(L, "a path cannot be empty");
  if (strlen(path) != len) err_argument(L, "a path holds no NUL byte: \"%.100s...\"", path);
  return path;
}

static int check_mode(lua_State *L, int arg, int otherwise) {
  lua_Integer mode = luaL_optinteger(L, arg, otherwise);
  if (mode < 0 || mode > 07777) err_argument(L, "a file mode is 0 to 07777 (octal), not %lld", (long long)mode);
  return (int)mode;
}

static struct file *check_file(lua_State *L) {
  struct file **box = luaL_checkudata(L, 1, FILE_TYPE);
  if (!*box) err_argument(L, "the file is closed");
  return *box;
}

/* --- paths ------------------------------------------------------------------------------------ */

static void open_done(uv_fs_t *fs) {
  struct request *r = CONTAINER_OF(fs, struct request, fs);
  if (fs->result >= 0) r->file->fd = (int)fs->result; /* if no task waits any more, it closes with the request */
  request_done(fs);
}

/* open(path, how, mode?, shown?) -> file. how: "read", "write" (what is there, in place), "append",
 * or "temp": a new file for writing that vanishes with its close unless file:publish renames it.
 * `shown` is the name in messages. Nothing here blocks the thread: fifos and devices open at once
 * and are waited for with file:wait(). */
static int l_open(lua_State *L) {
  static const char *const names[] = {"read", "write", "append", "temp", NULL};
  static const int flags[] = {O_RDONLY, O_WRONLY, O_WRONLY | O_APPEND | O_CREAT, O_WRONLY | O_CREAT | O_EXCL};
  op_enter(L, "fs.open");
  const char *path = check_path(L, 1);
  int how = luaL_checkoption(L, 2, NULL, names), mode = check_mode(L, 3, 0666);
  const char *shown = luaL_optstring(L, 4, path);
  struct file *f = file_new(host_of(L), shown, how == 3 ? path : NULL);
  struct request *r = f ? request_new(L, &file_class, "open", path, f, 0) : NULL;
  if (f) file_release(f); /* the request holds it */
  if (!r) return out_of_memory(L, "open");
  int rc = uv_fs_open(&r->host->loop, &r->fs, path, flags[how] | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode, open_done);
  return request_await(L, r, rc);
}

static int l_stat(lua_State *L) {
  op_enter(L, "fs.stat");
  const char *path = check_path(L, 1);
  bool follow = !lua_toboolean(L, 2);
  struct request *r = request_new(L, &stat_class, "look at", path, NULL, 0);
  if (!r) return out_of_memory(L, "look at");
  uv_loop_t *loop = &r->host->loop;
  return request_await(
      L, r, follow ? uv_fs_stat(loop, &r->fs, path, request_done) : uv_fs_lstat(loop, &r->fs, path, request_done));
}

static int l_list(lua_State *L) {
  op_enter(L, "fs.list");
  const char *path = check_path(L, 1);
  struct request *r = request_new(L, &list_class, "list", path, NULL, 0);
  if (!r) return out_of_memory(L, "list");
  return request_await(L, r, uv_fs_scandir(&r->host->loop, &r->fs, path, 0, request_done));
}

static int l_resolve(lua_State *L) {
  op_enter(L, "fs.resolve");
  const char *path = check_path(L, 1);
  struct request *r = request_new(L, &resolve_class, "resolve", path, NULL, 0);
  if (!r) return out_of_memory(L, "resolve");
  return request_await(L, r, uv_fs_realpath(&r->host->loop, &r->fs, path, request_done));
}

static int l_mkdir(lua_State *L) {
  op_enter(L, "fs.mkdir");
  const char *path = check_path(L, 1);
  int mode = check_mode(L, 2, 0777);
  struct request *r = request_new(L, &true_class, "make the folder", path, NULL, 0);
  if (!r) return out_of_memory(L, "make");
  return request_await(L, r, uv_fs_mkdir(&r->host->loop, &r->fs, path, mode, request_done));
}

static int l_rmdir(lua_State *L) {
  op_enter(L, "fs.remove");
  const char *path = check_path(L, 1);
  struct request *r = request_new(L, &true_class, "remove the folder", path, NULL, 0);
  if (!r) return out_of_memory(L, "remove");
  return request_await(L, r, uv_fs_rmdir(&r->host->loop, &r->fs, path, request_done));
}

static int l_unlink(lua_State *L) {
  op_enter(L, "fs.remove");
  const char *path = check_path(L, 1);
  struct request *r = request_new(L, &true_class, "remove", path, NULL, 0);
  if (!r) return out_of_memory(L, "remove");
  return request_await(L, r, uv_fs_unlink(&r->host->loop, &r->fs, path, request_done));
}

static int l_rename(lua_State *L) {
  op_enter(L, "fs.rename");
  const char *from = check_path(L, 1), *to = check_path(L, 2);
  struct request *r = request_new(L, &true_class, "rename", from, NULL, 0);
  if (!r) return out_of_memory(L, "rename");
  return request_await(L, r, uv_fs_rename(&r->host->loop, &r->fs, from, to, request_done));
}

/* --- remove_tree ------------------------------------------------------------------------------ */

static void tree_work(uv_work_t *work) {
  tree_remove(&CONTAINER_OF(work, struct request, work)->tree);
}

static void tree_done(uv_work_t *work, int status) {
  struct request *r = CONTAINER_OF(work, struct request, work);
  r->result = status ? status : -r->tree.error;
  r->host->inflight--;
  request_over(r);
}

static int push_tree(lua_State *L, struct op *op) {
  struct request *r = of_op(op);
  if (r->result == 0 || !r->tree.failed[0] || strcmp(r->tree.failed, r->path) == 0) return push_true(L, op);
  struct err e;
  err_set(&e, "os", (int)-r->result, "cannot remove \"%.60s\" in \"%.100s\": %s", r->tree.failed, r->path,
          uv_strerror((int)r->result));
  return err_push(L, &e);
}

static void tree_cancel(struct op *op) {
  atomic_store(&of_op(op)->tree.cancelled, true);
  (void)uv_cancel((uv_req_t *)&of_op(op)->work);
}

static const struct op_class tree_class = {"fs.remove", push_tree, tree_cancel, request_free};

/* remove_tree(path): a file, or a folder with all that is in it; symbolic links are removed, never
 * followed */
static int l_remove_tree(lua_State *L) {
  op_enter(L, "fs.remove");
  const char *path = check_path(L, 1);
  struct request *r = request_new(L, &tree_class, "remove", path, NULL, 0);
  if (!r) return out_of_memory(L, "remove");
  r->tree.path = r->path;
  r->tree.dir = AT_FDCWD;
  return request_await(L, r, uv_queue_work(&r->host->loop, &r->work, tree_work, tree_done));
}

/* --- open files ------------------------------------------------------------------------------- */

/* file:read(n, at?) -> up to n bytes: those from offset `at` on, else the next ones */
static int file_read(lua_State *L) {
  op_enter(L, "fs.read");
  struct file *f = check_file(L);
  lua_Integer n = luaL_checkinteger(L, 2);
  lua_Integer at = luaL_optinteger(L, 3, -1);
  if (n < 1 || n > READ_MAX) return err_argument(L, "read(n): n must be 1 to %d, not %lld", READ_MAX, (long long)n);
  struct request *r = request_new(L, &bytes_class, "read", "", f, (size_t)n);
  if (!r) return out_of_memory(L, "read");
  uv_buf_t buf = uv_buf_init(r->bytes, (unsigned)n);
  return request_await(L, r, uv_fs_read(&r->host->loop, &r->fs, f->fd, &buf, 1, at, request_done));
}

/* file:write(s, from, n) -> how many of the n bytes from position `from` were written; false = none
 * can be yet. The bytes are copied, because a cancelled wait lets go of the string while the thread
 * still reads it. */
static int file_write(lua_State *L) {
  op_enter(L, "fs.write");
  struct file *f = check_file(L);
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  lua_Integer from = luaL_checkinteger(L, 3), n = luaL_checkinteger(L, 4);
  if (from < 1 || n < 0 || n > READ_MAX || (size_t)from - 1 > len || (size_t)n > len - ((size_t)from - 1)) {
    return err_argument(L, "write(s, from, n): %lld and %lld are outside the string", (long long)from, (long long)n);
  }
  struct request *r = request_new(L, &count_class, "write", "", f, (size_t)n);
  if (!r) return out_of_memory(L, "write");
  memcpy(r->bytes, s + from - 1, (size_t)n);
  uv_buf_t buf = uv_buf_init(r->bytes, (unsigned)n);
  return request_await(L, r, uv_fs_write(&r->host->loop, &r->fs, f->fd, &buf, 1, -1, request_done));
}

static int file_stat(lua_State *L) {
  op_enter(L, "fs.stat");
  struct file *f = check_file(L);
  struct request *r = request_new(L, &stat_class, "look at", "", f, 0);
  if (!r) return out_of_memory(L, "look at");
  return request_await(L, r, uv_fs_fstat(&r->host->loop, &r->fs, f->fd, request_done));
}

static int file_sync(lua_State *L) {
  op_enter(L, "fs.write");
  struct file *f = check_file(L);
  struct request *r = request_new(L, &true_class, "write", "", f, 0);
  if (!r) return out_of_memory(L, "write");
  return request_await(L, r, uv_fs_fsync(&r->host->loop, &r->fs, f->fd, request_done));
}

static int file_truncate(lua_State *L) {
  op_enter(L, "fs.write");
  struct file *f = check_file(L);
  lua_Integer size = luaL_checkinteger(L, 2);
  struct request *r = request_new(L, &true_class, "shorten", "", f, 0);
  if (!r) return out_of_memory(L, "shorten");
  return request_await(L, r, uv_fs_ftruncate(&r->host->loop, &r->fs, f->fd, size, request_done));
}

static int file_chmod(lua_State *L) {
  op_enter(L, "fs.write");
  struct file *f = check_file(L);
  int mode = check_mode(L, 2, -1);
  struct request *r = request_new(L, &true_class, "set the mode of", "", f, 0);
  if (!r) return out_of_memory(L, "set the mode of");
  return request_await(L, r, uv_fs_fchmod(&r->host->loop, &r->fs, f->fd, mode, request_done));
}

static void publish_done(uv_fs_t *fs) {
  struct request *r = CONTAINER_OF(fs, struct request, fs);
  if (fs->result == 0) file_keep(r->file);
  request_done(fs);
}

/* file:publish(path): a temp file gets its name, in one step, and stays */
static int file_publish(lua_State *L) {
  op_enter(L, "fs.write");
  struct file *f = check_file(L);
  const char *path = check_path(L, 2);
  if (!f->temp) return err_argument(L, "only a temp file can be published, once");
  struct request *r = request_new(L, &true_class, "write", "", f, 0);
  if (!r) return out_of_memory(L, "write");
  return request_await(L, r, uv_fs_rename(&r->host->loop, &r->fs, f->temp, path, publish_done));
}

static int l_file_close(lua_State *L) {
  struct file **box = luaL_checkudata(L, 1, FILE_TYPE);
  struct file *f = *box;
  *box = NULL;
  if (f) file_release(f);
  return 0;
}

/* --- waiting for a fifo or a device ----------------------------------------------------------- */

static void poll_closed(uv_handle_t *handle) {
  struct request *r = CONTAINER_OF((uv_poll_t *)handle, struct request, poll);
  r->host->inflight--;
  op_unref(&r->op);
}

static void poll_ready(uv_poll_t *poll, int status, int events) {
  struct request *r = CONTAINER_OF(poll, struct request, poll);
  (void)events;
  r->result = status;
  op_done(&r->op);
  uv_close((uv_handle_t *)poll, poll_closed);
}

static void poll_cancel(struct op *op) {
  uv_close((uv_handle_t *)&of_op(op)->poll, poll_closed);
}

static const struct op_class poll_class = {"fs.read", push_true, poll_cancel, request_free};

/* file:wait(for_write?): until a read (or write) has something to do. What cannot be waited for is
 * always ready. */
static int file_wait(lua_State *L) {
  op_enter(L, "fs.read");
  struct file *f = check_file(L);
  int events = lua_toboolean(L, 2) ? UV_WRITABLE : UV_READABLE | UV_DISCONNECT;
  struct request *r = request_new(L, &poll_class, events == UV_WRITABLE ? "write" : "read", "", f, 0);
  if (!r) return out_of_memory(L, "read");
  int rc = uv_poll_init(&r->host->loop, &r->poll, f->fd);
  if (rc == 0) {
    r->host->inflight++;
    rc = uv_poll_start(&r->poll, events, poll_ready);
    CHECK(rc == 0);
  } else {
    r->result = rc == UV_EPERM ? 0 : rc;
    request_over(r);
  }
  return op_await(L, &r->op);
}

int luaopen_host_fs(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"read", file_read},         {"write", file_write}, {"stat", file_stat},       {"sync", file_sync},
      {"truncate", file_truncate}, {"chmod", file_chmod}, {"publish", file_publish}, {"wait", file_wait},
      {"close", l_file_close},     {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", l_open},
                                       {"stat", l_stat},
                                       {"list", l_list},
                                       {"resolve", l_resolve},
                                       {"mkdir", l_mkdir},
                                       {"rmdir", l_rmdir},
                                       {"unlink", l_unlink},
                                       {"rename", l_rename},
                                       {"remove_tree", l_remove_tree},
                                       {NULL, NULL}};
  if (luaL_newmetatable(L, FILE_TYPE)) {
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_file_close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, l_file_close);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "file");
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_pushinteger(L, ENOENT); /* the error codes that drivers compare */
  lua_setfield(L, -2, "ENOENT");
  lua_pushinteger(L, EEXIST);
  lua_setfield(L, -2, "EEXIST");
  return 1;
}
