/* jail_impl.h - where a path of a jail leads: for jail.c alone. */
#ifndef STOKE_JAIL_IMPL_H
#define STOKE_JAIL_IMPL_H

#include "jail.h"

#define WAY_MAX 4096

struct way {
  char path[WAY_MAX]; /* relative, without `.`, `..` and doubled slashes; "" = the root */
  const char *name;   /* its last component, or "." for the root */
  size_t parent;      /* length of what stands before the last slash */
  bool folder;        /* asked for as one: "a/", "a/." */
};

/* The descriptor of the folder the path ends in, for the *at calls; the caller closes it. -1 = j->err is set. */
int way_open(struct jail *j, struct way *w);

/* The same, but the root's: the caller goes the way by itself. */
int way_root(struct jail *j, struct way *w);

/* The folder below `dir`, by one name that is no link; -1 = errno, ELOOP for a link. */
int way_step(int dir, const char *name);

/* Set j->err: `cannot VERB "PATH": REASON`, with the path made printable. */
void way_denied(struct jail *j, const char *reason);
void way_failed(struct jail *j, int error);
void way_refuse(struct jail *j, const char *kind, int code, const char *reason);
void way_link(struct jail *j, const char *path, size_t len); /* this much of the way is a link */

#endif
