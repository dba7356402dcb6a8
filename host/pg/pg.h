/* pg.h - connections to PostgreSQL, through libpq. Knows no Lua and no SQL of its own.
 *
 * A connection is made without blocking the loop: each step of it, which may look up a name, read a file of passwords
 * or compute a proof of one, is done in the pool of threads; between two steps the loop waits for the socket. Once it
 * is made, all is done on the loop thread, in libpq's pipeline mode: jobs are sent at once, however many are under
 * way, and answered in their order.
 *
 * A job is a list of statements that are done all or none, in one round trip. Each statement is prepared when it comes
 * for the first time. A connection that is lost stays lost: who wants another one opens it. */
#ifndef STOKE_PG_H
#define STOKE_PG_H

#include "loop/err.h"

struct host;
struct pg;

/* --- what is asked ------------------------------------------------------------------------------------------------ */

/* One job, packed: for each statement
 *   uint32 bytes of its text, without the zero that follows it | the text, 0
 *   uint32 number of parameters, and for each: int32 bytes, -1 = NULL | int32 format, 0 text or 1 binary | the bytes, 0
 * The numbers are in the order of this machine and stand where they come to stand. */
#define PG_PARAMS_MAX     64
#define PG_STATEMENTS_MAX 64
#define PG_REQUEST_MAX    ((size_t)256 << 20)

struct pg_job {
  void (*done)(struct pg_job *job); /* once, on the loop thread; the owner may free the job in it */
  const char *request;              /* stays until then */
  size_t request_len;
  unsigned statements; /* of them `results` has room */
  bool once;           /* they are not prepared */

  struct err err;   /* kind NULL: it is done */
  char sqlstate[6]; /* of the server, else "" */
  bool unsure;      /* it was sent, and no answer came: it may have been done */
  void **results;   /* PGresult; the owner gives them back with pg_results_free */

  struct pg_job *next; /* of those under way; the connection's */
  unsigned answered;
};

void pg_results_free(struct pg_job *job);

/* --- what came of it ---------------------------------------------------------------------------------------------- */

enum pg_type { PG_NULL, PG_BOOLEAN, PG_INTEGER, PG_FLOAT, PG_BYTES };

struct pg_value {
  enum pg_type type;
  bool boolean;
  int64_t integer;
  double number;
  const char *bytes; /* valid as long as the result */
  size_t len;
};

size_t pg_rows(const void *result);
size_t pg_columns(const void *result);
long long pg_changes(const void *result); /* rows that a statement without a result has changed */
/* Types beside numbers, booleans and texts come as the bytes that the server sends; a numeric is to be cast in the
 * statement. */
void pg_value(const void *result, size_t row, size_t column, struct pg_value *v);

/* --- connections -------------------------------------------------------------------------------------------------- */

struct pg_options {
  const char *url;        /* as libpq takes it: postgres://... */
  double connect_seconds; /* until it is made */
  double answer_seconds;  /* a job that is answered later than this after the one before has lost the connection */
  size_t room;            /* bytes of jobs under way beyond which none is taken */
};

/* NULL with e filled when out of memory or libpq is not there. Else job->done comes when the connection is made, or
 * not: then job->err is filled. The caller owns it and gives it back with pg_release; pg_hold adds an owner. */
struct pg *pg_open(struct host *h, const struct pg_options *o, struct pg_job *job, struct err *e);
void pg_hold(struct pg *c);
void pg_release(struct pg *c); /* the last one closes; freed once the loop has let go */
void pg_close(struct pg *c);   /* idempotent; jobs under way end with `cancelled`, on the way */

/* False with e filled: it was not taken, and `done` does not come. */
bool pg_submit(struct pg *c, struct pg_job *job, struct err *e);
bool pg_alive(const struct pg *c);
const char *pg_place(const struct pg *c); /* "user@host:port/database", once it is made */
int pg_server(const struct pg *c);        /* its version, 150003 for 15.3 */

/* --- notifications ------------------------------------------------------------------------------------------------ */

#define PG_NOTES_MAX 256 /* different ones, kept until they are taken */

struct pg_wait {
  void (*ready)(struct pg_wait *w);
};

/* The oldest payload, in the caller's hands (pg_note_free); NULL = none. *lost: some were dropped, since there were
 * too many. */
char *pg_take(struct pg *c, bool *lost);
void pg_note_free(struct pg *c, char *note);
bool pg_pending(const struct pg *c); /* pg_take would return one, or lost */
bool pg_await(struct pg *c,
              struct pg_wait *wait); /* false = somebody waits already; called once, also when it is lost */
void pg_forget(struct pg *c, struct pg_wait *wait);

#endif
