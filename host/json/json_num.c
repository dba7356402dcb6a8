/* json_num.c - doubles to decimal digits and back, exactly and without the say of the locale: what
 * goes through the C library has no decimal point (strtod), or one that is skipped (printf). */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "json_scan.h"

/* Powers of ten that are doubles exactly. */
static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                               1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Are float operations rounded to double at once? Else the shortcuts below would round twice. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 0
#define EXACT_ARITHMETIC 1
#else
#define EXACT_ARITHMETIC 0
#endif

/* ---- digits to doubles ---- */

#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 uint128;

/* Powers of five that fit 63 bits. */
static const uint64_t five[] = {
    1ull,
    5ull,
    25ull,
    125ull,
    625ull,
    3125ull,
    15625ull,
    78125ull,
    390625ull,
    1953125ull,
    9765625ull,
    48828125ull,
    244140625ull,
    1220703125ull,
    6103515625ull,
    30517578125ull,
    152587890625ull,
    762939453125ull,
    3814697265625ull,
    19073486328125ull,
    95367431640625ull,
    476837158203125ull,
    2384185791015625ull,
    11920928955078125ull,
    59604644775390625ull,
    298023223876953125ull,
    1490116119384765625ull,
    7450580596923828125ull,
};

/* (q + something below one when sticky) * 2^exponent, to the nearest double, ties to even. */
static double round_bits(uint128 q, bool sticky, int exponent) {
  int bits = q >> 64 ? 128 - __builtin_clzll((uint64_t)(q >> 64)) : 64 - __builtin_clzll((uint64_t)q);
  int cut = bits - 53;
  if (cut <= 0) return ldexp((double)(uint64_t)q, exponent);
  uint128 half = (uint128)1 << (cut - 1), low = q & (half * 2 - 1);
  uint64_t kept = (uint64_t)(q >> cut);
  if (low > half || (low == half && (sticky || (kept & 1)))) kept++;
  return ldexp((double)kept, exponent + cut);
}

/* mantissa * 10^scale by whole numbers, where 128 bits hold what decides: no rounding but the
 * last. */
static bool scale_exactly(uint64_t mantissa, int64_t scale, double *x) {
  if (scale < -27 || scale > 27) return false;
  if (mantissa == 0) {
    *x = 0;
  } else if (scale >= 0) {
    *x = round_bits((uint128)mantissa * five[scale], false, (int)scale);
  } else {
    int shift = __builtin_clzll(mantissa) + 64;
    uint128 n = (uint128)mantissa << shift;
    uint128 q = n / five[-scale];
    *x = round_bits(q, q * five[-scale] != n, (int)scale - shift);
  }
  return true;
}
#else
static bool scale_exactly(uint64_t mantissa, int64_t scale, double *x) {
  (void)mantissa, (void)scale, (void)x;
  return false;
}
#endif

double json_decimal(const char *digits, size_t n, int64_t exponent) {
  enum { ROOM = 800 };
  char text[ROOM + JSON_FLOAT_MAX + 2];
  while (n && *digits == '0') digits++, n--;
  if (n == 0) return 0;
  CHECK(n <= ROOM);
  /* the value lies in [10^(exponent+n-1), 10^(exponent+n)) */
  if (exponent + (int64_t)n > 400) return HUGE_VAL;
  if (exponent + (int64_t)n < -400) return 0;
  memcpy(text, digits, n);
  text[n++] = 'e';
  n += json_print_integer(text + n, exponent);
  text[n] = '\0';
  return strtod(text, NULL);
}

/* The digits of text without the point and without what cannot matter, then the exponent. */
static double any_length(const char *p, const char *end, int64_t exponent) {
  enum { KEPT = 780 }; /* more than the 767 digits that can decide a rounding */
  char digits[KEPT + 1];
  size_t n = 0;
  bool point = false, lost = false;
  for (; p < end; p++) {
    if (*p == '.') {
      point = true;
    } else if (n == 0 && *p == '0') { /* a leading zero counts for nothing but its place */
      exponent -= point;
    } else if (n < KEPT) {
      digits[n++] = *p;
      exponent -= point;
    } else {
      lost |= *p != '0';
      exponent += !point;
    }
  }
  if (lost) { /* a digit in the place of all that were cut, so that a tie is seen not to be one */
    digits[n++] = '1';
    exponent--;
  }
  return json_decimal(digits, n, exponent);
}

