/* net_egress.c - the exceptions of a guarded request: read, and looked up. */
#include "net_egress.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 253

struct rule {
  struct netrange range;
  char name[NAME_MAX_LEN + 1]; /* empty: the rule is about addresses */
  uint16_t port;               /* 0 = any */
};

struct net_egress {
  size_t count;
  struct rule rules[];
};

/* --- reading -------------------------------------------------------------------------------------------------------- */

static bool read_port(const char *s, uint16_t *port) {
  unsigned number = 0, digits = 0;
  for (; s[digits]; digits++) {
    if (s[digits] < '0' || s[digits] > '9' || digits == 5) return false;
    number = number * 10 + (unsigned)(s[digits] - '0');
  }
  *port = (uint16_t)number;
  return number > 0 && number <= 65535;
}

/* A last label that begins with a digit may be an address in a short form, which cannot be compared as text. */
static bool is_name(const char *s) {
  const char *label = strrchr(s, '.');
  label = label ? label + 1 : s;
  if (!*s || (*label >= '0' && *label <= '9')) return false;
  for (; *s; s++) {
    bool alnum = (*s >= '0' && *s <= '9') || ((*s | 32) >= 'a' && (*s | 32) <= 'z');
    if (!alnum && !strchr("-._", *s)) return false;
  }
  return true;
}

static bool one_address(const char *text, struct netrange *range) {
  if (!netaddr_parse(text, &range->first)) return false;
  range->bits = (uint8_t)(range->first.len * 8);
  return true;
}

/* "[address]", "[address]:port", "name", "name:port", "address", "address:port", "network/bits". */
static bool read_rule(struct rule *r, const char *text) {
  char *name = r->name, *port = NULL;
  size_t len = strlen(text);
  if (len > NAME_MAX_LEN) return false;
  if (netrange_parse(text, &r->range) || one_address(text, &r->range)) return true;
  memcpy(name, text, len + 1);
  if (*name == '[') {
    char *end = strchr(name, ']');
    if (!end || (end[1] && end[1] != ':')) return false;
    port = end[1] ? end + 2 : NULL;
    *end = 0;
    if (!strchr(name, ':') || !one_address(name + 1, &r->range)) return false;
    if (port && !read_port(port, &r->port)) return false;
    *name = 0;
    return true;
  }
  char *colon = strchr(name, ':');
  if (colon) {
    *colon = 0;
    if (!read_port(colon + 1, &r->port)) return false;
  }
  if (one_address(name, &r->range)) {
    *name = 0;
    return true;
  }
  len = strlen(name);
  if (len && name[len - 1] == '.') name[len - 1] = 0;
  return is_name(name);
}

struct net_egress *net_egress_new(struct mem *m, const char *const *allow, struct err *e) {
  size_t count = 0;
  while (allow && allow[count]) count++;
  struct net_egress *g = mem_calloc(m, sizeof *g + count * sizeof g->rules[0]);
  if (!g) {
    err_set(e, "os", ENOMEM, "out of memory: no room for a request");
    return NULL;
  }
  for (; g->count < count; g->count++) {
    const char *text = allow[g->count];
    if (read_rule(&g->rules[g->count], text)) continue;
    err_set(
        e, "argument", 0,
        "allow: '%.100s' is no host, address or network (want \"name[:port]\", \"10.0.0.7[:port]\", \"[::1]:port\" or "
        "\"10.0.0.0/8\")",
        text);
    net_egress_free(m, g);
    return NULL;
  }
  return g;
}

void net_egress_free(struct mem *m, struct net_egress *g) {
  mem_free(m, g);
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

bool net_egress_name(const struct net_egress *g, const char *host, unsigned port) {
  size_t len = strlen(host);
  if (len && host[len - 1] == '.') len--;
  for (size_t i = 0; i < g->count; i++) {
    const struct rule *r = &g->rules[i];
    if (!r->name[0] || (r->port && r->port != port)) continue;
    if (strlen(r->name) == len && strncasecmp(r->name, host, len) == 0) return true;
  }
  return false;
}

bool net_egress_address(const struct net_egress *g, const struct netaddr *a, unsigned port) {
  if (netaddr_is_public(a)) return true;
  for (size_t i = 0; i < g->count; i++) {
    const struct rule *r = &g->rules[i];
    if (!r->name[0] && (!r->port || r->port == port) && netrange_has(&r->range, a)) return true;
  }
  return false;
}

/* --- names that stand for addresses ---------------------------------------------------------------------------------- */

static bool read_line(const char *line) {
  char part[NAME_MAX_LEN + 1];
  struct netaddr a;
  uint16_t port;
  size_t len = strcspn(line, ":");
  if (len == 0 || len > NAME_MAX_LEN || line[len] == 0) return false;
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)line[i] <= ' ' || strchr(",+*[]/", line[i]))
      return false; /* curl has meanings for some of these */
  if (*line == '-') return false;
  line += len + 1;
  len = strcspn(line, ":");
  if (len > 5 || line[len] == 0) return false;
  memcpy(part, line, len);
  part[len] = 0;
  if (!read_port(part, &port)) return false;
  line += len;
  do {
    line++;
    len = strcspn(line, ",");
    if (len >= sizeof part) return false;
    memcpy(part, line, len);
    part[len] = 0;
    if (!netaddr_parse(part, &a)) return false;
    line += len;
  } while (*line);
  return true;
}

bool net_resolve_check(const char *line, struct err *e) {
  if (read_line(line)) return true;
  err_set(e, "argument", 0, "resolve: '%.100s' is no name with its addresses", line);
  return false;
}
