/* embed.h - the Lua sources of lua/ and stdlib/ that are part of the binary. The table is generated at build time by
 * host/embed/generate.c into build/embed.c; everything in it is constant and lives as long as the process. */
#ifndef STOKE_EMBED_H
#define STOKE_EMBED_H

#include <stddef.h>
#include <string.h>

#include "base.h"

/* Every chunk of ours is named so; a place in a script is one that is not. */
#define EMBED_PREFIX "@stoke:"

/* In LZ4's block format: a byte of two lengths, so many bytes as they are, and from how far back so many more are copied. The
 * last has no copy. Packed, the sources are half as large; of loading one, unpacking it is a fifth. */
struct packed {
  const unsigned char *bytes;
  size_t size;
  size_t len; /* unpacked */
};

/* `out` has room for p->len bytes. */
void embed_unpack(const struct packed *p, char *out);

struct embedded_source {
  const char *name;      /* "core.driver.fs", "stoke.http", "stoke"; "docs.guide": a document, no module */
  const char *chunkname; /* "@stoke:lua/driver/fs.lua": what tracebacks show */
  struct packed text;    /* documentation comments, every line at its place; the whole text where there is no code */
  struct packed code;    /* the source, compiled, with its lines (strip.h); empty when built with BYTECODE=0 */
};

/* What is run of it. */
static inline const struct packed *embed_program(const struct embedded_source *s) {
  return s->code.len > 0 ? &s->code : &s->text;
}

extern const struct embedded_source embedded_sources[]; /* sorted by name, strcmp order */
extern const size_t embedded_count;

/* The source with this module name, or NULL. */
static inline const struct embedded_source *embed_find(const char *name) {
  size_t low = 0, high = embedded_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = strcmp(name, embedded_sources[middle].name);
    if (order == 0) return &embedded_sources[middle];
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return NULL;
}

#endif
