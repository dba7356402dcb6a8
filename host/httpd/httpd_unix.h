/* httpd_unix.h - a listening socket in the file system: for clients of this machine, and of this user alone. */
#ifndef STOKE_HTTPD_UNIX_H
#define STOKE_HTTPD_UNIX_H

#include "loop/err.h"

/* A listening descriptor, which the caller owns, or -1 with e filled. The file is made with mode 0600. What a program left
 * behind that is gone is replaced; a socket that somebody listens on is not. */
int unix_listen(const char *path, struct err *e);

#endif
