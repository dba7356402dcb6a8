/* httpd_unix.c - see httpd_unix.h. */
#include "httpd_unix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static bool address_of(const char *path, struct sockaddr_un *addr, struct err *e) {
  size_t len = strlen(path);
  memset(addr, 0, sizeof *addr);
  addr->sun_family = AF_UNIX;
  if (len == 0 || len >= sizeof addr->sun_path) {
    err_set(e, "argument", 0, "cannot listen on '%.150s': the path of a socket has 1 to %zu bytes", path,
            sizeof addr->sun_path - 1);
    return false;
  }
  memcpy(addr->sun_path, path, len + 1);
  return true;
}

/* Is there a socket that nobody listens on any more? */
static bool is_left_behind(const struct sockaddr_un *addr) {
  struct stat st;
  if (lstat(addr->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool refused = connect(fd, (const struct sockaddr *)addr, sizeof *addr) != 0 && errno == ECONNREFUSED;
  close(fd);
  return refused;
}

static bool bind_private(int fd, const struct sockaddr_un *addr) {
  mode_t before = umask(0177);
  bool ok = bind(fd, (const struct sockaddr *)addr, sizeof *addr) == 0;
  int code = errno;
  umask(before);
  errno = code;
  return ok;
}

int unix_listen(const char *path, struct err *e) {
  struct sockaddr_un addr;
  if (!address_of(path, &addr, e)) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  bool ok = fd >= 0 && bind_private(fd, &addr);
  if (!ok && fd >= 0 && errno == EADDRINUSE && is_left_behind(&addr)) {
    unlink(path);
    ok = bind_private(fd, &addr);
  }
  if (ok && listen(fd, BACKLOG) == 0) return fd;
  int code = errno;
  if (ok) unlink(path);
  if (fd >= 0) close(fd);
  err_set(e, "os", code, "cannot listen on %.150s: %s", path, strerror(code));
  return -1;
}
