/* sockets.c - see probe.c: sockets of all kinds, and the network. */
#ifdef __linux__
#include "probe.h"

#include <netinet/in.h>
#include <sys/mman.h>

/* --- attempts: 0 = it went through, else -1 and errno ----------------------------------------- */

static int in_path(int type, const char *name, bool abstract) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir(name), abstract);
  int fd = socket(AF_UNIX, type, 0);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, len);
}

static int sends(int fd, const char *name, bool abstract) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir(name), abstract);
  struct iovec part = {"x", 1};
  struct msghdr m = {.msg_name = &a, .msg_namelen = len, .msg_iov = &part, .msg_iovlen = 1};
  return fd < 0 || sendmsg(fd, &m, 0) != 1 ? -1 : 0;
}

static int try_unix_stream(void) {
  return in_path(SOCK_STREAM, "s", false);
}
static int try_unix_dgram(void) {
  return in_path(SOCK_DGRAM, "d", false);
}
static int try_unix_seqpacket(void) {
  return in_path(SOCK_SEQPACKET, "q", false);
}
static int try_abstract_stream(void) {
  return in_path(SOCK_STREAM, "s", true);
}
static int try_abstract_dgram(void) {
  return in_path(SOCK_DGRAM, "d", true);
}
static int try_unix_sendmsg(void) {
  return sends(socket(AF_UNIX, SOCK_DGRAM, 0), "d", false);
}
static int try_abstract_sendmsg(void) {
  return sends(socket(AF_UNIX, SOCK_DGRAM, 0), "d", true);
}

static int try_unix_sendto(void) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir("d"), false);
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  return fd < 0 || sendto(fd, "x", 1, 0, (struct sockaddr *)&a, len) != 1 ? -1 : 0;
}

static int pair(int type) {
  int fds[2];
  return socketpair(AF_UNIX, type, 0, fds) == 0 ? fds[0] : -1;
}

static int try_pair_dgram_sendmsg(void) {
  return sends(pair(SOCK_DGRAM), "d", false);
}
static int try_pair_raw_sendmsg(void) {
  return sends(pair(SOCK_RAW), "d", false);
}

/* A connected socket takes no other name; some of them send to their own end without a word. */
static int reconnect(int type, const char *name) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, in_dir(name), false);
  int fd = pair(type);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, len);
}

static int try_pair_dgram_connect(void) {
  return reconnect(SOCK_DGRAM, "d");
}
static int try_pair_stream_connect(void) {
  return reconnect(SOCK_STREAM, "s");
}
static int try_pair_seqpacket_connect(void) {
  return reconnect(SOCK_SEQPACKET, "q");
}
static int try_pair_stream_sendmsg(void) {
  return sends(pair(SOCK_STREAM), "s", false);
}

static int try_pair_high_bits(void) {
  int fds[2];
  if (syscall(SYS_socketpair, (1ull << 32) + AF_UNIX, SOCK_DGRAM, 0, fds) != 0) return -1;
  return sends(fds[0], "d", false);
}

static int try_socket_high_bits(void) {
  long fd = syscall(SYS_socket, (1ull << 32) + AF_UNIX, SOCK_DGRAM, 0);
  return fd < 0 ? -1 : sends((int)fd, "d", false);
}

static int try_unix_bind(void) {
  struct sockaddr_un a;
  socklen_t len = unix_name(&a, "own.sock", false);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0) return -1;
  unlink("own.sock");
  return 0;
}

static int try_socketcall(void) {
#if defined(__x86_64__)
  long args[3] = {AF_UNIX, SOCK_STREAM, 0}, rc;
  unsigned low[3] = {AF_UNIX, SOCK_STREAM, 0};
  (void)args;
  unsigned *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (at == MAP_FAILED) return -1;
  memcpy(at, low, sizeof low);
  __asm__ volatile("int $0x80" : "=a"(rc) : "a"(102), "b"(1), "c"(at) : "memory", "r8", "r9", "r10", "r11");
  if ((int)rc < 0) return errno = -(int)rc, -1;
  return 0;
#else
  return errno = ENOSYS, -1;
#endif
}

static int try_x32_socket(void) {
#if defined(__x86_64__)
  return syscall(0x40000000 + SYS_socket, AF_UNIX, SOCK_STREAM, 0) < 0 ? -1 : 0;
#else
  return errno = ENOSYS, -1;
#endif
}

static int try_io_uring(void) {
  char params[256] = {0};
  return syscall(NR_io_uring_setup, 4, params) < 0 ? -1 : 0;
}

static int netlink(int protocol) {
  return socket(AF_NETLINK, SOCK_RAW, protocol) < 0 ? -1 : 0;
}
static int try_netlink_usersock(void) {
  return netlink(2);
}
static int try_netlink_diag(void) {
  return netlink(4);
}
static int try_netlink_uevent(void) {
  return netlink(15);
}

/* 1 means nothing: it is opened with others. */
static int try_odd_families(void) {
  int error = ENOSYS;
  for (int family = 3; family < 60; family++) {
    if (family == AF_INET6 || family == AF_NETLINK) continue;
    for (int type = 1; type <= 5; type++) {
      if (socket(family, type, 0) >= 0) {
        fprintf(stderr, "family %d type %d\n", family, type);
        return 0;
      }
      if (errno == EACCES) error = EACCES;
    }
  }
  return errno = error, -1;
}

/* --- the network ------------------------------------------------------------------------------ */

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
}

static int tcp(int protocol) {
  struct sockaddr_in a = loopback(v.tcp);
  int fd = socket(AF_INET, SOCK_STREAM, protocol);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof a);
}

static int try_net_tcp(void) {
  return tcp(0);
}
static int try_net_mptcp(void) {
  return tcp(262);
}

static int try_net_fast_open(void) {
  struct sockaddr_in a = loopback(v.tcp);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return fd < 0 || sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a) != 1 ? -1 : 0;
}

static int try_net_udp(void) {
  struct sockaddr_in a = loopback(v.udp);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  return fd < 0 || sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) != 1 ? -1 : 0;
}

static int try_net_netlink(void) {
  return netlink(0);
}

const struct attempt socket_attempts[] = {A(unix_stream),
                                          A(unix_dgram),
                                          A(unix_seqpacket),
                                          A(abstract_stream),
                                          A(abstract_dgram),
                                          A(unix_sendmsg),
                                          A(abstract_sendmsg),
                                          A(unix_sendto),
                                          A(pair_dgram_sendmsg),
                                          A(pair_raw_sendmsg),
                                          A(pair_dgram_connect),
                                          A(pair_stream_connect),
                                          A(pair_seqpacket_connect),
                                          A(pair_stream_sendmsg),
                                          A(pair_high_bits),
                                          A(socket_high_bits),
                                          A(unix_bind),
                                          A(socketcall),
                                          A(x32_socket),
                                          A(io_uring),
                                          A(netlink_usersock),
                                          A(netlink_diag),
                                          A(netlink_uevent),
                                          A(odd_families),
                                          A(net_tcp),
                                          A(net_mptcp),
                                          A(net_fast_open),
                                          A(net_udp),
                                          A(net_netlink),
                                          {NULL, NULL}};

#endif
