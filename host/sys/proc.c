/* proc.c - see proc.h. A struct proc lives while anybody uses it: its owner, the waits on it, its
 * open handles.
 *
 * After the leader of the group has ended, a child of it may still hold the pipes: they get LINGER
 * seconds to deliver what is in them, then they are read dry and closed. The timers are libuv's own
 * and not those of the host's clock: a child lives in real time, even in a test that does not. */
#include "proc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include "loop/host.h"
#include "loop/signals.h"

#define GRACE_MS     2000
#define LINGER_MS    100
#define FIRST_BUFFER 4096
#define REPORT_MAX   1024
#define DRAIN_READS  256 /* of sizeof scratch each: more than a pipe holds */

struct pipe_out {
  struct proc *proc;
  uv_pipe_t pipe;
  bool open, ended, paused, tail;
  int error;
  char *buf;
  size_t cap;
  size_t start, end, size; /* what was read and not taken is buf[start, end) */
  struct proc_wait *reader;
};

enum timer_use { TIMER_IDLE, TIMER_TIMEOUT, TIMER_GRACE, TIMER_LINGER };

struct proc {
  struct host *host;
  unsigned uses;
  uv_process_t process;
  uv_timer_t timer;
  uv_pipe_t in;
  struct pipe_out out[3]; /* by enum proc_output */
  enum timer_use timer_use;
  bool capture, fenced, truncated, timed_out;
  bool in_open, in_closing;
  unsigned writes; /* in flight */
  bool running, exited, stopping, lingered, released, counted;
  int64_t code;
  int signal;
  uint64_t began, ended;
  struct proc_wait *waits;
  char scratch[8192]; /* for output that is dropped */
};

/* --- life ------------------------------------------------------------------------------------- */

void proc_hold(struct proc *p) {
  p->uses++;
}

void proc_unhold(struct proc *p) {
  CHECK(p->uses > 0);
  if (--p->uses > 0) return;
  struct mem *m = &p->host->mem;
  CHECK(!p->counted);
  p->host->handles--;
  for (size_t i = 0; i < COUNT_OF(p->out); i++) mem_free(m, p->out[i].buf);
  mem_free(m, p);
}

static void handle_closed(uv_handle_t *handle) {
  proc_unhold(handle->data);
}

/* Each handle counts as a use from its init to its closed callback. */
static void handle_opened(struct proc *p, uv_handle_t *handle) {
  handle->data = p;
  p->uses++;
}

/* In flight while something can still happen by itself: it runs, or its output is being read. */
static void count_inflight(struct proc *p) {
  bool busy = p->running && !p->exited;
  for (size_t i = 0; i < COUNT_OF(p->out); i++) busy |= p->out[i].open && !p->out[i].paused;
  if (busy && !p->counted) p->host->inflight++;
  if (!busy && p->counted) p->host->inflight--;
  p->counted = busy;
}

static bool output_open(const struct proc *p) {
  return p->out[PROC_OUT].open || p->out[PROC_ERR].open || p->out[PROC_REPORT].open;
}

static bool has_ended(const struct proc *p) {
  return p->exited && !(p->capture && output_open(p));
}

static void wake_reader(struct pipe_out *o) {
  struct proc_wait *w = o->reader;
  o->reader = NULL;
  if (w) w->ready(w);
}

static void tell_ended(struct proc *p) {
  if (!has_ended(p)) return;
  while (p->waits) {
    struct proc_wait *w = p->waits;
    p->waits = w->next;
    w->ready(w);
  }
}

/* --- output ----------------------------------------------------------------------------------- */

static void output_close(struct pipe_out *o, int error) {
  if (!o->open) return;
  o->open = false;
  o->ended = true;
  o->error = error;
  uv_close((uv_handle_t *)&o->pipe, handle_closed);
  wake_reader(o);
  count_inflight(o->proc);
  tell_ended(o->proc);
}

/* Room for at least one more byte behind buf[end), at most up to the cap; false when full or out of
 * memory. */
