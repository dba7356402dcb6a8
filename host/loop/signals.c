/* signals.c - the signal handlers. The one pointer below is the program's only mutable global: a handler has no other way to
 * find its host. */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

#define HANGUP_NS (300 * 1000000ull) /* a closed terminal is reported by the kernel and by the shell: one event */

static struct host *the_host;

struct host *signals_host(void) {
  return the_host;
}

bool signals_pending(const struct host *h) {
  return atomic_load(&h->signals.count) > 0;
}

void signals_forget(struct host *h) {
  atomic_store(&h->signals.count, 0);
}

static void rescue(struct host *h) {
  int error = errno;
  if (h && h->hooks.rescue) h->hooks.rescue(h);
  errno = error;
}

void signals_child(struct host *h, int before, int after) {
  for (size_t i = 0; i < COUNT_OF(h->signals.children); i++) {
    int expected = before;
    if (atomic_compare_exchange_strong(&h->signals.children[i], &expected, after)) return;
  }
}

/* No one is left to terminate them. */
static void end_children(struct host *h) {
  for (size_t i = 0; i < COUNT_OF(h->signals.children); i++) {
    int leader = atomic_load(&h->signals.children[i]);
    if (leader > 1) (void)kill(-leader, SIGKILL);
  }
}

/* The same closed terminal, reported twice. */
static bool is_echo(struct host *h, int sig) {
  struct timespec ts; /* of what uv_hrtime is made; a handler may call this one */
  if (sig != SIGHUP || clock_gettime(CLOCK_MONOTONIC, &ts) != 0) return false;
  uint64_t now = (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec, first = 0;
  return !atomic_compare_exchange_strong(&h->signals.hung_up, &first, now) && now - first < HANGUP_NS;
}

void signals_end(struct host *h) {
  rescue(h);
  end_children(h);
  _exit(128 + atomic_load(&h->signals.last));
}

static void on_signal(int sig) {
  struct host *h = the_host;
  if (!h) _exit(128 + sig);
  if (is_echo(h, sig)) return;
  atomic_store(&h->signals.last, sig);
  if (atomic_fetch_add(&h->signals.count, 1) > (h->edits ? 2 : 0)) signals_end(h);
  uv_async_send(&h->wake);
}

static void on_wake(uv_async_t *async) {
  struct host *h = async->data;
  if (signals_pending(h)) host_event(h, &h->signal, EVENT_SIGNAL, atomic_load(&h->signals.last));
}

static bool is_ignored(int sig) {
  struct sigaction now;
  return sigaction(sig, NULL, &now) != 0 || now.sa_handler == SIG_IGN;
}

void signals_catch(struct host *h) {
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = on_signal;
  sa.sa_flags = SA_RESTART;
  the_host = h;
  h->wake.data = h;
  h->wake.async_cb = on_wake;
  sigaction(SIGINT, &sa, NULL);
  sigaction(SIGTERM, &sa, NULL);
  if (!is_ignored(SIGHUP)) sigaction(SIGHUP, &sa, NULL); /* nohup: it stays ignored */
}

void signals_release(struct host *h) {
  if (the_host != h) return;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  if (!is_ignored(SIGHUP)) signal(SIGHUP, SIG_DFL);
  the_host = NULL;
}

/* --- what ends the program without a word ---------------------------------------------------------------------------- */

static const int fatal[SIGNALS_FATAL] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT};

static void on_fatal(int sig) {
  rescue(the_host);
  raise(sig); /* SA_RESETHAND: this one ends the program */
}

void signals_guard(struct host *h) {
  struct sigaction ours, old;
  memset(&ours, 0, sizeof ours);
  ours.sa_handler = on_fatal;
  ours.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
  for (size_t i = 0; i < COUNT_OF(fatal); i++) {
    if (h->signals.guarded[i] || sigaction(fatal[i], NULL, &old) != 0) continue;
    if ((old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL) continue; /* a sanitizer's */
    h->signals.guarded[i] = sigaction(fatal[i], &ours, NULL) == 0;
  }
}

void signals_unguard(struct host *h) {
  for (size_t i = 0; i < COUNT_OF(fatal); i++) {
    if (h->signals.guarded[i]) signal(fatal[i], SIG_DFL);
    h->signals.guarded[i] = false;
  }
}
