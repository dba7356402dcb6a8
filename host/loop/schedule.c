/* schedule.c - recording the deliveries of a run, and its own ready queue while they are replayed. */
#include "schedule.h"

#include <stdarg.h>
#include <string.h>

#include "op.h"
#include "schedule_impl.h"
#include "task.h"

static bool visible(const struct task *t) {
  return t->effects == 0 && !t->abandoned;
}

/* --- making --------------------------------------------------------------------------------------------------------- */

struct schedule *schedule_new(struct host *h, size_t max) {
  struct schedule *s = mem_calloc(&h->mem, sizeof *s);
  if (!s) return NULL;
  s->host = h;
  s->refs = 1;
  s->log.max = max;
  s->ready_tail = &s->ready_head;
  return s;
}

void schedule_read(struct schedule *s) {
  enum log_status status = schedule_log_next(&s->log, &s->due);
  s->more = status == LOG_DONE;
  if (status == LOG_DAMAGED) schedule_fail(s, "replay", "the log of the run's order is damaged at byte %zu", s->log.read);
}

struct schedule *schedule_replay(struct host *h, const void *log, size_t len, size_t max) {
  struct schedule *s = schedule_new(h, max);
  if (!s) return NULL;
  if (!schedule_log_set(&h->mem, &s->log, log, len, max)) {
    schedule_unref(s);
    return NULL;
  }
  s->mode = SCHEDULE_REPLAY;
  return s;
}

void schedule_unref(struct schedule *s) {
  CHECK(s->refs > 0);
  if (--s->refs > 0) return;
  struct mem *m = &s->host->mem;
  struct schedule **link = &s->host->due;
  while (s->listed && *link != s) link = &(*link)->next;
  if (s->listed) *link = s->next;
  host_event_drop(s->host, &s->event);
  mem_free(m, s->log.bytes);
  mem_free(m, s->by_number);
  mem_free(m, s);
}

/* --- its tasks by number, for a replay -------------------------------------------------------------------------------- */

static size_t slot_of(const struct schedule *s, uint32_t number) {
  size_t i = number & (s->slots - 1); /* numbers follow one another, so this is nearly perfect */
  while (s->by_number[i] && s->by_number[i]->number != number) i = (i + 1) & (s->slots - 1);
  return i;
}

struct task *schedule_task(const struct schedule *s, uint32_t number) {
  return s->slots ? s->by_number[slot_of(s, number)] : NULL;
}

static bool grow_table(struct schedule *s) {
  if (s->live * 2 < s->slots) return true;
  size_t old_slots = s->slots, slots = old_slots ? old_slots * 2 : 16;
  struct task **old = s->by_number, **table = mem_calloc(&s->host->mem, slots * sizeof *table);
  if (!table) return false;
  s->by_number = table;
  s->slots = slots;
  for (size_t i = 0; i < old_slots; i++)
    if (old[i]) table[slot_of(s, old[i]->number)] = old[i];
  mem_free(&s->host->mem, old);
  return true;
}

static void forget(struct schedule *s, uint32_t number) {
  size_t i = slot_of(s, number), mask = s->slots - 1;
  s->by_number[i] = NULL;
  for (size_t j = (i + 1) & mask; s->by_number[j]; j = (j + 1) & mask) { /* what had to go past the gap */
    struct task *t = s->by_number[j];
    s->by_number[j] = NULL;
    s->by_number[slot_of(s, t->number)] = t;
  }
}

bool schedule_adopt(struct schedule *s, struct task *t) {
  CHECK(!t->schedule);
  t->number = s->tasks;
  if (s->mode == SCHEDULE_REPLAY) {
    if (!grow_table(s)) return false;
    s->by_number[slot_of(s, t->number)] = t;
  }
  s->live++;
  s->tasks++;
  s->refs++;
  t->schedule = s;
  if (t->number > 0) return true;
  s->root = t;
  if (s->mode == SCHEDULE_REPLAY) schedule_read(s);
  return true;
}

void schedule_leave(struct task *t) {
  struct schedule *s = t->schedule;
  if (s->root == t) s->root = NULL;
  if (s->about == t) {
    s->about = NULL;
    s->held = false;
    host_event_drop(s->host, &s->event);
  }
  if (s->by_number) forget(s, t->number);
  s->live--;
  t->schedule = NULL;
  schedule_unref(s);
}

/* --- who acts ---------------------------------------------------------------------------------------------------------- */

