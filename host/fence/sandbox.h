/* sandbox.h - restricts child processes: limits, folders, network, other processes. libuv has no hook between fork and exec, so
 * this binary starts itself as a helper (`stoke --exec-helper WORD... -- PROGRAM ARGUMENT...`), which applies the restrictions
 * given as words to itself and then executes the program.
 *
 * Three mechanisms, as far as the system has them: rlimits everywhere; on Linux Landlock (files, TCP, signals) and seccomp
 * (sockets, and calls that no program of this kind needs). On Linux the helper stays outside as the program's supervisor: it
 * counts processes and memory of all that the program starts, decides the calls that no filter can judge (modes, owners and
 * times of files; limits and scheduling of other processes), and kills all of it when our process has ended. Knows no Lua. */
#ifndef STOKE_SANDBOX_H
#define STOKE_SANDBOX_H

#include <sys/types.h>

#include "base.h"
#include "loop/err.h"
#include "sys/proc.h"

#define SANDBOX_FOLDERS    64
#define SANDBOX_LEVEL_MAX  160
#define SANDBOX_EXIT       121            /* the helper's exit code if it could not execute the program */
#define SANDBOX_REPORT     PROC_REPORT_FD /* descriptor to which the helper writes its report */
#define SANDBOX_LANDLOCK   1u
#define SANDBOX_SECCOMP    2u
#define SANDBOX_OPEN_FILES 1024

/* Strings point into the words. */
struct sandbox {
  const char *read[SANDBOX_FOLDERS], *write[SANDBOX_FOLDERS];
  size_t reads, writes;
  bool net;
  bool closed;     /* only reading and writing open descriptors, and memory: for code run in this process */
  unsigned cpu;    /* seconds; 0 = no limit, as everywhere here */
  uint64_t memory; /* bytes in use, of the whole process tree */
  uint64_t
      data; /* writable address space of each process; reached first by a program that reserves much without using it */
  uint64_t file_size, processes;
  unsigned require; /* SANDBOX_LANDLOCK | SANDBOX_SECCOMP: fail rather than do without */
};

/* One word: read=PATH write=PATH net cpu=SECONDS memory=BYTES used=BYTES file_size=BYTES processes=N
 * require=landlock+seccomp. memory is both of the above, used the first. false and e filled for any other. */
bool sandbox_word(struct sandbox *s, const char *word, struct err *e);

/* Restricts this process permanently, except for its memory. listener: NULL without a supervisor; otherwise receives the
 * descriptor of seccomp notifications, -1 if the kernel has none. level: "landlock7+seccomp+rlimits(memory=2G)", the level
 * reached and the limits not enforced. false and e filled: a required restriction is unavailable, and the process must not
 * continue. */
bool sandbox_apply(const struct sandbox *s, int *listener, char level[SANDBOX_LEVEL_MAX], struct err *e);

/* The level that sandbox_apply would reach on this system. */
void sandbox_level(const struct sandbox *s, char level[SANDBOX_LEVEL_MAX]);

void sandbox_close_from(int first); /* inherited descriptors that were left open */

/* main() of the helper. Returns only on failure. */
int sandbox_main(int argc, char **argv);

/* --- Linux only, in sandbox_linux.c and sandbox_seccomp.c ----------------------------------------------------------- */

#define LANDLOCK_TRUNCATE 3 /* the version that judges truncate (Linux 6.2) */
#define LANDLOCK_SCOPES   6 /* that keeps signals and abstract sockets inside (6.12) */
#ifndef LANDLOCK_NEWEST
#define LANDLOCK_NEWEST 1000 /* to try an older kernel: make EXTRA=-DLANDLOCK_NEWEST=2 */
#endif

int landlock_version(void); /* 0 = none */
bool landlock_apply(const struct sandbox *s, int version, struct err *e);
bool seccomp_there(void);
bool seccomp_asks(void); /* does the kernel have notifications to a supervisor? */
/* Denies the calls that this version of Landlock does not restrict. */
bool seccomp_apply(const struct sandbox *s, int landlock, int *listener, struct err *e);
bool privileges_drop(struct err *e); /* no new ones either; dies with the parent */

/* --- the supervisor, in sandbox_supervisor.c and sandbox_calls.c ----------------------------------------------------- */

/* Forks. In the child: true, and SANDBOX_REPORT leads to the parent, which takes a descriptor with the first bytes. The parent
 * does not return: it exits as the child does. false: not supported on this system, and the caller executes the program. */
bool supervisor_start(const struct sandbox *s);
bool supervisor_tell(const char *bytes, size_t len, int listener); /* in the child; listener may be -1 */

struct seccomp_notif;

/* The supervisor's answer to a notified call. */
struct call_answer {
  int error;    /* 0, or the errno to fail with */
  bool proceed; /* the kernel executes the call; otherwise the supervisor has done so */
};

/* Of a call that takes a path, an open file or the number of a process. group: of the processes it may reach, but for
 * `self`. valid: is the caller still waiting, so that its number is not another one's? */
struct call_answer call_judge(const struct sandbox *s, const struct seccomp_notif *call, pid_t group, pid_t self,
                              bool (*valid)(void *ud), void *ud);

#endif
