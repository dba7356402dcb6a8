/* net_curl_proxy.c - finds the proxy of a request. curl (before 8.7) does not report it, so its rules are repeated here: the
 * request's own proxy, otherwise SCHEME_proxy and all_proxy of the environment, unless no_proxy lists the host. For messages only:
 * it does not affect curl. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net_curl.h"
#include "netaddr.h"

#define HOST_SIZE 256

/* Where a proxy may be set, in the order of looking. http has no name in capitals: a CGI program's client could set that one. */
static const struct source {
  const char *scheme, *name, *hint;
} sources[] = {
#define SOURCE(scheme, name)                                                                                           \
  {                                                                                                                    \
    scheme, name,                                                                                                      \
        "the proxy is set by " name " in the environment: correct or unset it, or name the server in no_proxy"         \
  }
    SOURCE("http", "http_proxy"), SOURCE("https", "https_proxy"), SOURCE("https", "HTTPS_PROXY"),
    SOURCE(NULL, "all_proxy"),    SOURCE(NULL, "ALL_PROXY"),
};

static const char *const given = "the proxy is the one that the request names (proxy)";

static const char *env(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

static bool same(const char *a, const char *b, size_t len) {
  return strncasecmp(a, b, len) == 0;
}

/* One entry of no_proxy: an address, a network, or a name that stands for all below it. */
static bool excepts(const char *entry, size_t len, const char *host, const struct netaddr *address) {
  char text[64];
  struct netrange range;
  struct netaddr a;
  if (address) {
    if (len >= sizeof text) return false;
    memcpy(text, entry, len);
    text[len] = 0;
    return (netrange_parse(text, &range) && netrange_has(&range, address)) ||
           (netaddr_parse(text, &a) && netaddr_equal(&a, address));
  }
  size_t n = strlen(host);
  while (n && host[n - 1] == '.') n--;
  while (len && entry[len - 1] == '.') len--;
  if (len && *entry == '.') entry++, len--;
  return len && len <= n && same(host + n - len, entry, len) && (len == n || host[n - len - 1] == '.');
}

static bool is_excepted(const char *host) {
  struct netaddr address;
  bool numeric = netaddr_parse(host, &address);
  const char *list = env("no_proxy");
  if (!list) list = env("NO_PROXY");
  if (!list) return false;
  if (strcmp(list, "*") == 0) return true;
  for (size_t len; *list; list += len) {
    list += strspn(list, ", ");
    len = strcspn(list, ", ");
    if (excepts(list, len, host, numeric ? &address : NULL)) return true;
  }
  return false;
}

/* "host:port" of a proxy as it is written in the environment: scheme, user and path may be there. */
static void place(const char *proxy, char *out, size_t size) {
  const char *scheme = strstr(proxy, "://"), *at = scheme ? scheme + 3 : proxy;
  size_t len = strcspn(at, "/?#");
  for (size_t i = len; i-- > 0;)
    if (at[i] == '@') {
      len -= i + 1;
      at += i + 1;
      break;
    }
  const char *colon = memchr(at, ':', len), *bracket = memchr(at, ']', len);
  if (bracket) colon = memchr(bracket, ':', len - (size_t)(bracket - at));
  int shown = (int)(len < size ? len : size);
  if (colon)
    snprintf(out, size, "%.*s", shown, at);
  else
    snprintf(out, size, "%.*s:%s", shown, at, same(proxy, "https:", 6) ? "443" : "1080"); /* what curl takes */
}

const char *curl_proxy_of(const struct transfer *t, char *where, size_t size) {
  char host[HOST_SIZE];
  char *url = NULL;
  if (t->no_proxy || (t->proxy && !*t->proxy)) return NULL;
  if (t->easy) curl.easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url); /* of this hop */
  if (!url || !*url) url = t->url; /* before it is begun */
  if (!net_host(url, host, sizeof host) || is_excepted(host)) return NULL;
  if (t->proxy) {
    place(t->proxy, where, size);
    return given;
  }
  for (size_t i = 0; i < COUNT_OF(sources); i++) {
    const char *scheme = sources[i].scheme, *value;
    if (scheme && (!same(url, scheme, strlen(scheme)) || url[strlen(scheme)] != ':')) continue;
    value = env(sources[i].name);
    if (!value) continue;
    place(value, where, size);
    return sources[i].hint;
  }
  return NULL;
}
