/* fault.h - points where a test can kill the process: STOKE_FAULT="point:n" ends it, as kill -9 does, at the n-th pass of the
 * point. Where nothing is armed a point is the look at one flag. Any thread. */
#ifndef STOKE_FAULT_H
#define STOKE_FAULT_H

#include "base.h"

extern bool fault_armed;

void fault_init(void); /* reads the environment, once */
void fault_pass(const char *point);

#define FAULT_POINT(point)                                                                                             \
  do {                                                                                                                 \
    if (__builtin_expect(fault_armed, 0)) fault_pass(point);                                                           \
  } while (0)

#endif
