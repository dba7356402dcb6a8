/* watch.h - names that change in folders. Knows no Lua.
 *
 * Folders are watched, not files: an editor that writes a new file and renames it over the old one leaves a watched file
 * behind that never changes. A change is queued once until it is taken; on overflow all changes become one that says "check
 * everything". */
#ifndef STOKE_WATCH_H
#define STOKE_WATCH_H

#include "base.h"

struct host;
struct watch;

#define WATCH_QUEUE 256 /* changes kept until they are taken */

/* A waiter; called once, by the loop or by watch_close. The caller owns it. */
struct watch_wait {
  void (*ready)(struct watch_wait *w);
};

/* NULL = out of memory. The caller owns it and gives it back with watch_release; watch_hold adds an owner. */
struct watch *watch_new(struct host *h);
void watch_hold(struct watch *w);
void watch_release(struct watch *w); /* the last one closes; freed once the loop has let go */
void watch_close(struct watch *w);   /* idempotent; calls the waiter */
bool watch_closed(const struct watch *w);

/* Watches a folder for one name in it, or for all when `name` is NULL. Returns the folder's number (the same folder has the
 * same number), 0 when out of memory; *status is 0, or a libuv code if the system cannot watch the folder. */
int watch_add(struct watch *w, const char *folder, const char *name, int *status);
/* Watches what is at the folder's path now; 0 or a libuv code. */
int watch_again(struct watch *w, int folder);

struct watch_change {
  int folder;       /* 0: changes were lost */
  const char *name; /* "": the folder itself, or the system did not say; valid until the next call here */
};
bool watch_take(struct watch *w, struct watch_change *change); /* false = nothing has changed */
bool watch_pending(const struct watch *w);                     /* watch_take would return one */
bool watch_await(struct watch *w, struct watch_wait *wait);    /* false = there is a waiter already */
void watch_forget(struct watch *w, struct watch_wait *wait);

#endif
