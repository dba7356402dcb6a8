/* shape.c - a line that fits a shape is one that the picker takes, with the same text: for lines as they come, and for
 * hundreds of thousands of damaged ones. */
#include <string.h>

#include "json/json.h"
#include "json/line_predict.h"

static int failures;

static void expect(bool ok, const char *what, const char *line, size_t len) {
  if (ok) return;
  if (failures++ < 10) printf("failed: %s: %.*s\n", what, (int)len, line);
}

static const char chat[] = "model created_at message.role message.content:text message.thinking:second done=false";

#define LINE(time, message)                                                                                            \
  "{\"model\":\"m:3b\",\"created_at\":\"2026-01-02T03:04:" time "Z\",\"message\":{\"role\":\"assistant\"," message     \
  "},\"done\":false}"

static const char *const lines[] = {
    LINE("05.6", "\"content\":\" word\""),
    LINE("05.678901234", "\"content\":\"!\""),
    LINE("06", "\"content\":\"gr\xc3\xbc\xc3\x9f\xf0\x9f\xa6\x99\""),
    LINE("06", "\"content\":\"\",\"thinking\":\"Hm\""),
    LINE("06", "\"content\":\"Hm\",\"thinking\":\"\""),
    LINE("06", "\"thinking\":\"Hm\""),
    LINE("06", "\"content\":\"\""),
    LINE("06", "\"content\":\"a\\nb\""),
    LINE("06", "\"content\":\"\\u003cb\\u003e\""),
    LINE("06", "\"content\" : \"x\""),
    "{\"done\":false,\"message\":{\"content\":\"x\"},\"model\":7}",
    "{\"message\":{\"content\":\"x\",\"role\":\"a\"},\"created_at\":\"\",\"done\":false}",
};

/* A copy that ends where its block ends, so that a sanitizer sees every byte read beyond. */
static char *exact(const char *text, size_t len) {
  char *copy = malloc(len ? len : 1);
  CHECK(copy);
  if (len) memcpy(copy, text, len);
  return copy;
}

/* Matches a line and holds the outcome against the picker's. `second` is what the shape was learned for. */
static enum shape_fit compare(const struct pick_spec *spec, const struct shape *s, bool second, const char *text,
                              size_t len) {
  char scratch[1024], *line = exact(text, len);
  const char *found = NULL;
  size_t found_len = 0;
  struct pick p;
  enum shape_fit fit = shape_match(s, line, len, &found, &found_len);
  if (fit == SHAPE_HIT) {
    bool plain = pick_line(spec, line, len, scratch, sizeof scratch, &p) == PICK_PLAIN;
    expect(plain, "fits, but is not plain", line, len);
    if (plain && p.len > 0)
      expect(p.text == found && p.len == found_len && p.second == second, "another text", line, len);
    if (plain && p.len == 0) expect(found_len == 0, "a text where there is none", line, len);
  }
  free(line);
  return fit;
}

static bool learn(const struct pick_spec *spec, struct shape *s, const char *line, bool *second) {
  char scratch[1024];
  struct pick p;
  *s = (struct shape){0};
  if (pick_line(spec, line, strlen(line), scratch, sizeof scratch, &p) != PICK_PLAIN || p.len == 0) return false;
  shape_learn(s, line, strlen(line), p.text);
  *second = p.second;
  return s->parts > 0;
}

static uint32_t next_random(uint32_t *state) {
  *state = *state * 1664525 + 1013904223;
  return *state >> 8;
}

/* One to three bytes changed, taken out or put in. */
static size_t damage(char *line, size_t len, uint32_t *state) {
  static const char bytes[] = "\"\\,:{}[] \x01\x7f\x80\xc3\xa9 ax0";
  for (uint32_t i = next_random(state) % 3 + 1; i > 0 && len > 1; i--) {
    size_t at = next_random(state) % len;
    char byte = bytes[next_random(state) % (sizeof bytes - 1)];
    switch (next_random(state) % 3) {
      case 0: line[at] = byte; break;
      case 1: memmove(line + at, line + at + 1, --len - at); break;
      default:
        memmove(line + at + 1, line + at, len - at);
        line[at] = byte;
        len++;
    }
  }
  return len;
}

static void test_damaged(const struct pick_spec *spec) {
  uint32_t state = 1;
  size_t hits = 0;
  for (int i = 0; i < 300000; i++) {
    struct shape s;
    bool second;
    char line[1024];
    const char *model = lines[next_random(&state) % COUNT_OF(lines)],
               *other = lines[next_random(&state) % COUNT_OF(lines)];
    if (!learn(spec, &s, model, &second)) continue;
    size_t len = strlen(other);
    memcpy(line, other, len);
    len = damage(line, len, &state);
    if (compare(spec, &s, second, line, len) != SHAPE_HIT) continue;
    hits++;
    shape_narrow(&s, line, len); /* two that agree by chance in more or less */
    len = damage(line, strlen(strcpy(line, model)), &state);
    compare(spec, &s, second, line, len);
  }
  expect(hits > 1000, "few damaged lines fit", "", 0);
}

