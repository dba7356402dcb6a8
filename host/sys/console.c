/* console.c - see console.h. struct console hangs from the host and is made on first use. */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "loop/host.h"

#define GATHER       (1u << 16)         /* bytes gathered before a write in the middle of a turn */
#define LOW          (CONSOLE_HIGH / 4) /* waiting writers go on below this */
#define FIRST_BUFFER 4096
#define READ_AT_ONCE 65536

/* A descriptor we read or write without blocking. */
struct port {
  int fd;    /* perhaps our own opening of it */
  int given; /* 0, 1 or 2 */
  int flags; /* what F_GETFL said before we set O_NONBLOCK on the given one; -1 = untouched */
  bool file; /* cannot be polled; always ready */
  bool poll_open;
  uv_poll_t poll;
};

struct buffer {
  char *bytes;
  size_t start, end, size; /* in use is [start, end) */
};

struct output {
  struct console *con;
  struct port port;
  struct buffer kept;
  int error;    /* errno of the write that failed; nothing is written after it */
  bool at_once; /* a terminal, or stderr: do not gather */
  bool polling;
  struct console_wait *waits;
};

struct input {
  struct console *con;
  struct port port;
  struct buffer kept;
  size_t scanned; /* bytes behind start known to hold no LF */
  int error;
  bool ended, reading; /* reading: a poll or a request is in flight */
  uv_fs_t req;         /* of a file */
  struct console_wait *first;
};

struct console {
  struct host *host;
  struct output out[2];
  struct input in;
  struct poll_hook turn; /* wanted while something was gathered */
  bool closing;
  unsigned handles;
};

/* --- ports and buffers ------------------------------------------------------------------------ */

void console_guard(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) < 0) return;
}

static void port_open(struct port *p, int given, int access) {
  struct stat st;
  char path[32];
  p->fd = p->given = given;
  p->flags = -1;
  p->file = fstat(given, &st) != 0 || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(given));
  if (p->file) return;
  snprintf(path, sizeof path, "/proc/self/fd/%d", given);
  int own = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own >= 0) {
    p->fd = own;
    return;
  }
  int flags = fcntl(given, F_GETFL);
  if (flags >= 0 && !(flags & O_NONBLOCK) && fcntl(given, F_SETFL, flags | O_NONBLOCK) == 0) p->flags = flags;
}

static void port_close(struct port *p) {
  if (p->flags >= 0) (void)fcntl(p->given, F_SETFL, p->flags);
  p->flags = -1;
  if (p->fd != p->given) close(p->fd);
  p->fd = p->given;
}

/* The poll handle is made when it is first needed. A descriptor that epoll refuses counts as a
 * file. */
static bool port_poll(struct console *con, struct port *p, int events, uv_poll_cb cb) {
  if (!p->poll_open && !p->file) {
    if (uv_poll_init(&con->host->loop, &p->poll, p->fd) != 0) {
      p->file = true;
    } else {
      p->poll_open = true;
      con->handles++;
    }
  }
  return p->poll_open && uv_poll_start(&p->poll, events, cb) == 0;
}

static size_t buffer_used(const struct buffer *b) {
  return b->end - b->start;
}

static void buffer_drop(struct buffer *b, size_t n) {
  b->start += n;
  if (b->start == b->end) b->start = b->end = 0;
}

static bool buffer_room(struct mem *m, struct buffer *b, size_t more) {
  if (b->size - b->end >= more) return true;
  if (b->start > 0 && (b->start >= b->size / 2 || b->size - buffer_used(b) >= more)) {
    memmove(b->bytes, b->bytes + b->start, buffer_used(b));
    b->end -= b->start;
    b->start = 0;
    if (b->size - b->end >= more) return true;
  }
  size_t size = b->size ? b->size : FIRST_BUFFER;
  while (size - b->end < more) size *= 2;
  char *bytes = mem_grow(m, b->bytes, size);
  if (!bytes) return false;
  b->bytes = bytes;
  b->size = size;
  return true;
}

static bool buffer_add(struct mem *m, struct buffer *b, const char *bytes, size_t len) {
  if (len == 0) return true; /* there may be no buffer yet */
  if (!buffer_room(m, b, len)) return false;
  memcpy(b->bytes + b->end, bytes, len);
  b->end += len;
  return true;
}

/* A burst need not be paid for ever. */
static void buffer_shrink(struct mem *m, struct buffer *b) {
  if (b->end > 0 || b->size <= 4 * GATHER) return;
  mem_free(m, b->bytes);
  *b = (struct buffer){0};
}

/* --- making and closing ----------------------------------------------------------------------- */

