/* pg_error.c - what libpq and the server say, as errors with a kind. No text of theirs has a password in it. */
#ifdef HAVE_LIBPQ
#include <string.h>

#include "pg_impl.h"

/* libpq's texts are of several lines, one for each address, and indented. */
static void one_line(const char *text, char *out, size_t size) {
  size_t n = 0;
  bool blank = true;
  for (; *text && n + 1 < size; text++) {
    bool space = *text == ' ' || *text == '\n' || *text == '\t';
    if (space && blank) continue;
    out[n++] = space ? ' ' : *text;
    blank = space;
  }
  while (n > 0 && out[n - 1] == ' ') n--;
  out[n] = 0;
}

/* libpq tells no code of a connection that could not be made, only words: these are its own and the server's in
 * English; in another language the kind is `refused`, and the words are right. */
static const struct {
  const char *words, *kind, *hint;
} reasons[] = {
    {"password authentication failed", "auth", "check user and password: of the URL, PGPASSWORD, or ~/.pgpass"},
    {"no password supplied", "auth", "give a password: in the URL, PGPASSWORD, or ~/.pgpass"},
    {"authentication failed", "auth", "check the user of the URL, and the server's pg_hba.conf"},
    {"no pg_hba.conf entry", "auth", "the server's pg_hba.conf does not let this user in from this address"},
    {"role \"", "auth", "check the user of the URL"},
    {"permission denied for database", "auth", "the owner has to GRANT CONNECT ON DATABASE"},
    {"database \"", "db", "check the name of the database behind the last / of the URL, or make it: createdb NAME"},
    {"too many clients", "overloaded", "raise max_connections of the server, or let fewer processes connect"},
    {"too many connections", "overloaded", "raise the limit of this role or database, or let fewer processes connect"},
    {"remaining connection slots", "overloaded", "raise max_connections of the server, or let fewer processes connect"},
    {"could not translate host name", "dns", NULL},
    {"timeout expired", "timeout", NULL},
    {"certificate", "tls", "check sslmode and sslrootcert of the URL"},
    {"SSL", "tls", "check sslmode of the URL"},
    {"GSSAPI", "auth", NULL},
    {"invalid connection option", "argument", "the options behind ? are those of libpq"},
    {"invalid URI", "argument", "postgres://USER@HOST:PORT/DATABASE"},
    {"invalid ", "argument", "postgres://USER@HOST:PORT/DATABASE"},
    {"missing ", "argument", "postgres://USER@HOST:PORT/DATABASE"},
};

void pg_connect_error(PGconn *conn, struct err *e) {
  char text[ERR_MESSAGE_MAX];
  one_line(conn ? libpq.errorMessage(conn) : "out of memory", text, sizeof text);
  const char *kind = "refused", *hint = "is PostgreSQL running there?";
  for (size_t i = 0; i < COUNT_OF(reasons); i++) {
    if (!strstr(text, reasons[i].words)) continue;
    kind = reasons[i].kind;
    hint = reasons[i].hint;
    break;
  }
  if (conn && libpq.connectionNeedsPassword(conn))
    kind = "auth", hint = "give a password: in the URL, PGPASSWORD, or ~/.pgpass";
  err_set(e, kind, 0, "%s", text);
  e->hint = hint;
}

/* Of an SQLSTATE, by its class or in full; the first that fits. */
static const struct {
  const char *state, *kind, *hint;
} states[] = {
    {"08", "refused", NULL},
    {"28", "auth", "check user and password"},
    {"42501", "auth", "the owner of the schema stoke, or an administrator, has to grant it"},
    {"25006", "db", "this server only reads: it is a standby, or the database is set to default_transaction_read_only"},
    {"53100", "overloaded", "the disk of the database is full"},
    {"53200", "overloaded", "the server has no more memory"},
    {"53300", "overloaded", "raise max_connections of the server, or let fewer processes connect"},
    {"53", "overloaded", NULL},
    {"54000", "argument", NULL},
    {"57P", "refused", "the server is being restarted, or an administrator ended the connection"},
};

void pg_result_error(const PGresult *r, struct err *e, char sqlstate[6]) {
  const char *state = libpq.resultErrorField(r, PG_DIAG_SQLSTATE);
  const char *text = libpq.resultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
  const char *detail = libpq.resultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
  snprintf(sqlstate, 6, "%s", state ? state : "");
  const char *kind = "db", *hint = NULL;
  for (size_t i = 0; i < COUNT_OF(states); i++) {
    if (strncmp(sqlstate, states[i].state, strlen(states[i].state)) != 0) continue;
    kind = states[i].kind;
    hint = states[i].hint;
    break;
  }
  err_set(e, kind, 0, "PostgreSQL: %s%s%s", text ? text : "an error without words", detail ? ": " : "",
          detail ? detail : "");
  e->hint = hint;
}

void pg_lost_error(struct pg *c, struct err *e) {
  char text[ERR_MESSAGE_MAX];
  one_line(c->conn ? libpq.errorMessage(c->conn) : "", text, sizeof text);
  err_set(e, "refused", 0, "the connection to PostgreSQL at %s was lost%s%s", c->place, text[0] ? ": " : "", text);
  e->hint = "it is made again when it is needed";
}
#endif
