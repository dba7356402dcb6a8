/* timers.c - a pairing heap of deadlines over one uv_timer_t (Fredman, Sedgewick, Sleator, Tarjan 1986). */
#include "timers.h"

#include "host.h"

static bool before(const struct timer *a, const struct timer *b) {
  return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

/* `prev` is the left sibling, or the parent for a first child. */
static struct timer *meld(struct timer *a, struct timer *b) {
  if (!a) return b;
  if (!b) return a;
  if (before(b, a)) {
    struct timer *t = a;
    a = b;
    b = t;
  }
  b->prev = a;
  b->next = a->child;
  if (b->next) b->next->prev = b;
  a->child = b;
  return a;
}

/* Two passes, without recursion: pair from left to right onto a list, then meld the list. */
static struct timer *merge_children(struct timer *first) {
  struct timer *pairs = NULL;
  while (first) {
    struct timer *a = first, *b = a->next;
    first = b ? b->next : NULL;
    a->next = a->prev = NULL;
    if (b) b->next = b->prev = NULL;
    a = meld(a, b);
    a->next = pairs;
    pairs = a;
  }
  struct timer *root = NULL;
  while (pairs) {
    struct timer *t = pairs;
    pairs = t->next;
    t->next = NULL;
    root = meld(root, t);
  }
  return root;
}

static void heap_remove(struct timers *ts, struct timer *t) {
  if (ts->root == t) {
    ts->root = merge_children(t->child);
  } else {
    if (t->prev->child == t)
      t->prev->child = t->next;
    else
      t->prev->next = t->next;
    if (t->next) t->next->prev = t->prev;
    ts->root = meld(ts->root, merge_children(t->child));
  }
  if (ts->root) ts->root->prev = ts->root->next = NULL;
  t->child = t->next = t->prev = NULL;
  t->armed = false;
  ts->count--;
}

static void on_uv_timer(uv_timer_t *uv) {
  uv_stop(uv->loop); /* timers come before the poll of the same uv_run: it must not block, timers_run has work */
}

/* libuv's clock has whole milliseconds; round up so that we never wake before the deadline. */
static void rearm(struct host *h) {
  uint64_t at;
  if (h->clock != CLOCK_REAL || !timers_next(h, &at)) {
    uv_timer_stop(&h->uv_timer);
    return;
  }
  uint64_t now = host_now(h);
  uint64_t ms = at <= now ? 0 : (at - now + 999999) / 1000000;
  uv_timer_start(&h->uv_timer, on_uv_timer, ms, 0);
}

void timer_start(struct host *h, struct timer *t, double seconds, void (*fire)(struct timer *t)) {
  if (t->armed) heap_remove(&h->timers, t);
  if (!(seconds > 0)) seconds = 0;
  if (seconds > 1e9) seconds = 1e9; /* thirty years: keeps the sum below 2^64 */
  t->at = host_now(h) + (uint64_t)(seconds * 1e9);
  t->seq = ++h->timers.seq;
  t->fire = fire;
  t->child = t->next = t->prev = NULL;
  t->armed = true;
  h->timers.count++;
  h->timers.root = meld(h->timers.root, t);
  if (h->timers.root == t) rearm(h);
}

void timer_stop(struct host *h, struct timer *t) {
  if (t->armed) heap_remove(&h->timers, t); /* a needless wake-up is cheaper than re-arming now */
}

bool timers_next(const struct host *h, uint64_t *at) {
  if (!h->timers.root) return false;
  *at = h->timers.root->at;
  return true;
}

#define LATE_NS 50000000u /* longer than a busy turn of the loop */
#define STEP_NS 1000000u  /* timers due within this interval fire together */

bool timers_late(const struct host *h) {
  uint64_t at;
  return h->clock == CLOCK_REAL && timers_next(h, &at) && at + LATE_NS < host_now(h);
}

void timers_run(struct host *h) {
  uint64_t until = host_now(h), seq = h->timers.seq;
  if (h->timers.root && timers_late(h)) until = h->timers.root->at + STEP_NS;
  /* one started by a `fire` waits for the next turn, even when due at once */
  while (h->timers.root && h->timers.root->at <= until && h->timers.root->seq <= seq) {
    struct timer *t = h->timers.root;
    heap_remove(&h->timers, t);
    t->fire(t);
  }
  rearm(h);
}