double json_scaled(const char *text, size_t len, uint64_t mantissa, int64_t scale, int64_t exponent) {
  const char *end = text + len, *first = text;
  double x;
  while (first < end && (*first == '0' || *first == '.')) first++;
  if (end - first <= 19) {                                                         /* the mantissa did not overflow */
    if (EXACT_ARITHMETIC && mantissa <= 1ull << 53 && scale >= -22 && scale <= 22) /* one rounding: both are exact */
      return scale < 0 ? (double)mantissa / power[-scale] : (double)mantissa * power[scale];
    if (scale_exactly(mantissa, scale, &x)) return x;
  }
  return any_length(text, text + len, exponent);
}

/* ---- doubles to digits ---- */

static const char two_digits[] = "00010203040506070809101112131415161718192021222324252627282930313"
                                 "23334353637383940414243444546474849"
                                 "50515253545556575859606162636465666768697071727374757677787980818"
                                 "28384858687888990919293949596979899";

/* The digits of u, right-aligned before `end`; returns where they begin. */
static char *print_digits(char *end, uint64_t u) {
  while (u >= 100) {
    end -= 2;
    memcpy(end, two_digits + u % 100 * 2, 2);
    u /= 100;
  }
  if (u >= 10) {
    end -= 2;
    memcpy(end, two_digits + u * 2, 2);
  } else {
    *--end = (char)('0' + u);
  }
  return end;
}

