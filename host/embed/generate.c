/* generate.c - build tool, no part of stoke: prints embed.c, the table of Lua sources that host/embed/embed.h declares.
 *
 *   generate [--strict] [--text | --bare] FILE...    lua/x.lua, stdlib/x.lua, docs/x.md and parts of a page below stdlib/ (.html, .css,
 *                                                    .js), paths relative to the repository
 *
 * Each file goes in compiled by the very liblua that stoke links to, because parsing some hundred kilobytes of Lua
 * would take longer than all the rest of the start, and of its text the documentation comments, which help() reads:
 * all else of the text would only make the binary larger. Both are packed, but for the code that every start loads
 * (see embed.h). --text leaves the bytecode out and takes the whole text, --bare takes it without comments: what is
 * smallest, and help() has nothing to say.
 * Documents go in as they are: docs/guide.md, read by `stoke help TOPIC`, under the name docs.guide, and the parts of a page that a
 * browser is sent under the name docs. and their path, docs.page/page.css.
 * A file that does not compile is reported and goes in as text alone (requiring it then raises the syntax error);
 * with --strict it ends the build. The process is short: what it allocates goes with it. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bare.h"
#include "strip.h"

struct source {
  const char *path;
  char *name;
  char *text;
  size_t len;
  size_t code_len; /* 0 = it is text alone */
  bool document; /* for people or browsers, no Lua */
};

enum form { CODE, TEXT, BARE };

static void die(const char *what, const char *path) {
  fprintf(stderr, "embed: %s: %s\n", path, what);
  exit(1);
}

static void *need(void *block) {
  if (block == NULL) die("out of memory", "generate");
  return block;
}

static bool ends_with(const char *path, const char *ending) {
  size_t len = strlen(path), tail = strlen(ending);
  return len > tail && strcmp(path + len - tail, ending) == 0;
}

static bool is_part_of_page(const char *path) {
  return strncmp(path, "stdlib/", 7) == 0 && (ends_with(path, ".html") || ends_with(path, ".css") || ends_with(path, ".js"));
}

/* stdlib/page/page.css -> docs.page/page.css: a slash, so that no module has this name */
static char *part_name(const char *path) {
  char *name = need(malloc(strlen(path)));
  sprintf(name, "docs.%s", path + strlen("stdlib/"));
  return name;
}

/* lua/driver/fs.lua -> core.driver.fs; stdlib/http/serve.lua -> stoke.http.serve; x/init.lua -> x; docs/x.md -> docs.x */
static char *module_name(const char *path) {
  const char *prefix, *rest, *ending = ".lua";
  if (is_part_of_page(path)) return part_name(path);
  if (strncmp(path, "lua/", 4) == 0) {
    prefix = "core";
    rest = path + 4;
  } else if (strncmp(path, "stdlib/", 7) == 0) {
    prefix = "stoke";
    rest = path + 7;
  } else if (strncmp(path, "docs/", 5) == 0) {
    prefix = "docs";
    rest = path + 5;
    ending = ".md";
  } else {
    die("only files below lua/, stdlib/ and docs/ are embedded", path);
    return NULL;
  }
  size_t len = strlen(rest), tail = strlen(ending);
  if (!ends_with(rest, ending)) die("is no .lua, .md, .html, .css or .js file", path);
  char *name = need(malloc(strlen(prefix) + len + 2));
  int used = sprintf(name, "%s.%.*s", prefix, (int)(len - tail), rest);
  for (char *c = name; *c != '\0'; c++) {
    if (*c == '/') *c = '.';
  }
  if (used > 5 && strcmp(name + used - 5, ".init") == 0) name[used - 5] = '\0';
  return name;
}

