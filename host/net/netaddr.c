/* netaddr.c - which addresses are public: the tables of RFC 6890 and its successors, as kept by IANA in
 * iana-ipv4-special-registry and iana-ipv6-special-registry, with multicast and what is reserved added. */
#include "netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* --- text ----------------------------------------------------------------------------------------------------------- */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void from_v6(struct netaddr *out, const uint8_t *bytes) {
  bool v4 = memcmp(bytes, mapped, sizeof mapped) == 0;
  *out = (struct netaddr){.len = v4 ? 4 : 16};
  memcpy(out->bytes, v4 ? bytes + 12 : bytes, out->len);
}

static void from_v4(struct netaddr *out, const uint8_t *bytes) {
  *out = (struct netaddr){.len = 4};
  memcpy(out->bytes, bytes, 4);
}

bool netaddr_parse(const char *text, struct netaddr *out) {
  uint8_t bytes[16];
  if (inet_pton(AF_INET, text, bytes) == 1)
    from_v4(out, bytes);
  else if (inet_pton(AF_INET6, text, bytes) == 1)
    from_v6(out, bytes);
  else
    return false;
  return true;
}

bool netrange_parse(const char *text, struct netrange *out) {
  char address[NETADDR_TEXT];
  const char *slash = strchr(text, '/');
  if (!slash || (size_t)(slash - text) >= sizeof address) return false;
  memcpy(address, text, (size_t)(slash - text));
  address[slash - text] = 0;
  unsigned bits = 0, digits = 0;
  for (const char *p = slash + 1; *p; p++, digits++) {
    if (*p < '0' || *p > '9' || digits == 3) return false;
    bits = bits * 10 + (unsigned)(*p - '0');
  }
  if (digits == 0 || !netaddr_parse(address, &out->first)) return false;
  bool was_mapped = out->first.len == 4 && strchr(address, ':');
  if (was_mapped) {
    if (bits < 96) return false; /* the IPv4 networks and half of something else */
    bits -= 96;
  }
  out->bits = (uint8_t)bits;
  return bits <= out->first.len * 8u;
}

bool netaddr_of(const struct sockaddr *sa, struct netaddr *out, uint16_t *port) {
  if (sa->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, sa, sizeof in);
    from_v4(out, (const uint8_t *)&in.sin_addr);
    *port = ntohs(in.sin_port);
    return true;
  }
  if (sa->sa_family == AF_INET6) {
    struct sockaddr_in6 in;
    memcpy(&in, sa, sizeof in);
    from_v6(out, (const uint8_t *)&in.sin6_addr);
    *port = ntohs(in.sin6_port);
    return true;
  }
  return false;
}

void netaddr_text(const struct netaddr *a, char out[NETADDR_TEXT]) {
  if (!inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->bytes, out, NETADDR_TEXT)) out[0] = 0;
}

/* --- networks ------------------------------------------------------------------------------------------------------- */

bool netaddr_equal(const struct netaddr *a, const struct netaddr *b) {
  return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool shares(const uint8_t *a, const uint8_t *b, unsigned bits) {
  if (memcmp(a, b, bits / 8) != 0) return false;
  unsigned rest = bits % 8;
  return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

bool netrange_has(const struct netrange *range, const struct netaddr *a) {
  return range->first.len == a->len && shares(range->first.bytes, a->bytes, range->bits);
}

/* --- public --------------------------------------------------------------------------------------------------------- */

static const struct v4_range {
  uint8_t first[4], bits;
} v4_special[] = {
    {{0, 0, 0, 0}, 8},       /* this network: RFC 791, 1122 */
    {{10, 0, 0, 0}, 8},      /* private use: RFC 1918 */
    {{100, 64, 0, 0}, 10},   /* shared by carriers: RFC 6598 */
    {{127, 0, 0, 0}, 8},     /* loopback: RFC 1122 */
    {{169, 254, 0, 0}, 16},  /* link-local, and metadata services of clouds: RFC 3927 */
    {{172, 16, 0, 0}, 12},   /* private use: RFC 1918 */
    {{192, 0, 0, 0}, 24},    /* protocol assignments: RFC 6890, 7335, 8155 */
    {{192, 0, 2, 0}, 24},    /* documentation: RFC 5737 */
    {{192, 88, 99, 0}, 24},  /* 6to4 relays, deprecated: RFC 7526 */
    {{192, 168, 0, 0}, 16},  /* private use: RFC 1918 */
    {{198, 18, 0, 0}, 15},   /* benchmarks: RFC 2544 */
    {{198, 51, 100, 0}, 24}, /* documentation: RFC 5737 */
    {{203, 0, 113, 0}, 24},  /* documentation: RFC 5737 */
    {{224, 0, 0, 0}, 4},     /* multicast: RFC 1112, 5771 */
    {{240, 0, 0, 0}, 4},     /* reserved, and the limited broadcast: RFC 1112, 919 */
};

/* carries = n: not special by itself, but bytes n..n+3 are an IPv4 address that traffic to it ends at; that one decides. */
static const struct v6_range {
  uint8_t first[16], bits, carries;
} v6_special[] = {
    {{0}, 96, 0},                                         /* ::, ::1 and IPv4-compatible: RFC 4291 */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12}, /* IPv4-mapped: RFC 4291 */
    {{0, 0x64, 0xff, 0x9b}, 96, 12},                      /* NAT64: RFC 6052 */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, 0},                 /* local-use NAT64: RFC 8215 */
    {{1}, 64, 0},                                         /* discard-only: RFC 6666 */
    {{0x20, 0x01}, 23, 0},             /* protocol assignments, Teredo, ORCHID: RFC 2928, 4380, 7343 */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, 0}, /* documentation: RFC 3849 */
    {{0x20, 0x02}, 16, 2},             /* 6to4: RFC 3056 */
    {{0x3f, 0xff}, 20, 0},             /* documentation: RFC 9637 */
    {{0x5f}, 16, 0},                   /* SRv6 segment identifiers: RFC 9602 */
    {{0xfc}, 7, 0},                    /* unique local: RFC 4193 */
    {{0xfe, 0x80}, 10, 0},             /* link-local: RFC 4291 */
    {{0xfe, 0xc0}, 10, 0},             /* site-local, deprecated: RFC 3879 */
    {{0xff}, 8, 0},                    /* multicast: RFC 4291 */
};

/* Unicast is given out of this block alone (RFC 4291, and IANA's registry of the address space): what lies outside of it and
 * is in no table yet is not public either. */
static const uint8_t v6_unicast[16] = {0x20};

static bool v4_is_public(const uint8_t *bytes) {
  for (size_t i = 0; i < COUNT_OF(v4_special); i++)
    if (shares(bytes, v4_special[i].first, v4_special[i].bits)) return false;
  return true;
}

static bool v6_is_public(const uint8_t *bytes) {
  for (size_t i = 0; i < COUNT_OF(v6_special); i++) {
    const struct v6_range *r = &v6_special[i];
    if (shares(bytes, r->first, r->bits)) return r->carries && v4_is_public(bytes + r->carries);
  }
  return shares(bytes, v6_unicast, 3);
}

bool netaddr_is_public(const struct netaddr *a) {
  return a->len == 4 ? v4_is_public(a->bytes) : v6_is_public(a->bytes);
}
