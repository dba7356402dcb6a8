/* line_predict.h - predicts the next line of a stream: consecutive lines usually differ only in the contents of some strings. A
 * shape is a line with holes; a line that matches it is known to be valid JSON with the same members, without parsing. Holds no
 * memory. Knows no Lua. */
#ifndef STOKE_LINE_PREDICT_H
#define STOKE_LINE_PREDICT_H

#include "base.h"

enum { SHAPE_PARTS_MAX = 8, SHAPE_BYTES_MAX = 256, SHAPE_LINE_MAX = 512 };

/* All zero is a shape that no line matches. */
struct shape {
  uint8_t parts; /* the fixed bytes between the holes; a line is part, hole, part, ... hole, part */
  uint8_t text;  /* the hole after this part is the text */
  uint16_t lens[SHAPE_PARTS_MAX];
  char bytes[SHAPE_BYTES_MAX]; /* all parts, one after the other */
  bool narrowed;               /* holes with equal contents in two lines have become fixed bytes */
  bool settled;                /* not narrowed again: contents that seemed constant were not */
  uint16_t line_len;           /* the line it was learned from; 0 = not kept */
  char line[SHAPE_LINE_MAX];
};

enum shape_fit {
  SHAPE_MISS,
  SHAPE_HIT,     /* *text and *text_len say where the text is */
  SHAPE_ESCAPED, /* matches up to its text, which has escapes or is malformed */
};

/* Learns the shape of a valid JSON line whose wanted value is at `text`. If that is impossible (an escape, white space, too
 * long), the shape is unchanged. */
void shape_learn(struct shape *s, const char *line, size_t len, const char *text);

/* Turns holes with the same contents as in the learned line (a model's name, a role) into fixed bytes, which are faster to
 * compare. `line` matches the shape, and its text has been found. A line that misses a narrowed shape is learned again, and that
 * shape is not narrowed. */
void shape_narrow(struct shape *s, const char *line, size_t len);

enum shape_fit shape_match(const struct shape *s, const char *line, size_t len, const char **text, size_t *text_len);

#endif