static bool output_room(struct pipe_out *o) {
  struct mem *m = &o->proc->host->mem;
  if (o->start > 0 && o->end == o->size) {
    memmove(o->buf, o->buf + o->start, o->end - o->start);
    o->end -= o->start;
    o->start = 0;
  }
  if (o->end < o->size) return true;
  if (o->size >= o->cap) return false;
  size_t size = o->size ? o->size * 2 : FIRST_BUFFER;
  if (size > o->cap) size = o->cap;
  char *buf = mem_grow(m, o->buf, size);
  if (!buf) return false;
  o->buf = buf;
  o->size = size;
  return true;
}

static bool output_full(const struct pipe_out *o) {
  return o->end - o->start >= o->cap;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct pipe_out *o = CONTAINER_OF((uv_pipe_t *)handle, struct pipe_out, pipe);
  struct proc *p = o->proc;
  (void)suggested;
  if (p->capture && output_full(o))
    *buf = uv_buf_init(p->scratch, sizeof p->scratch);
  else if (output_room(o))
    *buf = uv_buf_init(o->buf + o->end, (unsigned)(o->size - o->end));
  else
    *buf = uv_buf_init(NULL, 0); /* libuv answers UV_ENOBUFS */
}

/* More came than fits: the older half goes, or more. */
static void output_turn(struct pipe_out *o, const char *bytes, size_t n) {
  if (n > o->cap) {
    bytes += n - o->cap;
    n = o->cap;
  }
  size_t held = o->end - o->start, keep = (o->cap + 1) / 2;
  if (keep > o->cap - n) keep = o->cap - n;
  if (keep > held) keep = held;
  memmove(o->buf, o->buf + o->end - keep, keep);
  memcpy(o->buf + keep, bytes, n);
  o->start = 0;
  o->end = keep + n;
}

static void output_got(struct pipe_out *o, const char *base, size_t n) {
  struct proc *p = o->proc;
  if (base == p->scratch) {
    p->truncated = true;
    if (o->tail) output_turn(o, base, n);
    return;
  }
  o->end += n;
  wake_reader(o);
  if (p->capture || !output_full(o)) return;
  o->paused = true; /* backpressure: the child waits until someone reads */
  uv_read_stop((uv_stream_t *)&o->pipe);
  count_inflight(p);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct pipe_out *o = CONTAINER_OF((uv_pipe_t *)stream, struct pipe_out, pipe);
  if (n > 0)
    output_got(o, buf->base, (size_t)n);
  else if (n < 0)
    output_close(o, n == UV_EOF ? 0 : (int)n);
}

