/* bare.c - see bare.h. What a comment is depends on what is a string: the text is read as the lexer of Lua 5.4 reads it, so far. */
#include "bare.h"

#include <stdbool.h>

struct reading {
  const char *at, *end;
  char *to;
};

/* The level of a long bracket that opens here, [[ or [=[, or -1. */
static int long_level(const char *at, const char *end) {
  if (at == end || *at != '[') return -1;
  const char *p = at + 1;
  while (p < end && *p == '=') p++;
  return p < end && *p == '[' ? (int)(p - at - 1) : -1;
}

/* Behind the long bracket that begins here and has this level. */
static const char *long_end(const char *at, const char *end, int level) {
  for (; at < end; at++) {
    if (*at != ']') continue;
    const char *p = at + 1;
    while (p < end && *p == '=') p++;
    if (p < end && *p == ']' && p - at - 1 == level) return p + 1;
  }
  return end;
}

static const char *quoted_end(const char *at, const char *end) {
  char quote = *at++;
  while (at < end && *at != quote) at += *at == '\\' && at + 1 < end ? 2 : 1;
  return at < end ? at + 1 : end;
}

static void copy(struct reading *r, const char *stop) {
  while (r->at < stop) *r->to++ = *r->at++;
}

/* Of a comment the line breaks stay, and a blank, since it may stand between two words. */
static void skip_comment(struct reading *r) {
  int level = long_level(r->at + 2, r->end);
  const char *stop = r->at;
  if (level >= 0) {
    stop = long_end(r->at + 4 + level, r->end, level);
  } else {
    while (stop < r->end && *stop != '\n') stop++;
  }
  *r->to++ = ' '; /* a comment has two bytes at least */
  for (; r->at < stop; r->at++)
    if (*r->at == '\n') *r->to++ = '\n';
}

size_t bare_text(char *text, size_t len) {
  struct reading r = {.at = text, .end = text + len, .to = text};
  bool begins = true; /* of a line, outside of strings */
  char *kept = text;  /* end of the last string: blanks before it are no ends of lines */
  while (r.at < r.end) {
    int level = long_level(r.at, r.end);
    if (*r.at == '-' && r.at + 1 < r.end && r.at[1] == '-') {
      skip_comment(&r);
    } else if (*r.at == '"' || *r.at == '\'' || level >= 0) {
      copy(&r, level >= 0 ? long_end(r.at + 2 + level, r.end, level) : quoted_end(r.at, r.end));
      kept = r.to;
      begins = false;
    } else if (*r.at == '\n') {
      while (r.to > kept && r.to[-1] == ' ') r.to--;
      copy(&r, r.at + 1);
      begins = true;
    } else if (*r.at == ' ' && begins) {
      r.at++;
    } else {
      copy(&r, r.at + 1);
      begins = false;
    }
  }
  return (size_t)(r.to - text);
}
