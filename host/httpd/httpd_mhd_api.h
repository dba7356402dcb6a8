/* httpd_mhd_api.h - every function of libmicrohttpd that host/ calls, once; mhd.start_daemon() is MHD_start_daemon(). */
#ifndef STOKE_HTTPD_MHD_API_H
#define STOKE_HTTPD_MHD_API_H

#include <microhttpd.h>

#include "loop/err.h"

#define MHD_FUNCTIONS(X)                                                                                               \
  X(get_version) X(is_feature_supported) X(start_daemon) X(quiesce_daemon) X(stop_daemon) X(run) X(get_timeout)        \
  X(get_daemon_info) X(get_connection_info) X(get_connection_values_n) X(suspend_connection) X(resume_connection)      \
  X(create_response_from_buffer) X(create_response_from_callback) X(destroy_response) X(add_response_header)           \
  X(queue_response)

#define MHD_MEMBER(name) __typeof__(MHD_##name) *name;
struct mhd_api {
  MHD_FUNCTIONS(MHD_MEMBER)
};
#undef MHD_MEMBER

extern struct mhd_api mhd;

/* Before the first call of one; later ones cost a look. False with e filled: libmicrohttpd is not there. */
bool mhd_api_open(struct err *e);

#endif
