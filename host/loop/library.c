/* library.c - see library.h. */
#include "library.h"

#ifndef STOKE_LINKED
#include <dlfcn.h>
#include <string.h>

static void cannot(const struct library *l, struct err *e) {
  const char *why = dlerror();
  err_set(e, "os", 0, "%s: %.180s", l->use, why ? why : l->file);
  e->hint = l->hint;
}

bool library_open(struct library *l, struct err *e) {
  if (l->open) return true;
  void *handle = dlopen(l->file, RTLD_LAZY | RTLD_LOCAL);
  if (!handle) {
    cannot(l, e);
    return false;
  }
  for (size_t i = 0; i < l->count; i++) {
    void *function = dlsym(handle, l->symbols[i]);
    if (!function) {
      cannot(l, e);
      (void)dlclose(handle);
      return false;
    }
    memcpy((char *)l->table + i * sizeof function, &function, sizeof function);
  }
  return l->open = true;
}
#else
bool library_open(struct library *l, struct err *e) {
  (void)l, (void)e;
  return true;
}
#endif
