/* embed.h - the Lua sources of lua/ and stdlib/ that are part of the binary. The table is generated at build time by
 * host/embed/generate.c into build/embed.c; everything in it is constant and lives as long as the process. */
#ifndef STOKE_EMBED_H
#define STOKE_EMBED_H

#include <stddef.h>
#include <string.h>

#include "base.h"

/* Prefix of the chunk names of built-in modules; other chunks belong to scripts. */
#define EMBED_PREFIX "@stoke:"

/* In LZ4's block format: a byte with two lengths, a run of literal bytes, and the distance of a match to copy. The last sequence
 * has no match. Packed sources are half as large; unpacking is a fifth of the time to load one, so that the code which
 * every start loads is not packed. */
struct packed {
  const unsigned char *bytes;
  size_t size; /* equal to len: it is not packed */
  size_t len;  /* unpacked */
};

static inline bool embed_is_plain(const struct packed *p) {
  return p->size == p->len;
}

/* `out` has room for p->len bytes. */
void embed_unpack(const struct packed *p, char *out);

struct embedded_source {
  const char *name;      /* "core.driver.fs", "stoke.http", "stoke"; "docs.guide", "docs.page/page.css": a document, no module */
  const char *chunkname; /* "@stoke:lua/driver/fs.lua": what tracebacks show */
  struct packed text;    /* documentation comments, every line at its place; the whole text where there is no code */
  struct packed code;    /* the source, compiled, with its lines (strip.h); empty when built with BYTECODE=0 */
};

/* The code that is run. */
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
