/* lines.c - fuzz target: however a stream is cut into deliveries, the lines and the events in it are the same. The first
 * byte picks max_line, the second seeds the cuts, the rest is the stream. */
#include <string.h>

#include "net/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything seen, folded into one number; and how many lines and events there were. */
struct seen {
  uint64_t hash;
  size_t lines, events;
  bool too_long;
};

static void fold(struct seen *s, const char *bytes, size_t len) {
  s->hash = (s->hash ^ len) * 1099511628211u;
  for (size_t i = 0; i < len; i++) s->hash = (s->hash ^ (uint8_t)bytes[i]) * 1099511628211u;
}

static void take_line(struct seen *s, struct sse *events, const char *line, size_t len) {
  CHECK(!memchr(line, '\n', len));
  s->lines++;
  fold(s, line, len);
  if (!sse_line(events, line, len)) return;
  CHECK(events->complete && events->any && !events->failed);
  s->events++;
  fold(s, events->data, events->data_len);
  if (events->event) fold(s, events->event, strlen(events->event));
  if (events->id) fold(s, events->id, strlen(events->id));
}

/* seed 0: in one piece. A failing allocator (fail_at) may end it early, cleanly. */
static struct seen run(const uint8_t *data, size_t size, size_t max_line, unsigned seed, uint64_t fail_at) {
  struct mem m;
  struct lines l;
  struct sse events;
  struct seen s = {.hash = 14695981039346656037u};
  const char *line;
  size_t len;
  mem_init(&m);
  m.fail_at = fail_at;
  lines_init(&l, &m, max_line);
  sse_init(&events, &m);
  while (size && !s.too_long && !events.failed) {
    seed = seed * 1103515245 + 12345;
    size_t piece = seed >> 16 & 15;
    if (piece > size || max_line == 0) piece = size;
    if (seed % 7 == 0) piece = size;
    if (!lines_feed(&l, (const char *)data, piece)) break;
    data += piece;
    size -= piece;
    enum lines_result r;
    while (!events.failed && (r = lines_next(&l, &line, &len)) != LINES_MORE) {
      if (r == LINES_TOO_LONG) {
        s.too_long = true;
        break;
      }
      CHECK(max_line == 0 || len <= max_line);
      take_line(&s, &events, line, len);
    }
  }
  if (!s.too_long && !events.failed && lines_rest(&l, &line, &len)) take_line(&s, &events, line, len);
  lines_close(&l);
  sse_close(&events);
  CHECK(m.used == 0);
  return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  size_t max_line = data[0] & 1 ? data[0] : 0;
  unsigned seed = data[1];
  data += 2;
  size -= 2;
  struct seen whole = run(data, size, 0, 0, 0);
  struct seen cut = run(data, size, 1 << 20, seed + 1, 0);
  CHECK(whole.hash == cut.hash && whole.lines == cut.lines && whole.events == cut.events);
  if (max_line) {
    struct seen a = run(data, size, max_line, seed, 0), b = run(data, size, max_line, seed * 31 + 7, 0);
    CHECK(a.too_long == b.too_long && a.lines == b.lines && a.hash == b.hash);
  }
  (void)run(data, size, 0, 0, 1 + seed % 5);
  return 0;
}
