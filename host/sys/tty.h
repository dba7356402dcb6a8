/* tty.h - terminal support for a line editor, at descriptor 0: raw mode, notice of size changes, and modes that are restored
 * however the program ends. Knows no Lua, and nothing of how a line is edited. */
#ifndef STOKE_TTY_H
#define STOKE_TTY_H

#include "base.h"
#include "loop/err.h"

struct host;
struct tty;

/* Bits of the number of an event of kind "terminal"; several may be set. */
enum tty_news { TTY_RESIZED = 1, TTY_CONTINUED = 2, TTY_STOP = 4 };

/* Raw mode: keys arrive as typed, without echo; Ctrl-C and the like stay signals. Ctrl-Z becomes TTY_STOP. `farewell` (at
 * most TTY_FAREWELL bytes, copied) is written to the terminal when its modes are restored. A no-op in raw mode. */
#define TTY_FAREWELL 64
bool tty_raw(struct host *h, const char *farewell, size_t len, struct err *e);
void tty_cooked(struct host *h);  /* restores the modes; a no-op outside raw mode */
void tty_suspend(struct host *h); /* restores the modes, stops the process, and returns to raw mode when it continues */
/* While raw: whether Ctrl-C is a signal, as it is at first, or a byte like any other, in order with those before and behind
 * it. */
void tty_interrupts(struct host *h, bool on);
void tty_disturbed(struct host *h); /* the screen was written to behind the line editor's back: sends TTY_CONTINUED */
bool tty_is_raw(struct host *h);
void tty_close(struct host *h); /* frees once the loop has run */

#endif