size_t json_print_integer(char dst[JSON_FLOAT_MAX], int64_t i) {
  char text[24], *end = text + sizeof text;
  char *p = print_digits(end, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
  if (i < 0) *--p = '-';
  memcpy(dst, p, (size_t)(end - p));
  return (size_t)(end - p);
}

/* A positive double as its shortest digits d1 d2 ... dn, read as d1.d2...dn * 10^exponent. */
struct decimal {
  char digits[24];
  int n, exponent;
};

static void trim_zeros(struct decimal *d) {
  while (d->n > 1 && d->digits[d->n - 1] == '0') d->n--;
}

/* Doubles that are a decimal of `count` digits at most: scale to an integer of so many and see whether dividing it back (exact,
 * both operands are) gives x. With 15 digits, which is most that people write, there is at most one such integer, and rounding the
 * scaled x finds it: its error stays under a quarter. With 16, such as a time in microseconds, that holds up to 2^51: there the
 * integer is still within a quarter of the scaled x, so these are the digits that x rounds to. */
static bool few_digits(struct decimal *d, double x, int count) {
  static const uint64_t least[] = {100000000000000ull, 1000000000000000ull}; /* of 15 digits, of 16 */
  uint64_t from = least[count - 15];
  if (!EXACT_ARITHMETIC || !(x >= 1e-7 && x < 1e15)) return false;
  int exponent = 0;
  if (x >= 1) {
    while (x >= power[exponent + 1]) exponent++;
  } else {
    exponent = -1;
    while (x * power[-exponent] < 1) exponent--;
  }
  int scale = count - 1 - exponent;
  if (scale > 22) return false;
  uint64_t m = (uint64_t)(x * power[scale] + 0.5);
  if (m >= from * 10) { /* rounded up to the next power, or the guess was one low */
    exponent++, scale--;
    m = (uint64_t)(x * power[scale] + 0.5);
  }
  if (m < from || (count == 16 && m >= 1ull << 51) || (double)m / power[scale] != x) return false;
  print_digits(d->digits + count, m);
  d->n = count;
  d->exponent = exponent;
  trim_zeros(d);
  return true;
}

static bool reads_back(const struct decimal *d, double x) {
  uint64_t mantissa = 0;
  int scale = d->exponent - (d->n - 1);
  double y;
  for (int i = 0; i < d->n; i++) mantissa = mantissa * 10 + (uint64_t)(d->digits[i] - '0');
  if (!scale_exactly(mantissa, scale, &y)) y = json_decimal(d->digits, (size_t)d->n, scale);
  return y == x;
}

/* n correctly rounded digits, from printf; whatever it writes for a decimal point is skipped. */
static void print_rounded(struct decimal *d, double x, int n) {
  char text[64];
  const char *p = text;
  snprintf(text, sizeof text, "%.*e", n - 1, x);
  for (d->n = 0; *p && *p != 'e'; p++)
    if (*p >= '0' && *p <= '9' && d->n < n) d->digits[d->n++] = *p;
  d->exponent = *p ? atoi(p + 1) : 0;
}

/* The next larger decimal of as many digits. */
static void step_up(struct decimal *d) {
  int i = d->n - 1;
  while (i >= 0 && d->digits[i] == '9') d->digits[i--] = '0';
  if (i >= 0) {
    d->digits[i]++;
  } else {
    d->digits[0] = '1';
    d->exponent++;
  }
}

/* n digits of x out of its 17, without asking printf again: only a tail of exactly one half leaves
 * open which way. */
static void round_to(struct decimal *d, double x, int n, const struct decimal *all) {
  int tail = 0, half = 5;
  for (int i = n; i < 17; i++) tail = tail * 10 + (all->digits[i] - '0');
  for (int i = n + 1; i < 17; i++) half *= 10;
  if (tail == half) {
    print_rounded(d, x, n);
    return;
  }
  *d = *all;
  d->n = n;
  if (tail > half) step_up(d);
}

static void shortest(struct decimal *d, double x) {
  struct decimal all;
  int ignored;
  if (few_digits(d, x, 15) || few_digits(d, x, 16)) return;
  print_rounded(&all, x, 17);
  /* below the normal range there is less precision than 15 digits */
  for (int n = x < DBL_MIN ? 1 : 15; n < 17; n++) {
    if (n < 15)
      print_rounded(d, x, n);
    else
      round_to(d, x, n, &all);
    if (!reads_back(d, x)) {
      /* under a power of two the doubles stand twice as close: the nearest decimal may miss where
       * the next one hits */
      if (n < 16 || frexp(x, &ignored) != 0.5) continue;
      step_up(d);
      if (!reads_back(d, x)) continue;
    }
    trim_zeros(d);
    return;
  }
  *d = all;
  trim_zeros(d);
}

static char *put(char *out, const char *s, int n) {
  if (n > 0) memcpy(out, s, (size_t)n);
  return n > 0 ? out + n : out;
}

static char *zeros(char *out, int n) {
  if (n > 0) memset(out, '0', (size_t)n);
  return n > 0 ? out + n : out;
}

size_t json_print_float(char dst[JSON_FLOAT_MAX], double x) {
  struct decimal d;
  char *out = dst;
  if (signbit(x)) {
    *out++ = '-';
    x = -x;
  }
  if (x == 0) return (size_t)(put(out, "0.0", 3) - dst);
  shortest(&d, x);
  if (d.exponent < -6 || d.exponent >= 21) { /* 1e+300, 1.5e-7 */
    *out++ = d.digits[0];
    if (d.n > 1) *out++ = '.';
    out = put(out, d.digits + 1, d.n - 1);
    *out++ = 'e';
    *out++ = d.exponent < 0 ? '-' : '+';
    char text[8], *end = text + sizeof text;
    char *p = print_digits(end, (uint64_t)abs(d.exponent));
    out = put(out, p, (int)(end - p));
  } else if (d.exponent < 0) { /* 0.00012 */
    out = put(out, "0.", 2);
    out = zeros(out, -d.exponent - 1);
    out = put(out, d.digits, d.n);
  } else { /* 1.0, 120.0, 1.25 */
    int whole = d.exponent + 1;
    out = put(out, d.digits, d.n < whole ? d.n : whole);
    out = zeros(out, whole - d.n);
    *out++ = '.';
    if (d.n > whole)
      out = put(out, d.digits + whole, d.n - whole);
    else
      *out++ = '0';
  }
  return (size_t)(out - dst);
}
