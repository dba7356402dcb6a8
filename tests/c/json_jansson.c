/* json_jansson.c - a second library as an oracle: random texts, and random damage to them, mean
 * the same to jansson and to the reader. Loads libjansson at run time; says so and passes when it
 * is not installed.  json_jansson [SEED [TEXTS]] */
#include <dlfcn.h>
#include <math.h>
#include <string.h>

#include "json/json.h"

/* The part of jansson's interface used here, by its documentation. */
enum { DECODE_ANY = 0x4, ENCODE_ANY = 0x200, COMPACT = 0x20, PRESERVE_ORDER = 0x100, ALLOW_NUL = 0x10 };
#define REAL_PRECISION(n) ((size_t)(n) << 11)

struct jansson {
  void *(*loadb)(const char *bytes, size_t len, size_t flags, void *error);
  char *(*dumps)(const void *value, size_t flags);
  void (*delete)(void *value);
};

static bool load_jansson(struct jansson *j) {
  static const char *const names[] = {"libjansson.so.4", "libjansson.so", "libjansson.4.dylib"};
  void *library = NULL;
  for (size_t i = 0; i < COUNT_OF(names) && !library; i++) library = dlopen(names[i], RTLD_NOW);
  if (!library) return false;
  *(void **)&j->loadb = dlsym(library, "json_loadb");
  *(void **)&j->dumps = dlsym(library, "json_dumps");
  *(void **)&j->delete = dlsym(library, "json_delete");
  return j->loadb && j->dumps && j->delete;
}

/* ---- random texts ---- */

static uint64_t state;

static unsigned draw(unsigned n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)((state >> 33) % n);
}

static void put(struct json_out *o, const char *s) {
  CHECK(json_put_raw(o, s, strlen(s)) == JSON_PUT_OK);
}

static void put_number(struct json_out *o) {
  char text[64];
  size_t n = 0, digits = 1 + draw(18);
  if (draw(3) == 0) text[n++] = '-';
  text[n++] = (char)('1' + draw(9));
  while (--digits) text[n++] = (char)('0' + draw(10));
  if (draw(2)) {
    text[n++] = '.';
    for (digits = 1 + draw(12); digits; digits--) text[n++] = (char)('0' + draw(10));
  }
  if (draw(3) == 0)
    n += (size_t)snprintf(text + n, sizeof text - n, "%c%s%u", "eE"[draw(2)], draw(2) ? "-" : "", draw(250));
  text[n] = '\0';
  put(o, text);
}

static void put_string(struct json_out *o, int number) {
  static const char *const pieces[] = {"a",
                                       "Z9 ",
                                       "\\n",
                                       "\\/",
                                       "\\\"",
                                       "\\\\",
                                       "\\u00e9",
                                       "\xC3\xA9",
                                       "\xE2\x82\xAC",
                                       "\\ud83d\\ude00",
                                       "\xF0\x9F\x98\x80",
                                       "\x7F",
                                       "\\u001f",
                                       "longer text"};
  char tag[16];
  snprintf(tag, sizeof tag, "%d", number); /* keys differ */
  put(o, "\"");
  for (unsigned n = draw(6); n; n--) put(o, pieces[draw(COUNT_OF(pieces))]);
  if (number >= 0) put(o, tag);
  put(o, "\"");
}

static void put_any(struct json_out *o, int depth) {
  static const char *const words[] = {"null", "true", "false", "[]", "{}", " 0", "-0.0"};
  unsigned kind = draw(depth > 0 ? 8 : 4), n = 1 + draw(5);
  if (kind < 2) {
    put_number(o);
  } else if (kind == 2) {
    put_string(o, -1);
  } else if (kind == 3) {
    put(o, words[draw(COUNT_OF(words))]);
  } else {
    put(o, kind < 6 ? "[" : "{");
    for (unsigned i = 0; i < n; i++) {
      put(o, i == 0 ? "" : draw(4) ? "," : " ,\n");
      if (kind >= 6) {
        put_string(o, (int)i);
        put(o, ":");
      }
      put_any(o, depth - 1);
    }
    put(o, kind < 6 ? "]" : "}");
  }
}

/* ---- comparing ---- */

static size_t text_of(const struct json_reader *r, char *room, size_t size) {
  CHECK(r->len <= size);
  return json_unescape(room, r->text, r->len);
}

