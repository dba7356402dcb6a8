/* signals.h - what the system tells the process: SIGINT, SIGTERM and SIGHUP become an event for the keeper, and what would end
 * the program without a word first lets the terminal be given back. */
#ifndef STOKE_SIGNALS_H
#define STOKE_SIGNALS_H

#include "base.h"

struct host;

/* The first SIGINT, SIGTERM or SIGHUP (where that was not ignored from the start) is an event, and the watchdog breaks a slice
 * that overruns; the second ends the process at once; while a line editor is active, only the fourth unhandled one does. */
void signals_catch(struct host *h);
void signals_release(struct host *h);
bool signals_pending(const struct host *h); /* one is not handled yet */
void signals_child(struct host *h, int before,
                   int after);              /* 0, leader: a group that ends with us; leader, 0: it has ended */
_Noreturn void signals_end(struct host *h); /* ends the process by the last one; a signal handler may call it */
void signals_forget(struct host *h);        /* the next one is a first one again */

/* SIGSEGV and similar signals call h->hooks.rescue first, unless another handler is installed. */
void signals_guard(struct host *h);
void signals_unguard(struct host *h);

struct host *signals_host(void); /* for signal handlers; NULL = none */

#endif
