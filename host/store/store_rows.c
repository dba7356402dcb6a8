/* store_rows.c - see store_rows.h. */
#include "store_rows.h"

#include <string.h>

size_t store_value_size(const struct store_value *v) {
  switch (v->type) {
    case STORE_NULL: return 1;
    case STORE_INTEGER:
    case STORE_FLOAT: return 1 + 8;
    default: return 1 + 4 + v->len + 1;
  }
}

char *store_value_write(char *at, const struct store_value *v) {
  *at++ = (char)v->type;
  switch (v->type) {
    case STORE_NULL: return at;
    case STORE_INTEGER: memcpy(at, &v->integer, 8); return at + 8;
    case STORE_FLOAT: memcpy(at, &v->number, 8); return at + 8;
    default: break;
  }
  uint32_t len = (uint32_t)v->len;
  memcpy(at, &len, 4);
  if (len > 0) memcpy(at + 4, v->bytes, len);
  at[4 + len] = 0;
  return at + 4 + len + 1;
}

const char *store_value_read(const char *at, struct store_value *v) {
  v->type = (enum store_type) * at++;
  switch (v->type) {
    case STORE_NULL: return at;
    case STORE_INTEGER: memcpy(&v->integer, at, 8); return at + 8;
    case STORE_FLOAT: memcpy(&v->number, at, 8); return at + 8;
    default: break;
  }
  uint32_t len;
  memcpy(&len, at, 4);
  v->len = len;
  v->bytes = at + 4;
  return at + 4 + len + 1;
}

char *store_rows_room(struct store_rows *r, size_t size) {
  if (r->room - r->len < size) {
    size_t room = r->room ? r->room * 2 : 512;
    while (room - r->len < size) room *= 2;
    char *bytes = realloc(r->bytes, room);
    if (!bytes) return NULL;
    r->bytes = bytes;
    r->room = room;
  }
  return r->bytes + r->len;
}

void store_rows_free(struct store_rows *r) {
  free(r->names);
  free(r->bytes);
  *r = (struct store_rows){0};
}
