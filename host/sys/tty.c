/* tty.c - see tty.h. struct tty hangs from the host and is made on first use. The modes are kept where a signal handler can
 * find them: through the one pointer of signals.c. */
#include "tty.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "loop/host.h"
#include "loop/signals.h"

static const int watched[] = {SIGWINCH, SIGCONT, SIGTSTP};

struct tty {
  struct host *host;
  struct termios before, raw;
  char farewell[TTY_FAREWELL];
  size_t farewell_len;
  unsigned handles;
  uv_signal_t signals[COUNT_OF(watched)];
};

static void write_all(const char *bytes, size_t len) {
  while (len > 0) {
    ssize_t n = write(0, bytes, len); /* a terminal at 0 is open for both, as a rule */
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) n = write(1, bytes, len);
    if (n <= 0) return;
    bytes += n;
    len -= (size_t)n;
  }
}

/* Only what a signal handler may call. */
static void give_back(struct tty *t) {
  if (!t->host->edits) return;
  t->host->edits = 0;
  write_all(t->farewell, t->farewell_len);
  (void)tcsetattr(0, TCSANOW, &t->before);
}

static void rescue(struct host *h) {
  if (h->tty) give_back(h->tty);
}

/* No keys are read while the watchdog writes; the line editor has to redraw afterwards. */
static void spoken_past(struct host *h, bool before) {
  if (before)
    tty_interrupts(h, true);
  else
    tty_disturbed(h);
}

/* --- news --------------------------------------------------------------------------------------------------------- */

static void tell(struct host *h, int news) {
  struct event *ev = &h->terminal;
  if (ev->queued)
    ev->number |= news;
  else
    host_event(h, ev, EVENT_TERMINAL, news);
}

static void on_news(uv_signal_t *handle, int sig) {
  struct tty *t = handle->data;
  if (!t->host->edits) return;
  if (sig == SIGCONT) (void)tcsetattr(0, TCSANOW, &t->raw); /* the shell had its own meanwhile */
  tell(t->host, sig == SIGWINCH ? TTY_RESIZED : sig == SIGCONT ? TTY_CONTINUED : TTY_STOP);
}

static void watch(struct tty *t) {
  for (size_t i = 0; i < COUNT_OF(watched); i++) (void)uv_signal_start(&t->signals[i], on_news, watched[i]);
}

static void unwatch(struct tty *t) {
  for (size_t i = 0; i < COUNT_OF(watched); i++) uv_signal_stop(&t->signals[i]);
}

static struct tty *tty_get(struct host *h) {
  struct tty *t = h->tty;
  if (t) return t;
  t = mem_calloc(&h->mem, sizeof *t);
  if (!t) return NULL;
  t->host = h;
  for (size_t i = 0; i < COUNT_OF(watched); i++) {
    if (uv_signal_init(&h->loop, &t->signals[i]) != 0) break;
    t->signals[i].data = t;
    uv_unref((uv_handle_t *)&t->signals[i]);
    t->handles++;
  }
  h->tty = t;
  return t;
}

/* --- modes -------------------------------------------------------------------------------------------------------- */

static void make_raw(struct termios *m) {
  m->c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
  m->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
  m->c_lflag |= NOFLSH; /* Ctrl-C must not throw away what was typed, or drawn, just before */
  m->c_cc[VMIN] = 1;
  m->c_cc[VTIME] = 0;
}

bool tty_raw(struct host *h, const char *farewell, size_t len, struct err *e) {
  struct tty *t = tty_get(h);
  if (!t || t->handles < COUNT_OF(watched)) {
    err_set(e, "os", 0, "out of memory: cannot take the terminal");
    return false;
  }
  if (h->edits) return true;
  if (tcgetattr(0, &t->before) != 0) {
    err_set(e, "os", errno, "standard input is no terminal: %s", strerror(errno));
    return false;
  }
  t->raw = t->before;
  make_raw(&t->raw);
  t->farewell_len = len < TTY_FAREWELL ? len : TTY_FAREWELL;
  memcpy(t->farewell, farewell, t->farewell_len);
  if (tcsetattr(0, TCSANOW, &t->raw) != 0) {
    err_set(e, "os", errno, "cannot change the terminal's mode: %s", strerror(errno));
    return false;
  }
  h->edits = 1;
  h->hooks.rescue = rescue;
  h->hooks.speak = spoken_past;
  signals_guard(h);
  watch(t);
  return true;
}

void tty_cooked(struct host *h) {
  struct tty *t = h->tty;
  if (!tty_is_raw(h)) return;
  unwatch(t);
  give_back(t);
  signals_unguard(h);
}

void tty_suspend(struct host *h) {
  struct tty *t = h->tty;
  struct err e;
  if (!tty_is_raw(h)) return;
  char farewell[TTY_FAREWELL];
  size_t len = t->farewell_len;
  memcpy(farewell, t->farewell, len);
  tty_cooked(h);
  kill(0, SIGTSTP); /* the whole job, as the terminal would have */
  (void)tty_raw(h, farewell, len, &e);
}

void tty_interrupts(struct host *h, bool on) {
  struct tty *t = h->tty;
  if (!tty_is_raw(h)) return;
  cc_t wanted = on ? t->before.c_cc[VINTR] : _POSIX_VDISABLE;
  if (t->raw.c_cc[VINTR] == wanted) return;
  t->raw.c_cc[VINTR] = wanted;
  (void)tcsetattr(0, TCSANOW, &t->raw);
}

void tty_disturbed(struct host *h) {
  if (tty_is_raw(h)) tell(h, TTY_CONTINUED);
}

bool tty_is_raw(struct host *h) {
  return h->edits != 0;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle) {
  struct tty *t = handle->data;
  if (--t->handles == 0) mem_free(&t->host->mem, t);
}

void tty_close(struct host *h) {
  struct tty *t = h->tty;
  if (!t) return;
  tty_cooked(h);
  h->tty = NULL;
  unsigned open = t->handles;
  if (open == 0) mem_free(&h->mem, t);
  for (unsigned i = 0; i < open; i++) uv_close((uv_handle_t *)&t->signals[i], on_closed);
}
