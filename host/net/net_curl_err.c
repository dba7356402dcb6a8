/* net_curl_err.c - what went wrong, in the words of this program: kind, place, short cause. */
#include <errno.h>
#include <string.h>

#include "net_curl.h"

#define WHERE_MAX 256

static const char *text_of(const struct transfer *t, CURLcode result) {
  return t->error[0] ? t->error : curl.easy_strerror(result);
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

/* What an error is about: the server, as the request names it, and the proxy in between, if there is one. */
struct about {
  const struct transfer *t;
  char server[2 * WHERE_MAX + 32], proxy[WHERE_MAX];
  const char *hint; /* of the proxy; NULL = no proxy */
};

/* The one that was being connected to, in words. */
static void connect_error(const struct about *a, struct err *e) {
  long number = 0;
  char whom[2 * WHERE_MAX + 64];
  curl.easy_getinfo(a->t->easy, CURLINFO_OS_ERRNO, &number);
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
  if (a->hint)
    snprintf(whom, sizeof whom, "the proxy %.100s for %.100s", a->proxy, a->server);
  else
    snprintf(whom, sizeof whom, "%s", a->server);
  const char *why = number == ECONNREFUSED ? "connection refused"
                    : number               ? strerror((int)number)
                                           : text_of(a->t, CURLE_COULDNT_CONNECT);
  err_set(e, kind, (int)number, "cannot connect to %s: %s", whom, why);
  e->hint = a->hint;
  if (number == ETIMEDOUT) e->phase = "connect";
}

/* The proxy was there and did not connect us. False: it is another error. */
static bool tunnel_error(const struct about *a, CURLcode result, struct err *e) {
  long status = 0;
  if (!a->hint || a->t->sent) return false;
  curl.easy_getinfo(a->t->easy, CURLINFO_HTTP_CONNECTCODE, &status);
  if (a->t->long_tunnel)
    err_set(e, "protocol", (int)result, "the proxy %.100s, asked for a connection to %.80s, sent an answer without end",
            a->proxy, a->server);
  else if (status == 407)
    err_set(e, "auth", (int)result, "the proxy %.100s asks for a user and a password (status 407)", a->proxy);
  else if (status >= 502 && status <= 504)
    err_set(e, "unreachable", (int)result, "the proxy %.100s cannot reach %.100s (status %ld)", a->proxy, a->server,
            status);
  else if (status && status / 100 != 2)
    err_set(e, "unreachable", (int)result, "the proxy %.100s refused a connection to %.100s (status %ld)", a->proxy,
            a->server, status);
  else if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
           result == CURLE_COULDNT_RESOLVE_PROXY || result == CURLE_URL_MALFORMAT || result == CURLE_OPERATION_TIMEDOUT)
    return false;
  else
    err_set(e, is_tls(result) ? "tls" : "unreachable", (int)result,
            "no connection to %.80s through the proxy %.80s: %.80s", a->server, a->proxy, text_of(a->t, result));
  e->hint = a->hint;
  if (status == 407) e->hint = "give them in the proxy's address: http://user:password@host:port";
  if (status >= 502 && status <= 504)
    e->hint = "the proxy itself answers; is the server's address right, and the server up?";
  return true;
}

/* The connection broke. */
static void broken(const struct about *a, CURLcode result, struct err *e) {
  const struct transfer *t = a->t;
  const char *text = text_of(t, result), *where = a->server;
  if (strstr(text, "Too large response headers"))
    err_set(e, "protocol", (int)result, "%s sent a head without end", where);
  else if (strstr(text, "chunk"))
    err_set(e, "protocol", (int)result, "%s broke off in bad chunks: %s", where, text);
  else if (t->head_done)
    err_set(e, "incomplete", (int)result, "%s broke off in the middle of its answer: %s", where, text);
  else if (t->status || t->head_len)
    err_set(e, "incomplete", (int)result, "%s broke off in the head of its answer: %s", where, text);
  else
    err_set(e, "incomplete", (int)result, "%s closed the connection without an answer: %s", where, text);
}

/* A line of a head that is too long: curl calls it a lack of memory, or (from 8.6) too large. */
static bool is_too_large(CURLcode result) {
  return result == CURLE_OUT_OF_MEMORY || (int)result == 100;
}

