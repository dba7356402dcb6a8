/* lines.h - cuts a byte stream into lines (NDJSON) or server-sent events, across any split of the bytes. Knows no Lua. */
#ifndef STOKE_LINES_H
#define STOKE_LINES_H

#include "base.h"
#include "loop/mem.h"

struct lines {
  struct mem *mem;
  char *buf;
  size_t start, end, size; /* unread bytes are buf[start, end) */
  size_t scanned;          /* bytes after start known to hold no LF */
  size_t max_line;         /* longer ones are an error */
  size_t taken;            /* lines handed out so far */
  size_t fed;              /* bytes that came so far */
};

enum lines_result { LINES_MORE, LINES_LINE, LINES_TOO_LONG };

void lines_init(struct lines *l, struct mem *m, size_t max_line);
void lines_close(struct lines *l);
bool lines_feed(struct lines *l, const char *bytes, size_t len); /* copies; false = out of memory, nothing taken */
/* The next whole line without its LF (and CR). Valid until the next feed. */
enum lines_result lines_next(struct lines *l, const char **line, size_t *len);
/* Whole lines that came so far, taken or not. */
size_t lines_came(const struct lines *l);
/* What is left after the end of the stream: a last line without LF, or nothing (false). */
bool lines_rest(struct lines *l, const char **line, size_t *len);

/* One server-sent event out of the lines of a stream (WHATWG HTML, "event stream interpretation"): fed line by line;
 * true = the blank line came and the event is complete, until the next call. */
struct sse {
  struct mem *mem;
  char *data, *event, *id;
  size_t data_len, data_size;
  bool any, complete, failed;
};
void sse_init(struct sse *s, struct mem *m);
void sse_close(struct sse *s);
bool sse_line(struct sse *s, const char *line, size_t len);

#endif
