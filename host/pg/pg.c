/* pg.c - a connection's life: made step by step, watched by the loop, lost or closed. */
#ifdef HAVE_LIBPQ
#include <errno.h>
#include <string.h>

#include "pg_impl.h"

static void advance(struct pg *c);

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void free_when_over(struct pg *c) {
  struct host *h = c->host;
  if (c->owners > 0 || c->polls > 0 || c->working) return;
  while (c->statements) {
    struct pg_statement *s = c->statements;
    c->statements = s->next;
    mem_free(&h->mem, s);
  }
  while (c->notes) {
    struct pg_note *n = c->notes;
    c->notes = n->next;
    mem_free(&h->mem, n);
  }
  pg_steps_free(c);
  mem_free(&h->mem, c);
  h->handles--;
}

static void on_poll_closed(uv_handle_t *handle) {
  struct pg_poll *p = CONTAINER_OF((uv_poll_t *)handle, struct pg_poll, uv);
  struct pg *c = p->owner;
  mem_free(&c->host->mem, p);
  c->host->inflight--;
  c->polls--;
  free_when_over(c);
}

/* Before libpq closes the socket or makes another: libuv must forget its number first. */
static void unwatch(struct pg *c) {
  struct pg_poll *p = c->poll;
  if (!p) return;
  c->poll = NULL;
  c->polled = 0;
  uv_poll_stop(&p->uv);
  c->host->inflight++;
  uv_close((uv_handle_t *)&p->uv, on_poll_closed);
}

static void end_job(struct pg_job *job, const struct err *why, bool unsure) {
  if (!job->err.kind) job->err = *why;
  job->unsure = unsure;
  job->done(job);
}

void pg_wake(struct pg *c) {
  struct pg_wait *w = c->waiter;
  c->waiter = NULL;
  if (w) w->ready(w);
}

void pg_lose(struct pg *c, const struct err *why) {
  if (c->state == PG_LOST) return;
  CHECK(!c->working);
  c->state = PG_LOST;
  timer_stop(c->host, &c->timer);
  unwatch(c);
  if (c->conn) libpq.finish(c->conn);
  c->conn = NULL;
  c->step_count = 0;
  c->used = 0;
  struct pg_job *opening = c->opening, *job = c->head;
  c->opening = c->head = NULL;
  c->tail = &c->head;
  pg_hold(c); /* the last of them may let go of it */
  if (opening) {
    c->host->inflight--;
    end_job(opening, why, false);
  }
  while (job) {
    struct pg_job *next = job->next;
    c->host->inflight--;
    end_job(job, why, true);
    job = next;
  }
  pg_wake(c);
  pg_release(c);
}

void pg_close(struct pg *c) {
  if (c->closed) return;
  c->closed = true;
  if (c->working) { /* its thread comes back, and then it ends; who waits for it does not */
    struct pg_job *opening = c->opening;
    struct err e;
    c->opening = NULL;
    err_set(&e, "cancelled", 0, "the connection to PostgreSQL was closed before it was made");
    if (opening) {
      c->host->inflight--;
      end_job(opening, &e, false);
    }
    return;
  }
  struct err e;
  err_set(&e, "cancelled", 0, "the connection to PostgreSQL was closed");
  pg_lose(c, &e);
}

void pg_hold(struct pg *c) {
  c->owners++;
}

void pg_release(struct pg *c) {
  CHECK(c->owners > 0);
  if (c->owners == 1) pg_close(c);
  c->owners--;
  free_when_over(c);
}

bool pg_alive(const struct pg *c) {
  return c->state == PG_READY && !c->closed;
}

const char *pg_place(const struct pg *c) {
  return c->place;
}

int pg_server(const struct pg *c) {
  return c->conn ? libpq.serverVersion(c->conn) : 0;
}

/* --- the socket --------------------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *uv, int status, int events) {
  struct pg *c = CONTAINER_OF(uv, struct pg_poll, uv)->owner;
  if (c->state == PG_CONNECTING) {
    unwatch(c); /* the next step may take another socket */
    advance(c);
    return;
  }
  if (status < 0) c->polled = 0; /* libuv stopped it; libpq finds out why */
  if (status >= 0 && (events & UV_WRITABLE)) pg_flush(c);
  if (c->state == PG_READY && (status < 0 || (events & UV_READABLE))) pg_readable(c);
}

bool pg_watch(struct pg *c, int events) {
  if (!c->poll) {
    struct pg_poll *p = mem_calloc(&c->host->mem, sizeof *p);
    if (!p) return false;
    if (uv_poll_init(&c->host->loop, &p->uv, libpq.socket(c->conn)) != 0) {
      mem_free(&c->host->mem, p);
      return false;
    }
    p->owner = c;
    c->poll = p;
    c->polls++;
  }
  if (c->polled != events) uv_poll_start(&c->poll->uv, events, on_poll);
  c->polled = events;
  /* what is under way counts as in flight; a connection at rest, or one that is listened to, keeps no process */
  if (c->state == PG_READY) uv_unref((uv_handle_t *)&c->poll->uv);
  return true;
}

/* --- making it ---------------------------------------------------------------------------------------------------- */

static void no_notice(void *ud, const PGresult *r) {
  (void)ud, (void)r; /* "relation exists, skipping" is nothing to write to standard error */
}

