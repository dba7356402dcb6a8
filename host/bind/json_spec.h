/* json_spec.h - a spec: what a table of a script may hold, read once, so that one pass in C checks such tables, or checks and
 * writes them. It knows the plain case alone. Of everything else it says no, without saying why: the slower checks in Lua look
 * again, and find the words. */
#ifndef STOKE_BIND_JSON_SPEC_H
#define STOKE_BIND_JSON_SPEC_H

#include <lua.h>

#include "json/json.h"

#define SPEC_FIELDS_MAX 64
#define SPEC_INDEX      128 /* a power of two, twice the fields */

enum {
  SPEC_STRING = 1,
  SPEC_INTEGER = 2, /* a Lua integer, not a float */
  SPEC_NUMBER = 4,  /* and finite */
  SPEC_BOOLEAN = 8,
  SPEC_NULL = 16,
  SPEC_RECORD = 32,
  SPEC_LIST = 64,
  SPEC_TABLE = 128, /* any table that JSON has */
  SPEC_ANY = 256,
};

struct spec_word {
  const char *text;
  size_t len;
};

/* Strings and words belong to the values that the spec's user value 1 holds. */
struct spec_field {
  const char *key;
  size_t len;
  const char *head, *literal; /* ,"key":  and  ,"key":text  NULL = no text stands for it when it is absent */
  size_t head_len, literal_len;
  const struct spec_word *words; /* strings are one of these; NULL = any */
  size_t word_count;
  const struct spec *of;            /* a record's fields; the one nameless field that a list's items are; NULL = any */
  double least, most, above, below; /* of numbers, where `limited` */
  size_t min, max;                  /* characters of strings, items of lists */
  unsigned kinds;
  enum json_format format;         /* of strings */
  bool required, constant, unsent; /* constant: always the literal, never given; unsent: checked, and not written */
  bool limited, pieces;            /* pieces: one may stand here, unread */
};

struct spec {
  uint64_t required; /* a bit a field */
  unsigned count;
  bool open;                  /* other keys may be there, where nothing is written */
  uint8_t index[SPEC_INDEX];  /* by the address of the key, see spec_find: 1 + the field, 0 = none */
  struct spec_field fields[]; /* in the order in which they are written */
};

/* The field of a key, a string of the Lua state; NULL = none. Lua has a short string once, so equal keys mostly have one address;
 * where they do not, their bytes are compared. */
const struct spec_field *spec_find(const struct spec *spec, const char *key, size_t len);

/* Is the table at idx what the spec says? How many tables were looked at, 0 = it is not. Leaves the stack as it was. */
unsigned json_fits_spec(lua_State *L, int idx, const struct spec *spec);

void json_spec_functions(lua_State *L); /* into the table on top */

#endif