/* The process is gone: take what is in the pipe, and do not wait for those who merely hold it. */
static void output_drain(struct pipe_out *o) {
  uv_os_fd_t fd;
  if (!o->open || o->paused || uv_fileno((uv_handle_t *)&o->pipe, &fd) != 0) return;
  for (int i = 0; i < DRAIN_READS && o->open && !o->paused; i++) {
    uv_buf_t buf;
    on_alloc((uv_handle_t *)&o->pipe, sizeof o->proc->scratch, &buf);
    if (!buf.base) {
      output_close(o, UV_ENOBUFS);
      return;
    }
    ssize_t n = read(fd, buf.base, buf.len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    output_got(o, buf.base, (size_t)n);
  }
  if (!o->paused) output_close(o, 0);
}

static void output_resume(struct pipe_out *o) {
  if (!o->open || !o->paused || o->end - o->start > o->cap / 2) return;
  o->paused = false;
  if (o->proc->lingered)
    output_drain(o);
  else if (uv_read_start((uv_stream_t *)&o->pipe, on_alloc, on_read) != 0)
    output_close(o, UV_EIO);
  count_inflight(o->proc);
}

const char *proc_peek(struct proc *p, enum proc_output which, size_t *len, bool *ended) {
  struct pipe_out *o = &p->out[which];
  *len = o->end - o->start;
  *ended = o->ended;
  return o->buf + o->start;
}

void proc_take(struct proc *p, enum proc_output which, size_t len) {
  struct pipe_out *o = &p->out[which];
  CHECK(len <= o->end - o->start);
  o->start += len;
  if (o->start == o->end) o->start = o->end = 0;
  output_resume(o);
}

bool proc_truncated(const struct proc *p) {
  return p->truncated;
}

int proc_read_error(const struct proc *p, enum proc_output which) {
  return p->out[which].error;
}

bool proc_await_output(struct proc *p, enum proc_output which, struct proc_wait *w) {
  if (p->out[which].reader) return false;
  p->out[which].reader = w;
  return true;
}

void proc_forget_output(struct proc *p, enum proc_output which) {
  p->out[which].reader = NULL;
}

/* --- input ------------------------------------------------------------------------------------ */

struct write {
  uv_write_t req;
  struct proc *proc;
  void (*done)(void *ud, int status);
  void *ud;
  char bytes[];
};

static void input_close(struct proc *p) {
  if (!p->in_open) return;
  p->in_open = false;
  uv_close((uv_handle_t *)&p->in, handle_closed); /* writes in flight end with UV_ECANCELED */
}

static void on_written(uv_write_t *req, int status) {
  struct write *w = CONTAINER_OF(req, struct write, req);
  struct proc *p = w->proc;
  p->writes--;
  if (p->in_closing && p->writes == 0) input_close(p);
  if (w->done) w->done(w->ud, status);
  mem_free(&p->host->mem, w);
  proc_unhold(p);
}

int proc_write(struct proc *p, const char *bytes, size_t len, void (*done)(void *ud, int status), void *ud) {
  if (!p->in_open || p->in_closing) return UV_EPIPE;
  struct write *w = mem_alloc(&p->host->mem, sizeof *w + len);
  if (!w) return UV_ENOMEM;
  w->proc = p;
  w->done = done;
  w->ud = ud;
  memcpy(w->bytes, bytes, len);
  uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)len);
  int rc = uv_write(&w->req, (uv_stream_t *)&p->in, &buf, 1, on_written);
  if (rc != 0) {
    mem_free(&p->host->mem, w);
    return rc;
  }
  p->writes++;
  proc_hold(p);
  return 0;
}

void proc_close_stdin(struct proc *p) {
  p->in_closing = true;
  if (p->writes == 0) input_close(p);
}

/* --- the end of it ---------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void timer_use(struct proc *p, enum timer_use use, uint64_t ms) {
  p->timer_use = use;
  if (use == TIMER_IDLE)
    uv_timer_stop(&p->timer);
  else
    CHECK(uv_timer_start(&p->timer, on_timer, ms, 0) == 0);
}

static int signal_group(const struct proc *p, int signal) {
  CHECK(p->process.pid > 1); /* 0 and -1 would hit half the system */
  return kill(-p->process.pid, signal);
}

/* The group outlives its leader while a child of it lives, and then its number cannot be anybody
 * else's. */
static bool group_lives(const struct proc *p) {
  return signal_group(p, 0) == 0 || errno == EPERM;
}

static void linger(struct proc *p) {
  if (output_open(p))
    timer_use(p, TIMER_LINGER, LINGER_MS);
  else
    timer_use(p, TIMER_IDLE, 0);
}

static void on_exit_of(uv_process_t *process, int64_t code, int signal) {
  struct proc *p = CONTAINER_OF(process, struct proc, process);
  p->exited = true;
  signals_child(p->host, p->process.pid, 0);
  p->code = code;
  p->signal = signal;
  p->ended = uv_hrtime();
  uv_close((uv_handle_t *)process, handle_closed);
  input_close(p);
  if (p->fenced) signal_group(p, SIGKILL);
  if (!p->released && !(p->stopping && group_lives(p))) linger(p);
  count_inflight(p);
  tell_ended(p);
}

static void on_timer(uv_timer_t *timer) {
  struct proc *p = CONTAINER_OF(timer, struct proc, timer);
  enum timer_use use = p->timer_use;
  p->timer_use = TIMER_IDLE;
  if (use == TIMER_TIMEOUT) {
    p->timed_out = true;
    proc_stop(p);
  } else if (use == TIMER_GRACE) {
    signal_group(p, SIGKILL);
    if (p->exited) linger(p);
  } else if (use == TIMER_LINGER) {
    p->lingered = true;
    for (size_t i = 0; i < COUNT_OF(p->out); i++) output_drain(&p->out[i]);
  }
}

