/* schedule_play.c - a replayed run: its deliveries are applied just before the resume they came before. */
#include <string.h>

#include "op.h"
#include "schedule.h"
#include "schedule_impl.h"
#include "task.h"

#define TURN 64 /* resumes before others come in between */

enum applied { APPLIED, NOT_YET, FAILED };

static const char *const names[] = {[DELIVERY_OUTCOME] = "the outcome of an effect", [DELIVERY_TIME_UP] = "the end of a time limit",
                                    [DELIVERY_ALARM] = "a deadline", [DELIVERY_CANCEL] = "a cancellation from outside",
                                    [DELIVERY_CUT] = "that it is cut off, given"};

static bool pending(const struct task *t) {
  return t->op && t->op->verdict == OP_PENDING;
}

/* In a live effect, or in a wait for the system: something will come, at a time of its own. */
static bool is_busy(const struct task *t) {
  return t->effects > 0 || (pending(t) && t->op != &t->park);
}

static enum applied diverged(struct schedule *s, const struct task *t) {
  const char *does = !t ? "is not there" : pending(t) && t->waits ? t->waits : t->queued ? "is ready to run" : "runs";
  bool waits = t && pending(t) && t->waits;
  schedule_fail(s, "replay",
                "the run does not go as it was recorded: after %llu resumes comes %s for its task %u, which %s%s. Its code, or what "
                "it was given, is not the same", (unsigned long long)s->count, names[s->due.kind], s->due.target,
                waits ? "waits for " : "", does);
  return FAILED;
}

static enum applied apply_outcome(struct schedule *s, struct task *t) {
  if (t && t->arrived) {
    t->arrived = false;
    task_ready(t);
    return APPLIED;
  }
  if (t && t->awaits && pending(t)) {
    task_unpark(t, true);
    return APPLIED;
  }
  return t && (t->awaits || is_busy(t)) ? NOT_YET : diverged(s, t);
}

static enum applied apply_time_up(struct schedule *s, struct task *t) {
  if (!t || !t->limited || t->awaits || !pending(t) || t->op != &t->park) return diverged(s, t);
  task_unpark(t, false);
  return APPLIED;
}

static enum applied apply_alarm(struct schedule *s) {
  struct alarm *a = s->alarm_list;
  while (a && a->number != s->due.target) a = a->next;
  if (!a) {
    schedule_fail(s, "replay", "the run does not go as it was recorded: after %llu resumes comes deadline %u of it, which does not stand",
                  (unsigned long long)s->count, s->due.target);
    return FAILED;
  }
  s->held = true;
  host_event(s->host, &a->event, EVENT_ALARM, 0);
  return APPLIED;
}

static enum applied apply_to_task(struct schedule *s, struct task *t) {
  if (!t) return diverged(s, t);
  s->about = t;
  s->text_at = s->due.text_len ? (size_t)(s->due.text - (const char *)s->log.bytes) : 0;
  s->text_len = s->due.text_len;
  s->held = true;
  host_event(s->host, &s->event, s->due.kind == DELIVERY_CUT ? EVENT_CUT : EVENT_CANCEL, 0);
  return APPLIED;
}

static enum applied apply(struct schedule *s) {
  if (s->due.kind == DELIVERY_ALARM) return apply_alarm(s);
  struct task *t = schedule_task(s, s->due.target);
  struct schedule *before = s->host->acting;
  enum applied applied;
  s->host->acting = s;
  switch (s->due.kind) {
  case DELIVERY_OUTCOME: applied = apply_outcome(s, t); break;
  case DELIVERY_TIME_UP: applied = apply_time_up(s, t); break;
  default: applied = apply_to_task(s, t); break;
  }
  s->host->acting = before;
  return applied;
}

/* False: nothing of the run may be resumed now. */
static bool apply_due(struct schedule *s) {
  if (s->paused) return false;
  while (s->more && !s->held && s->due.count <= s->count) {
    if (apply(s) != APPLIED) return false;
    schedule_read(s);
  }
  return !s->held && s->mode == SCHEDULE_REPLAY;
}

void schedule_pause(struct schedule *s, bool paused) {
  s->paused = paused;
  if (!paused) schedule_list(s);
}

static struct task *take(struct schedule *s) {
  struct task *t = s->ready_head;
  if (!t) return NULL;
  s->ready_head = t->next;
  if (!t->next) s->ready_tail = &s->ready_head;
  t->next = NULL;
  t->queued = false;
  return t;
}

/* Nothing is left to resume before the next delivery, or the log is used up. */
static void stands_still(struct schedule *s) {
  for (struct task *t = s->host->live; s->more && t; t = t->live_next)
    if (t->schedule == s && is_busy(t)) return;
  if (!s->more)
    schedule_go_live(s);
  else if (s->live > 0)
    schedule_fail(s, "replay", "the run does not go as it was recorded: it has nothing to do after %llu resumes of its tasks, and the "
                  "next delivery comes after %llu. Its code, or what it was given, is not the same",
                  (unsigned long long)s->count, (unsigned long long)s->due.count);
}

static void turn(struct schedule *s) {
  for (int left = TURN; apply_due(s) && !s->host->stopping; left--) {
    if (left == 0) {
      schedule_list(s);
      return;
    }
    struct task *t = take(s);
    if (!t) {
      stands_still(s);
      return;
    }
    task_resume(t);
  }
}

bool schedule_turns(struct host *h) {
  size_t n = 0; /* those listed from here on wait for the next turn */
  for (struct schedule *s = h->due; s; s = s->next) n++;
  bool any = n > 0;
  for (; n > 0 && h->due; n--) {
    struct schedule *s = h->due;
    h->due = s->next;
    s->listed = false;
    s->refs++; /* its last task may end */
    turn(s);
    schedule_unref(s);
  }
  return any;
}