struct schedule *schedule_acting(const struct host *h) {
  if (h->acting) return h->acting;
  const struct task *t = h->current;
  return t && t->schedule && visible(t) && !schedule_over(t->schedule) ? t->schedule : NULL;
}

/* It has something to do: a turn comes. */
void schedule_list(struct schedule *s) {
  struct host *h = s->host;
  if (s->listed || s->mode != SCHEDULE_REPLAY) return;
  s->listed = true;
  s->next = NULL;
  struct schedule **link = &h->due;
  while (*link) link = &(*link)->next;
  *link = s;
  if (h->polling) uv_stop(&h->loop); /* as in task_ready */
}

void schedule_acted(struct host *h) {
  struct schedule *s = h->acting;
  if (!s) return;
  h->acting = s->outer;
  s->outer = NULL;
  if (!s->held) return;
  s->held = false;
  s->about = NULL;
  schedule_list(s);
}

/* --- recording ---------------------------------------------------------------------------------------------------------- */

static void note(struct schedule *s, uint32_t target, enum delivery_kind kind, const char *text, size_t len) {
  struct delivery d = {.count = s->count, .target = target, .kind = kind, .text = text, .text_len = len};
  switch (schedule_log_add(&s->host->mem, &s->log, &d)) {
  case LOG_FULL:
    schedule_fail(s, "limit", "the log of the run's order would grow beyond its limit of %zu bytes, after %llu resumes of its tasks",
                  s->log.max, (unsigned long long)s->count);
    break;
  case LOG_NO_MEMORY:
    schedule_fail(s, "os", "out of memory: no room for the log of the run's order");
    break;
  default:
    break;
  }
}

/* In a replay whose log is used up the next deliveries are new ones. */
static bool records(const struct schedule *s) {
  return s->mode == SCHEDULE_RECORD || (s->mode == SCHEDULE_REPLAY && !s->more && !s->held);
}

/* --- the end of it ------------------------------------------------------------------------------------------------------ */

/* The run lives from now on: its time limits begin. */
static void arm(struct schedule *s) {
  struct host *h = s->host;
  for (struct task *t = h->live; t; t = t->live_next)
    if (t->schedule == s) task_arm(t);
  for (struct alarm *a = s->alarm_list; a; a = a->next)
    if (!a->timer.armed && !a->event.queued) alarm_arm(a);
}

/* What waits for a delivery gets none. */
static void release(struct schedule *s) {
  struct task *t = s->ready_head, *next;
  s->ready_head = NULL;
  s->ready_tail = &s->ready_head;
  for (; t; t = next) {
    next = t->next;
    t->queued = false;
    task_ready(t);
  }
  for (t = s->host->live; t; t = t->live_next) {
    if (t->schedule != s) continue;
    if (t->arrived) task_ready(t);
    t->arrived = false;
    if (t->awaits) task_unpark(t, false);
  }
}

void schedule_go_live(struct schedule *s) {
  s->mode = SCHEDULE_RECORD;
  for (struct task *t = s->host->live; t; t = t->live_next) {
    if (t->schedule != s) continue;
    if (t->awaits) { /* its effect is to be done, and will be delivered like any other */
      t->silent = true;
      s->host->acting = s;
      task_unpark(t, false);
      s->host->acting = NULL;
    } else if (t->arrived) {
      note(s, t->number, DELIVERY_OUTCOME, NULL, 0);
      t->arrived = false;
      task_ready(t);
    }
  }
  arm(s);
}

static void end(struct schedule *s) {
  bool replayed = s->mode == SCHEDULE_REPLAY;
  s->mode = SCHEDULE_OVER;
  s->held = false;
  s->about = NULL;
  host_event_drop(s->host, &s->event);
  if (!replayed) return;
  release(s);
  arm(s);
}

void schedule_fail(struct schedule *s, const char *kind, const char *fmt, ...) {
  if (schedule_over(s)) return;
  va_list args;
  va_start(args, fmt);
  vsnprintf(s->why, sizeof s->why, fmt, args);
  va_end(args);
  s->failed = kind;
  end(s);
  if (s->root) host_event(s->host, &s->event, EVENT_FAILED, 0);
}

