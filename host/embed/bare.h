/* bare.h - for generate.c: takes the comments out of a Lua text. */
#ifndef STOKE_BARE_H
#define STOKE_BARE_H

#include <stddef.h>

/* Removes comments, indentation and blanks at ends of lines, in place; every line keeps its number, strings stay as they are. The text
 * is one that compiles. Returns its new length. */
size_t bare_text(char *text, size_t len);

#endif
