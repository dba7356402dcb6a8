/* unpack.c - what host/embed/generate.c packed, as it was. The bytes are our own, so they are not checked. */
#include "embed.h"

#define SHORTEST 4 /* a match: bytes that came before */

/* A length that did not fit into its half of a byte goes on in bytes of 255, up to the first that is less. */
static size_t length(const unsigned char **at, unsigned half) {
  size_t n = half;
  if (half < 15) return n;
  do n += **at;
  while (*(*at)++ == 255);
  return n;
}

void embed_unpack(const struct packed *p, char *out) {
  const unsigned char *at = p->bytes, *end = at + p->size;
  if (embed_is_plain(p)) {
    memcpy(out, at, p->len);
    return;
  }
  while (at < end) {
    unsigned halves = *at++;
    size_t n = length(&at, halves >> 4);
    memcpy(out, at, n);
    out += n;
    at += n;
    if (at == end) break;
    size_t distance = at[0] | (size_t)at[1] << 8;
    at += 2;
    n = length(&at, halves & 15) + SHORTEST;
    if (distance >= n) {
      memcpy(out, out - distance, n);
      out += n;
    } else {
      for (; n > 0; n--, out++) *out = out[-(ptrdiff_t)distance];
    }
  }
}
