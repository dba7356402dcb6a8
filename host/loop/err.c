/* err.c - errors that can happen, as values. */
#include "err.h"

#include <stdarg.h>
#include <string.h>
#include <uv.h>

void err_clear(struct err *e) {
  e->kind = NULL;
  e->code = 0;
  e->phase = NULL;
  e->hint = NULL;
  e->message[0] = 0;
}

void err_set(struct err *e, const char *kind, int code, const char *fmt, ...) {
  va_list args;
  e->kind = kind;
  e->code = code;
  e->phase = NULL;
  e->hint = NULL;
  va_start(args, fmt);
  vsnprintf(e->message, sizeof e->message, fmt, args);
  va_end(args);
}

static const char *kind_of_uv(int code) {
  switch (code) {
    case UV_ECONNREFUSED: return "refused";
    case UV_EAI_NONAME:
    case UV_EAI_AGAIN:
    case UV_EAI_FAIL:
    case UV_EAI_NODATA: return "dns";
    case UV_ETIMEDOUT: return "timeout";
    case UV_EHOSTUNREACH:
    case UV_ENETUNREACH: return "unreachable";
    case UV_ECANCELED: return "cancelled";
    default: return "os";
  }
}

void err_set_uv(struct err *e, int uv_code, const char *what) {
  err_set(e, kind_of_uv(uv_code), -uv_code, "%s: %s", what, uv_strerror(uv_code));
}
