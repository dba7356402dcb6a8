/* net_egress.h - exceptions for requests that may only reach public addresses: a list, parsed once and checked for each address
 * before a connection is made. Knows no sockets and no HTTP. */
#ifndef STOKE_NET_GUARD_H
#define STOKE_NET_GUARD_H

#include "base.h"
#include "loop/err.h"
#include "loop/mem.h"
#include "netaddr.h"

struct net_egress;

/* Each entry is "name[:port]", "address[:port]" ("[::1]:80" for IPv6) or "network/bits"; NULL-terminated, may be NULL. NULL
 * with e filled for an invalid entry, or when out of memory. The caller frees it. */
struct net_egress *net_egress_new(struct mem *m, const char *const *allow, struct err *e);
void net_egress_free(struct mem *m, struct net_egress *g); /* NULL is fine */

/* The list names this host, whatever its address. `host` in any case, with or without a dot at its end; port 0 = has none. */
bool net_egress_name(const struct net_egress *g, const char *host, unsigned port);
/* Public, or the list has it. */
bool net_egress_address(const struct net_egress *g, const struct netaddr *a, unsigned port);

/* A line "name:port:address,address" of net_options.resolve; false with e filled if malformed. */
bool net_resolve_check(const char *line, struct err *e);

#endif
