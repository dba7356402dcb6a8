/* net_curl_api.h - every function of libcurl that host/ calls, once; curl.easy_init() is curl_easy_init(). */
#ifndef STOKE_NET_CURL_API_H
#define STOKE_NET_CURL_API_H

#include <curl/curl.h>

#include "loop/err.h"

#define CURL_FUNCTIONS(X)                                                                                              \
  X(version) X(version_info) X(global_init) X(global_cleanup) X(free)                                                  \
  X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_getinfo) X(easy_pause) X(easy_strerror)                           \
  X(multi_init) X(multi_cleanup) X(multi_setopt) X(multi_add_handle) X(multi_remove_handle) X(multi_socket_action)     \
  X(multi_info_read)                                                                                                   \
  X(share_init) X(share_cleanup) X(share_setopt)                                                                       \
  X(slist_append) X(slist_free_all)                                                                                    \
  X(url) X(url_cleanup) X(url_get) X(url_set)

#define CURL_MEMBER(name) __typeof__(curl_##name) *name;
struct curl_api {
  CURL_FUNCTIONS(CURL_MEMBER)
};
#undef CURL_MEMBER

extern struct curl_api curl;

/* Before the first call of one; later ones cost a look. False with e filled: libcurl is not there. */
bool curl_api_open(struct err *e);

#endif
