/* json_encoder.h - what the writers of JSON share: json_encode.c, which writes any value, and json_check.c, which writes what a spec
 * allows. */
#ifndef STOKE_BIND_JSON_ENCODER_H
#define STOKE_BIND_JSON_ENCODER_H

#include "bind_json.h"

struct spec; /* json_spec.h */

struct encoder {
  lua_State *L;
  struct json_state *s;
  struct json_out *out; /* that of s */
  struct err *e;
  const struct spec *spec; /* what the value must be; NULL = any value */
  unsigned depth, max_depth;
  unsigned deepest; /* of a piece; see struct json_piece for the other two */
  bool informal, ordered;
  bool pretty, canonical; /* canonical: the form is written, see json_digest */
};

/* Writes the value at idx, at the depth where the encoder is. False = e is filled. The stack is left as it was. */
bool json_put_value(struct encoder *w, int idx);

/* Pushes the value at idx as a JSON text, when it is what the spec says. False = nothing pushed, and e may be filled or not: why not
 * is not asked here. */
bool json_encode_spec(lua_State *L, int idx, const struct spec *spec);

/* json_check.c: writes the table at idx into the encoder's buffer, as its spec says. False = it is something else; the stack is left
 * anyhow. */
bool json_put_spec(struct encoder *w, int idx);

/* What was written of the items of a list that grows, the commas between them too: a full userdata, in the list's metatable. */
struct json_kept {
  const struct json_kept *self; /* tells it from what else a script could put into a metatable */
  size_t len, size;
  lua_Integer count;      /* items */
  unsigned depth;         /* containers inside each other, in the items */
  bool informal, ordered; /* as of the encoder */
  char text[];
};

/* What the table at idx keeps in a slot; NULL = nothing. Pushes one value. */
const struct json_kept *json_kept_at(lua_State *L, int idx, int slot);

/* The same table keeps `text` now, `now` says how much. Its first `from` bytes are what is kept already: the new ones go to its
 * end, where there is room, and else everything into a larger one. */
void json_keep(lua_State *L, int idx, int slot, const struct json_kept *now, const char *text, size_t from);

#endif
