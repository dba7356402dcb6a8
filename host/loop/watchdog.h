/* watchdog.h - notices a slice (one resume of a task) that does not end, reports its file and line, and interrupts it: for
 * Ctrl-C, a passed deadline, or the memory limit.
 * A thread only looks at a counter; it arms a debug hook through a signal when a slice overruns, because a hook that is
 * always set doubles the cost of tight loops. */
#ifndef STOKE_WATCHDOG_H
#define STOKE_WATCHDOG_H

#include <lua.h>

#include "base.h"

struct host;
struct watchdog;

/* Starts the thread; seconds = processor time of a slice that is reported, 0 = never; one that takes ten times as long and hardly
 * runs is reported in other words. False when the system refuses. */
bool watchdog_open(struct host *h, double seconds);
void watchdog_close(struct host *h);

void watchdog_enter(struct host *h, lua_State *co); /* a slice begins */
void watchdog_leave(struct host *h);
unsigned watchdog_slice(const struct host *h); /* a counter that changes with each slice; 0 = no watchdog */
/* A coroutine inside the slice starts or stops running: hooks are per coroutine. Returns the one that ran before. */
lua_State *watchdog_switch(struct host *h, lua_State *co);

#endif
