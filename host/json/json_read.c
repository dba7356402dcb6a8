/* json_read.c - pulls one token at a time out of a JSON text. No recursion, no memory of its own:
 * what it must remember about the containers around it is one bit each. */
#include <float.h>
#include <stdio.h>

#include "json.h"
#include "json_scan.h"

enum {
  STATE_VALUE,         /* at the start, after a colon, after a comma in an array */
  STATE_FIRST_ELEMENT, /* after [ */
  STATE_FIRST_KEY,     /* after { */
  STATE_AFTER,         /* after a value in a container */
  STATE_DONE,          /* after the outermost value */
  STATE_FAILED,
};

void json_open(struct json_reader *r, const char *bytes, size_t len, unsigned max_depth) {
  if (!bytes) bytes = "";
  r->bytes = r->at = bytes;
  r->end = bytes + len;
  r->text = NULL;
  r->len = 0;
  r->error = NULL;
  r->offset = 0;
  r->state = STATE_VALUE;
  r->flags = 0;
  r->in_object = false;
  r->depth = 0;
  r->max_depth = max_depth && max_depth < JSON_DEPTH_MAX ? max_depth : JSON_DEPTH_MAX;
}

static enum json_token fail(struct json_reader *r, const char *at, const char *error) {
  r->error = error;
  r->offset = (size_t)(at - r->bytes);
  r->state = STATE_FAILED;
  return JSON_ERROR;
}

static inline bool is_digit(char c) {
  return (unsigned)(c - '0') < 10;
}

static inline const char *skip_space(const char *p, const char *end) {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
  return p;
}

/* The state after a value: a comma or the end of its container. */
static inline void value_done(struct json_reader *r) {
  r->state = r->depth ? STATE_AFTER : STATE_DONE;
}

/* ---- strings ---- */

static int hex4(const char *p, const char *end) {
  int value = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int c = p[i], digit;
    if (is_digit((char)c))
      digit = c - '0';
    else if (c >= 'a' && c <= 'f')
      digit = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
      digit = c - 'A' + 10;
    else
      return -1;
    value = value << 4 | digit;
  }
  return value;
}

