/* net_curl_api.c - libcurl, opened by the first request. */
#include "net_curl_api.h"

#include "loop/library.h"

#ifdef STOKE_LINKED
#define ENTRY(name) .name = curl_##name,
struct curl_api curl = {CURL_FUNCTIONS(ENTRY)};

bool curl_api_open(struct err *e) {
  (void)e;
  return true;
}
#else
struct curl_api curl;

#define SYMBOL(name) "curl_" #name,
static const char *const symbols[] = {CURL_FUNCTIONS(SYMBOL)};

static struct library library = {.file = "libcurl.so.4",
                                 .use = "HTTP requests need libcurl",
                                 .hint = "install the package libcurl4 (Debian; libcurl elsewhere)",
                                 .symbols = symbols,
                                 .count = COUNT_OF(symbols),
                                 .table = &curl};

bool curl_api_open(struct err *e) {
  return library_open(&library, e);
}
#endif