bool proc_kill(struct proc *p, int signal) {
  return !p->exited && signal_group(p, signal) == 0;
}

void proc_stop(struct proc *p) {
  /* Once the leader has ended, only an open pipe proves that the group is still ours. */
  if (p->stopping || (p->exited && !output_open(p))) return;
  p->stopping = true;
  signal_group(p, SIGTERM);
  signal_group(p, SIGCONT); /* a stopped process would not hear it */
  if (p->exited && !group_lives(p))
    linger(p);
  else
    timer_use(p, TIMER_GRACE, GRACE_MS);
}

int proc_pid(const struct proc *p) {
  return p->process.pid;
}

bool proc_status(const struct proc *p, struct proc_status *s) {
  if (!has_ended(p)) return false;
  s->code = (int)p->code;
  s->signal = p->signal;
  s->timed_out = p->timed_out;
  s->seconds = (double)(p->ended - p->began) / (double)NS_PER_SECOND;
  return true;
}

void proc_await_end(struct proc *p, struct proc_wait *w) {
  w->next = p->waits;
  p->waits = w;
}

void proc_forget_end(struct proc *p, struct proc_wait *w) {
  struct proc_wait **link = &p->waits;
  while (*link && *link != w) link = &(*link)->next;
  if (*link) *link = w->next;
}

void proc_release(struct proc *p) {
  p->released = true;
  bool ours = p->running && (!p->exited || p->timer_use == TIMER_GRACE);
  if (ours) signal_group(p, SIGKILL);
  input_close(p);
  for (size_t i = 0; i < COUNT_OF(p->out); i++) output_close(&p->out[i], UV_ECANCELED);
  uv_close((uv_handle_t *)&p->timer, handle_closed);
  proc_unhold(p);
}

/* --- the start of it -------------------------------------------------------------------------- */

/* Pipes and not libuv's socket pairs: a program may open /dev/stdout, which fails for a socket.
 * ours = which end we keep. */
static int open_pipe(struct proc *p, uv_pipe_t *pipe, int ours, int *theirs) {
  uv_file fds[2];
  int rc = uv_pipe(fds, ours == 0 ? UV_NONBLOCK_PIPE : 0, ours == 1 ? UV_NONBLOCK_PIPE : 0);
  if (rc != 0) return rc;
  *theirs = fds[1 - ours];
  uv_pipe_init(&p->host->loop, pipe, 0);
  handle_opened(p, (uv_handle_t *)pipe);
  rc = uv_pipe_open(pipe, fds[ours]);
  if (rc != 0) close(fds[ours]);
  return rc;
}

static int open_output(struct proc *p, enum proc_output which, int *theirs) {
  int rc = open_pipe(p, &p->out[which].pipe, 0, theirs);
  p->out[which].open = *theirs >= 0;
  p->out[which].ended = false;
  return rc;
}

/* A child gets its three streams and nothing else: not what we were given, nor what a library opens without care. */
static void keep_descriptors(void) {
#ifdef __linux__
  (void)syscall(436 /* close_range */, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
#endif
}

static int spawn(struct proc *p, const struct proc_options *o) {
  int theirs[4] = {-1, -1, -1, -1};
  int rc = o->in ? open_pipe(p, &p->in, 1, &theirs[0]) : 0;
  p->in_open = theirs[0] >= 0;
  if (rc == 0) rc = open_output(p, PROC_OUT, &theirs[1]);
  if (rc == 0 && o->err == PROC_STDERR_PIPE) rc = open_output(p, PROC_ERR, &theirs[2]);
  if (rc == 0 && o->fenced) rc = open_output(p, PROC_REPORT, &theirs[PROC_REPORT_FD]);
  if (rc == 0) {
    uv_stdio_container_t stdio[4] = {{.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD}, {.flags = UV_INHERIT_FD}};
    if (o->in) stdio[0] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = theirs[0]};
    stdio[1].data.fd = theirs[1];
    if (o->fenced) stdio[3] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = theirs[PROC_REPORT_FD]};
    stdio[2].data.fd = o->err == PROC_STDERR_PIPE ? theirs[2] : o->err == PROC_STDERR_MERGE ? theirs[1] : 2;
    uv_process_options_t options = {.exit_cb = on_exit_of,
                                    .file = o->argv[0],
                                    .args = o->argv,
                                    .env = o->env,
                                    .cwd = o->cwd,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = o->fenced ? 4 : 3,
                                    .stdio = stdio};
    keep_descriptors();
    rc = uv_spawn(&p->host->loop, &p->process, &options);
    handle_opened(p, (uv_handle_t *)&p->process);
    if (rc == 0)
      signals_child(p->host, 0, p->process.pid);
    else
      uv_close((uv_handle_t *)&p->process, handle_closed);
  }
  for (size_t i = 0; i < COUNT_OF(theirs); i++)
    if (theirs[i] >= 0) close(theirs[i]);
  return rc;
}

