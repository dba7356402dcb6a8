/* sse.c - one server-sent event out of lines, as the HTML standard interprets an event stream. Lines end with LF or CRLF;
 * a stream that separates lines by CR alone, which the standard also allows, is not understood. */
#include <string.h>

#include "lines.h"

void sse_init(struct sse *s, struct mem *m) {
  *s = (struct sse){.mem = m};
}

void sse_close(struct sse *s) {
  mem_free(s->mem, s->data);
  mem_free(s->mem, s->event);
  mem_free(s->mem, s->id);
  *s = (struct sse){.mem = s->mem};
}

static void forget_event(struct sse *s) {
  mem_free(s->mem, s->event);
  s->event = NULL;
  s->data_len = 0;
  s->any = s->complete = false;
}

static void add_data(struct sse *s, const char *value, size_t len) {
  size_t need = s->data_len + len + 1;
  if (need > s->data_size) {
    size_t size = s->data_size ? s->data_size * 2 : 256;
    while (size < need) size *= 2;
    char *data = mem_grow(s->mem, s->data, size);
    if (!data) {
      s->failed = true;
      return;
    }
    s->data = data;
    s->data_size = size;
  }
  if (len) memcpy(s->data + s->data_len, value, len);
  s->data[s->data_len + len] = '\n'; /* the last one is dropped when the event is complete */
  s->data_len = need;
  s->any = true;
}

static void set_field(struct sse *s, char **slot, const char *value, size_t len) {
  char *copy = mem_strndup(s->mem, value, len);
  if (!copy) {
    s->failed = true;
    return;
  }
  mem_free(s->mem, *slot);
  *slot = copy;
}

static bool is(const char *name, size_t len, const char *want) {
  return len == strlen(want) && memcmp(name, want, len) == 0;
}

bool sse_line(struct sse *s, const char *line, size_t len) {
  if (s->complete) forget_event(s);
  if (len == 0) {
    if (!s->any) {
      forget_event(s);
      return false;
    }
    s->data_len--;
    return s->complete = true;
  }
  if (len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark, at the start of the stream */
    line += 3;
    len -= 3;
  }
  const char *colon = memchr(line, ':', len);
  size_t name_len = colon ? (size_t)(colon - line) : len;
  const char *value = colon ? colon + 1 : line + len;
  size_t value_len = (size_t)(line + len - value);
  if (value_len && *value == ' ') {
    value++;
    value_len--;
  }
  if (is(line, name_len, "data"))
    add_data(s, value, value_len);
  else if (is(line, name_len, "event"))
    set_field(s, &s->event, value, value_len);
  else if (is(line, name_len, "id") && !memchr(value, 0, value_len))
    set_field(s, &s->id, value, value_len);
  return false;
}
