/* tty.h - what a line editor needs of the terminal at descriptor 0: keys one by one instead of lines, news of its size, and
 * its modes given back whatever way the program ends. Knows no Lua, and nothing of how a line is edited. */
#ifndef STOKE_TTY_H
#define STOKE_TTY_H

#include "base.h"
#include "loop/err.h"

struct host;
struct tty;

/* News, as the number of an event of kind "terminal"; they may come together. */
enum tty_news { TTY_RESIZED = 1, TTY_CONTINUED = 2, TTY_STOP = 4 };

/* Keys come as they are typed and are not echoed; Ctrl-C and its kin stay signals. Ctrl-Z becomes TTY_STOP. `farewell` (at
 * most TTY_FAREWELL bytes, copied) is written to the terminal when its modes are given back. A no-op while it is on. */
#define TTY_FAREWELL 64
bool tty_raw(struct host *h, const char *farewell, size_t len, struct err *e);
void tty_cooked(struct host *h);  /* the modes as they were; a no-op while raw is off */
void tty_suspend(struct host *h); /* cooked, stops the process, and raw again once it goes on */
/* While raw: whether Ctrl-C is a signal, as it is at first, or a byte like any other, in order with those before and behind
 * it. */
void tty_interrupts(struct host *h, bool on);
void tty_disturbed(struct host *h); /* somebody wrote to the terminal past whoever draws on it: TTY_CONTINUED */
bool tty_is_raw(struct host *h);
void tty_close(struct host *h); /* frees once the loop has run */

#endif