static void explain(struct err *e, const struct proc_options *o, int rc) {
  bool folder = o->cwd && rc != UV_E2BIG && access(o->cwd, X_OK) != 0;
  if (folder)
    err_set(e, "os", -rc, "cannot start \"%.80s\" in the folder \"%.80s\": %s", o->argv[0], o->cwd, uv_strerror(rc));
  else
    err_set(e, "os", -rc, "cannot start \"%.160s\": %s", o->argv[0], uv_strerror(rc));
}

struct proc *proc_start(struct host *h, const struct proc_options *o, struct err *e) {
  struct proc *p = mem_calloc(&h->mem, sizeof *p);
  if (!p) {
    err_set(e, "os", 0, "out of memory: cannot start a process");
    return NULL;
  }
  p->host = h;
  p->uses = 1;
  p->capture = o->capture;
  p->fenced = o->fenced;
  h->handles++;
  for (size_t i = 0; i < COUNT_OF(p->out); i++) {
    p->out[i].proc = p;
    p->out[i].cap = i == PROC_REPORT ? REPORT_MAX : o->cap;
    p->out[i].tail = o->tail && i != PROC_REPORT;
    p->out[i].ended = true;
  }
  uv_timer_init(&h->loop, &p->timer);
  handle_opened(p, (uv_handle_t *)&p->timer);
  p->began = uv_hrtime();
  int rc = spawn(p, o);
  if (rc != 0) {
    explain(e, o, rc);
    proc_release(p);
    return NULL;
  }
  p->running = true;
  for (size_t i = 0; i < COUNT_OF(p->out); i++) {
    p->out[i].paused = true;
    output_resume(&p->out[i]);
  }
  if (o->timeout > 0) timer_use(p, TIMER_TIMEOUT, (uint64_t)(o->timeout * 1000));
  count_inflight(p);
  return p;
}

/* --- signals by name -------------------------------------------------------------------------- */

static const struct {
  int number;
  const char *name;
} signals[] = {
    {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},     {SIGTRAP, "SIGTRAP"},
    {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGKILL, "SIGKILL"},   {SIGUSR1, "SIGUSR1"},
    {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"}, {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"},   {SIGTERM, "SIGTERM"},
    {SIGCHLD, "SIGCHLD"}, {SIGCONT, "SIGCONT"}, {SIGSTOP, "SIGSTOP"}, {SIGTSTP, "SIGTSTP"},   {SIGTTIN, "SIGTTIN"},
    {SIGTTOU, "SIGTTOU"}, {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}, {SIGWINCH, "SIGWINCH"}, {SIGSYS, "SIGSYS"}};

const char *proc_signal_name(int number) {
  for (size_t i = 0; i < COUNT_OF(signals); i++)
    if (signals[i].number == number) return signals[i].name;
  return NULL;
}

int proc_signal_number(const char *name) {
  for (size_t i = 0; i < COUNT_OF(signals); i++)
    if (strcmp(signals[i].name, name) == 0 || strcmp(signals[i].name + 3, name) == 0) return signals[i].number;
  return 0;
}