static void read_source(struct source *s, const char *path) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) die(strerror(errno), path);
  size_t room = 1 << 16;
  s->path = path;
  s->name = module_name(path);
  s->document = strncmp(s->name, "docs.", 5) == 0;
  s->text = need(malloc(room));
  size_t got;
  while ((got = fread(s->text + s->len, 1, room - s->len, f)) > 0) {
    s->len += got;
    if (s->len == room) s->text = need(realloc(s->text, room *= 2));
  }
  if (ferror(f)) die("cannot be read", path);
  fclose(f);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

/* One string literal a row: compilers read literals many times faster than lists of numbers. */
static void print_bytes(const char *bytes, size_t len) {
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)bytes[i];
    if (i % 48 == 0) fputs(i == 0 ? "  \"" : "\"\n  \"", stdout);
    if (c >= ' ' && c < 127 && c != '"' && c != '\\' && c != '?') {
      putchar(c);
    } else {
      printf("\\%03o", c);
    }
  }
  fputs(len == 0 ? "  \"\"" : "\"", stdout);
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

#define SHORTEST  4     /* bytes of a match; LZ4's numbers */
#define FARTHEST  65535 /* how far back one may be */
#define HASH_BITS 15
#define TRIES     64 /* places that are tried for a longer one */

struct packing {
  const char *s;
  size_t len;
  unsigned char *out, *to;
  int32_t first[1 << HASH_BITS]; /* the last place with this hash, -1 = none */
  int32_t *before;               /* the place before it, by place */
};

static uint32_t hash_at(const char *s) {
  uint32_t word;
  memcpy(&word, s, sizeof word);
  return word * 2654435761u >> (32 - HASH_BITS);
}

static void put_length(struct packing *p, size_t n) {
  if (n < 15) return; /* it stands in its half of the byte */
  for (n -= 15; n >= 255; n -= 255) *p->to++ = 255;
  *p->to++ = (unsigned char)n;
}

/* Bytes from `from` to `at` as they are, then `match` bytes from `distance` back; 0 = nothing. */
static void put(struct packing *p, size_t from, size_t at, size_t match, size_t distance) {
  size_t plain = at - from, more = match > 0 ? match - SHORTEST : 0;
  *p->to++ = (unsigned char)((plain < 15 ? plain : 15) << 4 | (more < 15 ? more : 15));
  put_length(p, plain);
  memcpy(p->to, p->s + from, plain);
  p->to += plain;
  if (match == 0) return;
  *p->to++ = (unsigned char)distance;
  *p->to++ = (unsigned char)(distance >> 8);
  put_length(p, more);
}

static size_t longest(const struct packing *p, size_t at, size_t *distance) {
  size_t best = 0;
  int tries = TRIES;
  for (int32_t place = p->first[hash_at(p->s + at)]; place >= 0 && tries-- > 0; place = p->before[place]) {
    size_t n = 0, back = at - (size_t)place;
    if (back > FARTHEST) break;
    while (at + n < p->len && p->s[(size_t)place + n] == p->s[at + n]) n++;
    if (n <= best) continue;
    best = n;
    *distance = back;
  }
  return best >= SHORTEST ? best : 0;
}

static void remember(struct packing *p, size_t at) {
  if (at + SHORTEST > p->len) return;
  uint32_t hash = hash_at(p->s + at);
  p->before[at] = p->first[hash];
  p->first[hash] = (int32_t)at;
}

/* p->out has what s became, up to p->to. */
static void pack(struct packing *p, const char *s, size_t len) {
  size_t from = 0, at = 0;
  p->s = s;
  p->len = len;
  p->out = p->to = need(malloc(len + len / 255 + 16));
  p->before = need(malloc((len + 1) * sizeof *p->before));
  memset(p->first, 0xff, sizeof p->first);
  while (at + SHORTEST <= len) {
    size_t distance = 0, match = longest(p, at, &distance);
    if (match > 0) put(p, from, at, match, distance);
    size_t next = at + (match > 0 ? match : 1);
    while (at < next) remember(p, at++);
    if (match > 0) from = at;
  }
  put(p, from, len, 0, 0);
}

