/* schedule_log.h - the bytes of a schedule. */
#ifndef STOKE_SCHEDULE_LOG_H
#define STOKE_SCHEDULE_LOG_H

#include "base.h"

struct mem;

/* What came from outside. TIME_UP: the limit of a wait was over. CUT: the task was cut off, it had not ended in time. */
enum delivery_kind { DELIVERY_OUTCOME, DELIVERY_TIME_UP, DELIVERY_ALARM, DELIVERY_CANCEL, DELIVERY_CUT };

struct delivery {
  uint64_t count;  /* visible resumes before it */
  uint32_t target; /* number of a task, or of an alarm, in its run */
  enum delivery_kind kind;
  const char *text; /* of a cancel: why */
  size_t text_len;  /* 0 for all others */
};

enum log_status { LOG_DONE, LOG_END, LOG_FULL, LOG_NO_MEMORY, LOG_DAMAGED };

struct schedule_log {
  unsigned char *bytes; /* of its owner's mem */
  size_t len, room, max, read;
  uint64_t written, decoded; /* the count of the last delivery written, and of the last one read */
};

/* A copy of `bytes`; false when out of memory. */
bool schedule_log_set(struct mem *m, struct schedule_log *log, const void *bytes, size_t len, size_t max);
/* Counts never fall. What does not fit leaves the log as it was. */
enum log_status schedule_log_add(struct mem *m, struct schedule_log *log, const struct delivery *d);
/* The next one; its text is good until the log grows. */
enum log_status schedule_log_next(struct schedule_log *log, struct delivery *d);

#endif
