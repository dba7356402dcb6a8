/* bind_json.h - JSON as Lua values, for bindings in C. */
#ifndef STOKE_BIND_JSON_H
#define STOKE_BIND_JSON_H

#include <lua.h>

#include "json/json.h"
#include "loop/err.h"
#include "sys/hash.h"

struct json_options {
  bool ordered;           /* decode: objects remember the order of their keys */
  const char *ordered_in; /* decode: those in a member of this name do; NULL = no such member */
  unsigned flags;         /* decode: JSON_EXACT, JSON_ANY_BYTES; what comes as digits is a string */
  bool pretty;            /* encode: line breaks, two spaces a level */
  unsigned max_depth;     /* containers inside each other; 0 = JSON_DEPTH_MAX, which is also the most */
  size_t max_size;        /* bytes of text; 0 = JSON_SIZE_DEFAULT */
  size_t *offset;         /* decode: where to put the offending byte of a bad text, from 1; may be NULL */
};

/* Pushes the value of a JSON text; the bytes stay the caller's. False = nothing pushed and e
 * filled (kind `protocol`). opts may be NULL. Raises only when Lua is out of memory, so the bytes
 * must be owned by something that survives that. */
bool json_push(lua_State *L, const char *bytes, size_t len, const struct json_options *opts, struct err *e);

/* Pushes the value at idx as a JSON text. False = nothing pushed and e filled: kind `argument`,
 * naming the path of what cannot be encoded, or `limit`. opts may be NULL. Raises only when Lua is
 * out of memory. No metamethod runs. */
bool json_encode(lua_State *L, int idx, const struct json_options *opts, struct err *e);

/* The SHA-256 of the value's form: its text as json_encode writes it, but keys are always sorted by their bytes, whatever order a
 * table declares, and of a table inside it whose own form is longer than JSON_FORM_INLINE the form has JSON_FORM_HASH and the 32
 * bytes of the SHA-256 of that instead. So what was hashed once need not be hashed again with all that is round it, and the
 * digest depends on nothing but the content. False = e filled as by json_encode. */
#define JSON_FORM_INLINE 128
#define JSON_FORM_HASH   '\x01' /* no text begins so */
bool json_digest(lua_State *L, int idx, unsigned char digest[HASH_SIZE], struct err *e);

/* What a table is marked as. */
enum json_mark {
  JSON_UNMARKED,
  JSON_MARK_ARRAY,
  JSON_MARK_OBJECT,
  JSON_MARK_ORDERED,
  JSON_MARK_FIXED,
  JSON_MARK_GROWING
};

struct json_state;

/* A value encoded once: a full userdata. Its user value 1 is what stands for it in a form, a string, once that was asked for and
 * is not the text itself. */
struct json_piece {
  size_t len;
  unsigned depth;       /* containers inside each other */
  bool formal, ordered; /* the text is the form as well; an object in it is written in an order of its own */
  char text[];
};

/* The piece at idx; NULL = another value. */
struct json_piece *json_piece_at(lua_State *L, int idx, const struct json_state *s);

/* Pushes a piece without its metatable, which json_encode_piece gives it. */
struct json_piece *json_push_piece(lua_State *L, const char *text, size_t len);

/* Pushes the value at idx as a piece. False = nothing pushed and e filled as by json_encode. */
bool json_encode_piece(lua_State *L, int idx, struct err *e);

void json_push_piece_metatable(lua_State *L);
void json_piece_functions(lua_State *L); /* into the table on top */

/* One per Lua state, in its registry: the two metatables that mark tables, that of pieces, and the buffers
 * encoding reuses. The metatable of an object with an order is its own: { the address of
 * json_order_mark, key, key, ... }; so is that of a value that does not change: { the address of
 * json_fixed_mark, its text, what stands for it in a form once that was asked for }; so is that of a
 * list that grows: { the address of json_growing_mark, its text, its form }, each a struct json_kept
 * once that was asked for. */
struct json_state {
  struct json_out out;
  struct json_entry *entries; /* keys being sorted; a stack over the nested tables */
  size_t entry_count, entry_size;
  const void *array_mt, *object_mt, *piece_mt;
  bool busy; /* a finalizer that encodes, while we do, gets a state of its own */
};

extern const char json_order_mark, json_fixed_mark, json_growing_mark;

/* Pushes the userdata of the state's json_state, made on first use, and returns it. Its user
 * values 1 to 3 are the metatables of arrays, of objects without an order, and of pieces. */
struct json_state *json_push_state(lua_State *L, bool idle);

/* The mark of the table at idx; for JSON_MARK_ORDERED, JSON_MARK_FIXED and JSON_MARK_GROWING its metatable is pushed, else
 * nothing. */
enum json_mark json_mark_of(lua_State *L, int idx, const struct json_state *s);

#endif
