/* signals.h - what the system tells the process: SIGINT, SIGTERM and SIGHUP become an event for the keeper, and what would end
 * the program without a word first lets the terminal be given back. */
#ifndef STOKE_SIGNALS_H
#define STOKE_SIGNALS_H

#include "base.h"

struct host;

/* The first SIGINT, SIGTERM or SIGHUP (where that was not ignored from the start) is an event, and the watchdog breaks a slice
 * that overruns; the second ends the process at once; while somebody edits lines, only the fourth that nobody answered does. */
void signals_catch(struct host *h);
void signals_release(struct host *h);
bool signals_pending(const struct host *h); /* one came that nobody has answered */
void signals_child(struct host *h, int before,
                   int after);              /* 0, leader: a group that ends with us; leader, 0: it has ended */
_Noreturn void signals_end(struct host *h); /* ends the process by the last one; a signal handler may call it */
void signals_forget(struct host *h);        /* the next one is a first one again */

/* SIGSEGV and its kin call h->hooks.rescue first, unless somebody else handles them. */
void signals_guard(struct host *h);
void signals_unguard(struct host *h);

struct host *signals_host(void); /* for signal handlers; NULL = none */

#endif
