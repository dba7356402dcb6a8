/* bind_plain.h - plain data as text: what plain.c (reading, and the module) and plain_write.c (writing) share.
 *
 * The text is JSON, and reads back as exactly the same Lua values. What JSON does not say:
 *
 *   [1,2]  {"a":1}          lists and tables with names, as a script makes them; {} is the empty one
 *   [ 1,2]  { "a":1}        one blank: marked by json.array, by json.object
 *   {  "b":1,"a":2}         two blanks: marked by json.object with this order of keys
 *   {"$bytes":"..."}        a string that is not UTF-8, in base64
 *   {"$number":"inf"}       inf, -inf, nan, -nan
 *   {"$error":{...}}        an error object
 *   {"$pairs":[[k,v],...],"$mark":...}   any other table; the mark is "array", "object", or the list of an order
 *   {"$text":"HASH"}        a long string that is kept elsewhere, and
 *   {"$value":"HASH"}       a value whose text is
 *
 * The order of names is that of their bytes, so that equal values have equal texts. A table with one of these names as a key of its
 * own is written as pairs. */
#ifndef STOKE_BIND_PLAIN_H
#define STOKE_BIND_PLAIN_H

#include <lua.h>

#include "bind_json.h"

#define PLAIN_DEPTH_MAX 200 /* tables in tables: a cycle ends here */
#define PLAIN_LONG      200 /* bytes of a string from which on it is kept elsewhere */
#define PLAIN_HASH_SIZE 20  /* characters of a hash */

/* The text's own names: those of the tags, and "$mark". */
enum plain_tag {
  PLAIN_NO_TAG,
  PLAIN_BYTES,
  PLAIN_NUMBER,
  PLAIN_ERROR,
  PLAIN_PAIRS,
  PLAIN_TEXT,
  PLAIN_VALUE,
  PLAIN_MARK
};
enum plain_tag plain_tag(const char *s, size_t len);

/* The first 120 bits of the SHA-256, in base64 with - and _. hash_open was called before. False = out of memory. */
bool plain_hash(const char *bytes, size_t len, char out[PLAIN_HASH_SIZE + 1]);

/* Buffers, kept between texts; in a userdata whose __gc is plain_buffers_close. */
struct plain_buffers {
  struct json_out out;
  struct json_entry *entries; /* keys being sorted; a stack over the nested tables */
  size_t entry_count, entry_size;
  const void *hollow; /* a table that is written as if it were empty; NULL = none */
  unsigned hollowed;  /* how often that came up */
  bool busy;
};
void plain_buffers_open(struct plain_buffers *b, struct mem *m);
void plain_buffers_close(struct plain_buffers *b);

enum plain_result { PLAIN_DONE, PLAIN_ODD, PLAIN_FAILED };

/* Writes the value at idx into b->out. PLAIN_ODD = it is not plain data. PLAIN_FAILED = e is filled (`limit`, `os`). sink: stack
 * index of the table that takes long strings by their hash; 0 = they stand in the text. Raises only when Lua is out of memory. */
enum plain_result plain_write(lua_State *L, int idx, int sink, bool loose, size_t max, struct plain_buffers *b,
                              struct err *e);

#endif
