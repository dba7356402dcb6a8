/* bind_transcript.h - what came of a stream, piece by piece, as bytes: host.transcript. The token path notes its texts here
 * without a call of Lua.
 *
 * A piece is one byte that says what it is, the microseconds since the piece before, the length (both in base 128, lowest
 * first, the high bit set on all but the last byte) and its bytes. */
#ifndef STOKE_BIND_TRANSCRIPT_H
#define STOKE_BIND_TRANSCRIPT_H

#include <lua.h>

#include "base.h"

struct transcript;

/* What a piece is, as far as C makes them: the two texts of a line (json.h). lua/stream.lua has the others. */
enum { TRANSCRIPT_TEXT = 't', TRANSCRIPT_SECOND = 'k' };

/* The transcript at a stack index; raises `argument` for anything else. It belongs to Lua: keep it referenced. */
struct transcript *transcript_check(lua_State *L, int index);
/* Adds a piece, at this moment. Never raises: when out of memory it keeps nothing from then on, and its reader gets an error. */
void transcript_note(struct transcript *t, char kind, const char *bytes, size_t len);

#endif
