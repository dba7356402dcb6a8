/* jail.h - files below a root folder, whatever a hostile path says and whoever changes the folder
 * meanwhile. Knows no Lua.
 *
 * A path is never checked first and opened later. Its `..` are resolved as text (links are refused,
 * so that this is what they mean), the folder it ends in is opened beneath the root in one step that
 * follows no link (openat2, or one openat per component where there is none), and everything else
 * happens by the last name in that descriptor, links refused again. What was opened is looked at by
 * its descriptor; only regular files are read and written. A replaced file is a new one that takes
 * the name, so that another name (hard link) of the old one keeps the old content.
 *
 * The root itself is trusted: its own path may hold links, and mounts below it belong to it. So is
 * whoever may move folders across it: a folder carried out of the root while something in it is
 * worked on goes out with the work. */
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
  unsigned mode; /* 0: gone again before it was looked at */
};

/* One piece of work. The caller zeroes it, fills the first half and keeps what it points to until
 * the work is over; then the second half is valid, and jail_free gives it back. */
struct jail {
  enum jail_verb verb;
  const char *root;
  const char *path; /* may hold anything, NUL too */
  size_t path_len;
  bool walk;        /* not by openat2 */
  uint64_t max;     /* read: bytes; list: entries; more are an error of kind `limit` */
  const char *data; /* write */
  size_t size;
  const char *token;     /* write: nobody else in this process has it; part of the temp file's name */
  int mode;              /* write: -1 = as it was */
  bool append, fresh;    /* write: to the end; only when nothing has the name */
  bool parents;          /* mkdir */
  bool link;             /* stat: of the link itself */
  bool recursive;        /* remove */
  atomic_bool cancelled; /* set by the loop thread; looked at between two pieces */

  struct err err;             /* kind NULL = done */
  char *bytes;                /* read: what; list: the names; from malloc */
  size_t len;                 /* read: bytes; list: entries */
  struct jail_entry *entries; /* list: sorted by the bytes of the names; from malloc */
  uv_stat_t st;               /* stat */
  bool found;                 /* stat: false = there is nothing */
  struct tree tree;
};

/* Blocks: for another thread. Closes what it opens, also when cancelled. */
void jail_run(struct jail *j);
void jail_cancel(struct jail *j);
void jail_free(struct jail *j); /* what the second half holds */

/* Does the kernel confine paths by itself? Asked once, of the working folder. */
bool jail_by_kernel(void);

#endif
