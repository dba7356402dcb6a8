/* luabox.h - `stoke --lua-eval WORD...`: runs untrusted Lua code, read from standard input, in this process,
 * which can then only compute. What it prints goes to standard output; standard error gets one line with the
 * sandbox's level, then the values it returns or what went wrong. */
#ifndef STOKE_LUABOX_H
#define STOKE_LUABOX_H

#define LUABOX_OK     0
#define LUABOX_FAILED 1 /* the code does not compile, or raised */
#define LUABOX_LIMIT  2 /* time or memory was used up */

/* Words: memory=BYTES cpu_ms=MILLISECONDS output=BYTES require=landlock+seccomp. Ends the process when the code has run;
 * returns SANDBOX_EXIT when it was not run, with the reason on standard error. */
int luabox_main(int argc, char **argv);

#endif
