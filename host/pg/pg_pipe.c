/* pg_pipe.c - jobs sent in libpq's pipeline mode, and their answers. */
#ifdef HAVE_LIBPQ
#include <errno.h>
#include <string.h>

#include "pg_impl.h"

/* --- what is awaited: a ring -------------------------------------------------------------------------------------- */

static bool steps_room(struct pg *c, size_t more) {
  if (c->step_count + more <= c->step_size) return true;
  size_t size = c->step_size ? c->step_size : 64;
  while (size < c->step_count + more) size *= 2;
  struct pg_step *steps = mem_alloc(&c->host->mem, size * sizeof *steps);
  if (!steps) return false;
  for (size_t i = 0; i < c->step_count; i++) steps[i] = c->steps[(c->step_first + i) % c->step_size];
  mem_free(&c->host->mem, c->steps);
  c->steps = steps;
  c->step_first = 0;
  c->step_size = size;
  return true;
}

static void await_step(struct pg *c, enum pg_kind kind, struct pg_statement *s, struct pg_job *job) {
  c->steps[(c->step_first + c->step_count++) % c->step_size] =
      (struct pg_step){.kind = kind, .statement = s, .job = job};
}

void pg_steps_free(struct pg *c) {
  mem_free(&c->host->mem, c->steps);
}

/* --- statements with a name --------------------------------------------------------------------------------------- */

static struct pg_statement *statement_known(const struct pg *c, const char *text, size_t len) {
  for (struct pg_statement *s = c->statements; s; s = s->next)
    if (s->len == len && memcmp(s->text, text, len) == 0) return s;
  return NULL;
}

/* NULL: it is sent without one. */
static struct pg_statement *statement_new(struct pg *c, const char *text, size_t len) {
  if (c->prepared == PG_PREPARED_MAX) return NULL;
  struct pg_statement *s = mem_calloc(&c->host->mem, sizeof *s + len + 1);
  if (!s) return NULL;
  memcpy(s->text, text, len + 1);
  s->len = len;
  s->failed = true; /* it has to be prepared */
  snprintf(s->name, sizeof s->name, "s%u", ++c->prepared);
  s->next = c->statements;
  return c->statements = s;
}