static void on_turn(struct poll_hook *turn);

static struct console *console_get(struct host *h) {
  struct console *con = h->console;
  if (con) return con;
  con = mem_calloc(&h->mem, sizeof *con);
  if (!con) return NULL;
  h->console = con;
  con->host = h;
  con->in.con = con;
  con->in.port.fd = -1; /* opened on first read */
  for (int i = 0; i < 2; i++) {
    con->out[i].con = con;
    port_open(&con->out[i].port, i + 1, O_WRONLY);
  }
  con->out[0].at_once = isatty(1);
  con->out[1].at_once = true;
  con->turn.run = on_turn;
  return con;
}

static void console_free(struct console *con) {
  struct mem *m = &con->host->mem;
  mem_free(m, con->out[0].kept.bytes);
  mem_free(m, con->out[1].kept.bytes);
  mem_free(m, con->in.kept.bytes);
  mem_free(m, con);
}

static void on_handle_closed(uv_handle_t *handle) {
  struct console *con = handle->data;
  if (--con->handles == 0) console_free(con);
}

static void close_handle(struct console *con, uv_handle_t *handle) {
  handle->data = con;
  uv_close(handle, on_handle_closed);
}

static void close_port(struct console *con, struct port *p) {
  if (p->poll_open) close_handle(con, (uv_handle_t *)&p->poll);
  p->poll_open = false;
  if (p->fd >= 0) port_close(p);
}

