/* json_engine.c - the JSON engine without Lua: picking lines, exact ends of the bytes, locales. */
#include <locale.h>
#include <string.h>

#include "json/json.h"

static int failures;

static void expect(bool ok, const char *what, const char *text) {
  if (ok) return;
  failures++;
  printf("failed: %s: %s\n", what, text);
}

/* A copy that ends where its block ends, so that a sanitizer sees every byte read beyond. */
static char *exact(const char *text, size_t len) {
  char *copy = malloc(len ? len : 1);
  CHECK(copy);
  if (len) memcpy(copy, text, len);
  return copy;
}

/* ---- picking ---- */

static const char chat[] = "model created_at message.role message.content:text message.thinking:second done=false";

#define CHAT(model, message) "{\"model\":" model ",\"message\":{" message "},\"done\":false}"
#define CONTENT(text)        "\"content\":\"" text "\""
#define THINKING(text)       "\"thinking\":\"" text "\""

static const struct {
  const char *line, *text; /* text NULL: left to a full decode */
  bool second;
} picked[] = {
    {"{\"model\":\"m\",\"created_at\":\"2026-01-02T03:04:05.6Z\",\"message\":{\"role\":"
     "\"assistant\","
     "\"content\":\" word\"},\"done\":false}",
     " word", false},
    {"{\"done\":false,\"message\":{\"content\":\"x\"}}", "x", false},
    {" { \"message\" : { \"role\" : \"r\" , \"content\" : \"x\" } , \"done\" : false }\r\n", "x", false},
    {CHAT("\"m\"", CONTENT("")), "", false},
    {CHAT("\"m\"", CONTENT("") "," THINKING("hm")), "hm", true},
    {CHAT("\"m\"", THINKING("hm")), "hm", true},
    {CHAT("\"m\"", THINKING("")), "", true},
    {CHAT("\"m\"", CONTENT("x") "," THINKING("")), "x", false},
    {CHAT("\"m\"", CONTENT("\\u00e9\\n\\ud83d\\ude00\xE2\x82\xAC\\\"\\/")), "\xC3\xA9\n\xF0\x9F\x98\x80\xE2\x82\xAC\"/",
     false},
    {CHAT("\"m\"", CONTENT("long enough for eight at once, \\\\ twice: \\\\")),
     "long enough for eight at once, \\ twice: \\", false},
    {CHAT("12", CONTENT("n")), "n", false},
    {CHAT("-3", CONTENT("n")), "n", false},
    {CHAT("null", "\"role\":true," CONTENT("n")), "n", false},
    {CHAT("\"m\"", CONTENT("x") "," THINKING("y")), NULL, false},
    {"{\"message\":{\"content\":\"x\"},\"done\":true}", NULL, false},
    {"{\"message\":{\"content\":\"x\"},\"done\":falsey}", NULL, false},
    {"{\"message\":{\"content\":\"x\"},\"done\":\"false\"}", NULL, false},
    {"{\"message\":{\"content\":\"x\"}}", NULL, false},
    {"{\"done\":false}", NULL, false},
    {"{\"message\":{},\"done\":false}", NULL, false},
    {"{\"message\":null,\"done\":false}", NULL, false},
    {CHAT("\"m\"", "\"content\":1"), NULL, false},
    {CHAT("\"m\"", CONTENT("x") ",\"tool_calls\":[]"), NULL, false},
    {CHAT("\"m\"", CONTENT("x") ",\"extra\":1"), NULL, false},
    {CHAT("\"m\"", CONTENT("a") "," CONTENT("b")), NULL, false},
    {CHAT("\"m\",\"model\":\"n\"", CONTENT("x")), NULL, false},
    {CHAT("\"m\"", CONTENT("x")) " x", NULL, false},
    {"{\"message\":{\"content\":\"x\"},\"done\":false,}", NULL, false},
    {"", NULL, false},
    {"{}", NULL, false},
    {"[]", NULL, false},
    {CHAT("\"m\"", CONTENT("\\ud83d")), NULL, false},
    {CHAT("\"m\"", CONTENT("\xFF")), NULL, false},
    {CHAT("\"m\"", CONTENT("a\tb")), NULL, false},
    {CHAT("\"\xC3\xA9\"", CONTENT("x")), NULL, false},
    {CHAT("01", CONTENT("x")), NULL, false},
    {CHAT("1.5", CONTENT("x")), NULL, false},
    {CHAT("{}", CONTENT("x")), NULL, false},
    {CHAT("", CONTENT("x")), NULL, false},
    {"{\"error\":\"boom\"}", NULL, false},
    {"{\"messages\":{\"content\":\"x\"},\"done\":false}", NULL, false},
    {"{\"m\\u006fdel\":\"m\",\"message\":{\"content\":\"x\"},\"done\":false}", NULL, false},
};