/* Do two texts have the same tokens? An integer jansson would write as it stands; its floats have
 * 17 digits. */
static bool same_tokens(const char *a, size_t a_len, const char *b, size_t b_len) {
  static char room[2][1 << 16];
  struct json_reader x, y;
  json_open(&x, a, a_len, 0);
  json_open(&y, b, b_len, 0);
  for (;;) {
    enum json_token s = json_next(&x), t = json_next(&y);
    if (s != t) return false;
    if (s == JSON_ERROR) return false;
    if (s == JSON_END) return true;
    if (s == JSON_INTEGER && x.integer != y.integer) return false;
    if (s == JSON_FLOAT && (x.number != y.number || signbit(x.number) != signbit(y.number))) return false;
    if (s == JSON_STRING || s == JSON_KEY) {
      size_t n = text_of(&x, room[0], sizeof room[0]);
      if (n != text_of(&y, room[1], sizeof room[1]) || memcmp(room[0], room[1], n) != 0) return false;
    }
  }
}

static bool is_valid(const char *bytes, size_t len) {
  struct json_reader r;
  enum json_token token;
  json_open(&r, bytes, len, 0);
  while ((token = json_next(&r)) > JSON_END) continue;
  return token == JSON_END;
}

static bool contains(const char *bytes, size_t len, const char *word) {
  size_t n = strlen(word);
  for (size_t i = 0; i + n <= len; i++)
    if (memcmp(bytes + i, word, n) == 0) return true;
  return false;
}

/* An integer beyond int64 jansson refuses, and \u0000 in keys: there the two differ by intent. */
static bool differs_by_intent(const char *bytes, size_t len) {
  size_t digits = 0;
  for (size_t i = 0; i < len; i++) {
    digits = bytes[i] >= '0' && bytes[i] <= '9' ? digits + 1 : 0;
    if (digits > 18) return true;
  }
  return contains(bytes, len, "\\u0000");
}

/* values: compare them too, not only whether the text is JSON. The text begins with a bracket, so
 * jansson's value, when there is one, is an array of its own with one reference. */
static bool agree(const struct jansson *j, const struct json_out *o, bool values) {
  char error[1024]; /* larger than json_error_t */
  void *value = j->loadb(o->buf, o->len, DECODE_ANY | ALLOW_NUL, error);
  bool ours = is_valid(o->buf, o->len), ok = ours == (value != NULL);
  if (value && ours && values) {
    char *text = j->dumps(value, ENCODE_ANY | COMPACT | PRESERVE_ORDER | REAL_PRECISION(17));
    ok = text && same_tokens(o->buf, o->len, text, strlen(text));
    free(text);
  }
  if (value) j->delete (value);
  if (!ok)
    printf("jansson %s, we %s: %.*s\n", value ? "takes it" : "refuses", ours ? "take it" : "refuse", (int)o->len,
           o->buf);
  return ok;
}

int main(int argc, char **argv) {
  struct jansson j;
  struct mem m;
  struct json_out o;
  unsigned long long seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20260101;
  int texts = argc > 2 ? atoi(argv[2]) : 3000, bad = 0, valid = 0, compared = 0;
  if (!load_jansson(&j)) {
    printf("skipped: libjansson is not installed\n");
    return 0;
  }
  state = seed;
  mem_init(&m);
  json_out_init(&o, &m);
  for (int i = 0; i < texts && bad < 5; i++) {
    json_out_reset(&o, JSON_SIZE_DEFAULT);
    put(&o, "[");
    put_any(&o, 5);
    put(&o, "]");
    if (!differs_by_intent(o.buf, o.len)) bad += !agree(&j, &o, true);
    for (int k = 0; k < 5; k++) { /* damage; it may make a key come twice, of which jansson keeps one */
      o.buf[1 + draw((unsigned)o.len - 1)] = "\"\\[]{},:0e.-+ x\x80\n"[draw(17)];
      if (differs_by_intent(o.buf, o.len)) continue;
      bad += !agree(&j, &o, !contains(o.buf, o.len, "{"));
      valid += is_valid(o.buf, o.len);
      compared++;
    }
  }
  json_out_close(&o);
  CHECK(m.used == 0);
  printf("seed %llu: %s; %d damaged texts, %d still valid\n", seed, bad ? "jansson reads otherwise" : "jansson agrees",
         compared, valid);
  return bad > 0;
}