/* The other side had our request and did something wrong with it. False: it is another error. */
static bool endless(const struct about *a, CURLcode result, struct err *e) {
  const struct transfer *t = a->t;
  if (t->long_head)
    err_set(e, "protocol", 0, "%s sent %s without end", a->server, t->head_done ? "trailers" : "a head");
  else if (t->long_body)
    err_set(e, "protocol", 0, "%s sent a body without end beside its redirect (status %d)", a->server, t->status);
  else if (t->barren)
    err_set(e, "protocol", 0, "%s sent megabytes without a byte of content", a->server);
  else if (t->sent && !t->head_done && is_too_large(result))
    err_set(e, "protocol", (int)result, "%s sent a header that is longer than can be read", a->server);
  else
    return false;
  return true;
}

static void other_error(const struct about *a, CURLcode result, struct err *e) {
  const struct transfer *t = a->t;
  const char *where = a->server, *text = text_of(t, result);
  bool redirected = t->status >= 300 && t->status < 400;
  switch (result) {
    case CURLE_COULDNT_CONNECT: connect_error(a, e); break;
    case CURLE_COULDNT_RESOLVE_PROXY:
      err_set(e, "dns", (int)result, "cannot connect to the proxy %.100s for %.80s: no address found for its name",
              a->proxy, where);
      e->hint = a->hint;
      break;
    case CURLE_COULDNT_RESOLVE_HOST:
      err_set(e, "dns", (int)result, "cannot connect to %s: no address found for that name", where);
      break;
    case CURLE_OPERATION_TIMEDOUT:
      err_set(e, "timeout", (int)result, "%s: %s", where, text);
      e->phase = "connect";
      break;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: broken(a, result, e); break;
    case CURLE_TOO_MANY_REDIRECTS:
      err_set(e, "protocol", (int)result, "%s: more than %d redirects", where, t->max_redirects);
      break;
    case CURLE_URL_MALFORMAT:
      err_set(e, t->status ? "protocol" : "argument", (int)result, "bad URL: %s (%.120s)", text, t->url);
      break;
    case CURLE_OUT_OF_MEMORY: err_set(e, "os", ENOMEM, "out of memory: no room for a request to %s", where); break;
    case CURLE_UNSUPPORTED_PROTOCOL:
      err_set(e, "protocol", (int)result,
              redirected ? "%s redirects to what is not HTTP: %s" : "%s does not answer in HTTP: %s", where, text);
      break;
    case CURLE_BAD_FUNCTION_ARGUMENT: /* from curl, for a malformed header */
      err_set(e, "protocol", (int)result, "%s sent a header that cannot be read", where);
      break;
    case CURLE_BAD_CONTENT_ENCODING:
      err_set(e, "protocol", (int)result, "%s sent a compressed answer that cannot be read: %s", where, text);
      break;
    default: err_set(e, "protocol", (int)result, "%s does not answer in good HTTP: %s", where, text); break;
  }
}

void transfer_error(const struct transfer *t, CURLcode result, struct err *e) {
  struct about a = {.t = t};
  if (t->guard && curl_guard_error(t, result, e)) return;
  net_where(t->url, a.server, WHERE_MAX);
  a.hint = curl_proxy_of(t, a.proxy, sizeof a.proxy);
  if (t->oom) {
    err_set(e, "os", ENOMEM, "out of memory: no room for the answer of %s", a.server);
    return;
  }
  if (tunnel_error(&a, result, e)) return;
  if (a.hint && result != CURLE_COULDNT_CONNECT && result != CURLE_COULDNT_RESOLVE_PROXY) {
    size_t len = strlen(a.server);
    snprintf(a.server + len, sizeof a.server - len, " through the proxy %s", a.proxy);
  }
  if (endless(&a, result, e)) return;
  if (is_tls(result)) {
    err_set(e, "tls", (int)result, "no trusted TLS connection to %s: %s", a.server, text_of(t, result));
    if (a.hint) e->hint = "a proxy that looks into TLS signs with a certificate of its own: name it in ca_file";
    return;
  }
  other_error(&a, result, e);
}
