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

#endif