static void test_lines(void) {
  struct pick_spec spec;
  const char *why;
  CHECK(pick_compile(&spec, chat, &why));
  for (size_t i = 0; i < COUNT_OF(picked); i++) {
    size_t len = strlen(picked[i].line);
    char *line = exact(picked[i].line, len), *scratch = malloc(len + 1);
    CHECK(scratch);
    struct pick p = {0};
    bool plain = pick_line(&spec, line, len, scratch, len, &p) == PICK_PLAIN;
    expect(plain == (picked[i].text != NULL), plain ? "picked" : "not picked", picked[i].line);
    if (plain && picked[i].text) {
      bool right = p.len == strlen(picked[i].text) && memcmp(p.text, picked[i].text, p.len) == 0;
      expect(right && p.second == picked[i].second, "wrong text", picked[i].line);
    }
    free(line);
    free(scratch);
  }
}

/* No prefix of a line is a line; a scratch too small is no error. */
static void test_short(void) {
  struct pick_spec spec;
  struct pick p;
  const char *why, *full = picked[0].line;
  static const char escaped[] = CHAT("1", CONTENT("\\n\\n\\n"));
  char small[4];
  CHECK(pick_compile(&spec, chat, &why));
  for (size_t len = 0; len < strlen(full); len++) {
    char *line = exact(full, len);
    expect(pick_line(&spec, line, len, NULL, 0, &p) == PICK_OTHER, "picked a part of", full);
    free(line);
  }
  expect(pick_line(&spec, full, strlen(full), NULL, 0, &p) == PICK_PLAIN, "needs scratch", full);
  expect(pick_line(&spec, escaped, sizeof escaped - 1, small, sizeof small, &p) == PICK_OTHER, "too small a scratch",
         escaped);
}

static void test_specs(void) {
  static const char *const bad[] = {"",
                                    "model",
                                    "a:text a:text",
                                    "a:text b:text",
                                    "a:third",
                                    "a:text b=maybe",
                                    "a:text b=",
                                    "a..b:text",
                                    ".a:text",
                                    "a:text a.b",
                                    "a.b:text a",
                                    ":text",
                                    "a:text b=01",
                                    "a\"b:text",
                                    "a:text b=1234567890123456789"};
  struct pick_spec spec;
  struct pick p;
  const char *why;
  char many[600] = "t:text";
  for (size_t i = 0; i < COUNT_OF(bad); i++) expect(!pick_compile(&spec, bad[i], &why) && why, "compiled", bad[i]);
  for (int i = 0; i < 40; i++) snprintf(many + strlen(many), 16, " m%d", i);
  expect(!pick_compile(&spec, many, &why), "compiled", many);
  memset(many, 'n', 300);
  expect(!pick_compile(&spec, many, &why), "compiled", many);
  CHECK(pick_compile(&spec, " a.b.c:text\n n=-12 ", &why));
  static const char right[] = "{\"n\":-12,\"a\":{\"b\":{\"c\":\"x\"}}}";
  static const char wrong[] = "{\"n\":-123,\"a\":{\"b\":{\"c\":\"x\"}}}";
  expect(pick_line(&spec, right, sizeof right - 1, NULL, 0, &p) == PICK_PLAIN, "not picked", right);
  expect(pick_line(&spec, wrong, sizeof wrong - 1, NULL, 0, &p) == PICK_OTHER, "picked", wrong);
}

/* ---- reading ---- */

static bool accepted(const char *text, size_t len, unsigned max_depth) {
  struct json_reader r;
  enum json_token token;
  char message[160];
  char *bytes = exact(text, len);
  json_open(&r, bytes, len, max_depth);
  while ((token = json_next(&r)) > JSON_END) continue;
  json_describe(&r, message, sizeof message);
  free(bytes);
  return token == JSON_END;
}

/* Every part of a text that ends early, without a byte behind it to lean on. */
static void test_ends(void) {
  static const char text[] = "{\"key\":[1,-2.5e+3,true,false,null,"
                             "\"\\u00e9\\ud83d\\ude00\xE2\x82\xAC\"]}";
  for (size_t len = 0; len < sizeof text - 1; len++) {
    expect(!accepted(text, len, 0), "accepted a part of", text);
    for (size_t from = 1; from <= len; from++) (void)accepted(text + from, len - from, 0);
  }
  expect(accepted(text, sizeof text - 1, 2), "refused", text);
  expect(!accepted(text, sizeof text - 1, 1), "too deep", text);
}