static void print_array(const char *what, size_t index, const char *bytes, size_t len) {
  printf("static const char %s_%zu[] =\n", what, index);
  print_bytes(bytes, len);
  puts(";");
}

/* What would become no shorter stays as it is. */
static void print_packed(const char *what, size_t index, const char *bytes, size_t len) {
  static struct packing p;
  pack(&p, bytes, len);
  size_t size = (size_t)(p.to - p.out);
  if (size < len)
    print_array(what, index, (const char *)p.out, size);
  else
    print_array(what, index, bytes, len);
}

/* --- sources ------------------------------------------------------------------------------------------------------ */

static int append(lua_State *L, const void *bytes, size_t len, void *ud) {
  (void)L;
  luaL_addlstring(ud, bytes, len);
  return 0;
}

/* Pushes the bytecode of s, or a message; false when it does not compile. */
static bool compile(lua_State *L, const struct source *s) {
  lua_pushfstring(L, "@stoke:%s", s->path);
  const char *text = s->text;
  size_t len = s->len;
  if (luaL_loadbufferx(L, text, len, lua_tostring(L, -1), "t") != LUA_OK) return false;
  luaL_Buffer b;
  lua_State *strings = luaL_newstate(); /* the buffer must not sit above the function lua_dump reads */
  need(strings);
  luaL_buffinit(strings, &b);
  lua_dump(L, append, &b, 0);
  luaL_pushresult(&b);
  const char *code = lua_tolstring(strings, -1, &len);
  char *stripped = memcpy(need(malloc(len)), code, len);
  bool ok = strip_names(stripped, &len) && luaL_loadbufferx(strings, stripped, len, "stripped", "b") == LUA_OK;
  if (ok)
    lua_pushlstring(L, stripped, len);
  else
    lua_pushfstring(L, "%s: the bytecode of this Lua is not what host/embed/strip.c knows; build with BYTECODE=0", s->path);
  free(stripped);
  lua_close(strings);
  return ok;
}

static bool begins(const char *line, const char *end, const char *with) {
  size_t len = strlen(with);
  return (size_t)(end - line) >= len && memcmp(line, with, len) == 0;
}

/* Keeps the comment a file begins with, each line that begins with `---`, indented or not, and the line that one
 * documents: the next one that is no comment. Of all others the line break stays, so that lines keep their numbers. */
static void keep_documentation(struct source *s) {
  const char *end = s->text + s->len;
  char *to = s->text;
  bool head = true, documents = false;
  for (const char *line = s->text, *next; line < end; line = next) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    next = stop ? stop + 1 : end;
    const char *word = line;
    while (word < end && *word == ' ') word++;
    bool comment = begins(word, end, "---");
    head = head && begins(line, end, "--");
    if (comment || documents || head) {
      memmove(to, line, (size_t)(next - line));
      to += next - line;
    } else if (stop) {
      *to++ = '\n';
    }
    documents = comment;
  }
  while (to > s->text + 1 && to[-1] == '\n' && to[-2] == '\n') to--;
  s->len = (size_t)(to - s->text);
}

/* Loaded by every start, or nearly: what such a path begins with. */
static bool begins_with_one(const char *path, const char *const *list) {
  for (; *list; list++)
    if (strncmp(path, *list, strlen(*list)) == 0) return true;
  return false;
}

static bool is_needed_at_start(const struct source *s) {
  static const char *const needed[] = {"lua/", "stdlib/cmd/init.lua", "stdlib/cmd/flags.lua", "stdlib/config.lua",
                                       "stdlib/log.lua", "stdlib/show.lua", "stdlib/time.lua", NULL};
  static const char *const later[] = {"lua/journal", "lua/runs", "lua/store", "lua/reload", "lua/driver/db",
                                      "lua/driver/run", "lua/driver/kept", "lua/driver/sessions", "lua/driver/actors", NULL};
  return begins_with_one(s->path, needed) && !begins_with_one(s->path, later);
}

