/* store_api.c - libsqlite3, opened by the first database. */
#include "store_api.h"

#include "loop/library.h"

#ifdef STOKE_LINKED
#define ENTRY(name) .name = sqlite3_##name,
struct sqlite_api sqlite = {SQLITE_FUNCTIONS(ENTRY)};

bool sqlite_api_open(struct err *e) {
  (void)e;
  return true;
}
#else
struct sqlite_api sqlite;

#define SYMBOL(name) "sqlite3_" #name,
static const char *const symbols[] = {SQLITE_FUNCTIONS(SYMBOL)};

static struct library library = {.file = "libsqlite3.so.0",
                                 .use = "databases need libsqlite3",
                                 .hint =
                                     "install the package libsqlite3-0 (Debian; sqlite-libs or libsqlite elsewhere)",
                                 .symbols = symbols,
                                 .count = COUNT_OF(symbols),
                                 .table = &sqlite};

bool sqlite_api_open(struct err *e) {
  return library_open(&library, e);
}
#endif