static void on_late(struct timer *timer) {
  struct pg *c = CONTAINER_OF(timer, struct pg, timer);
  struct err e;
  if (c->state == PG_CONNECTING) {
    err_set(&e, "timeout", ETIMEDOUT, "PostgreSQL did not let us in in time");
    e.phase = "connect";
    if (!c->working) {
      pg_lose(c, &e);
      return;
    }
    struct pg_job *opening = c->opening; /* a thread still looks up a name */
    c->opening = NULL;
    c->closed = true;
    c->host->inflight--;
    end_job(opening, &e, false);
    return;
  }
  err_set(&e, "timeout", ETIMEDOUT, "PostgreSQL at %s has not answered for %.0f s", c->place, c->answer_seconds);
  e.phase = "idle";
  pg_lose(c, &e);
}

static void ready(struct pg *c) {
  struct err e;
  timer_stop(c->host, &c->timer);
  c->state = PG_READY;
  const char *host = libpq.host(c->conn);
  snprintf(c->place, sizeof c->place, "%.40s@%.60s:%.8s/%.40s", libpq.user(c->conn), host ? host : "?",
           libpq.port(c->conn), libpq.db(c->conn));
  libpq.setNoticeReceiver(c->conn, no_notice, NULL);
  if (libpq.setnonblocking(c->conn, 1) != 0 || !libpq.enterPipelineMode(c->conn)) {
    pg_lost_error(c, &e);
    pg_lose(c, &e);
    return;
  }
  if (!pg_watch(c, UV_READABLE)) {
    err_set(&e, "os", ENOMEM, "out of memory: cannot watch a connection to PostgreSQL");
    pg_lose(c, &e);
    return;
  }
  struct pg_job *opening = c->opening;
  c->opening = NULL;
  c->host->inflight--;
  opening->done(opening);
}

/* In a thread of the pool: names are looked up, files are read, keys are derived here. */
static void step(uv_work_t *work) {
  struct pg *c = CONTAINER_OF(work, struct pg, work);
  if (c->conn) {
    c->polling = libpq.connectPoll(c->conn);
    return;
  }
  /* A dead peer is noticed within a quarter of a minute; what the URL says comes behind, and wins. */
  static const char *const keys[] = {
      "keepalives_idle", "keepalives_interval", "keepalives_count",          "tcp_user_timeout",
      "dbname",          "client_encoding",     "fallback_application_name", NULL};
  const char *values[] = {"10", "3", "3", "20000", c->url, "UTF8", "stoke", NULL};
  c->conn = libpq.connectStartParams(keys, values, 1);
  c->polling = c->conn && libpq.status(c->conn) != CONNECTION_BAD ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
}

static void after_step(uv_work_t *work, int status) {
  struct pg *c = CONTAINER_OF(work, struct pg, work);
  struct err e;
  (void)status;
  c->working = false;
  c->host->inflight--;
  err_clear(&e);
  if (c->closed) {
    err_set(&e, "cancelled", 0, "the connection to PostgreSQL was closed");
  } else if (c->polling == PGRES_POLLING_OK) {
    ready(c);
    return;
  } else if (c->polling == PGRES_POLLING_FAILED) {
    pg_connect_error(c->conn, &e);
  } else if (!pg_watch(c, c->polling == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE)) {
    err_set(&e, "os", ENOMEM, "out of memory: cannot watch a connection to PostgreSQL");
  }
  if (e.kind) pg_lose(c, &e);
}

static void advance(struct pg *c) {
  c->working = true;
  c->host->inflight++;
  CHECK(uv_queue_work(&c->host->loop, &c->work, step, after_step) == 0);
}

struct pg *pg_open(struct host *h, const struct pg_options *o, struct pg_job *job, struct err *e) {
  if (!pg_api_open(e)) return NULL;
  size_t len = strlen(o->url);
  struct pg *c = mem_calloc(&h->mem, sizeof *c + len + 1);
  if (!c) {
    err_set(e, "os", ENOMEM, "out of memory: cannot connect to PostgreSQL");
    return NULL;
  }
  memcpy(c->url, o->url, len + 1);
  c->host = h;
  c->owners = 1;
  c->tail = &c->head;
  c->notes_tail = &c->notes;
  c->answer_seconds = o->answer_seconds;
  c->room = o->room;
  c->opening = job;
  h->handles++;
  h->inflight++; /* until it is made */
  timer_start(h, &c->timer, o->connect_seconds, on_late);
  advance(c);
  return c;
}

/* --- the time for an answer, and notifications -------------------------------------------------------------------- */

bool pg_pending(const struct pg *c) {
  return c->notes || c->notes_lost;
}

char *pg_take(struct pg *c, bool *lost) {
  *lost = c->notes_lost;
  c->notes_lost = false;
  struct pg_note *n = c->notes;
  if (!n) return NULL;
  c->notes = n->next;
  if (!c->notes) c->notes_tail = &c->notes;
  c->note_count--;
  return n->text;
}

void pg_note_free(struct pg *c, char *note) {
  mem_free(&c->host->mem, CONTAINER_OF(note, struct pg_note, text));
}

bool pg_await(struct pg *c, struct pg_wait *wait) {
  if (c->waiter) return false;
  c->waiter = wait;
  return true;
}

void pg_forget(struct pg *c, struct pg_wait *wait) {
  if (c->waiter == wait) c->waiter = NULL;
}

void pg_clock(struct pg *c) {
  timer_stop(c->host, &c->timer);
  if (c->head) timer_start(c->host, &c->timer, c->answer_seconds, on_late);
}
#endif
