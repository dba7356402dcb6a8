/* json_format.c - strings that JSON Schema has a name for: dates and times of RFC 3339, UUIDs. stdlib/schema/formats.lua has the same
 * rules, and the words for what breaks them; a test compares the two. */
#include <string.h>

#include "json.h"

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Two digits; -1 = they are none. */
static int two(const char *s) {
  return is_digit(s[0]) && is_digit(s[1]) ? (s[0] - '0') * 10 + s[1] - '0' : -1;
}

static bool is_date(const char *s, size_t len) {
  static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (len != 10 || s[4] != '-' || s[7] != '-') return false;
  int century = two(s), rest = two(s + 2), month = two(s + 5), day = two(s + 8);
  if (century < 0 || rest < 0 || month < 1 || month > 12 || day < 1) return false;
  bool leap = month == 2 && (rest ? rest % 4 == 0 : century % 4 == 0);
  return day <= days[month - 1] + leap;
}

/* An offset is part of it. A leap second only where UTC has one. */
static bool is_time(const char *s, size_t len) {
  int offset = 0;
  size_t at = 8;
  if (len < 9 || s[2] != ':' || s[5] != ':') return false;
  int hour = two(s), minute = two(s + 3), second = two(s + 6);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return false;
  if (s[at] == '.') {
    do at++;
    while (at < len && is_digit(s[at]));
    if (at == 9 || at == len) return false;
  }
  if (s[at] == 'Z' || s[at] == 'z') {
    if (at + 1 != len) return false;
  } else {
    if (at + 6 != len || (s[at] != '+' && s[at] != '-') || s[at + 3] != ':') return false;
    int hours = two(s + at + 1), minutes = two(s + at + 4);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
    offset = (hours * 60 + minutes) * (s[at] == '+' ? 1 : -1);
  }
  return second < 60 || (hour * 60 + minute - offset + 2880) % 1440 == 1439;
}

static bool is_uuid(const char *s, size_t len) {
  if (len != 36) return false;
  for (size_t i = 0; i < len; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23, low = s[i] >= 'a' && s[i] <= 'f',
         high = s[i] >= 'A' && s[i] <= 'F';
    if (dash ? s[i] != '-' : !(is_digit(s[i]) || low || high)) return false;
  }
  return true;
}

enum json_format json_format_named(const char *name) {
  static const char *const names[] = {[JSON_FORMAT_DATE] = "date",
                                      [JSON_FORMAT_TIME] = "time",
                                      [JSON_FORMAT_DATE_TIME] = "date-time",
                                      [JSON_FORMAT_UUID] = "uuid"};
  for (size_t i = 1; i < COUNT_OF(names); i++)
    if (strcmp(names[i], name) == 0) return (enum json_format)i;
  return JSON_FORMAT_NONE;
}

bool json_has_format(enum json_format format, const char *s, size_t len) {
  switch (format) {
    case JSON_FORMAT_NONE: return true;
    case JSON_FORMAT_DATE: return is_date(s, len);
    case JSON_FORMAT_TIME: return is_time(s, len);
    case JSON_FORMAT_DATE_TIME:
      return len > 11 && (s[10] == 'T' || s[10] == 't') && is_date(s, 10) && is_time(s + 11, len - 11);
    case JSON_FORMAT_UUID: return is_uuid(s, len);
  }
  return false;
}
