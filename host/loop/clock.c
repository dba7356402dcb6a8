/* clock.c - the clock: the machine's time, or in tests a virtual one that advances only when nothing is left to do. */
#include "host.h"

uint64_t host_now(const struct host *h) {
  return h->clock == CLOCK_VIRTUAL ? h->virtual_now : uv_hrtime();
}

double host_wall(const struct host *h) {
  if (h->clock == CLOCK_VIRTUAL) return h->virtual_epoch + (double)h->virtual_now / 1e9;
  uv_timeval64_t tv;
  uv_gettimeofday(&tv);
  return (double)(tv.tv_sec * 1000000 + tv.tv_usec) / 1e6; /* the double next to it: few digits to print */
}
