/* sandbox.h - what a child process may do: limits, folders, network. It takes the fences up itself, before its program:
 * libuv starts a process without a moment between fork and exec, so this binary starts itself as a helper
 * (`stoke --exec-helper WORD... -- PROGRAM ARGUMENT...`), which applies the words and then becomes the program.
 *
 * Three fences, as far as the system has them: rlimits everywhere; on Linux Landlock (files, TCP, signals) and seccomp
 * (sockets, and calls that no program of this kind needs). Knows no Lua. */
#ifndef STOKE_SANDBOX_H
#define STOKE_SANDBOX_H

#include "base.h"
#include "err.h"

#define SANDBOX_FOLDERS    64
#define SANDBOX_LEVEL_MAX  48
#define SANDBOX_EXIT       121 /* the helper's exit code when it did not become the program */
#define SANDBOX_REPORT     3   /* descriptor on which the helper says how it went; closed by the exec */
#define SANDBOX_LANDLOCK   1u
#define SANDBOX_SECCOMP    2u
#define SANDBOX_OPEN_FILES 1024

/* Texts are the words' own. */
struct sandbox {
  const char *read[SANDBOX_FOLDERS], *write[SANDBOX_FOLDERS];
  size_t reads, writes;
  bool net;
  bool closed;  /* nothing at all beyond reading and writing what is open, and memory: for code run in this process */
  unsigned cpu; /* seconds; 0 = no limit, as everywhere here */
  uint64_t memory, file_size, processes;
  unsigned require; /* SANDBOX_LANDLOCK | SANDBOX_SECCOMP: fail rather than do without */
};

/* One word: read=PATH write=PATH net cpu=SECONDS memory=BYTES file_size=BYTES processes=N require=landlock+seccomp.
 * false and e filled for any other. */
bool sandbox_word(struct sandbox *s, const char *word, struct err *e);

/* Fences this process in, for good; all but `memory`. level: "landlock7+seccomp+rlimits", what was reached. false and e
 * filled: something that was asked for could not be had, and the process must not go on. */
bool sandbox_apply(const struct sandbox *s, char level[SANDBOX_LEVEL_MAX], struct err *e);

/* What sandbox_apply would reach here. */
void sandbox_level(char level[SANDBOX_LEVEL_MAX]);

/* main() of the helper. Returns only when it failed. */
int sandbox_main(int argc, char **argv);

/* --- the kernel's two, in sandbox_linux.c; elsewhere there are none ------------------------------------------------- */

int landlock_version(void); /* 0 = none */
bool landlock_apply(const struct sandbox *s, int version, struct err *e);
bool seccomp_there(void);
bool seccomp_apply(const struct sandbox *s, struct err *e);
bool privileges_drop(struct err *e); /* no new ones either; dies with the parent */

#endif