/* A preparation stands between two synchronisations of its own, so that it fails alone. */
static bool prepare(struct pg *c, struct pg_statement *s) {
  s->failed = false;
  err_clear(&s->err);
  if (!libpq.sendPrepare(c->conn, s->name, s->text, 0, NULL) || !libpq.pipelineSync(c->conn)) return false;
  await_step(c, PG_PREPARE, s, NULL);
  await_step(c, PG_SYNC, NULL, NULL);
  return true;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

struct reader {
  const char *at;
};

static int32_t read_number(struct reader *r) {
  int32_t n;
  memcpy(&n, r->at, sizeof n);
  r->at += sizeof n;
  return n;
}

static const char *read_bytes(struct reader *r, int32_t len) {
  const char *bytes = r->at;
  r->at += (size_t)len + 1;
  return bytes;
}

static const char *skip_params(struct reader *r) {
  for (int32_t n = read_number(r); n > 0; n--) {
    int32_t len = read_number(r);
    (void)read_number(r);
    (void)read_bytes(r, len < 0 ? 0 : len);
  }
  return r->at;
}

/* All preparations of a job go before its first statement: a synchronisation between two of them would part them. */
static bool prepare_all(struct pg *c, struct pg_job *job) {
  struct reader r = {job->request};
  for (unsigned i = 0; i < job->statements; i++) {
    int32_t len = read_number(&r);
    const char *text = read_bytes(&r, len);
    skip_params(&r);
    struct pg_statement *s = statement_known(c, text, (size_t)len);
    if (!s) s = statement_new(c, text, (size_t)len);
    if (s && s->failed && !prepare(c, s)) return false;
  }
  return true;
}

static bool send_one(struct pg *c, struct pg_job *job, struct reader *r) {
  const char *values[PG_PARAMS_MAX];
  int lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
  int32_t len = read_number(r);
  const char *text = read_bytes(r, len);
  int32_t count = read_number(r);
  CHECK(count >= 0 && count <= PG_PARAMS_MAX);
  for (int32_t i = 0; i < count; i++) {
    int32_t bytes = read_number(r);
    formats[i] = read_number(r);
    lengths[i] = bytes < 0 ? 0 : bytes;
    const char *at = read_bytes(r, lengths[i]);
    values[i] = bytes < 0 ? NULL : at;
  }
  struct pg_statement *s = job->once ? NULL : statement_known(c, text, (size_t)len);
  bool sent = s ? libpq.sendQueryPrepared(c->conn, s->name, count, values, lengths, formats, 1)
                : libpq.sendQueryParams(c->conn, text, count, NULL, values, lengths, formats, 1);
  if (sent) await_step(c, PG_EXECUTE, s, job);
  return sent;
}

static bool send_all(struct pg *c, struct pg_job *job) {
  struct reader r = {job->request};
  if (!job->once && !prepare_all(c, job)) return false;
  for (unsigned i = 0; i < job->statements; i++)
    if (!send_one(c, job, &r)) return false;
  if (!libpq.pipelineSync(c->conn)) return false;
  await_step(c, PG_SYNC, NULL, job);
  return true;
}

void pg_flush(struct pg *c) {
  int left = libpq.flush(c->conn);
  struct err e;
  if (left < 0) {
    pg_lost_error(c, &e);
    pg_lose(c, &e);
    return;
  }
  if (pg_watch(c, left > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE)) return;
  err_set(&e, "os", ENOMEM, "out of memory: cannot watch a connection to PostgreSQL");
  pg_lose(c, &e);
}

bool pg_submit(struct pg *c, struct pg_job *job, struct err *e) {
  if (!pg_alive(c)) {
    err_set(e, "refused", 0, "the connection to PostgreSQL at %s is lost", c->place);
    return false;
  }
  if (c->used > 0 && c->used + job->request_len > c->room) {
    err_set(e, "overloaded", 0, "more than %zu MB are on the way to PostgreSQL already", c->room >> 20);
    return false;
  }
  if (!steps_room(c, (size_t)job->statements * 3 + 1)) {
    err_set(e, "os", ENOMEM, "out of memory: cannot ask PostgreSQL");
    return false;
  }
  job->next = NULL;
  job->answered = 0;
  *c->tail = job;
  c->tail = &job->next;
  c->used += job->request_len;
  c->host->inflight++;
  if (c->head == job) pg_clock(c);
  if (send_all(c, job)) {
    pg_flush(c);
    return true;
  }
  struct err why;
  pg_lost_error(c, &why);
  pg_lose(c, &why); /* ends this job, too */
  return true;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void finish_job(struct pg *c, struct pg_job *job) {
  CHECK(c->head == job);
  c->head = job->next;
  if (!c->head) c->tail = &c->head;
  c->used -= job->request_len;
  c->host->inflight--;
  pg_clock(c);
  job->done(job);
}

static void note_failure(struct pg_step *s, const PGresult *r) {
  struct err e;
  char sqlstate[6];
  pg_result_error(r, &e, sqlstate);
  if (s->kind == PG_PREPARE) {
    s->statement->failed = true;
    s->statement->err = e;
    memcpy(s->statement->sqlstate, sqlstate, sizeof sqlstate);
  } else if (s->job && !s->job->err.kind) {
    bool unprepared = s->statement && s->statement->failed && s->statement->err.kind;
    s->job->err = unprepared ? s->statement->err : e;
    memcpy(s->job->sqlstate, unprepared ? s->statement->sqlstate : sqlstate, sizeof sqlstate);
  }
}

/* False: the answers are not those that are awaited. */
static bool take_result(struct pg *c, PGresult *r) {
  struct pg_step *s = &c->steps[c->step_first];
  ExecStatusType status = libpq.resultStatus(r);
  bool sync = status == PGRES_PIPELINE_SYNC;
  if (sync != (s->kind == PG_SYNC)) return false;
  if (status == PGRES_FATAL_ERROR) note_failure(s, r);
  s->seen = true;
  if (s->kind == PG_EXECUTE && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)) {
    s->job->results[s->job->answered++] = r;
    return true;
  }
  libpq.clear(r);
  if (!sync) return true;
  struct pg_job *job = s->job;
  c->step_first = (c->step_first + 1) % c->step_size;
  c->step_count--;
  if (job) finish_job(c, job);
  return true;
}

static bool take_results(struct pg *c) {
  while (c->state == PG_READY && c->step_count > 0 && !libpq.isBusy(c->conn)) {
    PGresult *r = libpq.getResult(c->conn);
    if (r) {
      if (take_result(c, r)) continue;
      libpq.clear(r);
      return false;
    }
    if (!c->steps[c->step_first].seen) return false;
    c->step_first = (c->step_first + 1) % c->step_size;
    c->step_count--;
  }
  return true;
}

static void keep_note(struct pg *c, const char *text) {
  for (const struct pg_note *n = c->notes; n; n = n->next)
    if (strcmp(n->text, text) == 0) return;
  size_t len = strlen(text);
  struct pg_note *n = c->note_count < PG_NOTES_MAX ? mem_alloc(&c->host->mem, sizeof *n + len + 1) : NULL;
  if (!n) {
    c->notes_lost = true;
    return;
  }
  memcpy(n->text, text, len + 1);
  n->next = NULL;
  *c->notes_tail = n;
  c->notes_tail = &n->next;
  c->note_count++;
}

static void take_notes(struct pg *c) {
  PGnotify *n;
  while ((n = libpq.notifies(c->conn))) {
    keep_note(c, n->extra);
    libpq.freemem(n);
  }
  if (pg_pending(c)) pg_wake(c);
}

void pg_readable(struct pg *c) {
  struct err e;
  bool sound = libpq.consumeInput(c->conn) && take_results(c);
  if (c->state == PG_READY) {
    if (libpq.status(c->conn) == CONNECTION_BAD) sound = false;
    if (sound) {
      take_notes(c);
    } else {
      pg_lost_error(c, &e);
      pg_lose(c, &e);
    }
  }
  if (c->state == PG_READY) pg_flush(c);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

void pg_results_free(struct pg_job *job) {
  for (unsigned i = 0; i < job->answered; i++) libpq.clear(job->results[i]);
  job->answered = 0;
}

size_t pg_rows(const void *result) {
  return (size_t)libpq.ntuples(result);
}

size_t pg_columns(const void *result) {
  return (size_t)libpq.nfields(result);
}

long long pg_changes(const void *result) {
  return atoll(libpq.cmdTuples((PGresult *)result));
}

static int64_t big_endian(const char *bytes, int len) {
  uint64_t n = len > 0 && (signed char)bytes[0] < 0 ? UINT64_MAX : 0;
  for (int i = 0; i < len; i++) n = n << 8 | (unsigned char)bytes[i];
  return (int64_t)n;
}

enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_FLOAT8 = 701 };

void pg_value(const void *result, size_t row, size_t column, struct pg_value *v) {
  const PGresult *r = result;
  *v = (struct pg_value){.type = PG_NULL};
  if (libpq.getisnull(r, (int)row, (int)column)) return;
  v->bytes = libpq.getvalue(r, (int)row, (int)column);
  int len = libpq.getlength(r, (int)row, (int)column);
  v->len = (size_t)len;
  uint64_t bits = 0;
  switch (libpq.ftype(r, (int)column)) {
    case OID_BOOL: v->type = PG_BOOLEAN, v->boolean = len > 0 && v->bytes[0] != 0; break;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8: v->type = PG_INTEGER, v->integer = big_endian(v->bytes, len); break;
    case OID_FLOAT8:
      bits = (uint64_t)big_endian(v->bytes, len);
      v->type = PG_FLOAT;
      memcpy(&v->number, &bits, sizeof v->number);
      break;
    default: v->type = PG_BYTES;
  }
}
#endif
