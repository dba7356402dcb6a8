/* api.h - from the host to the program that holds it, for host/bind/embedder.c. What is told waits until Lua does not run. */
#ifndef STOKE_API_H
#define STOKE_API_H

#include "stoke.h"

struct host;

/* Is the host in a program of others? */
bool api_embedded(const struct host *h);

/* Path of the program stoke, as it was told; NULL: it was not. */
const char *api_program(const struct host *h);

/* The call with this number has ended: with `len` bytes of JSON, or with an error. Both are copied; false: no memory. */
bool api_answer(struct host *h, unsigned long number, const char *json, size_t len, const struct stoke_error *e);

/* Copied; false: no memory. */
bool api_event(struct host *h, const char *name, const char *json, size_t len);

#endif
