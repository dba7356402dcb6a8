/* net_curl_guard.c - isolated requests: those that may only reach public addresses (SSRF guard), and those that set the address
 * of a name. Each has its own connection cache and its own DNS cache, in a share handle that no other request uses.
 *
 * CURLOPT_FRESH_CONNECT is not enough: curl ignores it after a redirect, and would reuse a connection that an unguarded request
 * left open, without opening a socket and so without the check. CURLOPT_RESOLVE writes into the DNS cache of the multi handle,
 * where other requests would see it. With its own share handle a request affects no other one.
 *
 * Off by default in libcurl, and never enabled here: netrc, HSTS, Alt-Svc, unix sockets, cookies, credentials sent on to
 * another host (CURLOPT_UNRESTRICTED_AUTH). */
#include <errno.h>
#include <string.h>

#include "loop/host.h"
#include "net_curl.h"
#include "netaddr.h"

#define NAME_SIZE 256

struct curl_guard {
  CURLSH *share;
  struct curl_slist *names; /* CURLOPT_RESOLVE */
  int hops;                 /* redirects so far */
  bool judges;              /* only_public; otherwise isolated without checks */
  bool opened;              /* an address of this hop was permitted */
  bool denied;              /* refused when an existing connection was reused */
  struct err refusal;       /* of the address refused last in this hop; kind NULL = none was */
};

/* --- making and unmaking --------------------------------------------------------------------------------------------- */

void curl_guard_free(struct transfer *t) {
  struct curl_guard *g = t->guard;
  if (!g) return;
  t->guard = NULL;
  curl.share_cleanup(g->share); /* after the handle that used it; NULL is fine */
  curl.slist_free_all(g->names);
  mem_free(&t->engine->host->mem, g);
}

static bool share(struct transfer *t) {
  struct curl_guard *g = t->guard;
  g->share = curl.share_init();
  return g->share && curl.share_setopt(g->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK &&
         curl.share_setopt(g->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) == CURLSHE_OK &&
         curl.easy_setopt(t->easy, CURLOPT_SHARE, g->share) == CURLE_OK &&
         curl.easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L) ==
             CURLE_OK; /* close it with the request, not with the share */
}

bool curl_guard_set(struct transfer *t, const struct net_options *o) {
  struct curl_guard *g = t->guard = mem_calloc(&t->engine->host->mem, sizeof *g);
  if (!g || !share(t)) return false;
  g->judges = o->only_public;
  for (const char *const *line = o->resolve; line && *line; line++) {
    struct curl_slist *longer = curl.slist_append(g->names, *line);
    if (!longer) return false;
    g->names = longer;
  }
  return !g->names || curl.easy_setopt(t->easy, CURLOPT_RESOLVE, g->names) == CURLE_OK;
}

/* --- judging ---------------------------------------------------------------------------------------------------------- */

/* The host that curl is about to connect to, as curl itself parses the URL: a second parser could disagree, and the list would
 * be checked for another host. */
static bool host_of_url(const char *url, char *out, size_t size) {
  char *host = NULL;
  CURLU *u = curl.url();
  bool ok = u && curl.url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl.url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && strlen(host) < size;
  if (ok) memcpy(out, host, strlen(host) + 1);
  curl.free(host);
  curl.url_cleanup(u);
  return ok;
}

static bool permits(struct transfer *t, const struct netaddr *a, unsigned port) {
  char name[NAME_SIZE], text[NETADDR_TEXT];
  const struct net_egress *rules = t->base.guard;
  char *url = NULL;
  if (!rules) return false; /* cancelled */
  if (net_egress_address(rules, a, port)) return true;
  curl.easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url); /* of this hop */
  if (!url) return false;
  if (host_of_url(url, name, sizeof name) && net_egress_name(rules, name, port)) return true;
  netaddr_text(a, text);
  net_denied(&t->guard->refusal, url, text, t->guard->hops ? t->url : NULL);
  return false;
}

bool curl_guard_opens(struct transfer *t, const struct sockaddr *sa) {
  struct netaddr a;
  uint16_t port;
  if (!t->guard->judges) return true;
  if (!netaddr_of(sa, &a, &port) || !permits(t, &a, port)) return false;
  t->guard->opened = true;
  return true;
}

bool curl_guard_sends(struct transfer *t, const char *ip, int port) {
  struct netaddr a;
  char text[NETADDR_TEXT + 16];
  if (!t->guard->judges) return true;
  snprintf(text, sizeof text, "%.*s", (int)strcspn(ip, "%"), ip);
  if (netaddr_parse(text, &a) && permits(t, &a, (unsigned)port)) return true;
  t->guard->denied = true;
  return false;
}

void curl_guard_redirected(struct transfer *t) {
  t->guard->hops++;
  t->guard->opened = false;
  err_clear(&t->guard->refusal);
}

bool curl_guard_error(const struct transfer *t, CURLcode result, struct err *e) {
  const struct curl_guard *g = t->guard;
  if (!g->refusal.kind) return false;
  if (!g->denied && (g->opened || result != CURLE_COULDNT_CONNECT)) return false;
  *e = g->refusal;
  return true;
}

/* --- places ------------------------------------------------------------------------------------------------------------ */

#ifndef CURLU_PUNYCODE
#define CURLU_PUNYCODE 0
#endif

/* As curl connects to it: escapes taken out, IDNA applied. */
static char *host_part(CURLU *u) {
  char *host = NULL;
  if (curl.url_get(u, CURLUPART_HOST, &host, CURLU_PUNYCODE) == CURLUE_OK) return host;
  /* curl 7 leaves the name with us when it cannot be converted; what a later one leaves may be freed already */
  if (curl.version_info(CURLVERSION_NOW)->version_num < 0x080000) curl.free(host);
  host = NULL;
  return curl.url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK ? host : NULL;
}

/* One spelling for one place: lower case, no dot at the end, addresses as inet_ntop writes them. */
static bool settle_host(const char *host, char *out, size_t size) {
  char text[NETADDR_TEXT];
  struct netaddr a;
  size_t len = strlen(host);
  if (len >= 2 && *host == '[') { /* ... ] */
    host++;
    len -= 2;
  }
  while (len > 0 && host[len - 1] == '.') len--;
  if (len == 0 || len >= size) return false;
  for (size_t i = 0; i < len; i++) out[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] | 32) : host[i];
  out[len] = 0;
  if (!netaddr_parse(out, &a)) return true;
  netaddr_text(&a, text);
  if (strlen(text) >= size) return false;
  memcpy(out, text, strlen(text) + 1);
  return true;
}

bool net_place(const char *base, const char *location, char *url, size_t url_size, char *host, size_t host_size) {
  char *whole = NULL, *name = NULL;
  struct err missing;
  if (!curl_api_open(&missing)) return false; /* a request to it says so */
  CURLU *u = curl.url();
  bool ok = u && curl.url_set(u, CURLUPART_URL, base, CURLU_GUESS_SCHEME) == CURLUE_OK &&
            (!location || curl.url_set(u, CURLUPART_URL, location, CURLU_URLENCODE) == CURLUE_OK) &&
            curl.url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK && (name = host_part(u)) != NULL &&
            strlen(whole) < url_size && settle_host(name, host, host_size);
  if (ok) memcpy(url, whole, strlen(whole) + 1);
  curl.free(whole);
  curl.free(name);
  curl.url_cleanup(u);
  return ok;
}
