/* library.h - shared libraries that are opened when they are first needed. Linked, libcurl, libmicrohttpd and libcrypto bring 33
 * others with them, and loading those is most of what a start costs, even of a script without requests. Each engine has one list of
 * the functions it calls (net_curl_api.h, httpd_mhd_api.h, hash_api.h, store_api.h), out of which come the type of its table and
 * the names to look for. With STOKE_LINKED (make DLOPEN=0) the tables are filled by the linker, and nothing is opened here. */
#ifndef STOKE_LIBRARY_H
#define STOKE_LIBRARY_H

#include "err.h"

struct library {
  const char *file; /* its soname: the number in it is that of the interface we are written for */
  const char *use;  /* "HTTP requests need libcurl": how a message begins when it is not there */
  const char *hint; /* how to install it; static */
  const char *const *symbols;
  size_t count;
  void *table; /* of `count` pointers to functions, in the order of `symbols` */
  bool open;
};

/* Fills the table; false, with e filled, when the library or one of its functions is not there. It stays open: what it keeps in
 * memory lives as long as the process. Loop thread only. */
bool library_open(struct library *l, struct err *e);

#endif
