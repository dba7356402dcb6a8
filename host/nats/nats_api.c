/* nats_api.c - libnats, opened by the first connection. */
#ifdef HAVE_NATS
#include "nats_api.h"

#include "loop/library.h"

#ifdef STOKE_LINKED
#define ENTRY(name) .name = name,
struct nats_api libnats = {NATS_FUNCTIONS(ENTRY)};

bool nats_api_open(struct err *e) {
  (void)e;
  return true;
}
#else
struct nats_api libnats;

#define SYMBOL(name) #name,
static const char *const symbols[] = {NATS_FUNCTIONS(SYMBOL)};

/* Its soname has both numbers of its version: that of the headers we are compiled with. */
#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#define VERSION    TEXT(NATS_VERSION_MAJOR) "." TEXT(NATS_VERSION_MINOR)

static struct library library = {.file = "libnats.so." VERSION,
                                 .use = "queues over NATS need libnats",
                                 .hint = "install the package libnats" VERSION " (Debian; nats.c or cnats elsewhere)",
                                 .symbols = symbols,
                                 .count = COUNT_OF(symbols),
                                 .table = &libnats};

bool nats_api_open(struct err *e) {
  return library_open(&library, e);
}
#endif
#endif