/* ---- what the flags let pass ---- */

static enum json_token first(const char *text, unsigned flags, struct json_reader *r) {
  json_open(r, text, strlen(text), 0);
  r->flags = (uint8_t)flags;
  return json_next(r);
}

static void test_exact(void) {
  static const char *const large[] = {
      "12345678901234567890123", "-9223372036854775809", "18446744073709551615", "1e400", "-1e999", "1.5e309"};
  static const char *const exact_floats[] = {"9223372036854775808", "12345678901234567168", "10000000000000000000000",
                                             "1e22", "0.1"};
  struct json_reader r;
  for (size_t i = 0; i < COUNT_OF(large); i++) {
    expect(first(large[i], JSON_EXACT, &r) == JSON_DIGITS && r.len == strlen(large[i]) && r.text == large[i],
           "not digits", large[i]);
    expect(json_next(&r) == JSON_END, "no end behind", large[i]);
    expect(first(large[i], 0, &r) != JSON_DIGITS, "digits without the flag", large[i]);
  }
  for (size_t i = 0; i < COUNT_OF(exact_floats); i++)
    expect(first(exact_floats[i], JSON_EXACT, &r) == JSON_FLOAT, "no float", exact_floats[i]);
}

static void test_any_bytes(void) {
  static const char *const rows[][2] = {{"\"a\\ud83d\"", "a\xED\xA0\xBD"},
                                        {"\"\\ude00\\ud83d\\ude00\"", "\xED\xB8\x80\xF0\x9F\x98\x80"},
                                        {"\"\\ud83d\\u0041\"", "\xED\xA0\xBD"
                                                               "A"},
                                        {"\"\xF0\x9F\"", "\xF0\x9F"},
                                        {"\"\xFF\\n\"", "\xFF\n"}};
  struct json_reader r;
  for (size_t i = 0; i < COUNT_OF(rows); i++) {
    char plain[32];
    expect(first(rows[i][0], 0, &r) == JSON_ERROR, "taken without the flag", rows[i][0]);
    expect(first(rows[i][0], JSON_ANY_BYTES, &r) == JSON_STRING, "refused", rows[i][0]);
    size_t n = json_unescape(plain, r.text, r.len);
    expect(n == strlen(rows[i][1]) && memcmp(plain, rows[i][1], n) == 0, "other bytes", rows[i][0]);
  }
  expect(first("\"\\x\"", JSON_ANY_BYTES, &r) == JSON_ERROR, "an escape that is none", "\\x");
  expect(first("\"\1\"", JSON_ANY_BYTES, &r) == JSON_ERROR, "a control character", "1");
  expect(first("\"\\ud8", JSON_ANY_BYTES, &r) == JSON_ERROR, "half an escape", "\\ud8");
}

/* ---- locales ---- */

static void test_locale(const char *name) {
  static const double numbers[] = {0.5, 1.5e-300, 0.1 + 0.2, 1e-9, 5e-324, 1.0 / 3, 1e22, 1e300};
  static const char *const texts[] = {
      "0.5", "1.5e-300", "0.30000000000000004", "1e-9", "5e-324", "0.3333333333333333", "1e+22", "1e+300"};
  for (size_t i = 0; i < COUNT_OF(numbers); i++) {
    char text[JSON_FLOAT_MAX];
    struct json_reader r;
    size_t n = json_print_float(text, numbers[i]);
    expect(n == strlen(texts[i]) && memcmp(text, texts[i], n) == 0, name, texts[i]);
    json_open(&r, text, n, 0);
    expect(json_next(&r) == JSON_FLOAT && r.number == numbers[i], name, texts[i]);
  }
}

static void test_locales(void) {
  static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "pt_BR.UTF-8", "ps_AF.UTF-8"};
  bool any = false;
  test_locale("C");
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    if (!setlocale(LC_NUMERIC, names[i])) continue;
    any = true;
    test_locale(names[i]);
  }
  if (!any) printf("skipped: no locale with a decimal comma is installed\n");
  setlocale(LC_NUMERIC, "C");
}

int main(void) {
  test_lines();
  test_short();
  test_specs();
  test_ends();
  test_exact();
  test_any_bytes();
  test_locales();
  return failures > 0;
}
