/* vfs_fault.h - a file system over the system's own that fails as asked: for tests. It is used by databases that are opened while
 * something is asked of it; all others know nothing of it. Any thread. */
#ifndef STOKE_VFS_FAULT_H
#define STOKE_VFS_FAULT_H

#include "base.h"

/* Counted from when it is set; 0 = never. */
struct store_faults {
  uint64_t full_at;  /* this write and `times` - 1 after it find the disk full */
  uint64_t error_at; /* this write and `times` - 1 after it fail */
  uint64_t times;    /* 0 = for ever */
  uint64_t read_at;  /* this read fails, and all after it */
  uint64_t
      cut_at; /* the power goes at this sync: what was written since the last one is lost, and everything fails from there on */
  uint64_t cut_write_at; /* the same, at a write */
  uint64_t sync_at;      /* this sync and `times` - 1 after it fail */
  bool gone;             /* what such a sync should have written is lost in a cut, whatever is synced later */
  uint64_t open_at;      /* the same, when a file is opened */
  uint64_t seed;         /* of a cut: not 0 = some of what was written stays, whole or torn */
  unsigned slow_ms;      /* how long a sync takes at least */
  bool folder;           /* the folder of a backup cannot be synced */
  bool unnoted;          /* there is no memory to note which chain of appends is broken */
  /* Broken promises, which a campaign has to find: */
  bool lie;         /* a sync says that it was done, and was not */
  bool early;       /* a commit is acknowledged whatever comes of it */
  uint64_t drop_at; /* the statements of this append are not done, and acknowledged */
};

struct store_counts {
  uint64_t writes, bytes, reads, syncs, opens, appends;
  bool cut;
};

const char *store_vfs(void); /* its name, to open files with; NULL = the system's own */

void store_fault_set(
    const struct store_faults *f); /* NULL: nothing any more, and databases opened from here on are without it */
void store_fault_counts(struct store_counts *c);
/* "full=3,times=2,slow=10"; the keys are those of host.store.fault. False: not understood. */
bool store_fault_parse(const char *text, struct store_faults *f);
bool store_fault_key(const char *key, uint64_t value, struct store_faults *f); /* false: no such key */
bool store_fault_early(void); /* a commit that failed is to be acknowledged */
bool store_fault_drop(void);  /* this append is to be dropped */
bool store_fault_unnoted(void);
bool store_fault_folder(void);
void store_fault_init(void); /* reads STOKE_STORE_FAULT, once */

#endif
