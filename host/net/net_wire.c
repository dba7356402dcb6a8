/* net_wire.c - a file of its own, because the system's headers that describe TCP cannot be included side by side, and libuv's
 * includes the older one. */
#include "net_wire.h"

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#if defined(__linux__) && defined(__has_include)
#if __has_include(<linux/tcp.h>)
#include <linux/tcp.h>
#define KNOWN 1
#endif
#endif

#ifdef KNOWN
uint64_t wire_received(int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  const size_t enough = offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < enough) return 0;
  return info.tcpi_bytes_received;
}
#else
uint64_t wire_received(int fd) {
  (void)fd;
  return 0;
}
#endif