void console_close(struct host *h) {
  struct console *con = h->console;
  if (!con) return;
  h->console = NULL;
  h->hooks.look = NULL;
  con->closing = true;
  close_port(con, &con->out[0].port);
  close_port(con, &con->out[1].port);
  if (con->in.reading && con->in.port.file)
    (void)uv_cancel((uv_req_t *)&con->in.req); /* on_file_read ends the rest */
  else if (con->in.reading)
    h->inflight--;
  close_port(con, &con->in.port);
  host_before_poll_drop(&con->turn);
  if (con->handles == 0) console_free(con);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void wake_writers(struct output *o) {
  while (o->waits) {
    struct console_wait *w = o->waits;
    o->waits = w->next;
    w->ready(w);
  }
}

static void output_fail(struct output *o, int error) {
  o->error = error;
  o->kept.start = o->kept.end = 0;
}

/* Writes until all is written, the other side is full, or it fails. Returns how many bytes went. */
static size_t write_some(struct output *o, const char *bytes, size_t len) {
  size_t done = 0;
  while (done < len) {
    ssize_t n = write(o->port.fd, bytes + done, len - done);
    if (n >= 0) {
      done += (size_t)n;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR) {
      output_fail(o, errno);
      break;
    }
  }
  return done;
}

static void on_writable(uv_poll_t *poll, int status, int events);

/* What is kept, as far as it goes; the rest when the poll says so. */
static void output_write(struct output *o) {
  struct buffer *b = &o->kept;
  if (buffer_used(b) > 0) {
    size_t n = write_some(o, b->bytes + b->start, buffer_used(b));
    if (!o->error) buffer_drop(b, n);
  }
  if (buffer_used(b) == 0) {
    if (o->polling) uv_poll_stop(&o->port.poll);
    o->polling = false;
    buffer_shrink(&o->con->host->mem, b);
  } else if (!o->polling) {
    o->polling = port_poll(o->con, &o->port, UV_WRITABLE, on_writable);
  }
  if (buffer_used(b) <= LOW) wake_writers(o);
}

static void on_writable(uv_poll_t *poll, int status, int events) {
  struct output *o = CONTAINER_OF(CONTAINER_OF(poll, struct port, poll), struct output, port);
  (void)status; /* the write reports a better error */
  (void)events;
  output_write(o);
}

static void on_turn(struct poll_hook *turn) {
  struct console *con = CONTAINER_OF(turn, struct console, turn);
  for (int i = 0; i < 2; i++)
    if (!con->out[i].polling) output_write(&con->out[i]);
}

static bool write_failed(struct output *o, struct err *e) {
  const char *what = o->port.given == 1 ? "standard output" : "standard error";
  err_set(e, "os", o->error, "cannot write to %s: %s", what, uv_strerror(uv_translate_sys_error(o->error)));
  return false;
}

static bool keep(struct output *o, const char *bytes, size_t len, struct err *e) {
  if (buffer_add(&o->con->host->mem, &o->kept, bytes, len)) return true;
  err_set(e, "os", 0, "out of memory: cannot keep %zu bytes of output", len);
  return false;
}

bool console_write(struct host *h, int fd, const char *bytes, size_t len, struct err *e) {
  struct console *con = console_get(h);
  if (!con) {
    err_set(e, "os", 0, "out of memory: cannot open standard output");
    return false;
  }
  struct output *o = &con->out[fd - 1];
  if (o->error) return write_failed(o, e);
  if (fd == 2) output_write(&con->out[0]); /* so that the two stay in order where they meet */
  if (o->polling) return keep(o, bytes, len, e);
  if (!o->at_once && buffer_used(&o->kept) + len < GATHER) { /* the fast path */
    host_before_poll(con->host, BEFORE_POLL_CONSOLE, &con->turn);
    return keep(o, bytes, len, e);
  }
  output_write(o);
  size_t n = o->error || o->polling ? 0 : write_some(o, bytes, len);
  if (o->error) return write_failed(o, e);
  if (n < len && !keep(o, bytes + n, len - n, e)) return false;
  if (n < len) output_write(o);
  return true;
}

size_t console_kept(struct host *h, int fd) {
  struct console *con = h->console;
  return con ? buffer_used(&con->out[fd - 1].kept) : 0;
}

void console_await_room(struct host *h, int fd, struct console_wait *w) {
  struct output *o = &h->console->out[fd - 1];
  w->next = o->waits;
  o->waits = w;
}

void console_forget_room(struct host *h, int fd, struct console_wait *w) {
  struct console_wait **link = &h->console->out[fd - 1].waits;
  while (*link && *link != w) link = &(*link)->next;
  if (*link) *link = w->next;
}

void console_push(struct host *h) {
  struct console *con = h->console;
  for (int i = 0; con && i < 2; i++)
    if (!con->out[i].polling) output_write(&con->out[i]);
}

static void flush_output(struct output *o, uint64_t until) {
  output_write(o);
  while (buffer_used(&o->kept) > 0) {
    uint64_t now = uv_hrtime();
    struct pollfd p = {.fd = o->port.fd, .events = POLLOUT};
    if (now >= until || (poll(&p, 1, (int)((until - now) / 1000000) + 1) < 0 && errno != EINTR)) break;
    output_write(o);
  }
}

bool console_flush(struct host *h, double seconds) {
  struct err e;
  if (!h->console) return true;
  uint64_t until = uv_hrtime() + (uint64_t)(seconds * (double)NS_PER_SECOND);
  flush_output(&h->console->out[0], until);
  flush_output(&h->console->out[1], until);
  return !console_lost(h, &e);
}

bool console_lost(struct host *h, struct err *e) {
  err_clear(e);
  for (int i = 0; h->console && i < 2 && !e->kind; i++) {
    struct output *o = &h->console->out[i];
    size_t kept = buffer_used(&o->kept);
    if (o->error)
      write_failed(o, e);
    else if (kept > 0)
      err_set(e, "timeout", 0, "%zu bytes of output were not written: nobody reads them", kept);
  }
  return e->kind != NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static struct console_read *of_wait(struct console_wait *w) {
  return CONTAINER_OF(w, struct console_read, wait);
}

/* How many bytes the request gets as things are; 0 = not enough is there yet. */
static size_t input_enough(struct input *in, const struct console_read *r) {
  size_t used = buffer_used(&in->kept);
  if (r->want == CONSOLE_SOME) return used;
  if (r->want == CONSOLE_COUNT && used >= r->count) return r->count;
  if (r->want == CONSOLE_LINE && used > in->scanned) {
    const char *start = in->kept.bytes + in->kept.start;
    const char *lf = memchr(start + in->scanned, '\n', used - in->scanned);
    if (lf) return (size_t)(lf - start) + 1;
    in->scanned = used;
  }
  return in->ended ? used : 0;
}

static void on_readable(uv_poll_t *poll, int status, int events);
static void on_file_read(uv_fs_t *req);

static void input_stop(struct input *in) {
  if (!in->reading || in->port.file) return; /* a request for a file runs to its end */
  uv_poll_stop(&in->port.poll);
  in->reading = false;
  in->con->host->inflight--;
}

/* Keys have priority: has input arrived for a request of CONSOLE_SOME? */
static void look(struct host *h) {
  struct input *in = h->console ? &h->console->in : NULL;
  if (!in || !in->reading || in->port.file || !in->first || of_wait(in->first)->want != CONSOLE_SOME) return;
  struct pollfd p = {.fd = in->port.fd, .events = POLLIN};
  if (poll(&p, 1, 0) == 1) on_readable(&in->port.poll, 0, UV_READABLE);
}

static void input_start(struct input *in) {
  struct host *h = in->con->host;
  if (in->reading) return;
  if (in->port.fd < 0) port_open(&in->port, 0, O_RDONLY);
  if (!buffer_room(&h->mem, &in->kept, READ_AT_ONCE)) {
    in->error = ENOMEM;
    in->ended = true;
    return;
  }
  if (!port_poll(in->con, &in->port, UV_READABLE | UV_DISCONNECT, on_readable)) {
    uv_buf_t buf = uv_buf_init(in->kept.bytes + in->kept.end, READ_AT_ONCE);
    int rc = uv_fs_read(&h->loop, &in->req, in->port.fd, &buf, 1, -1, on_file_read);
    CHECK(rc == 0);
    in->port.file = true;
    in->con->handles++;
  }
  h->hooks.look = look;
  in->reading = true;
  h->inflight++;
}

/* Serves the first request, or sees that bytes come for it. One at a time: its bytes stay where
 * they are until it let go. */
static void input_serve(struct input *in) {
  struct console_wait *w = in->first;
  if (!w || of_wait(w)->served) {
    input_stop(in);
    return;
  }
  if (input_enough(in, of_wait(w)) == 0 && !in->ended) input_start(in);
  if (input_enough(in, of_wait(w)) == 0 && !in->ended) return;
  input_stop(in);
  of_wait(w)->served = true;
  w->ready(w);
}

static void input_got(struct input *in, ssize_t n, int error) {
  if (n > 0)
    in->kept.end += (size_t)n;
  else
    in->ended = true;
  if (n < 0) in->error = error;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct input *in = CONTAINER_OF(CONTAINER_OF(poll, struct port, poll), struct input, port);
  (void)events;
  if (!buffer_room(&in->con->host->mem, &in->kept, READ_AT_ONCE)) {
    input_got(in, -1, ENOMEM);
  } else {
    ssize_t n = read(in->port.fd, in->kept.bytes + in->kept.end, READ_AT_ONCE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && status == 0) return;
    input_got(in, n, errno);
  }
  input_serve(in);
}

static void on_file_read(uv_fs_t *req) {
  struct input *in = CONTAINER_OF(req, struct input, req);
  struct console *con = in->con;
  ssize_t n = req->result;
  uv_fs_req_cleanup(req);
  in->reading = false;
  con->host->inflight--;
  con->handles--;
  if (con->closing) {
    if (con->handles == 0) console_free(con);
    return;
  }
  input_got(in, n, n < 0 ? (int)-n : 0);
  input_serve(in);
}

void console_read(struct host *h, struct console_read *r) {
  struct console *con = console_get(h);
  struct console_wait **link;
  r->served = false;
  r->wait.next = NULL;
  if (!con) {
    r->served = true;
    r->wait.ready(&r->wait); /* console_take finds no h->console and says so */
    return;
  }
  for (link = &con->in.first; *link; link = &(*link)->next) continue;
  *link = &r->wait;
  if (con->in.first == &r->wait) input_serve(&con->in);
}

bool console_take(struct host *h, struct console_read *r, const char **bytes, size_t *len, int *error) {
  struct console *con = h->console;
  *error = con ? 0 : ENOMEM;
  if (!con) return false;
  *bytes = con->in.kept.bytes + con->in.kept.start;
  *len = input_enough(&con->in, r);
  if (*len == 0) *error = con->in.error;
  return *len > 0 || (r->want == CONSOLE_COUNT && r->count == 0 && !con->in.ended);
}

void console_forget(struct host *h, struct console_read *r, size_t taken) {
  if (!h->console) return;
  struct input *in = &h->console->in;
  struct console_wait **link = &in->first;
  while (*link && *link != &r->wait) link = &(*link)->next;
  if (!*link) return;
  *link = r->wait.next;
  if (taken > 0) {
    buffer_drop(&in->kept, taken);
    in->scanned = 0;
  }
  input_serve(in);
}

void console_forget_typed(struct host *h) {
  struct input *in = h->console ? &h->console->in : NULL;
  if (!console_is_tty(0)) return;
  if (in && !(in->first && of_wait(in->first)->served)) { /* else they are being taken */
    buffer_drop(&in->kept, buffer_used(&in->kept));
    in->scanned = 0;
  }
  (void)tcflush(0, TCIFLUSH);
}

/* --- looking ---------------------------------------------------------------------------------- */

bool console_is_tty(int fd) {
  return isatty(fd) == 1;
}

bool console_size(int *columns, int *rows) {
  for (int fd = 1; fd <= 2; fd++) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) continue;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return true;
  }
  return false;
}
