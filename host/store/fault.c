/* fault.c - see fault.h. */
#include "fault.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

bool fault_armed;
static char armed_point[64];
static atomic_long passes_left;

void fault_init(void) {
  static bool done;
  if (done) return;
  done = true;
  const char *setting = getenv("STOKE_FAULT"), *colon = setting ? strrchr(setting, ':') : NULL;
  if (!colon || (size_t)(colon - setting) >= sizeof armed_point) return;
  memcpy(armed_point, setting, (size_t)(colon - setting));
  atomic_store(&passes_left, strtol(colon + 1, NULL, 10));
  fault_armed = true;
}

void fault_pass(const char *point) {
  if (strcmp(point, armed_point) != 0 || atomic_fetch_sub(&passes_left, 1) != 1) return;
  (void)kill(getpid(), SIGKILL);
  for (;;) pause();
}
