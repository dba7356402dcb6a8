/* pg_api.c - libpq, opened by the first connection to PostgreSQL. Without its headers this room is empty (Makefile). */
#ifdef HAVE_LIBPQ
#include "pg_api.h"

#include "loop/library.h"

#ifdef STOKE_LINKED
#define ENTRY(name) .name = PQ##name,
struct pg_api libpq = {PG_FUNCTIONS(ENTRY)};

bool pg_api_open(struct err *e) {
  (void)e;
  return true;
}
#else
struct pg_api libpq;

#define SYMBOL(name) "PQ" #name,
static const char *const symbols[] = {PG_FUNCTIONS(SYMBOL)};

static struct library library = {.file = "libpq.so.5",
                                 .use = "PostgreSQL needs libpq",
                                 .hint = "install the package libpq5 (Debian; libpq or postgresql-libs elsewhere)",
                                 .symbols = symbols,
                                 .count = COUNT_OF(symbols),
                                 .table = &libpq};

bool pg_api_open(struct err *e) {
  return library_open(&library, e);
}
#endif
#endif
