/* console.h - the terminal, pipe or file at descriptors 0, 1 and 2. Writing never blocks the loop:
 * bytes are gathered during a turn, written at its end, and kept while the other side is slow.
 * Knows no Lua.
 *
 * Terminals and pipes are opened once more where the system can (/proc/self/fd), so that O_NONBLOCK
 * stays ours and is not seen by our parent or children, which share the descriptors; elsewhere the
 * flag is set, and taken back by console_close. */
#ifndef STOKE_CONSOLE_H
#define STOKE_CONSOLE_H

#include "base.h"
#include "loop/err.h"

struct host;
struct console;

#define CONSOLE_HIGH (1u << 20) /* writers should wait beyond this many bytes kept */

/* Opens /dev/null in place of descriptors 0 to 2 that are closed, before anything else gets their
 * numbers. */
void console_guard(void);

/* A waiter; called once, by the loop. */
struct console_wait {
  struct console_wait *next;
  void (*ready)(struct console_wait *w);
};

/* fd is 1 or 2. Takes all of the bytes (copied where they must wait), or fails: false and e filled;
 * code EPIPE when the reader is gone. Never blocks, except for files. */
bool console_write(struct host *h, int fd, const char *bytes, size_t len, struct err *e);
size_t console_kept(struct host *h, int fd); /* bytes not written yet */
void console_await_room(struct host *h, int fd,
                        struct console_wait *w); /* called when few bytes are left, or writing has failed */
void console_forget_room(struct host *h, int fd, struct console_wait *w);

/* Tries to write the kept bytes now, without waiting: before a child writes to the same place, or
 * the terminal changes hands. */
void console_push(struct host *h);
/* At the end: writes the kept bytes, blocking for at most `seconds`. false = some could not be
 * written. */
bool console_flush(struct host *h, double seconds);
/* Whether output was lost, in an earlier turn too, and why: a write that failed (code EPIPE: the
 * reader is gone), or bytes still kept. */
bool console_lost(struct host *h, struct err *e);
void console_close(struct host *h); /* gives the descriptors back as they were found; frees once the
                                       loop has run */

enum console_want { CONSOLE_LINE, CONSOLE_COUNT, CONSOLE_ALL, CONSOLE_SOME };

/* A request for input; requests are served in order. The caller owns it and fills want, count and
 * wait.ready; after ready was called (may be inside console_read) it takes the bytes with
 * console_take, or lets go with console_forget. */
struct console_read {
  struct console_wait wait;
  enum console_want want;
  size_t count; /* CONSOLE_COUNT: this many, fewer only at the end; CONSOLE_SOME: what there is */
  bool served;
};
void console_read(struct host *h, struct console_read *r);
/* A line comes with its LF. false = the end, or an error (*error != 0, an errno). Valid until
 * console_forget. */
bool console_take(struct host *h, struct console_read *r, const char **bytes, size_t *len, int *error);
void console_forget(struct host *h, struct console_read *r, size_t taken); /* the next request is served */

/* Discards input typed on a terminal and not read yet; a no-op for pipes and files. */
void console_forget_typed(struct host *h);

bool console_is_tty(int fd);
bool console_size(int *columns, int *rows); /* of the terminal at 1 or 2; false = no terminal */

#endif
