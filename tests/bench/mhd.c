/* mhd.c - the yardstick of http.serve: libmicrohttpd alone, in one thread, with as little beside it as a program can do.
 * Prints its URL as its first line and serves one short text until it is killed. */
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state) {
  static int seen;
  (void)cls, (void)url, (void)method, (void)version, (void)data;
  if (*state == NULL) {
    *state = &seen;
    return MHD_YES;
  }
  *size = 0;
  char text[] = "it is late";
  struct MHD_Response *r = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_MUST_COPY);
  MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
  enum MHD_Result rc = MHD_queue_response(c, MHD_HTTP_OK, r);
  MHD_destroy_response(r);
  return rc;
}

int main(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, &at,
                                          MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_END);
  const union MHD_DaemonInfo *listener = d ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_LISTEN_FD) : NULL;
  if (listener == NULL || getsockname(listener->listen_fd, (struct sockaddr *)&at, &len) != 0) {
    fputs("mhd: cannot serve\n", stderr);
    return 1;
  }
  printf("http://127.0.0.1:%d\n", ntohs(at.sin_port));
  fflush(stdout);
  while (MHD_run_wait(d, -1) == MHD_YES) continue;
  return 1;
}
