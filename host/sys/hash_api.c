/* hash_api.c - libcrypto, opened by the first digest. */
#include "hash_api.h"

#include "loop/library.h"

#ifdef STOKE_LINKED
#define ENTRY(name) .name = name,
struct crypto_api crypto = {CRYPTO_FUNCTIONS(ENTRY)};

bool crypto_api_open(struct err *e) {
  (void)e;
  return true;
}
#else
struct crypto_api crypto;

#define SYMBOL(name) #name,
static const char *const symbols[] = {CRYPTO_FUNCTIONS(SYMBOL)};

/* The names of its soname differ; the interface is that of the headers. */
#if OPENSSL_VERSION_MAJOR >= 3
#define SONAME "libcrypto.so.3"
#else
#define SONAME "libcrypto.so.1.1"
#endif

static struct library library = {.file = SONAME,
                                 .use = "hashing needs libcrypto",
                                 .hint = "install the package libssl3 (Debian; openssl elsewhere)",
                                 .symbols = symbols,
                                 .count = COUNT_OF(symbols),
                                 .table = &crypto};

bool crypto_api_open(struct err *e) {
  return library_open(&library, e);
}
#endif
