/* stoke.h - libstoke: agents written in Lua, inside a C program.
 *
 *     #include <stoke.h>
 *
 *     struct stoke_error e;
 *     stoke *s = stoke_open(NULL, &e);
 *     if (!s || !stoke_load(s, "clerk.lua", &e)) errx(1, "%s", e.message);
 *     char *answer = stoke_call(s, "clerk.answer", "[\"What is 17 * 23?\"]", &e);
 *     puts(answer ? answer : e.message);
 *     free(answer);
 *     stoke_close(s);
 *
 * A host has one event loop. It runs while the program is inside stoke_call, stoke_run_file, stoke_run_chunk, stoke_load,
 * stoke_turn or stoke_close, and at no other time; a program with a loop of its own watches stoke_fd and calls stoke_turn. One
 * thread at a time uses a host, and all hosts of a process belong to one thread; stoke_wake alone may be called by any.
 *
 * Values pass as JSON texts (UTF-8). Scripts write to the program's standard output and error. The library takes no signals; a
 * program that writes to pipes and sockets ignores SIGPIPE, as any does that uses libcurl.
 *
 * Functions that can fail give false or NULL and fill *e, which may be NULL. */
#ifndef STOKE_H
#define STOKE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct stoke stoke;

struct stoke_error {
  char kind[32];     /* as in Lua: "argument", "script", "refused", "timeout", "cancelled"; the guide lists them */
  char message[512]; /* what went wrong, and where; cut when longer */
  char hint[256];    /* how to mend it; may be empty */
};

/* What a script tells the program: require("stoke.embedder").emit(name, value). Called inside stoke_turn and the functions that
 * wait, never from within Lua; it may begin calls, but not wait for one. `json` has a zero after `len` bytes. */
typedef void (*stoke_event_fn)(void *user, const char *name, const char *json, size_t len);

/* The end of a call that was begun: its value as JSON, or NULL and the error. Exactly once for each; called as events are. */
typedef void (*stoke_done_fn)(void *user, const char *json, const struct stoke_error *e);

/* Zero-fill it; what is zero is as for the program stoke. */
struct stoke_options {
  const char *const *flags; /* words as on stoke's command line, ended by NULL: {"--sim", "--store", "runs.db", NULL} */
  stoke_event_fn event;
  void *user;          /* passed to event */
  const char *program; /* path of the program stoke, which runs what is jailed; NULL: sandboxed tools are refused */
};

/* The version of the library: "0.2.0". */
const char *stoke_version(void);

/* Begin. The caller owns the host and gives it to stoke_close. */
stoke *stoke_open(const struct stoke_options *options, struct stoke_error *e);

/* As `stoke FILE WORDS` does: the file, then the function it gave to stoke.main, then its timers. `words` ends with NULL; NULL: none. */
bool stoke_run_file(stoke *s, const char *path, const char *const *words, struct stoke_error *e);

/* Run the body of a file only, and keep what it returns, usually a table of functions, as a module named like the file: the
 * functions of "agents/clerk.lua" are called as "clerk.NAME". */
bool stoke_load(stoke *s, const char *path, struct stoke_error *e);

/* Run a text of Lua; `name` stands in messages. The value it returns as JSON ("null" for none), which the caller frees. */
char *stoke_run_chunk(stoke *s, const char *name, const char *code, struct stoke_error *e);

/* Call a function: "MODULE.NAME", or of the library "stoke.NAME". `arguments` is a JSON array; NULL: none. Waits, and gives the
 * first value it returned as JSON, which the caller frees. */
char *stoke_call(stoke *s, const char *function, const char *arguments, struct stoke_error *e);

/* The same without waiting: `done` is called later, inside stoke_turn or another function that waits. Gives a number for
 * stoke_cancel, or 0. Any number of calls run at the same time. */
unsigned long stoke_begin(stoke *s, const char *function, const char *arguments, stoke_done_fn done, void *user,
                          struct stoke_error *e);

/* Cancel a call that was begun: its `done` gets an error of kind "cancelled", unless it ends first. False: there is none. */
bool stoke_cancel(stoke *s, unsigned long call);

/* Let the host work for at most `seconds`: 0 does what is ready and does not wait; below 0: no limit. Returns earlier after
 * something was told to the program, after stoke_wake, and when there is nothing left to wait for. Gives the number of calls that have
 * not ended. */
size_t stoke_turn(stoke *s, double seconds);

/* A descriptor that is readable when there is work for stoke_turn, and the seconds after which there is in any case (below 0:
 * none is known): for poll, select, or another event loop. It stays the host's. */
int stoke_fd(const stoke *s);
double stoke_wait(stoke *s);

/* Make a stoke_turn that waits return. Any thread. */
void stoke_wake(stoke *s);

/* Cancel what runs, wait for its end (a few seconds at most), write what is left to write, and free the host. NULL is nothing. Not
 * from a callback: there it does nothing, since its caller still works with the host. */
void stoke_close(stoke *s);

#ifdef __cplusplus
}
#endif
#endif
