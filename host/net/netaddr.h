/* netaddr.h - internet addresses as bytes: their text, the network they lie in, and whether they are public. Pure: opens
 * no socket, sends no query, allocates nothing. */
#ifndef STOKE_NETADDR_H
#define STOKE_NETADDR_H

#include "base.h"

#define NETADDR_TEXT 46 /* the longest text, and its end */

/* An IPv4-mapped address (::ffff:a.b.c.d) is held as the IPv4 address that a connection to it reaches. */
struct netaddr {
  uint8_t len; /* 4 or 16 */
  uint8_t bytes[16];
};

struct netrange {
  struct netaddr first;
  uint8_t bits; /* of it that all addresses of the network share */
};

struct sockaddr;

/* "127.0.0.1", "::1"; no port, brackets, zone or short forms. */
bool netaddr_parse(const char *text, struct netaddr *out);
/* "10.0.0.0/8", "fd00::/8". */
bool netrange_parse(const char *text, struct netrange *out);
/* False when it is no internet address. */
bool netaddr_of(const struct sockaddr *sa, struct netaddr *out, uint16_t *port);
void netaddr_text(const struct netaddr *a, char out[NETADDR_TEXT]);
bool netaddr_equal(const struct netaddr *a, const struct netaddr *b);
bool netrange_has(const struct netrange *range, const struct netaddr *a);

/* Globally reachable unicast, by the special-purpose registries of IANA. An address that carries an IPv4 address (NAT64,
 * 6to4) is judged by that one. Where both readings are possible the answer is no. */
bool netaddr_is_public(const struct netaddr *a);

#endif
