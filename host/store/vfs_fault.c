/* vfs_fault.c - a file system for tests, over the system's own. */
#include "store_impl.h"

const char *store_vfs(void) {
  return NULL;
}
