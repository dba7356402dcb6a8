/* httpd_leave.c - epoll on Linux, kqueue elsewhere; edge-triggered, and blind to bytes that arrive. */
#include "httpd_leave.h"

#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>

bool leave_open(struct leave *l) {
  l->fd = epoll_create1(EPOLL_CLOEXEC);
  return l->fd >= 0;
}

bool leave_watch(struct leave *l, int fd, void *ud) {
  struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = ud};
  return epoll_ctl(l->fd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

void leave_forget(struct leave *l, int fd) {
  struct epoll_event ev = {0};
  (void)epoll_ctl(l->fd, EPOLL_CTL_DEL, fd, &ev);
}

void *leave_next(struct leave *l) {
  struct epoll_event ev;
  return epoll_wait(l->fd, &ev, 1, 0) == 1 ? ev.data.ptr : NULL;
}

#else
#include <sys/event.h>
#include <sys/time.h>

bool leave_open(struct leave *l) {
  l->fd = kqueue();
  return l->fd >= 0;
}

bool leave_watch(struct leave *l, int fd, void *ud) {
  struct kevent ev;
  EV_SET(&ev, fd, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, ud);
  return kevent(l->fd, &ev, 1, NULL, 0, NULL) == 0;
}

void leave_forget(struct leave *l, int fd) {
  struct kevent ev;
  EV_SET(&ev, fd, EVFILT_READ, EV_DELETE, 0, 0, NULL);
  (void)kevent(l->fd, &ev, 1, NULL, 0, NULL);
}

void *leave_next(struct leave *l) {
  struct kevent ev;
  struct timespec now = {0, 0};
  while (kevent(l->fd, NULL, 0, &ev, 1, &now) == 1)
    if (ev.flags & EV_EOF) return ev.udata;
  return NULL;
}
#endif

void leave_close(struct leave *l) {
  if (l->fd >= 0) close(l->fd);
  l->fd = -1;
}
