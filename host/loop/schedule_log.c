/* schedule_log.c - the log of a run's deliveries as bytes: for each the resumes since the last one, then what it is about.
 *
 * All numbers are LEB128. An outcome, by far the most frequent, is its task's number shifted by one; any other has the lowest
 * bit set, its kind in the next two, and its target above. A cancel is followed by the length of its text and the text. */
#include "schedule_log.h"

#include <string.h>

#include "mem.h"

#define VARINT_MAX 10

static size_t put_varint(unsigned char *out, uint64_t v) {
  size_t n = 0;
  for (; v >= 0x80; v >>= 7) out[n++] = (unsigned char)(v | 0x80);
  out[n++] = (unsigned char)v;
  return n;
}

static bool get_varint(const struct schedule_log *log, size_t *at, uint64_t *v) {
  *v = 0;
  for (unsigned shift = 0; shift < 64 && *at < log->len; shift += 7) {
    unsigned char byte = log->bytes[(*at)++];
    *v |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

static enum log_status make_room(struct mem *m, struct schedule_log *log, size_t need) {
  if (need > log->max - log->len) return LOG_FULL;
  if (need <= log->room - log->len) return LOG_DONE;
  size_t room = log->room ? log->room + log->room / 2 : 64;
  if (room < log->len + need) room = log->len + need;
  unsigned char *bytes = mem_grow(m, log->bytes, room);
  if (!bytes) return LOG_NO_MEMORY;
  log->bytes = bytes;
  log->room = room;
  return LOG_DONE;
}

bool schedule_log_set(struct mem *m, struct schedule_log *log, const void *bytes, size_t len, size_t max) {
  *log = (struct schedule_log){.max = max < len ? len : max};
  if (len == 0) return true;
  log->bytes = mem_alloc(m, len);
  if (!log->bytes) return false;
  memcpy(log->bytes, bytes, len);
  log->len = log->room = len;
  return true;
}

enum log_status schedule_log_add(struct mem *m, struct schedule_log *log, const struct delivery *d) {
  unsigned char head[3 * VARINT_MAX];
  uint64_t code = d->kind == DELIVERY_OUTCOME ? (uint64_t)d->target << 1
                                              : (uint64_t)d->target << 3 | (uint64_t)(d->kind - 1) << 1 | 1;
  size_t n = put_varint(head, d->count - log->written);
  n += put_varint(head + n, code);
  if (d->kind == DELIVERY_CANCEL) n += put_varint(head + n, d->text_len);
  enum log_status status = make_room(m, log, n + d->text_len);
  if (status != LOG_DONE) return status;
  memcpy(log->bytes + log->len, head, n);
  if (d->text_len) memcpy(log->bytes + log->len + n, d->text, d->text_len);
  log->len += n + d->text_len;
  log->written = d->count;
  return LOG_DONE;
}

enum log_status schedule_log_next(struct schedule_log *log, struct delivery *d) {
  uint64_t since, code, len = 0;
  size_t at = log->read;
  if (at == log->len) return LOG_END;
  if (!get_varint(log, &at, &since) || !get_varint(log, &at, &code)) return LOG_DAMAGED;
  d->kind = code & 1 ? (enum delivery_kind)(1 + (code >> 1 & 3)) : DELIVERY_OUTCOME;
  uint64_t target = code & 1 ? code >> 3 : code >> 1;
  if (target > UINT32_MAX || since > UINT64_MAX - log->decoded) return LOG_DAMAGED;
  if (d->kind == DELIVERY_CANCEL && !get_varint(log, &at, &len)) return LOG_DAMAGED;
  if (len > log->len - at) return LOG_DAMAGED;
  d->count = log->decoded + since;
  d->target = (uint32_t)target;
  d->text = (const char *)log->bytes + at;
  d->text_len = (size_t)len;
  log->decoded = log->written = d->count;
  log->read = at + (size_t)len;
  return LOG_DONE;
}
