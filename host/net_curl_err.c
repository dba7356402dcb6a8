/* net_curl_err.c - what went wrong, in the words of this program: kind, place, short cause. */
#include <errno.h>
#include <string.h>

#include "net_curl.h"

#define WHERE_MAX 256

static const char *text_of(const struct transfer *t, CURLcode result) {
  return t->error[0] ? t->error : curl_easy_strerror(result);
}

static void connect_error(const struct transfer *t, const char *where, struct err *e) {
  long number = 0;
  curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
  const char *kind = "unreachable";
  switch (number) {
    case ECONNREFUSED: kind = "refused"; break;
    case ETIMEDOUT: kind = "timeout"; break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EACCES:
    case EADDRNOTAVAIL: kind = "os"; break;
    default: break;
  }
  if (number)
    err_set(e, kind, (int)number, "cannot connect to %s: %s", where, strerror((int)number));
  else
    err_set(e, kind, 0, "cannot connect to %s: %s", where, text_of(t, CURLE_COULDNT_CONNECT));
  if (number == ETIMEDOUT) e->phase = "connect";
  if (number == ECONNREFUSED) err_set(e, kind, (int)number, "cannot connect to %s: connection refused", where);
}

/* The connection broke. */
static void broken(const struct transfer *t, CURLcode result, const char *where, struct err *e) {
  const char *text = text_of(t, result);
  if (strstr(text, "after CONNECT") || strstr(text, "CONNECT tunnel"))
    err_set(e, "unreachable", (int)result, "the proxy refused a connection to %s: %s", where, text);
  else if (strstr(text, "chunk"))
    err_set(e, "protocol", (int)result, "%s broke off in bad chunks: %s", where, text);
  else if (t->head_done)
    err_set(e, "incomplete", (int)result, "%s broke off in the middle of its answer: %s", where, text);
  else if (t->status || t->head_len)
    err_set(e, "incomplete", (int)result, "%s broke off in the head of its answer: %s", where, text);
  else
    err_set(e, "incomplete", (int)result, "%s closed the connection without an answer: %s", where, text);
}

static bool is_tls(CURLcode result) {
  switch (result) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT: return true;
    default: return false;
  }
}

void transfer_error(const struct transfer *t, CURLcode result, struct err *e) {
  char where[WHERE_MAX];
  const char *text = text_of(t, result);
  if (t->guard && curl_guard_error(t, result, e)) return;
  net_where(t->url, where, sizeof where);
  if (t->oom) {
    err_set(e, "os", ENOMEM, "not enough memory for the answer of %s", where);
    return;
  }
  if (t->long_head) {
    err_set(e, "protocol", 0, "%s sent a head without end", where);
    return;
  }
  if (is_tls(result)) {
    err_set(e, "tls", (int)result, "no trusted TLS connection to %s: %s", where, text);
    return;
  }
  switch (result) {
    case CURLE_COULDNT_CONNECT: connect_error(t, where, e); break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      err_set(e, "dns", (int)result, "cannot connect to %s: no address found for that name", where);
      break;
    case CURLE_OPERATION_TIMEDOUT:
      err_set(e, "timeout", (int)result, "%s: %s", where, text);
      e->phase = "connect";
      break;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: broken(t, result, where, e); break;
    case CURLE_TOO_MANY_REDIRECTS:
      err_set(e, "protocol", (int)result, "%s: more than %d redirects", where, t->max_redirects);
      break;
    case CURLE_URL_MALFORMAT:
      err_set(e, t->status ? "protocol" : "argument", (int)result, "bad URL: %s (%.120s)", text, t->url);
      break;
    case CURLE_OUT_OF_MEMORY: err_set(e, "os", ENOMEM, "not enough memory for a request to %s", where); break;
    case CURLE_UNSUPPORTED_PROTOCOL:
      if (t->status >= 300 && t->status < 400) {
        err_set(e, "protocol", (int)result, "%s redirects to what is not HTTP: %s", where, text);
        break;
      }
      err_set(e, "protocol", (int)result, "%s does not answer in HTTP: %s", where, text);
      break;
    default: err_set(e, "protocol", (int)result, "%s does not answer in good HTTP: %s", where, text); break;
  }
}