static bool is_high(int unit) {
  return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low(int unit) {
  return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* The second half of a surrogate pair, from the escape at p; -1 = none. */
static int low_half(const char *p, const char *end) {
  int unit = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
  return is_low(unit) ? unit : -1;
}

/* The length of the escape at p (a backslash), surrogates in pairs; 0 and *error: it is none. `halves`: of a pair one alone
 * is an escape, too. */
static size_t escape_length(const char *p, const char *end, bool halves, const char **error) {
  *error = "invalid escape in a string";
  if (end - p < 2) return 0;
  switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return 2;
    case 'u': {
      int unit = hex4(p + 2, end);
      if (unit < 0) return 0;
      if (!is_high(unit) && !is_low(unit)) return 6;
      *error = "lone surrogate in a string";
      if (is_high(unit) && low_half(p + 6, end) >= 0) return 12;
      return halves ? 6 : 0;
    }
    default: return 0;
  }
}

/* p is behind the opening quote. False = failed; else r->text, len, escaped, and r->at behind the
 * closing quote. */
static bool read_string(struct json_reader *r, const char *p) {
  const char *start = p, *error;
  r->escaped = false;
  for (;;) {
    p = (const char *)json_plain((const json_byte *)p, (const json_byte *)r->end);
    if (p == r->end) return fail(r, p, "unterminated string"), false;
    json_byte c = (json_byte)*p;
    if (c == '"') break;
    if (c == '\\') {
      size_t n = escape_length(p, r->end, r->flags & JSON_ANY_BYTES, &error);
      if (!n) return fail(r, p, error), false;
      r->escaped = true;
      p += n;
    } else if (c < 0x20) {
      return fail(r, p, "raw control character in a string"), false;
    } else {
      while (c >= 0x80) {
        unsigned n = json_utf8((const json_byte *)p, (const json_byte *)r->end);
        if (!n && !(r->flags & JSON_ANY_BYTES)) return fail(r, p, "invalid UTF-8 in a string"), false;
        p += n ? n : 1;
        c = p < r->end ? (json_byte)*p : 0;
      }
    }
  }
  r->text = start;
  r->len = (size_t)(p - start);
  r->at = p + 1;
  return true;
}

static char *put_utf8(char *dst, unsigned long c) {
  if (c < 0x80) {
    *dst++ = (char)c;
  } else if (c < 0x800) {
    *dst++ = (char)(0xC0 | c >> 6);
    *dst++ = (char)(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    *dst++ = (char)(0xE0 | c >> 12);
    *dst++ = (char)(0x80 | (c >> 6 & 0x3F));
    *dst++ = (char)(0x80 | (c & 0x3F));
  } else {
    *dst++ = (char)(0xF0 | c >> 18);
    *dst++ = (char)(0x80 | (c >> 12 & 0x3F));
    *dst++ = (char)(0x80 | (c >> 6 & 0x3F));
    *dst++ = (char)(0x80 | (c & 0x3F));
  }
  return dst;
}

size_t json_unescape(char *dst, const char *text, size_t len) {
  const char *p = text, *end = text + len;
  char *out = dst;
  while (p < end) {
    const char *slash = memchr(p, '\\', (size_t)(end - p));
    size_t run = (size_t)((slash ? slash : end) - p);
    memcpy(out, p, run);
    out += run;
    if (!slash) break;
    p = slash + 2;
    switch (slash[1]) {
      case 'b': *out++ = '\b'; break;
      case 'f': *out++ = '\f'; break;
      case 'n': *out++ = '\n'; break;
      case 'r': *out++ = '\r'; break;
      case 't': *out++ = '\t'; break;
      case 'u': {
        unsigned long unit = (unsigned long)hex4(p, end);
        p += 4;
        int low = is_high((int)unit) ? low_half(p, end) : -1;
        if (low >= 0) {
          unit = 0x10000 + ((unit - 0xD800) << 10) + ((unsigned long)low - 0xDC00);
          p += 6;
        }
        out = put_utf8(out, unit);
        break;
      }
      default: *out++ = slash[1]; break; /* quote, backslash, slash */
    }
  }
  return (size_t)(out - dst);
}

/* ---- numbers ---- */

/* Digits of the exponent behind e or E; NULL when there are none. Held far from overflow, far
 * beyond any double. */
static const char *read_exponent(const char *p, const char *end, int64_t *exponent) {
  bool negative = false;
  int64_t value = 0;
  if (p < end && (*p == '+' || *p == '-')) negative = *p++ == '-';
  if (p == end || !is_digit(*p)) return NULL;
  for (; p < end && is_digit(*p); p++)
    if (value < (int64_t)1 << 48) value = value * 10 + (*p - '0');
  *exponent = negative ? -value : value;
  return p;
}

/* The number that ends before p, as its text. */
static enum json_token give_digits(struct json_reader *r, const char *p) {
  r->text = r->at;
  r->len = (size_t)(p - r->at);
  r->escaped = false;
  r->at = p;
  value_done(r);
  return JSON_DIGITS;
}

static enum json_token read_float(struct json_reader *r, const char *digits, const char *p, uint64_t mantissa,
                                  bool negative) {
  const char *mantissa_end;
  int64_t exponent = 0, fraction = 0;
  if (p < r->end && *p == '.') {
    const char *point = p++;
    if (p == r->end || !is_digit(*p)) return fail(r, p, "expected a digit after the point");
    for (; p < r->end && is_digit(*p); p++) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    fraction = p - point - 1;
  }
  mantissa_end = p;
  if (p < r->end && (*p | 0x20) == 'e') {
    const char *e = read_exponent(p + 1, r->end, &exponent);
    if (!e) {
      p += p + 1 < r->end && (p[1] == '+' || p[1] == '-') ? 2 : 1;
      return fail(r, p, "expected a digit of the exponent");
    }
    p = e;
  }
  double x = json_scaled(digits, (size_t)(mantissa_end - digits), mantissa, exponent - fraction, exponent);
  if (x > DBL_MAX) return r->flags & JSON_EXACT ? give_digits(r, p) : fail(r, r->at, "number too large");
  r->number = negative ? -x : x;
  r->at = p;
  value_done(r);
  return JSON_FLOAT;
}

/* An integer, digits to p, beyond 64 bits. */
static enum json_token read_large(struct json_reader *r, const char *digits, const char *p, uint64_t mantissa,
                                  bool negative) {
  char exact[DBL_MAX_10_EXP + 2]; /* the digits of the largest double, and a NUL */
  const char *start = r->at;
  enum json_token token = read_float(r, digits, p, mantissa, negative);
  if (token != JSON_FLOAT || !(r->flags & JSON_EXACT)) return token;
  int n = snprintf(exact, sizeof exact, "%.0f", negative ? -r->number : r->number);
  if (n == p - digits && memcmp(exact, digits, (size_t)n) == 0) return token;
  r->at = start;
  return give_digits(r, p);
}

/* p is at a digit or a minus, and r->at too. */
static enum json_token read_number(struct json_reader *r, const char *p) {
  bool negative = *p == '-';
  const char *digits = p += negative;
  uint64_t mantissa = 0;
  r->at = p - negative;
  if (p == r->end || !is_digit(*p)) return fail(r, p, "expected a digit after the minus");
  if (*p == '0' && p + 1 < r->end && is_digit(p[1])) return fail(r, p, "number with a leading zero");
  for (; p < r->end && is_digit(*p); p++) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
  if (p < r->end && (*p == '.' || (*p | 0x20) == 'e')) return read_float(r, digits, p, mantissa, negative);
  /* 19 digits cannot overflow 64 bits; what does not fit int64 is a float */
  if (p - digits > 19 || mantissa > (uint64_t)INT64_MAX + negative) return read_large(r, digits, p, mantissa, negative);
  r->integer = (int64_t)(negative ? 0 - mantissa : mantissa);
  r->at = p;
  value_done(r);
  return JSON_INTEGER;
}

/* ---- values and containers ---- */

static enum json_token read_word(struct json_reader *r, const char *p, const char *word, size_t len,
                                 enum json_token token) {
  if ((size_t)(r->end - p) < len || memcmp(p, word, len) != 0) return fail(r, p, "expected a value");
  r->at = p + len;
  value_done(r);
  return token;
}

static enum json_token open_container(struct json_reader *r, const char *p, bool object) {
  if (r->depth >= r->max_depth) return fail(r, p, "nested too deep");
  unsigned bit = ++r->depth;
  if (object)
    r->kinds[bit >> 3] |= (uint8_t)(1u << (bit & 7));
  else
    r->kinds[bit >> 3] &= (uint8_t) ~(1u << (bit & 7));
  r->in_object = object;
  r->state = object ? STATE_FIRST_KEY : STATE_FIRST_ELEMENT;
  r->at = p + 1;
  return object ? JSON_OBJECT : JSON_ARRAY;
}

static enum json_token close_container(struct json_reader *r, const char *p) {
  enum json_token token = r->in_object ? JSON_OBJECT_END : JSON_ARRAY_END;
  unsigned bit = --r->depth;
  r->in_object = bit && (r->kinds[bit >> 3] >> (bit & 7) & 1);
  r->at = p + 1;
  value_done(r);
  return token;
}

static enum json_token read_value(struct json_reader *r, const char *p) {
  if (p == r->end) return fail(r, p, "expected a value");
  switch (*p) {
    case '"':
      if (!read_string(r, p + 1)) return JSON_ERROR;
      value_done(r);
      return JSON_STRING;
    case '{': return open_container(r, p, true);
    case '[': return open_container(r, p, false);
    case 't': return read_word(r, p, "true", 4, JSON_TRUE);
    case 'f': return read_word(r, p, "false", 5, JSON_FALSE);
    case 'n': return read_word(r, p, "null", 4, JSON_NULL);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return read_number(r, p);
    default:
      if (p == r->bytes && r->end - p >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
        return fail(r, p, "text begins with a byte order mark");
      return fail(r, p, "expected a value");
  }
}

static enum json_token read_key(struct json_reader *r, const char *p, const char *expected) {
  if (p == r->end || *p != '"') return fail(r, p, expected);
  if (!read_string(r, p + 1)) return JSON_ERROR;
  p = r->at;
  if (p < r->end && *p != ':') p = skip_space(p, r->end);
  if (p == r->end || *p != ':') return fail(r, p, "expected ':' after a key");
  r->at = p + 1;
  r->state = STATE_VALUE;
  return JSON_KEY;
}

enum json_token json_next(struct json_reader *r) {
  const char *p = skip_space(r->at, r->end);
  switch (r->state) {
    case STATE_VALUE: return read_value(r, p);
    case STATE_FIRST_ELEMENT:
      if (p < r->end && *p == ']') return close_container(r, p);
      return read_value(r, p);
    case STATE_FIRST_KEY:
      if (p < r->end && *p == '}') return close_container(r, p);
      return read_key(r, p, "expected a key or '}'");
    case STATE_AFTER:
      if (p < r->end && *p == ',') {
        p = skip_space(p + 1, r->end);
        return r->in_object ? read_key(r, p, "expected a key after ','") : read_value(r, p);
      }
      if (p < r->end && *p == (r->in_object ? '}' : ']')) return close_container(r, p);
      return fail(r, p, r->in_object ? "expected ',' or '}'" : "expected ',' or ']'");
    case STATE_DONE:
      r->at = p;
      if (p == r->end) return JSON_END;
      return fail(r, p, "expected the end of the text");
    default: return JSON_ERROR;
  }
}

void json_describe(const struct json_reader *r, char *message, size_t size) {
  int n = snprintf(message, size, "invalid JSON at byte %zu: %s", r->offset + 1, r->error ? r->error : "no error");
  if (n < 0 || (size_t)n >= size || !r->error || strncmp(r->error, "expected", 8) != 0) return;
  message += n;
  size -= (size_t)n;
  if (r->bytes + r->offset >= r->end) {
    snprintf(message, size, ", found the end of the text");
    return;
  }
  json_byte c = (json_byte)r->bytes[r->offset];
  if (c > 0x20 && c < 0x7F)
    snprintf(message, size, ", found '%c'", c);
  else
    snprintf(message, size, ", found byte 0x%02X", (unsigned)c);
}
