/* net_wire.h - how many bytes came over a connection, content or not. */
#ifndef STOKE_NET_WIRE_H
#define STOKE_NET_WIRE_H

#include "base.h"

/* Since the connection was made; 0 = unknown. */
uint64_t wire_received(int fd);

#endif
