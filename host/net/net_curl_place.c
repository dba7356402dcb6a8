/* net_curl_place.c - which shard a request is added to.
 *
 * A shard is filled before the next one gets any: so a request finds the connection that an earlier one to its server left behind,
 * and as long as few go to one server at once a single shard does it all. Where the filling begins differs from server to server.
 * What is counted are hashes of servers: two that share one fill a shard together. */
#include <string.h>

#include "loop/host.h"
#include "net_curl.h"

#define FULL 32 /* requests to a server in a shard, before the next one is used */

static uint32_t hash_of(const char *s, size_t len) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)s[i]) * 16777619u;
  return hash ^ hash >> 15;
}

/* Whom the connection leads to: the proxy, where the request goes through one. */
static uint32_t server_of(const struct transfer *t) {
  char proxy[256];
  if (!t->no_proxy && curl_proxy_of(t, proxy, sizeof proxy)) return hash_of(proxy, strlen(proxy));
  const char *authority = strstr(t->url, "://");
  size_t scheme = authority ? (size_t)(authority - t->url) + 3 : 0;
  return hash_of(t->url, scheme + strcspn(t->url + scheme, "/?#"));
}

bool curl_place_enter(struct transfer *t) {
  unsigned server = server_of(t) % CURL_SERVERS, *load = t->engine->load[server], best = server % CURL_SHARDS;
  for (unsigned i = 0; i < CURL_SHARDS && load[best] >= FULL; i++) {
    unsigned other = (server + i) % CURL_SHARDS;
    if (load[other] < FULL || load[other] < load[best]) best = other;
  }
  t->shard = curl_shard_of(t->engine, best);
  if (!t->shard) return false;
  t->load = &load[best];
  ++*t->load;
  t->shard->live++;
  return true;
}

void curl_place_leave(struct transfer *t) {
  if (!t->load) return;
  --*t->load;
  t->load = NULL;
  curl_shard_left(t->shard);
}
