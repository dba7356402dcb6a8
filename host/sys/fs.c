/* fs.c - see fs.h. */
#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/host.h"

struct file *file_new(struct host *h, const char *name, const char *temp) {
  struct file *f = mem_calloc(&h->mem, sizeof *f);
  if (!f) return NULL;
  f->host = h;
  f->fd = -1;
  f->uses = 1;
  f->name = mem_strndup(&h->mem, name, strlen(name));
  f->temp = temp ? mem_strndup(&h->mem, temp, strlen(temp)) : NULL;
  if (!f->name || (temp && !f->temp)) {
    mem_free(&h->mem, f->name);
    mem_free(&h->mem, f->temp);
    mem_free(&h->mem, f);
    return NULL;
  }
  h->handles++;
  return f;
}

void file_hold(struct file *f) {
  f->uses++;
}

static void file_free(struct file *f) {
  struct mem *m = &f->host->mem;
  f->host->handles--;
  mem_free(m, f->name);
  mem_free(m, f->temp);
  mem_free(m, f);
}

void file_keep(struct file *f) {
  mem_free(&f->host->mem, f->temp);
  f->temp = NULL;
}

/* Closing is close, then unlink, one after the other in the embedded request: nothing to allocate,
 * nothing to fail. */
static void closing_step(uv_fs_t *req);

static bool closing_start(struct file *f) {
  uv_loop_t *loop = &f->host->loop;
  if (f->fd >= 0) {
    int fd = f->fd;
    f->fd = -1;
    if (uv_fs_close(loop, &f->req, fd, closing_step) == 0) return true;
    close(fd);
  }
  if (f->temp) {
    char *temp = f->temp;
    f->temp = NULL;
    int rc = uv_fs_unlink(loop, &f->req, temp, closing_step); /* copies the path */
    if (rc != 0) unlink(temp);
    mem_free(&f->host->mem, temp);
    if (rc == 0) return true;
  }
  return false;
}

static void closing_step(uv_fs_t *req) {
  struct file *f = CONTAINER_OF(req, struct file, req);
  uv_fs_req_cleanup(req);
  if (closing_start(f)) return;
  f->host->inflight--;
  file_free(f);
}

void file_release(struct file *f) {
  CHECK(f->uses > 0);
  if (--f->uses > 0) return;
  if (f->fd < 0) file_keep(f); /* it was never made */
  if (closing_start(f))
    f->host->inflight++;
  else
    file_free(f);
}

/* --- trees ------------------------------------------------------------------------------------ */

static int tree_fail(struct tree *t, const char *name, int error) {
  if (!t->failed[0]) snprintf(t->failed, sizeof t->failed, "%.*s", (int)sizeof t->failed - 1, name); /* cut */
  return error;
}

static int remove_at(struct tree *t, int dir, const char *name);

/* One pass over a folder; *removed counts. */
static int remove_entries(struct tree *t, DIR *d, size_t *removed) {
  struct dirent *entry;
  while ((entry = readdir(d)) != NULL) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    int error = remove_at(t, dirfd(d), name);
    if (error) return error;
    ++*removed;
  }
  return 0;
}

static int remove_folder(struct tree *t, int dir, const char *name) {
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return tree_fail(t, name, errno);
  DIR *d = fdopendir(fd);
  if (!d) {
    int error = errno;
    close(fd);
    return tree_fail(t, name, error);
  }
  int error;
  for (;;) {
    size_t removed = 0;
    error = remove_entries(t, d, &removed);
    if (error || unlinkat(dir, name, AT_REMOVEDIR) == 0) break;
    error = errno;
    /* Some file systems skip entries of a folder that shrinks while it is read, so look again while
     * that helps. */
    if ((error != ENOTEMPTY && error != EEXIST) || removed == 0) {
      tree_fail(t, name, error);
      break;
    }
    rewinddir(d);
  }
  closedir(d);
  return error;
}

static int remove_at(struct tree *t, int dir, const char *name) {
  if (atomic_load(&t->cancelled)) return ECANCELED;
  if (unlinkat(dir, name, 0) == 0) return 0;
  int error = errno; /* of a folder: EISDIR in Linux, EPERM elsewhere */
  struct stat st;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) return remove_folder(t, dir, name);
  return tree_fail(t, name, error);
}

void tree_remove(struct tree *t) {
  t->error = remove_at(t, t->dir, t->path);
}
