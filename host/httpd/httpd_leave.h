/* httpd_leave.h - tells when the other end of a socket has gone, without reading from it: one kernel queue for all
 * connections of a server, so that a waiting connection costs no descriptor and no system call per request. */
#ifndef STOKE_HTTPD_LEAVE_H
#define STOKE_HTTPD_LEAVE_H

#include <uv.h>

#include "base.h"

struct leave {
  int fd; /* of the kernel queue; readable when somebody has left */
};

bool leave_open(struct leave *l); /* false: errno says why */
void leave_close(struct leave *l);
/* Any thread. What leave_next gives out is `ud`, once, after the peer of fd closed or half closed; never after
 * leave_forget, if the caller holds one lock round these calls. False: out of memory, nobody watches. */
bool leave_watch(struct leave *l, int fd, void *ud);
void leave_forget(struct leave *l, int fd);
void *leave_next(struct leave *l); /* NULL when nobody else has left; never waits */

#endif
