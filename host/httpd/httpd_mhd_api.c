/* httpd_mhd_api.c - libmicrohttpd, opened by the first server. */
#include "httpd_mhd_api.h"

#include "loop/library.h"

#ifdef STOKE_LINKED
#define ENTRY(name) .name = MHD_##name,
struct mhd_api mhd = {MHD_FUNCTIONS(ENTRY)};

bool mhd_api_open(struct err *e) {
  (void)e;
  return true;
}
#else
struct mhd_api mhd;

#define SYMBOL(name) "MHD_" #name,
static const char *const symbols[] = {MHD_FUNCTIONS(SYMBOL)};

static struct library library = {.file = "libmicrohttpd.so.12",
                                 .use = "serving HTTP needs libmicrohttpd",
                                 .hint = "install the package libmicrohttpd12 (Debian; libmicrohttpd elsewhere)",
                                 .symbols = symbols,
                                 .count = COUNT_OF(symbols),
                                 .table = &mhd};

bool mhd_api_open(struct err *e) {
  return library_open(&library, e);
}
#endif
