/* state.h - start-up for main.c. host_init and host_close are declared in host.h. */
#ifndef STOKE_STATE_H
#define STOKE_STATE_H

#include "loop/host.h"

/* Runs lua/boot.lua with the arguments; it makes the first tasks. */
bool host_start(struct host *h, int argc, char **argv, struct err *e);

#endif