bool schedule_act(struct task *t, enum delivery_kind kind, const char *text, size_t len) {
  struct schedule *s = t->schedule;
  if (!s || schedule_over(s) || schedule_acting(s->host) == s) return false;
  if (s->mode == SCHEDULE_RECORD) {
    note(s, t->number, kind, text, len);
  } else if (!s->held || s->about != t) { /* not the keeper: somebody does it now */
    end(s);
  }
  if (schedule_over(s)) return false;
  s->outer = s->host->acting;
  s->host->acting = s;
  return true;
}

void schedule_time_up(struct task *t) {
  struct schedule *s = t->schedule;
  if (!visible(t) || schedule_over(s)) return;
  note(s, t->number, DELIVERY_TIME_UP, NULL, 0);
  if (!schedule_over(s)) s->host->acting = s;
}

/* --- alarms -------------------------------------------------------------------------------------------------------------- */

static void alarm_fire(struct timer *t) {
  struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
  host_event(a->host, &a->event, EVENT_ALARM, 0);
}

void alarm_arm(struct alarm *a) {
  timer_start(a->host, &a->timer, a->seconds, alarm_fire);
}

void alarm_start(struct host *h, struct alarm *a, double seconds) {
  struct schedule *s = schedule_acting(h);
  a->host = h;
  a->seconds = seconds;
  if (s) {
    a->schedule = s;
    a->number = s->alarms++;
    s->refs++;
    a->next = s->alarm_list;
    a->prev = &s->alarm_list;
    if (a->next) a->next->prev = &a->next;
    s->alarm_list = a;
  }
  if (!s || s->mode != SCHEDULE_REPLAY) alarm_arm(a);
}

void alarm_stop(struct alarm *a) {
  struct schedule *s = a->schedule;
  timer_stop(a->host, &a->timer);
  host_event_drop(a->host, &a->event);
  if (!s) return;
  a->schedule = NULL;
  *a->prev = a->next;
  if (a->next) a->next->prev = a->prev;
  schedule_unref(s);
}

void alarm_begin(struct alarm *a) {
  struct schedule *s = a->schedule;
  uint32_t number = a->number;
  if (s && s->mode == SCHEDULE_RECORD) note(s, number, DELIVERY_ALARM, NULL, 0);
  if (s && s->live > 0 && !schedule_over(s) && a->host->acting != s) {
    s->outer = a->host->acting;
    a->host->acting = s;
  }
  alarm_stop(a);
}

/* --- live effects --------------------------------------------------------------------------------------------------------- */

void schedule_begin(struct task *t) {
  CHECK(t->effects < UINT16_MAX);
  if (t->effects++ > 0) return;
  t->suspended = t->silent;
  t->silent = false;
}

bool schedule_finish(struct task *t) {
  CHECK(t->effects > 0);
  return --t->effects == 0 && t->suspended && !schedule_over(t->schedule);
}

bool schedule_deliver(struct task *t, bool done) {
  struct schedule *s = t->schedule;
  t->interrupted = false; /* whoever cancelled it meanwhile has marked its scope, and the effect's end tells */
  if (s->mode == SCHEDULE_REPLAY && (!done || !records(s))) {
    t->awaits = true;
    schedule_list(s);
    return false;
  }
  note(s, t->number, DELIVERY_OUTCOME, NULL, 0);
  return true;
}

/* --- what task.c and op.c ask --------------------------------------------------------------------------------------------- */

void schedule_resumed(struct task *t) {
  if (t->effects > 0)
    t->suspended = true;
  else if (!t->silent)
    t->schedule->count++;
}

bool schedule_queue(struct task *t) {
  struct schedule *s = t->schedule;
  if (s->mode != SCHEDULE_REPLAY || !visible(t)) return false;
  t->queued = true;
  t->next = NULL;
  *s->ready_tail = t;
  s->ready_tail = &t->next;
  schedule_list(s);
  return true;
}

bool schedule_keep(struct task *t, bool cancelled) {
  struct schedule *s = t->schedule;
  if (schedule_over(s) || !visible(t) || cancelled || schedule_acting(s->host) == s) return false;
  if (t->op == &t->park) {
    schedule_fail(s, "replay", "something that is no part of the run ended a wait of its task %u (%s)", t->number, t->waits);
    return false;
  }
  if (records(s)) { /* a wait for the system that no effect has announced */
    note(s, t->number, DELIVERY_OUTCOME, NULL, 0);
    return false;
  }
  t->arrived = true;
  schedule_list(s);
  return true;
}

bool schedule_limit(struct task *t) {
  return t->schedule->mode == SCHEDULE_REPLAY && visible(t);
}
