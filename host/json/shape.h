/* shape.h - lines of a stream resemble each other: from one to the next only the contents of some strings differ. A shape is
 * such a line with holes; a line that fits it is known to be valid JSON with the same members, without being parsed. Holds
 * no memory. Knows no Lua. */
#ifndef STOKE_SHAPE_H
#define STOKE_SHAPE_H

#include "base.h"

enum { SHAPE_PARTS_MAX = 8, SHAPE_BYTES_MAX = 256, SHAPE_LINE_MAX = 512 };

/* All zero is the shape that nothing fits. */
struct shape {
  uint8_t parts; /* the fixed bytes between the holes; a line is part, hole, part, ... hole, part */
  uint8_t text;  /* the hole after this part is the text */
  uint16_t lens[SHAPE_PARTS_MAX];
  char bytes[SHAPE_BYTES_MAX]; /* all parts, one after the other */
  bool narrowed;               /* holes that had the same contents in two lines are none any more */
  bool settled;                /* it stays as it is: what seemed to be the same was not */
  uint16_t line_len;           /* the line it was learned from; 0 = not kept */
  char line[SHAPE_LINE_MAX];
};

enum shape_fit {
  SHAPE_MISS,
  SHAPE_HIT,     /* *text and *text_len say where the text is */
  SHAPE_ESCAPED, /* the same as far as its text, which has escapes or is broken */
};

/* Makes the shape of a line that is valid JSON and whose value at `text` is the one wanted. Where that cannot be done (an
 * escape, white space, too long), the shape stays as it was. */
void shape_learn(struct shape *s, const char *line, size_t len, const char *text);

/* Holes whose contents are those of the line it was learned from (a model's name, a role) become fixed bytes: less to look at.
 * `line` fits the shape, and its text has been found. A line that misses such a shape is learned anew, and that stays. */
void shape_narrow(struct shape *s, const char *line, size_t len);

enum shape_fit shape_match(const struct shape *s, const char *line, size_t len, const char **text, size_t *text_len);

#endif
