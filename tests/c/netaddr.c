/* netaddr.c - the judge of addresses: the first and last of each special network, and their neighbours outside; texts; the
 * exceptions of a guard, and the lines that say what a name stands for. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "net/net_egress.h"
#include "net/netaddr.h"

static int failures;

static void expect(bool ok, const char *what, const char *text) {
  if (ok) return;
  failures++;
  printf("failed: %s: %s\n", what, text);
}

/* The addresses before and after a network are public unless said to be another special one's, or no address at all. */
static const struct network {
  const char *before, *first, *last, *after; /* before, after: NULL = not public either */
} networks[] = {
    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
    {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
    {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
    {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
    {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
    {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
    {NULL, "240.0.0.0", "255.255.255.255", NULL},
    {NULL, "::", "::ffff:ffff", NULL},
    {NULL, "0:0:0:0:0:1::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
    {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
    {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ff:ffff:ffff:ffff:ffff:ffff:ffff", "2002:100::"},
    {"2002:7eff:ffff::", "2002:7f00::", "2002:7fff:ffff:ffff:ffff:ffff:ffff:ffff", "2002:8000::"},
    {"2002:9ff:ffff::", "2002:a00::", "2002:aff:ffff::1", "2002:b00::"},
    {"2002:a9fd:ffff::", "2002:a9fe::", "2002:a9fe:ffff::", "2002:a9ff::"},
    {"2002:dfff:ffff::", "2002:e000::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
    {"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
    {"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "64:ff9a:ffff::", "64:ff9b::ff:ffff", "64:ff9b::100:0"},
    {"64:ff9b::7eff:ffff", "64:ff9b::7f00:0", "64:ff9b::7fff:ffff", "64:ff9b::8000:0"},
    {"64:ff9b::a9fd:ffff", "64:ff9b::a9fe:0", "64:ff9b::a9fe:ffff", "64:ff9b::a9ff:0"},
    {"64:ff9b::dfff:ffff", "64:ff9b::e000:0", "64:ff9b:0:0:0:1::", NULL},
    {NULL, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "100::", "100::ffff:ffff:ffff:ffff", NULL},
    {NULL, "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "ff00::", "ff0e::1", NULL},
    {"::ffff:9.255.255.255", "::ffff:10.0.0.0", "::ffff:10.255.255.255", "::ffff:11.0.0.0"},
    {"::ffff:126.255.255.255", "::ffff:127.0.0.0", "::ffff:7fff:ffff", "::ffff:128.0.0.0"},
};

/* By its text, and by the socket address of it. */
static bool is_public(const char *text) {
  struct netaddr a, again = {0};
  uint16_t port = 0;
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(81)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(81)};
  expect(netaddr_parse(text, &a), "is an address", text);
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
    expect(netaddr_of((struct sockaddr *)&v4, &again, &port), "has a socket address", text);
  else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
    expect(netaddr_of((struct sockaddr *)&v6, &again, &port), "has a socket address", text);
  expect(port == 81 && netaddr_equal(&a, &again), "reads alike", text);
  return netaddr_is_public(&a);
}

static void test_networks(void) {
  for (size_t i = 0; i < COUNT_OF(networks); i++) {
    const struct network *n = &networks[i];
    expect(!is_public(n->first), "special", n->first);
    expect(!is_public(n->last), "special", n->last);
    if (n->before) expect(is_public(n->before), "public", n->before);
    if (n->after) expect(is_public(n->after), "public", n->after);
  }
  static const char *const open[] = {
      "1.1.1.1",         "8.8.8.8",          "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::200e",
      "2002:808:808::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"};
  for (size_t i = 0; i < COUNT_OF(open); i++) expect(is_public(open[i]), "public", open[i]);
  struct sockaddr local = {.sa_family = AF_UNIX};
  struct netaddr a;
  uint16_t port;
  expect(!netaddr_of(&local, &a, &port), "a path is no address", "unix");
}

/* Every IPv4 address is judged alike in each of its clothes. */
static void test_clothes(void) {
  for (unsigned i = 0; i < 1u << 16; i++) {
    uint8_t v4[4] = {(uint8_t)(i >> 8), (uint8_t)i, (uint8_t)(i * 7), 1};
    struct netaddr plain = {.len = 4}, nat64 = {.len = 16}, six = {.len = 16};
    memcpy(plain.bytes, v4, 4);
    memcpy(nat64.bytes, "\0\x64\xff\x9b", 4);
    memcpy(nat64.bytes + 12, v4, 4);
    memcpy(six.bytes, "\x20\x02", 2);
    memcpy(six.bytes + 2, v4, 4);
    char text[NETADDR_TEXT];
    netaddr_text(&plain, text);
    bool open = netaddr_is_public(&plain);
    expect(netaddr_is_public(&nat64) == open, "NAT64 of it is judged alike", text);
    expect(netaddr_is_public(&six) == open, "6to4 of it is judged alike", text);
  }
}

static void test_texts(void) {
  static const char *const bad[] = {"",      "127.1",  "0x7f.0.0.1", "127.0.0.01", "2130706433", "127.0.0.1:80",
                                    "[::1]", "::1%lo", "1.2.3.4.5",  "::g",        " 127.0.0.1", "localhost"};
  static const char *const bad_ranges[] = {
      "10.0.0.0",    "10.0.0.0/", "10.0.0.0/33",        "::/129",        "10.0.0.0/08a", "/8",
      "10.0.0.0/-1", "10.0.0/8",  "::ffff:10.0.0.0/95", "10.0.0.0/1000", "name/8"};
  struct netaddr a;
  struct netrange r;
  char text[NETADDR_TEXT];
  for (size_t i = 0; i < COUNT_OF(bad); i++) expect(!netaddr_parse(bad[i], &a), "is no address", bad[i]);
  for (size_t i = 0; i < COUNT_OF(bad_ranges); i++)
    expect(!netrange_parse(bad_ranges[i], &r), "is no network", bad_ranges[i]);
  expect(netaddr_parse("::ffff:7f00:1", &a), "mapped", "");
  netaddr_text(&a, text);
  expect(strcmp(text, "127.0.0.1") == 0, "mapped is the IPv4 address", text);
  expect(netrange_parse("::ffff:10.0.0.0/104", &r) && r.bits == 8 && r.first.len == 4, "a mapped network", "");
}

static bool has(const char *range, const char *address) {
  struct netrange r;
  struct netaddr a;
  return netrange_parse(range, &r) && netaddr_parse(address, &a) && netrange_has(&r, &a);
}

static void test_ranges(void) {
  expect(has("10.1.0.0/15", "10.1.255.255") && has("10.0.0.0/15", "10.1.0.0"), "inside", "/15");
  expect(!has("10.0.0.0/15", "10.2.0.0") && !has("10.0.0.0/8", "::a00:1"), "outside", "/15");
  expect(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1") && has("::/0", "::1"), "all", "/0");
  expect(has("1.2.3.4/32", "::ffff:1.2.3.4") && !has("1.2.3.4/32", "1.2.3.5"), "one", "/32");
  expect(has("fd00::/8", "fd12::1") && !has("fd00::/8", "fc00::1"), "inside", "fd00::/8");
  expect(has("fe80::1/128", "fe80::1") && !has("fe80::1/128", "fe80::2"), "one", "/128");
}

static bool permits(const char *rule, const char *address, unsigned port) {
  struct mem m;
  struct err e;
  struct netaddr a;
  const char *allow[] = {"192.168.77.1", rule, NULL};
  mem_init(&m);
  struct net_egress *g = net_egress_new(&m, allow, &e);
  bool named = strpbrk(address, "ghklmnopqrstuvwxyz") != NULL, ok = false;
  if (g) ok = named ? net_egress_name(g, address, port) : netaddr_parse(address, &a) && net_egress_address(g, &a, port);
  net_egress_free(&m, g);
  expect(m.used == 0, "all is given back", rule);
  return ok;
}

static void test_rules(void) {
  static const char *const bad[] = {
      "",      "a b",         "*.test", "http://a.test", "a.test:0", "a.test:65536", "a.test:",     "a.test:8x",
      "127.1", "2130706433",  "[::1",   "[127.0.0.1]",   "[::1]8",   "0x7f.0.0.1",   "10.0.0.0/33", "a.test/8",
      ":80",   "user@a.test", "[::1]:", "::1:g",         "."};
  for (size_t i = 0; i < COUNT_OF(bad); i++) {
    struct mem m;
    struct err e;
    mem_init(&m);
    expect(!net_egress_new(&m, (const char *const[]){bad[i], NULL}, &e) && strcmp(e.kind, "argument") == 0,
           "is no exception", bad[i]);
    expect(m.used == 0, "all is given back", bad[i]);
  }
  expect(permits("127.0.0.1", "127.0.0.1", 80) && !permits("127.0.0.1", "127.0.0.2", 80), "address", "127.0.0.1");
  expect(permits("127.0.0.1:81", "127.0.0.1", 81) && !permits("127.0.0.1:81", "127.0.0.1", 82), "port", "127.0.0.1:81");
  expect(permits("::1", "::1", 9) && permits("[::1]", "::1", 9) && permits("[::1]:9", "::1", 9), "IPv6", "::1");
  expect(!permits("[::1]:9", "::1", 8) && !permits("::1", "::2", 9), "IPv6", "others");
  expect(permits("10.0.0.0/8", "10.9.9.9", 1) && !permits("10.0.0.0/8", "127.0.0.1", 1), "network", "10.0.0.0/8");
  expect(permits("a.test", "A.Test.", 1) && permits("A.TEST.:80", "a.test", 80), "name", "a.test");
  expect(!permits("a.test:80", "a.test", 81) && !permits("a.test", "b.a.test", 1) && !permits("a.test", "127.0.0.1", 1),
         "name", "others");
  expect(permits("a.test", "8.8.8.8", 1) && permits("a.test", "192.168.77.1", 1), "public, or another rule", "a.test");
}

static void test_lines(void) {
  static const char *const good[] = {"a.test:80:127.0.0.1", "a.test.:65535:::1,10.0.0.1,::", "xn--p1ai:1:192.0.2.1"};
  static const char *const bad[] = {"",
                                    "a.test",
                                    "a.test:80",
                                    "a.test:80:",
                                    "a.test:80:b.test",
                                    "a.test::1.2.3.4",
                                    ":80:1.2.3.4",
                                    "-a.test:80:1.2.3.4",
                                    "+a:80:1.2.3.4",
                                    "*:80:1.2.3.4",
                                    "a:80:1.2.3.4,",
                                    "a:0:1.2.3.4",
                                    "a:65536:1.2.3.4",
                                    "a b:80:1.2.3.4",
                                    "a:80:127.1"};
  struct err e;
  for (size_t i = 0; i < COUNT_OF(good); i++)
    expect(net_resolve_check(good[i], &e), "says what a name stands for", good[i]);
  for (size_t i = 0; i < COUNT_OF(bad); i++) expect(!net_resolve_check(bad[i], &e), "says nothing", bad[i]);
}

int main(void) {
  test_networks();
  test_clothes();
  test_texts();
  test_ranges();
  test_rules();
  test_lines();
  return failures > 0;
}
