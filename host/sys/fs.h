/* fs.h - what needs more care than one request of libuv's thread pool: the life of an open file,
 * and the removal of a whole tree. Knows no Lua. */
#ifndef STOKE_FS_H
#define STOKE_FS_H

#include <stdatomic.h>
#include <uv.h>

#include "base.h"

struct host;

/* An open file. Its owner may let go while a request still runs in another thread: the descriptor
 * is closed when the last request is over, so that no late write can land in a stranger's file that
 * got the same number. */
struct file {
  struct host *host;
  int fd;        /* -1 = not open */
  unsigned uses; /* the owner and each wait on it */
  char *name;    /* for messages: the path the caller asked for */
  char *temp;    /* this path is removed together with the file; NULL = nothing to remove */
  uv_fs_t req;   /* of the closing */
};

/* The caller owns the file and lets go with file_release. temp may be NULL; both are copied. NULL =
 * out of memory. */
struct file *file_new(struct host *h, const char *name, const char *temp);
void file_hold(struct file *f);
void file_release(struct file *f); /* the last one closes (in the thread pool), removes temp and frees */
void file_keep(struct file *f);    /* temp is not temporary any more */

/* Removes `path`, and when it is a folder everything below, without ever following a symbolic link,
 * even one put there meanwhile. Blocks: for another thread. Returns 0 or an errno; then `failed`
 * says where. */
#define TREE_FAILED_MAX 160
struct tree {
  const char *path;
  int dir;               /* the open folder that a relative path begins in, or AT_FDCWD */
  atomic_bool cancelled; /* may be set by the loop thread; looked at between two files */
  int error;
  char failed[TREE_FAILED_MAX];
};
void tree_remove(struct tree *t);

#endif
