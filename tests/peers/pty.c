/* pty.c - runs a program on a terminal of its own, for tests:  pty COLUMNS ROWS PROGRAM [ARGS]
 *
 * What the program writes comes out of standard output as it is. Standard input is told what to do, a line each:
 *   k HEX          type these bytes          w COLUMNS ROWS   the terminal has another size
 *   s NUMBER       send this signal          m                the terminal's modes, as "\n<icanon=1 echo=1>\n" on stdout
 * At its end: "\n<exit CODE>\n" or "\n<signal NUMBER>\n", after the modes it left. The end of standard input ends the program. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

struct pty {
  int master, slave;
  pid_t child;
  char line[1 << 20];
  size_t used;
};

static void fail(const char *what) {
  fprintf(stderr, "pty: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void put(int fd, const char *bytes, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, bytes, len);
    if (n < 0 && errno != EINTR) return;
    if (n > 0) {
      bytes += n;
      len -= (size_t)n;
    }
  }
}

static void resize(struct pty *p, int columns, int rows) {
  struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
  (void)ioctl(p->master, TIOCSWINSZ, &size);
}

static void open_pty(struct pty *p) {
  p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (p->master < 0 || grantpt(p->master) != 0 || unlockpt(p->master) != 0) fail("no terminal");
  p->slave = open(ptsname(p->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (p->slave < 0) fail("no terminal");
}

static void start(struct pty *p, char **argv) {
  p->child = fork();
  if (p->child < 0) fail("fork");
  if (p->child > 0) return;
  setsid();
  (void)ioctl(p->slave, TIOCSCTTY, 0);
  for (int fd = 0; fd <= 2; fd++) dup2(p->slave, fd);
  signal(SIGPIPE, SIG_DFL);
  execvp(argv[0], argv);
  fprintf(stderr, "pty: cannot run %s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void type_hex(struct pty *p, const char *hex) {
  char byte;
  for (; hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0; hex += 2) {
    byte = (char)(hex_digit(hex[0]) * 16 + hex_digit(hex[1]));
    put(p->master, &byte, 1);
  }
}

static void modes(struct pty *p) {
  struct termios m;
  char text[64];
  if (tcgetattr(p->slave, &m) != 0) return;
  int n = snprintf(text, sizeof text, "\n<icanon=%d echo=%d>\n", (m.c_lflag & ICANON) != 0, (m.c_lflag & ECHO) != 0);
  put(1, text, (size_t)n);
}

static void obey(struct pty *p, const char *line) {
  int a = 0, b = 0;
  if (line[0] == 'k') type_hex(p, line + 2);
  if (line[0] == 'w' && sscanf(line + 1, "%d %d", &a, &b) == 2) resize(p, a, b);
  if (line[0] == 's' && sscanf(line + 1, "%d", &a) == 1) kill(p->child, a);
  if (line[0] == 'm') modes(p);
}

static bool read_orders(struct pty *p) {
  ssize_t n = read(0, p->line + p->used, sizeof p->line - 1 - p->used);
  if (n <= 0) return false;
  p->used += (size_t)n;
  p->line[p->used] = '\0';
  char *at = p->line, *end;
  while ((end = strchr(at, '\n'))) {
    *end = '\0';
    obey(p, at);
    at = end + 1;
  }
  p->used -= (size_t)(at - p->line);
  memmove(p->line, at, p->used);
  return p->used < sizeof p->line - 1;
}

static bool relay(struct pty *p) {
  char bytes[65536];
  ssize_t n = read(p->master, bytes, sizeof bytes);
  if (n > 0) put(1, bytes, (size_t)n);
  return n > 0;
}

/* Our own opening of the slave keeps the terminal alive after the program: its end is seen by looking. */
static bool ended(struct pty *p, int *status) {
  return waitpid(p->child, status, WNOHANG) == p->child;
}

int main(int argc, char **argv) {
  static struct pty p;
  int status = 0;
  char text[64];
  if (argc < 4) return 2;
  open_pty(&p);
  resize(&p, atoi(argv[1]), atoi(argv[2]));
  start(&p, argv + 3);
  struct pollfd fds[2] = {{.fd = p.master, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  bool over = false;
  while (!(over = ended(&p, &status))) {
    if (poll(fds, 2, 20) < 0 && errno != EINTR) break;
    if (fds[0].revents & POLLIN) relay(&p);
    if ((fds[1].revents & (POLLIN | POLLHUP)) && !read_orders(&p)) break;
  }
  if (!over) {
    kill(p.child, SIGKILL);
    waitpid(p.child, &status, 0);
  }
  while (poll(fds, 1, 50) > 0 && (fds[0].revents & POLLIN) && relay(&p)) continue;
  modes(&p);
  int n = WIFSIGNALED(status) ? snprintf(text, sizeof text, "\n<signal %d>\n", WTERMSIG(status))
                              : snprintf(text, sizeof text, "\n<exit %d>\n", WEXITSTATUS(status));
  put(1, text, (size_t)n);
  return 0;
}
