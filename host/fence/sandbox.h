/* sandbox.h - what a child process may do: limits, folders, network, other processes. It takes the fences up itself, before
 * its program: libuv starts a process without a moment between fork and exec, so this binary starts itself as a helper
 * (`stoke --exec-helper WORD... -- PROGRAM ARGUMENT...`), which applies the words and then becomes the program.
 *
 * Three fences, as far as the system has them: rlimits everywhere; on Linux Landlock (files, TCP, signals) and seccomp
 * (sockets, and calls that no program of this kind needs). On Linux the helper stays outside as the program's supervisor: it
 * counts processes and memory of all that the program starts, answers the calls that no filter can judge (modes, owners and
 * times of files; limits and scheduling of other processes), and ends all of it when we are gone. Knows no Lua. */
#ifndef STOKE_SANDBOX_H
#define STOKE_SANDBOX_H

#include <sys/types.h>

#include "base.h"
#include "loop/err.h"
#include "sys/proc.h"

#define SANDBOX_FOLDERS    64
#define SANDBOX_LEVEL_MAX  160
#define SANDBOX_EXIT       121            /* the helper's exit code when it did not become the program */
#define SANDBOX_REPORT     PROC_REPORT_FD /* descriptor on which the helper says how it went */
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
  uint64_t memory; /* that is used, by all that it starts together */
  uint64_t data; /* that may be written to, of each process; whoever reserves much without using it meets this first */
  uint64_t file_size, processes;
  unsigned require; /* SANDBOX_LANDLOCK | SANDBOX_SECCOMP: fail rather than do without */
};

/* One word: read=PATH write=PATH net cpu=SECONDS memory=BYTES used=BYTES file_size=BYTES processes=N
 * require=landlock+seccomp. memory is both of the above, used the first. false and e filled for any other. */
bool sandbox_word(struct sandbox *s, const char *word, struct err *e);

/* Fences this process in, for good; all but memory. listener: NULL where there is no supervisor; else where to put the
 * descriptor of what it is asked, -1 where the kernel cannot ask. level: "landlock7+seccomp+rlimits(memory=2G)", what was
 * reached, and what is not held. false and e filled: something that was asked for could not be had, and the process must not
 * go on. */
bool sandbox_apply(const struct sandbox *s, int *listener, char level[SANDBOX_LEVEL_MAX], struct err *e);

/* What sandbox_apply would reach here. */
void sandbox_level(const struct sandbox *s, char level[SANDBOX_LEVEL_MAX]);

void sandbox_close_from(int first); /* descriptors that we were given and nobody closed */

/* main() of the helper. Returns only when it failed. */
int sandbox_main(int argc, char **argv);

/* --- the kernel's two, in sandbox_linux.c and sandbox_seccomp.c; elsewhere there are none --------------------------- */

#define LANDLOCK_TRUNCATE 3 /* the version that judges truncate (Linux 6.2) */
#define LANDLOCK_SCOPES   6 /* that keeps signals and abstract sockets inside (6.12) */
#ifndef LANDLOCK_NEWEST
#define LANDLOCK_NEWEST 1000 /* to try an older kernel: make EXTRA=-DLANDLOCK_NEWEST=2 */
#endif

int landlock_version(void); /* 0 = none */
bool landlock_apply(const struct sandbox *s, int version, struct err *e);
bool seccomp_there(void);
bool seccomp_asks(void); /* can it put calls to a supervisor? */
/* Refuses what that version of Landlock does not hold. */
bool seccomp_apply(const struct sandbox *s, int landlock, int *listener, struct err *e);
bool privileges_drop(struct err *e); /* no new ones either; dies with the parent */

/* --- the supervisor, in sandbox_supervisor.c and sandbox_calls.c ----------------------------------------------------- */

/* Forks. In the child: true, and SANDBOX_REPORT leads to the parent, which takes a descriptor with the first bytes. The parent
 * does not return: it ends as the child does. false: there is none on this system, and the caller becomes the program. */
bool supervisor_start(const struct sandbox *s);
bool supervisor_tell(const char *bytes, size_t len, int listener); /* in the child; listener may be -1 */

struct seccomp_notif;

/* What a call that was put to the supervisor is answered with. */
struct call_answer {
  int error;    /* 0, or what it fails with */
  bool proceed; /* the kernel goes on with it; else it was done here */
};

/* Of a call that takes a path, an open file or the number of a process. group: of the processes it may reach, but for
 * `self`. valid: is the caller still waiting, so that its number is not another one's? */
struct call_answer call_judge(const struct sandbox *s, const struct seccomp_notif *call, pid_t group, pid_t self,
                              bool (*valid)(void *ud), void *ud);

#endif
