/* json_scan.h - looking at bytes, shared by json_read.c, json_write.c and json_pick.c. Eight bytes
 * at a time, portable. */
#ifndef STOKE_JSON_SCAN_H
#define STOKE_JSON_SCAN_H

#include <string.h>

#include "base.h"

typedef unsigned char json_byte;

/* Eight bytes of p; the byte at p[0] becomes the lowest on every machine. */
static inline uint64_t json_load8(const json_byte *p) {
  uint64_t x;
  memcpy(&x, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  x = __builtin_bswap64(x);
#endif
  return x;
}

/* The high bit of each byte of x that is no plain string byte. Exact up to and including the
 * lowest bit set, which is the one that counts: the subtractions borrow upwards only. */
static inline uint64_t json_special8(uint64_t x) {
  const uint64_t ones = 0x0101010101010101ull;
  uint64_t quote = x ^ (ones * '"'), slash = x ^ (ones * '\\');
  uint64_t control = (x - ones * 0x20) & ~x;
  return (control | x | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & (ones * 0x80);
}

static inline bool json_is_plain(json_byte c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The first byte of [p, end) that needs a look inside a string: quote, backslash, control or not
 * ASCII; or end. */
static inline const json_byte *json_plain(const json_byte *p, const json_byte *end) {
  while (end - p >= 8) {
    uint64_t special = json_special8(json_load8(p));
    if (special) return p + (__builtin_ctzll(special) >> 3);
    p += 8;
  }
  while (p < end && json_is_plain(*p)) p++;
  return p;
}

/* Are all of [p, p + len) plain? Reads overlap instead of going byte by byte at the end. */
static inline bool json_all_plain(const json_byte *p, size_t len) {
  const json_byte *end = p + len;
  if (len >= 8) {
    for (; end - p > 8; p += 8)
      if (json_special8(json_load8(p))) return false;
    return !json_special8(json_load8(end - 8));
  }
  if (len >= 4) {
    uint32_t head, tail;
    memcpy(&head, p, 4);
    memcpy(&tail, end - 4, 4);
    return !json_special8((uint64_t)tail << 32 | head);
  }
  while (p < end && json_is_plain(*p)) p++;
  return p == end;
}

/* The length of the well-formed UTF-8 sequence at p, 2 to 4, or 0: overlong, surrogate, beyond
 * U+10FFFF, cut short. */
static inline unsigned json_utf8(const json_byte *p, const json_byte *end) {
  json_byte c = *p;
  size_t left = (size_t)(end - p);
  if (c < 0xC2 || c > 0xF4 || left < 2 || (p[1] & 0xC0) != 0x80) return 0;
  if (c < 0xE0) return 2;
  if (left < 3 || (p[2] & 0xC0) != 0x80) return 0;
  if (c < 0xF0) {
    if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F)) return 0;
    return 3;
  }
  if (left < 4 || (p[3] & 0xC0) != 0x80) return 0;
  if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F)) return 0;
  return 4;
}

#endif
