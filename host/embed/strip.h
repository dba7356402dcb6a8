/* strip.h - for generate.c: removes names from bytecode of Lua 5.4. */
#ifndef STOKE_STRIP_H
#define STOKE_STRIP_H

#include <stdbool.h>
#include <stddef.h>

/* Takes the names of local variables and of upvalues out of what lua_dump wrote: two fifths of the time that loading it takes is for
 * them. What reads names in our own files stays: those of parameters (lua/names.lua) and _ENV; lines stay, too. False when the bytes are
 * not what is known here: then they are as they were. */
bool strip_names(char *code, size_t *len);

#endif
