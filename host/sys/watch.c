/* watch.c - see watch.h. */
#include "watch.h"

#include <string.h>
#include <uv.h>

#include "loop/host.h"

struct name {
  struct name *next;
  char text[];
};

struct folder {
  struct folder *next;
  struct watch *watch;
  uv_fs_event_t event;
  int number;
  bool all; /* every name in it matters */
  struct name *names;
  char path[];
};

struct change {
  struct change *next;
  int folder;
  char name[];
};

struct watch {
  struct host *host;
  struct folder *folders; /* newest first */
  int last_number;
  unsigned owners, open; /* open: folders whose handle libuv still holds */
  bool closed, lost;
  struct change *head, **tail;
  size_t queued;
  struct change *taken; /* its name is with the caller */
  struct watch_wait *waiter;
};

struct watch *watch_new(struct host *h) {
  struct watch *w = mem_calloc(&h->mem, sizeof *w);
  if (!w) return NULL;
  w->host = h;
  w->owners = 1;
  w->tail = &w->head;
  h->handles++;
  return w;
}

void watch_hold(struct watch *w) {
  w->owners++;
}

bool watch_closed(const struct watch *w) {
  return w->closed;
}

/* --- the queue ------------------------------------------------------------------------------------------------------ */

static void tell(struct watch *w) {
  struct watch_wait *waiter = w->waiter;
  w->waiter = NULL;
  if (waiter) waiter->ready(waiter);
}

static bool is_queued(const struct watch *w, int folder, const char *name) {
  for (const struct change *c = w->head; c; c = c->next)
    if (c->folder == folder && strcmp(c->name, name) == 0) return true;
  return false;
}

static void queue(struct watch *w, int folder, const char *name) {
  if (w->lost || is_queued(w, folder, name)) return;
  size_t len = strlen(name);
  struct change *c = w->queued < WATCH_QUEUE ? mem_alloc(&w->host->mem, sizeof *c + len + 1) : NULL;
  if (c) {
    c->next = NULL;
    c->folder = folder;
    memcpy(c->name, name, len + 1);
    *w->tail = c;
    w->tail = &c->next;
    w->queued++;
  } else {
    w->lost = true;
  }
  tell(w);
}

static void drop_changes(struct watch *w) {
  while (w->head) {
    struct change *c = w->head;
    w->head = c->next;
    mem_free(&w->host->mem, c);
  }
  w->tail = &w->head;
  w->queued = 0;
}

bool watch_take(struct watch *w, struct watch_change *change) {
  mem_free(&w->host->mem, w->taken);
  w->taken = NULL;
  if (w->lost) { /* the rest is part of everything */
    w->lost = false;
    drop_changes(w);
    *change = (struct watch_change){0, ""};
    return true;
  }
  struct change *c = w->head;
  if (!c) return false;
  w->head = c->next;
  if (!w->head) w->tail = &w->head;
  w->queued--;
  w->taken = c;
  *change = (struct watch_change){c->folder, c->name};
  return true;
}

bool watch_pending(const struct watch *w) {
  return w->head || w->lost;
}

bool watch_await(struct watch *w, struct watch_wait *wait) {
  if (w->waiter) return false;
  w->waiter = wait;
  return true;
}

void watch_forget(struct watch *w, struct watch_wait *wait) {
  if (w->waiter == wait) w->waiter = NULL;
}

/* --- folders -------------------------------------------------------------------------------------------------------- */

/* libuv reports the folder itself under the last component of its path. */
static bool is_itself(const struct folder *f, const char *name) {
  const char *slash = strrchr(f->path, '/');
  return strcmp(slash ? slash + 1 : f->path, name) == 0;
}

static bool matters(const struct folder *f, const char *name) {
  if (f->all) return true;
  for (const struct name *n = f->names; n; n = n->next)
    if (strcmp(n->text, name) == 0) return true;
  return false;
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status) {
  struct folder *f = CONTAINER_OF(event, struct folder, event);
  (void)events;
  if (f->watch->closed) return;
  if (status < 0 || !name || is_itself(f, name)) name = "";
  if (!name[0] || matters(f, name)) queue(f->watch, f->number, name);
}

static int start(struct folder *f) {
  return uv_fs_event_start(&f->event, on_event, f->path, 0);
}

static bool add_name(struct folder *f, const char *name) {
  if (!name) f->all = true;
  if (!name || matters(f, name)) return true;
  struct mem *m = &f->watch->host->mem;
  size_t len = strlen(name);
  struct name *n = mem_alloc(m, sizeof *n + len + 1);
  if (!n) return false;
  memcpy(n->text, name, len + 1);
  n->next = f->names;
  f->names = n;
  return true;
}

static struct folder *find(const struct watch *w, const char *path, int number) {
  for (struct folder *f = w->folders; f; f = f->next)
    if (path ? strcmp(f->path, path) == 0 : f->number == number) return f;
  return NULL;
}

static struct folder *folder_new(struct watch *w, const char *path) {
  struct host *h = w->host;
  size_t len = strlen(path);
  struct folder *f = mem_calloc(&h->mem, sizeof *f + len + 1);
  if (!f) return NULL;
  memcpy(f->path, path, len + 1);
  f->watch = w;
  f->number = ++w->last_number;
  (void)uv_fs_event_init(&h->loop, &f->event); /* cannot fail */
  w->open++;
  f->next = w->folders;
  w->folders = f;
  return f;
}

int watch_add(struct watch *w, const char *path, const char *name, int *status) {
  struct folder *f = find(w, path, 0);
  if (!f) f = folder_new(w, path);
  if (!f || !add_name(f, name)) return 0;
  *status = uv_is_active((uv_handle_t *)&f->event) ? 0 : start(f);
  return f->number;
}

int watch_again(struct watch *w, int number) {
  struct folder *f = find(w, NULL, number);
  if (!f) return UV_EINVAL;
  (void)uv_fs_event_stop(&f->event);
  return start(f);
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

static void free_when_over(struct watch *w) {
  struct host *h = w->host;
  if (w->owners > 0 || w->open > 0) return;
  drop_changes(w);
  mem_free(&h->mem, w->taken);
  mem_free(&h->mem, w);
  h->handles--;
}

static void on_closed(uv_handle_t *handle) {
  struct folder *f = CONTAINER_OF(handle, struct folder, event);
  struct watch *w = f->watch;
  struct mem *m = &w->host->mem;
  while (f->names) {
    struct name *n = f->names;
    f->names = n->next;
    mem_free(m, n);
  }
  mem_free(m, f);
  w->host->inflight--;
  w->open--;
  free_when_over(w);
}

void watch_close(struct watch *w) {
  if (w->closed) return;
  w->closed = true;
  while (w->folders) {
    struct folder *f = w->folders;
    w->folders = f->next;
    w->host->inflight++;
    uv_close((uv_handle_t *)&f->event, on_closed);
  }
  tell(w);
}

void watch_release(struct watch *w) {
  CHECK(w->owners > 0);
  if (--w->owners > 0) return;
  watch_close(w);
  free_when_over(w);
}
