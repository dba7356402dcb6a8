/* lines.c - how fast host/net/lines.c cuts a byte stream into lines: chunks of /api/chat in pieces of 16 KB, as libcurl
 * delivers them. Prints lines_mb_s=. */
#include <string.h>
#include <sys/resource.h>

#include "net/lines.h"
#include "loop/mem.h"

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6;
}

int main(void) {
  static const char chunk[] = "{\"model\":\"bench\",\"created_at\":\"2026-01-02T03:04:05.678901Z\","
                              "\"message\":{\"role\":\"assistant\",\"content\":\" word\"},\"done\":false}\n";
  enum { PIECE = 16384, ROUNDS = 40000 };
  static char text[(sizeof chunk - 1) * PIECE]; /* a whole number of both lines and pieces */
  for (size_t i = 0; i < PIECE; i++) memcpy(text + i * (sizeof chunk - 1), chunk, sizeof chunk - 1);
  struct mem m;
  struct lines l;
  const char *line;
  size_t len, at = 0, count = 0;
  mem_init(&m);
  lines_init(&l, &m, 1 << 20);
  double start = cpu_seconds();
  for (int i = 0; i < ROUNDS; i++) {
    if (!lines_feed(&l, text + at, PIECE)) return 1;
    while (lines_next(&l, &line, &len) == LINES_LINE) count += len > 0;
    at = (at + PIECE) % sizeof text;
  }
  double seconds = cpu_seconds() - start;
  CHECK(count > 0);
  printf("lines_mb_s=%.0f\n", (double)PIECE * ROUNDS / seconds / 1e6);
  lines_close(&l);
  return 0;
}
