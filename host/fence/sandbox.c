/* sandbox.c - see sandbox.h: the words, the limits, the helper. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>
#include <uv.h>

/* --- words ------------------------------------------------------------------------------------ */

static bool read_number(const char *text, uint64_t *out) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end || errno || value > INT64_MAX) return false;
  *out = value;
  return true;
}

static bool read_require(const char *text, unsigned *out) {
  if (strcmp(text, "landlock") == 0)
    *out = SANDBOX_LANDLOCK;
  else if (strcmp(text, "seccomp") == 0)
    *out = SANDBOX_SECCOMP;
  else if (strcmp(text, "landlock+seccomp") == 0)
    *out = SANDBOX_LANDLOCK | SANDBOX_SECCOMP;
  else
    return false;
  return true;
}

static bool add_folder(const char **list, size_t *count, const char *path) {
  if (*count == SANDBOX_FOLDERS || !path[0]) return false;
  list[(*count)++] = path;
  return true;
}

/* What follows NAME= in the word, or NULL. */
static const char *value_of(const char *word, const char *name) {
  size_t len = strlen(name);
  return strncmp(word, name, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

bool sandbox_word(struct sandbox *s, const char *word, struct err *e) {
  const char *v;
  uint64_t n;
  bool ok = false;
  if (strcmp(word, "net") == 0) {
    s->net = ok = true;
  } else if ((v = value_of(word, "read"))) {
    ok = add_folder(s->read, &s->reads, v);
  } else if ((v = value_of(word, "write"))) {
    ok = add_folder(s->write, &s->writes, v);
  } else if ((v = value_of(word, "cpu"))) {
    ok = read_number(v, &n) && n > 0 && n < 1000000000;
    if (ok) s->cpu = (unsigned)n;
  } else if ((v = value_of(word, "memory"))) {
    ok = read_number(v, &s->memory);
    s->data = s->memory;
  } else if ((v = value_of(word, "used"))) {
    ok = read_number(v, &s->memory);
  } else if ((v = value_of(word, "file_size"))) {
    ok = read_number(v, &s->file_size);
  } else if ((v = value_of(word, "processes"))) {
    ok = read_number(v, &s->processes);
  } else if ((v = value_of(word, "require"))) {
    ok = read_require(v, &s->require);
  }
  if (!ok) err_set(e, "argument", 0, "the sandbox does not understand \"%.120s\"", word);
  return ok;
}

/* --- limits ----------------------------------------------------------------------------------- */

/* Never above what was there: only root could raise it again. */
static bool limit(int which, const char *name, uint64_t soft, uint64_t hard, struct err *e) {
  struct rlimit r;
  if (getrlimit(which, &r) == 0) {
    if (r.rlim_max == RLIM_INFINITY || hard < r.rlim_max) r.rlim_max = (rlim_t)hard;
    r.rlim_cur = soft < r.rlim_max ? (rlim_t)soft : r.rlim_max;
    if (setrlimit(which, &r) == 0) return true;
  }
  err_set(e, "denied", errno, "the limit %s could not be set to %llu: %s", name, (unsigned long long)soft,
          strerror(errno));
  return false;
}

/* Address space would say nothing of programs that reserve much (Go, Java, node); it must do where the system does not count
 * what can be written to. Without a supervisor there is only this. */
static bool limit_memory(const struct sandbox *s, bool supervised, struct err *e) {
#ifdef __linux__
  const int which = RLIMIT_DATA;
#else
  const int which = RLIMIT_AS;
#endif
  uint64_t bytes = supervised ? s->data : s->memory;
  return bytes == 0 || limit(which, "memory", bytes, bytes, e);
}

/* How many processes and threads of this user there are: what the kernel's limit counts. */
static uint64_t tasks_of_user(void) {
  uint64_t count = 0;
  uv_fs_t list;
  uv_dirent_t entry;
  int n = uv_fs_scandir(NULL, &list, "/proc", 0, NULL);
  while (n > 0 && uv_fs_scandir_next(&list, &entry) == 0) {
    char path[64];
    struct stat st;
    if (entry.name[0] < '0' || entry.name[0] > '9') continue;
    snprintf(path, sizeof path, "/proc/%.20s/task", entry.name);
    if (stat(path, &st) == 0 && st.st_uid == getuid() && st.st_nlink > 2) count += (uint64_t)st.st_nlink - 2;
  }
  uv_fs_req_cleanup(&list);
  return count;
}

static bool limits_apply(const struct sandbox *s, struct err *e) {
  /* soft below hard: SIGXCPU says what happened, SIGKILL would not */
  if (s->cpu && !limit(RLIMIT_CPU, "cpu", s->cpu, (uint64_t)s->cpu + 1, e)) return false;
  if (s->file_size && !limit(RLIMIT_FSIZE, "file_size", s->file_size, s->file_size, e)) return false;
  /* RLIMIT_NPROC counts all tasks of the user, and does not apply to root (the supervisor limits root). 0 = their number is
   * unknown, so a limit would be arbitrary. */
  uint64_t others = s->processes && getuid() != 0 ? tasks_of_user() : 0;
  if (others && !limit(RLIMIT_NPROC, "processes", others + s->processes, others + s->processes, e)) return false;
  struct err ignored; /* these two are optional */
  (void)limit(RLIMIT_NOFILE, "open files", SANDBOX_OPEN_FILES, SANDBOX_OPEN_FILES, &ignored);
  (void)limit(RLIMIT_CORE, "core", 0, 0, &ignored);
  return true;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int append(char level[SANDBOX_LEVEL_MAX], int at, const char *name, const char *joint, uint64_t value) {
  static const struct {
    uint64_t size;
    const char *unit;
  } units[] = {{1ull << 30, "G"}, {1ull << 20, "M"}, {1ull << 10, "K"}, {1, ""}};
  if (value == 0 || at >= SANDBOX_LEVEL_MAX - 1) return at;
  size_t u = 0;
  while (value % units[u].size != 0) u++;
  return at + snprintf(level + at, SANDBOX_LEVEL_MAX - (size_t)at, "%s%s=%llu%s", joint, name,
                       (unsigned long long)(value / units[u].size), units[u].unit);
}

/* The fences, the limits, and what no fence holds here. */
static void level_text(const struct sandbox *s, char level[SANDBOX_LEVEL_MAX], int landlock, bool seccomp, bool asked) {
  int n = landlock ? snprintf(level, SANDBOX_LEVEL_MAX, "landlock%d+", landlock) : 0;
  n += snprintf(level + n, SANDBOX_LEVEL_MAX - (size_t)n, "%srlimits", seccomp ? "seccomp+" : "");
  if (s->closed) return;
  int from = n;
  n = append(level, n, "memory", "(", s->memory);
  n = append(level, n, "processes", n > from ? "," : "(", s->processes);
  n = append(level, n, "file_size", n > from ? "," : "(", s->file_size);
  if (n > from && n < SANDBOX_LEVEL_MAX - 1) n += snprintf(level + n, SANDBOX_LEVEL_MAX - (size_t)n, ")");
  const char *const open[] = {landlock ? NULL : "files", seccomp ? NULL : "sockets, limits of others",
                              asked ? NULL : "modes", asked || landlock >= LANDLOCK_SCOPES ? NULL : "signals"};
  const char *joint = "; not held: ";
  for (size_t i = 0; i < COUNT_OF(open) && n < SANDBOX_LEVEL_MAX - 1; i++) {
    if (!open[i]) continue;
    n += snprintf(level + n, SANDBOX_LEVEL_MAX - (size_t)n, "%s%s", joint, open[i]);
    joint = ", ";
  }
}

void sandbox_level(const struct sandbox *s, char level[SANDBOX_LEVEL_MAX]) {
  level_text(s, level, landlock_version(), seccomp_there(), seccomp_asks());
}

static bool missing(struct err *e, const char *what, const char *mend) {
  err_set(e, "denied", 0, "the sandbox demands %s, which is missing here (%s)", what, mend);
  return false;
}

bool sandbox_apply(const struct sandbox *s, int *listener, char level[SANDBOX_LEVEL_MAX], struct err *e) {
  int landlock = landlock_version();
  bool seccomp = seccomp_there();
  if ((s->require & SANDBOX_LANDLOCK) && !landlock)
    return missing(e, "Landlock", "Linux 5.13 or newer with landlock in its list of security modules");
  if ((s->require & SANDBOX_SECCOMP) && !seccomp)
    return missing(e, "seccomp", "Linux, and libseccomp when stoke was built");
  umask(umask(0) | 022);
  if (!privileges_drop(e) || !limits_apply(s, e)) return false;
  if (landlock && !landlock_apply(s, landlock, e)) return false;
  if (seccomp && !seccomp_apply(s, landlock, listener, e)) return false;
  level_text(s, level, landlock, seccomp, listener && *listener >= 0);
  return true;
}

/* --- the helper ------------------------------------------------------------------------------- */

void sandbox_close_from(int first) {
#ifdef __linux__
  if (syscall(436 /* close_range */, (unsigned)first, ~0u, 0u) == 0) return;
#endif
  long last = sysconf(_SC_OPEN_MAX);
  if (last < 0 || last > 65536) last = 65536;
  for (int fd = first; fd < last; fd++) close(fd);
}

/* A terminal that is open for both could be read from: what only says something gets one to write to. */
static void narrow_terminals(void) {
  for (int fd = 1; fd <= 2; fd++) {
    char path[32];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || !isatty(fd)) continue;
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    int narrow = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (narrow < 0) continue;
    (void)dup2(narrow, fd);
    close(narrow);
  }
}

/* Reports to the parent; to a terminal when started by hand. */
__attribute__((format(printf, 2, 3))) static void report(int listener, const char *fmt, ...) {
  char line[ERR_MESSAGE_MAX + SANDBOX_LEVEL_MAX];
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  if (n >= (int)sizeof line) n = sizeof line - 1;
  bool told = listener >= 0 ? supervisor_tell(line, (size_t)n, listener) : write(SANDBOX_REPORT, line, (size_t)n) >= 0;
  if (!told && strncmp(line, "ok ", 3) != 0) fprintf(stderr, "stoke: %s", line);
}

static int become(const struct sandbox *s, bool supervised, char **argv) {
  struct err e;
  char level[SANDBOX_LEVEL_MAX];
  int listener = -1;
  err_clear(&e);
  if (!sandbox_apply(s, supervised ? &listener : NULL, level, &e)) {
    report(-1, "denied %s\n", e.message);
    return SANDBOX_EXIT;
  }
  report(listener, "ok %s\n", level);
  if (listener >= 0) close(listener);
  if (limit_memory(s, supervised, &e)) {
    execvp(argv[0], argv);
    err_set(&e, "os", errno, "%s", uv_strerror(uv_translate_sys_error(errno)));
  }
  report(-1, "failed %d %s\n", e.code, e.message);
  return SANDBOX_EXIT;
}

/* "ok LEVEL", and then "started" or nothing when it becomes the program, or "failed ERRNO REASON"; or "denied REASON". While
 * it runs "limit NAME", when that ended it. */
int sandbox_main(int argc, char **argv) {
  struct sandbox s = {0};
  struct err e;
  int i = 2;
  bool ok = true;
  err_clear(&e);
  (void)fcntl(SANDBOX_REPORT, F_SETFD, FD_CLOEXEC);
  sandbox_close_from(SANDBOX_REPORT + 1);
  narrow_terminals();
  while (ok && i < argc && strcmp(argv[i], "--") != 0) ok = sandbox_word(&s, argv[i++], &e);
  if (ok && i + 1 >= argc) {
    err_set(&e, "argument", 0, "the sandbox was given no program");
    ok = false;
  }
  if (!ok) {
    report(-1, "denied %s\n", e.message);
    return SANDBOX_EXIT;
  }
  return become(&s, supervisor_start(&s), argv + i + 1);
}
