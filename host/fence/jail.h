/* jail.h - files below a root folder, safe against hostile paths and concurrent changes of the folder.
 * Knows no Lua.
 *
 * A path is never checked first and opened later. Its `..` are resolved as text (valid because links
 * are refused), its parent folder is opened beneath the root in one step that follows no link (openat2,
 * or one openat per component on older kernels), and everything else uses the last name relative to that
 * descriptor, again refusing links. Opened files are examined by descriptor; only regular files are read
 * and written. Replacing a file renames a new one over it, so other hard links keep the old content.
 *
 * The root itself is trusted: its own path may contain links, and mounts below it belong to it. Processes
 * that can move folders across the root are trusted too: an operation inside a folder that is moved out
 * of the root continues outside. */
#ifndef STOKE_JAIL_H
#define STOKE_JAIL_H

#include <stdatomic.h>
#include <uv.h>

#include "base.h"
#include "loop/err.h"
#include "sys/fs.h"

enum jail_verb { JAIL_READ, JAIL_WRITE, JAIL_LIST, JAIL_STAT, JAIL_MKDIR, JAIL_REMOVE };

struct jail_entry {
  const char *name;
  uint64_t size;
  unsigned mode; /* 0: removed before it was examined */
};

/* One operation. The caller zeroes it, fills the first half and keeps the memory it points to alive until
 * the operation is over; then the second half is valid, to be freed by jail_free. */
struct jail {
  enum jail_verb verb;
  const char *root;
  const char *path; /* may hold anything, NUL too */
  size_t path_len;
  bool walk;        /* not by openat2 */
  uint64_t max;     /* read: bytes; list: entries; more are an error of kind `limit` */
  const char *data; /* write */
  size_t size;
  const char *token;     /* write: unique in this process; part of the temp file's name */
  int mode;              /* write: -1 = as it was */
  bool append, fresh;    /* write: to the end; only when nothing has the name */
  bool parents;          /* mkdir */
  bool link;             /* stat: of the link itself */
  bool recursive;        /* remove */
  atomic_bool cancelled; /* set by the loop thread; checked between steps */

  struct err err;             /* kind NULL = done */
  char *bytes;                /* read: what; list: the names; from malloc */
  size_t len;                 /* read: bytes; list: entries */
  struct jail_entry *entries; /* list: sorted by the bytes of the names; from malloc */
  uv_stat_t st;               /* stat */
  bool found;                 /* stat: false = there is nothing */
  struct tree tree;
};

/* Blocking: call it on another thread. Closes the files it opens, even when cancelled. */
void jail_run(struct jail *j);
void jail_cancel(struct jail *j);
void jail_free(struct jail *j); /* what the second half holds */

/* Can the kernel confine paths (openat2)? Tested once, on the working folder. */
bool jail_by_kernel(void);

#endif