/* The whole bytecode, lines and all, at the top of the stack; false when the text does not compile. */
static bool dump(lua_State *L, const struct source *s) {
  luaL_Buffer b;
  lua_State *strings = luaL_newstate(); /* the buffer must not sit above the function lua_dump reads */
  need(strings);
  luaL_buffinit(strings, &b);
  bool ok = luaL_loadbufferx(L, s->text, s->len, s->path, "t") == LUA_OK;
  if (ok) lua_dump(L, append, &b, 0);
  luaL_pushresult(&b);
  size_t len;
  const char *code = lua_tolstring(strings, -1, &len);
  lua_pushlstring(L, code, len);
  lua_close(strings);
  return ok;
}

/* Takes the comments out, and holds the result against what the text was compiled to. */
static void make_bare(lua_State *L, struct source *s) {
  if (s->document || !dump(L, s)) return lua_settop(L, 0);
  s->len = bare_text(s->text, s->len);
  if (!dump(L, s) || !lua_rawequal(L, 2, -1)) die("cannot take the comments out of", s->path);
  lua_settop(L, 0);
}

static bool print_source(lua_State *L, struct source *s, size_t index, enum form form) {
  bool ok = true;
  printf("\n/* %s */\n", s->path);
  if (form == BARE) make_bare(L, s);
  if (form == CODE && !s->document) {
    ok = compile(L, s);
    size_t len;
    const char *result = lua_tolstring(L, -1, &len);
    if (ok) {
      s->code_len = len;
      (is_needed_at_start(s) ? print_array : print_packed)("code", index, result, len);
    } else {
      fprintf(stderr, "embed: %s\n", result);
    }
    lua_settop(L, 0);
    if (ok) keep_documentation(s);
  }
  print_packed("text", index, s->text, s->len);
  return ok;
}

static void print_row(const struct source *s, size_t index) {
  printf("  {\"%s\", \"@stoke:%s\", {(const unsigned char *)text_%zu, sizeof text_%zu - 1, %zu}, ", s->name, s->path, index,
         index, s->len);
  if (s->code_len > 0) {
    printf("{(const unsigned char *)code_%zu, sizeof code_%zu - 1, %zu}},\n", index, index, s->code_len);
  } else {
    puts("{NULL, 0, 0}},");
  }
}

int main(int argc, char **argv) {
  bool strict = false, ok = true;
  enum form form = CODE;
  struct source *sources = need(calloc((size_t)argc, sizeof *sources));
  size_t count = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--strict") == 0) {
      strict = true;
    } else if (strcmp(argv[i], "--text") == 0) {
      form = TEXT;
    } else if (strcmp(argv[i], "--bare") == 0) {
      form = BARE;
    } else {
      read_source(&sources[count++], argv[i]);
    }
  }
  qsort(sources, count, sizeof *sources, by_name);
  for (size_t i = 1; i < count; i++) {
    if (strcmp(sources[i].name, sources[i - 1].name) == 0) {
      fprintf(stderr, "embed: %s and %s are both module %s\n", sources[i - 1].path, sources[i].path, sources[i].name);
      return 1;
    }
  }
  lua_State *L = need(luaL_newstate());
  puts("/* Generated by host/embed/generate.c. */\n#include \"embed/embed.h\"");
  for (size_t i = 0; i < count; i++) ok = print_source(L, &sources[i], i, form) && ok;
  puts("\nconst struct embedded_source embedded_sources[] = {");
  for (size_t i = 0; i < count; i++) print_row(&sources[i], i);
  if (count == 0) puts("  {NULL, NULL, {NULL, 0, 0}, {NULL, 0, 0}},");
  printf("};\nconst size_t embedded_count = %zu;\n", count);
  lua_close(L);
  return ok || !strict ? 0 : 1;
}
