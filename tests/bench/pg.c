/* pg.c - the yardstick of queues in PostgreSQL: bare libpq, one connection, one question after another, the same
 * functions.
 *
 *   pg URL STREAM GROUP N COUNT
 *
 * claims COUNT items, N at a time, and settles them with one statement; prints claims_s=, p50_ms= of a claim. Without
 * libpq's headers it prints nothing. */
#ifdef HAVE_LIBPQ
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static PGresult *ask(PGconn *c, const char *name, int n, const char *const *values) {
  PGresult *r = PQexecPrepared(c, name, n, values, NULL, NULL, 0);
  if (PQresultStatus(r) == PGRES_TUPLES_OK) return r;
  fprintf(stderr, "pg: %s", PQerrorMessage(c));
  exit(1);
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* '{a,a,...}' of `n` times the same, or of a column of a result. */
static char *array(int n, const char *same, const PGresult *r, int column) {
  char *text = malloc((size_t)n * 64 + 3), *at = text;
  *at++ = '{';
  for (int i = 0; i < n; i++) at += sprintf(at, "%s%s", i ? "," : "", r ? PQgetvalue(r, i, column) : same);
  memcpy(at, "}", 2);
  return text;
}

static void settle(PGconn *c, const char *stream, const char *group, const PGresult *r) {
  int n = PQntuples(r);
  char *values[] = {array(n, stream, NULL, 0), array(n, group, NULL, 0), array(n, NULL, r, 0),  array(n, NULL, r, 5),
                    array(n, "done", NULL, 0), array(n, "x", NULL, 0),   array(n, "0", NULL, 0)};
  PQclear(ask(c, "settle", 7, (const char *const *)values));
  for (size_t i = 0; i < 7; i++) free(values[i]);
}

static void prepare(PGconn *c, const char *name, const char *sql) {
  PGresult *r = PQprepare(c, name, sql, 0, NULL);
  if (PQresultStatus(r) != PGRES_COMMAND_OK) {
    fprintf(stderr, "pg: %s", PQerrorMessage(c));
    exit(1);
  }
  PQclear(r);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  PGconn *c = PQconnectdb(argv[1]);
  if (PQstatus(c) != CONNECTION_OK) {
    fprintf(stderr, "pg: %s", PQerrorMessage(c));
    return 1;
  }
  PQclear(PQexec(c, "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off"));
  prepare(c, "claim", "SELECT * FROM stoke.claim($1::text,$2::text,$3::bigint,30,1,3,16777216)");
  prepare(c, "settle",
          "SELECT stoke.settle($1::text[],$2::text[],$3::bigint[],$4::bigint[],$5::text[],$6::bytea[],NULL,"
          "$7::float8[],'{}','{}','{}','{}','{}','{}')");
  int count = atoi(argv[5]), done = 0, asked = 0;
  double *took = malloc((size_t)count * sizeof *took), began = seconds_now();
  const char *values[] = {argv[2], argv[3], argv[4]};
  while (done < count) {
    double from = seconds_now();
    PGresult *r = ask(c, "claim", 3, values);
    took[asked++] = seconds_now() - from;
    if (PQntuples(r) == 0 || PQgetisnull(r, 0, 0)) return 1;
    done += PQntuples(r);
    settle(c, argv[2], argv[3], r);
    PQclear(r);
  }
  double all = seconds_now() - began;
  qsort(took, (size_t)asked, sizeof *took, by_size);
  printf("claims_s=%.0f\np50_ms=%.3f\n", done / all, took[asked / 2] * 1e3);
  PQfinish(c);
  return 0;
}
#else
int main(void) {
  return 0;
}
#endif
