/* schedule_log.c - fuzz target: any bytes at all as the log of a run's order. What is read lies inside the bytes, and written again it
 * is the same deliveries. */
#include <string.h>

#include "loop/mem.h"
#include "loop/schedule_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct mem m;
  struct schedule_log in, out = {.max = size}, again; /* nothing is longer, written again */
  struct delivery d, e;
  enum log_status status;
  uint64_t count = 0;
  size_t n = 0;
  mem_init(&m);
  CHECK(schedule_log_set(&m, &in, data, size, 0));
  while ((status = schedule_log_next(&in, &d)) == LOG_DONE) {
    CHECK(d.count >= count && in.read <= size && ++n <= size / 2);
    CHECK(d.text >= (const char *)in.bytes && d.text + d.text_len == (const char *)in.bytes + in.read);
    CHECK(d.text_len == 0 || d.kind == DELIVERY_CANCEL);
    CHECK(schedule_log_add(&m, &out, &d) == LOG_DONE && out.len <= in.read);
    count = d.count;
  }
  CHECK(status == (in.read == size ? LOG_END : LOG_DAMAGED) && schedule_log_next(&in, &d) == status);
  CHECK(schedule_log_set(&m, &again, out.bytes, out.len, 0));
  for (in.read = 0, in.decoded = 0; n > 0; n--) {
    CHECK(schedule_log_next(&in, &d) == LOG_DONE && schedule_log_next(&again, &e) == LOG_DONE);
    CHECK(d.count == e.count && d.target == e.target && d.kind == e.kind && d.text_len == e.text_len);
    CHECK(memcmp(d.text, e.text, d.text_len) == 0);
  }
  CHECK(schedule_log_next(&again, &e) == LOG_END);
  mem_free(&m, in.bytes);
  mem_free(&m, out.bytes);
  mem_free(&m, again.bytes);
  CHECK(m.used == 0);
  return 0;
}