static void test_lines(const struct pick_spec *spec) {
  static const struct {
    int model, line;
    enum shape_fit fit;
  } pairs[] = {
      {0, 0, SHAPE_HIT},   {0, 1, SHAPE_HIT},   {0, 2, SHAPE_HIT},     {2, 0, SHAPE_HIT},     {0, 3, SHAPE_MISS},
      {3, 3, SHAPE_HIT},   {3, 4, SHAPE_MISS},  {4, 3, SHAPE_MISS},    {3, 0, SHAPE_MISS},    {0, 6, SHAPE_HIT},
      {5, 5, SHAPE_HIT},   {0, 5, SHAPE_MISS},  {0, 7, SHAPE_ESCAPED}, {0, 8, SHAPE_ESCAPED}, {0, 9, SHAPE_MISS},
      {10, 10, SHAPE_HIT}, {11, 11, SHAPE_HIT}, {11, 10, SHAPE_MISS},
  };
  struct shape s;
  bool second = false;
  for (size_t i = 0; i < COUNT_OF(pairs); i++) {
    const char *line = lines[pairs[i].line];
    expect(learn(spec, &s, lines[pairs[i].model], &second), "learned", lines[pairs[i].model],
           strlen(lines[pairs[i].model]));
    expect(compare(spec, &s, second, line, strlen(line)) == pairs[i].fit, "fits as expected", line, strlen(line));
    for (size_t len = 0; len < strlen(line); len++)
      expect(compare(spec, &s, second, line, len) != SHAPE_HIT, "cut short", line, len);
  }
  /* what cannot be learned leaves the shape as it was */
  expect(learn(spec, &s, lines[0], &second), "learned", lines[0], strlen(lines[0]));
  shape_learn(&s, lines[7], strlen(lines[7]), lines[7]);
  shape_learn(&s, lines[9], strlen(lines[9]), strchr(lines[9], 'x'));
  expect(compare(spec, &s, second, lines[0], strlen(lines[0])) == SHAPE_HIT, "still fits", lines[0], strlen(lines[0]));
}

/* What two lines have in common is looked for as it is, until a line comes that has something else there. */
static void test_narrow(const struct pick_spec *spec) {
  static const char other[] =
      "{\"model\":\"n\",\"created_at\":\"x\",\"message\":{\"role\":\"assistant\",\"content\":\"y\"},"
      "\"done\":false}";
  struct shape s;
  bool second;
  struct pick p;
  char scratch[256];
  expect(learn(spec, &s, lines[0], &second), "learned", lines[0], strlen(lines[0]));
  int parts = s.parts;
  shape_narrow(&s, lines[1], strlen(lines[1]));
  expect(s.narrowed && s.parts == parts - 2, "the model and the role are fixed", lines[1], strlen(lines[1]));
  expect(compare(spec, &s, second, lines[2], strlen(lines[2])) == SHAPE_HIT, "fits", lines[2], strlen(lines[2]));
  expect(compare(spec, &s, second, other, strlen(other)) == SHAPE_MISS, "misses", other, strlen(other));
  CHECK(pick_line(spec, other, strlen(other), scratch, sizeof scratch, &p) == PICK_PLAIN);
  shape_learn(&s, other, strlen(other), p.text);
  shape_narrow(&s, other, strlen(other));
  expect(!s.narrowed, "what seemed to be the same is not tried again", other, strlen(other));
  expect(compare(spec, &s, second, lines[0], strlen(lines[0])) == SHAPE_HIT, "both fit", lines[0], strlen(lines[0]));
  expect(compare(spec, &s, second, other, strlen(other)) == SHAPE_HIT, "both fit", other, strlen(other));
}

/* Too long to be learned: the picker goes on alone. */
static void test_long(const struct pick_spec *spec) {
  char line[4096];
  struct shape s = {0};
  bool second;
  for (size_t n = 0; n < 1000; n += 7) {
    snprintf(line, sizeof line, "{\"model\":\"%0*d\",\"message\":{\"content\":\"x%0*d\"},\"done\":false}", (int)n, 0,
             (int)n, 0);
    if (learn(spec, &s, line, &second)) compare(spec, &s, second, line, strlen(line));
  }
}

int main(void) {
  const char *why = NULL;
  struct pick_spec spec;
  CHECK(pick_compile(&spec, chat, &why));
  test_lines(&spec);
  test_narrow(&spec);
  test_damaged(&spec);
  test_long(&spec);
  return failures > 0;
}
