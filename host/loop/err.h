/* err.h - errors that can happen, as values. Knows no Lua; binding.h makes error objects of them. */
#ifndef STOKE_ERR_H
#define STOKE_ERR_H

#include "base.h"

#define ERR_MESSAGE_MAX 256

/* Filled by engines, which know no Lua. `kind` is a static string out of the table in lua/errors.lua; NULL = no error. */
struct err {
  const char *kind;
  int code;                      /* errno or library code, 0 = none */
  const char *phase;             /* static string, for timeouts: connect, first_byte, idle, total; else NULL */
  const char *hint;              /* static string, in place of the kind's own hint; else NULL */
  char message[ERR_MESSAGE_MAX]; /* cut when longer */
};

void err_clear(struct err *e);
void err_set(struct err *e, const char *kind, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The kind that fits a negative libuv error code: refused, dns, timeout, os ... */
void err_set_uv(struct err *e, int uv_code, const char *what);

#endif
