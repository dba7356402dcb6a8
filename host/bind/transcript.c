/* transcript.c - host.transcript: see bind_transcript.h. One growing buffer; positions count from its first byte ever, so that
 * what all readers have behind them can be dropped. */
#include "bind_transcript.h"

#include <lauxlib.h>
#include <string.h>

#include "hostlibs.h"
#include "loop/binding.h"
#include "loop/host.h"

#define TRANSCRIPT "stoke.transcript"
#define VARINT_MAX 10
#define FIRST_SIZE 128
#define LONGEST    9000000000000000 /* us: 285 years; a double has it exactly */

struct transcript {
  struct host *host;
  char *buf;          /* holds the bytes from `base` to `end` */
  uint64_t base, end; /* positions */
  size_t size;
  uint64_t last;  /* when the last piece came, us since it began */
  uint64_t began; /* us of the loop's clock */
  bool failed;    /* there was no memory */
};

/* The loop's own time: reading the clock for each token would cost more than noting it. */
static uint64_t now_us(const struct host *h) {
  return h->clock == CLOCK_VIRTUAL ? h->virtual_now / 1000 : uv_now(&h->loop) * 1000;
}

/* From a script, or from bytes of a file: any number at all. */
static uint64_t us_of(double seconds) {
  return seconds < LONGEST / 1e6 ? (uint64_t)(seconds * 1e6 + 0.5) : LONGEST;
}

struct transcript *transcript_check(lua_State *L, int index) {
  return luaL_checkudata(L, index, TRANSCRIPT);
}

static char *put_varint(char *p, uint64_t n) {
  for (; n >= 0x80; n >>= 7) *p++ = (char)(n | 0x80);
  *p++ = (char)n;
  return p;
}

static bool make_room(struct transcript *t, size_t more) {
  size_t held = (size_t)(t->end - t->base), size = t->size ? t->size : FIRST_SIZE;
  if (more <= t->size - held) return true;
  if (more > SIZE_MAX / 4 || held > SIZE_MAX / 4) return false;
  while (size - held < more) size *= 2;
  char *buf = mem_grow(&t->host->mem, t->buf, size);
  if (!buf) return false;
  t->buf = buf;
  t->size = size;
  return true;
}

static void note(struct transcript *t, char kind, const char *bytes, size_t len, uint64_t at) {
  if (t->failed) return;
  if (len > SIZE_MAX / 4 || !make_room(t, 1 + 2 * VARINT_MAX + len)) {
    t->failed = true;
    return;
  }
  char *p = t->buf + (t->end - t->base), *start = p;
  if (at < t->last) at = t->last;
  *p++ = kind;
  p = put_varint(p, at - t->last);
  p = put_varint(p, len);
  memcpy(p, bytes, len);
  t->end += (uint64_t)(p - start) + len;
  t->last = at;
}

static uint64_t age_us(const struct transcript *t) {
  uint64_t now = now_us(t->host);
  return now > t->began ? now - t->began : 0;
}

void transcript_note(struct transcript *t, char kind, const char *bytes, size_t len) {
  note(t, kind, bytes, len, age_us(t));
}

/* new(began | nil) -> transcript; began: seconds as monotonic() gives them, now when not given */
static int l_new(lua_State *L) {
  struct host *h = host_of(L);
  double began = luaL_optnumber(L, 1, -1);
  struct transcript *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (struct transcript){.host = h};
  t->began = began >= 0 ? us_of(began) : now_us(h);
  luaL_setmetatable(L, TRANSCRIPT);
  return 1;
}

/* put(kind, bytes, at | nil) -> true | nil, err: a piece, now or at `at` seconds after the start */
static int l_put(lua_State *L) {
  struct transcript *t = transcript_check(L, 1);
  size_t kind_len, len;
  const char *kind = luaL_checklstring(L, 2, &kind_len), *bytes = luaL_checklstring(L, 3, &len);
  double at = luaL_optnumber(L, 4, -1);
  if (kind_len != 1) return err_argument(L, "a kind of piece is one byte");
  note(t, *kind, bytes, len, at >= 0 ? us_of(at) : age_us(t));
  if (t->failed) return err_pushf(L, "os", "not enough memory for the transcript of a stream");
  lua_pushboolean(L, 1);
  return 1;
}

/* size() -> the position behind its last piece */
static int l_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)transcript_check(L, 1)->end);
  return 1;
}

/* drop(position): what lies before it is not read any more; it goes when that is most of what is held */
static int l_drop(lua_State *L) {
  struct transcript *t = transcript_check(L, 1);
  uint64_t to = (uint64_t)luaL_checkinteger(L, 2);
  if (to <= t->base || to > t->end || to - t->base < t->end - to) return 0;
  memmove(t->buf, t->buf + (to - t->base), (size_t)(t->end - to));
  t->base = to;
  return 0;
}

/* text() -> all of it, as a string | nil, err */
static int l_text(lua_State *L) {
  struct transcript *t = transcript_check(L, 1);
  if (t->failed) return err_pushf(L, "os", "not enough memory for the transcript of a stream");
  lua_pushlstring(L, t->buf ? t->buf : "", (size_t)(t->end - t->base));
  return 1;
}

static int l_gc(lua_State *L) {
  struct transcript *t = transcript_check(L, 1);
  mem_free(&t->host->mem, t->buf);
  t->buf = NULL;
  t->base = t->end;
  t->size = 0;
  return 0;
}

/* Behind the number at p; NULL when the bytes end before it does. */
static const char *take_varint(const char *p, const char *end, uint64_t *n) {
  *n = 0;
  for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
    unsigned char c = (unsigned char)*p++;
    *n |= (uint64_t)(c & 0x7f) << shift;
    if (c < 0x80) return p;
  }
  return NULL;
}

/* read(transcript | text, position) -> the next position, the kind, microseconds since the piece before, the bytes; nothing at
 * the end, and false where the bytes are no transcript */
static int l_read(lua_State *L) {
  const struct transcript *t = lua_type(L, 1) == LUA_TUSERDATA ? transcript_check(L, 1) : NULL;
  uint64_t base = t ? t->base : 0, position = (uint64_t)luaL_checkinteger(L, 2), wait, len;
  size_t held = t ? (size_t)(t->end - t->base) : 0;
  const char *bytes = t ? t->buf : luaL_checklstring(L, 1, &held);
  if (position < base || position - base > held) return err_argument(L, "no position of this transcript");
  const char *p = bytes + (position - base), *end = bytes + held, *start = p;
  if (p == end) return 0;
  char kind = *p++;
  p = take_varint(p, end, &wait);
  p = p ? take_varint(p, end, &len) : NULL;
  if (!p || len > (size_t)(end - p) || wait > LONGEST) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_pushinteger(L, (lua_Integer)(position + (uint64_t)(p - start) + len));
  lua_pushlstring(L, &kind, 1);
  lua_pushinteger(L, (lua_Integer)wait);
  lua_pushlstring(L, p, (size_t)len);
  return 4;
}

int luaopen_host_transcript(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", l_new}, {"read", l_read}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"put", l_put}, {"size", l_size}, {"drop", l_drop}, {"text", l_text}, {NULL, NULL}};
  luaL_newmetatable(L, TRANSCRIPT);
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
