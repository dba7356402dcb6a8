/* client.c - the bare client that stoke is measured against: libcurl's multi interface on libuv, easy handles reused,
 * and as little else as a program can do.
 *
 *   client call URL N [CONCURRENCY [BODY...]]   N replies in one piece   prints  call_us=   CPU per call
 *                                       to these requests in turns, instead of a small one
 *   client fresh URL N [CONCURRENCY [BODY...]]  the same with an easy handle made for each request, as stoke makes it
 *   client stream URL N [CONCURRENCY]   N streams, only counting lines   prints  line_ns=   CPU per line
 *   client hold URL N                   N streams held open              prints  stream_bytes=   memory per stream
 *
 * CPU is user and system time of this process, after as many warm-up replies as there are handles. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

struct slot {
  CURL *easy;
  struct client *client;
  char *body;
  size_t have, room;
  bool begun;
};

struct client {
  uv_loop_t *loop;
  uv_timer_t timer;
  CURLM *multi;
  struct slot *slots;
  size_t count;
  size_t to_start, running, finished, begun; /* replies */
  size_t lines;
  char **bodies; /* what is asked in turns; NULL = the one set at the beginning */
  size_t body_count, next_body;
  bool keep, hold, fresh;
  const char *body;
  char *target;
  struct curl_slist *headers;
  double cpu;
  size_t memory;
};

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static size_t resident_bytes(void) {
  unsigned long size = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == NULL || fscanf(f, "%lu %lu", &size, &resident) != 2) abort();
  fclose(f);
  return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t on_bytes(char *bytes, size_t one, size_t len, void *ud) {
  struct slot *s = ud;
  (void)one;
  if (!s->begun) {
    s->begun = true;
    if (++s->client->begun == s->client->count && s->client->hold) {
      s->client->memory = resident_bytes();
      uv_stop(s->client->loop);
    }
  }
  if (s->client->keep) {
    if (s->have + len > s->room) s->body = realloc(s->body, s->room = (s->have + len) * 2);
    if (s->body == NULL) abort();
    memcpy(s->body + s->have, bytes, len);
    s->have += len;
    return len;
  }
  for (const char *p = bytes, *end = bytes + len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
    s->client->lines++;
  }
  return len;
}

static void make_handle(struct client *c, struct slot *s) {
  s->easy = curl_easy_init();
  curl_easy_setopt(s->easy, CURLOPT_URL, c->target);
  curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
  curl_easy_setopt(s->easy, CURLOPT_PROXY, "");
  curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(s->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, c->headers);
  curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, c->body);
  curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(c->body));
  curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
}

static void start(struct client *c, struct slot *s) {
  if (c->fresh) make_handle(c, s);
  s->have = 0;
  s->begun = false;
  if (c->body_count > 0) {
    const char *body = c->bodies[c->next_body++ % c->body_count];
    curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
  }
  c->to_start--;
  c->running++;
  curl_multi_add_handle(c->multi, s->easy);
}

static void collect(struct client *c) {
  CURLMsg *m;
  int left;
  while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
    struct slot *s;
    if (m->data.result != CURLE_OK) {
      fprintf(stderr, "client: %s\n", curl_easy_strerror(m->data.result));
      exit(1);
    }
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
    curl_multi_remove_handle(c->multi, s->easy);
    if (c->fresh) curl_easy_cleanup(s->easy);
    c->running--;
    c->finished++;
    if (c->to_start > 0) {
      start(c, s);
    } else if (c->running == 0) {
      uv_stop(c->loop);
    }
  }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct client *c = poll->loop->data;
  int flags = status < 0 ? CURL_CSELECT_ERR : 0;
  int running;
  uv_os_fd_t fd;
  if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
  uv_fileno((uv_handle_t *)poll, &fd);
  curl_multi_socket_action(c->multi, fd, flags, &running);
  collect(c);
}

static void on_poll_closed(uv_handle_t *handle) {
  free(handle);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *socket_data) {
  struct client *c = ud;
  uv_poll_t *poll = socket_data;
  (void)easy;
  if (what == CURL_POLL_REMOVE) {
    if (poll == NULL) return 0;
    uv_poll_stop(poll);
    uv_close((uv_handle_t *)poll, on_poll_closed);
    curl_multi_assign(c->multi, fd, NULL);
    return 0;
  }
  if (poll == NULL) {
    if ((poll = malloc(sizeof *poll)) == NULL) abort();
    uv_poll_init_socket(c->loop, poll, fd);
    curl_multi_assign(c->multi, fd, poll);
  }
  uv_poll_start(poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0), on_poll);
  return 0;
}

static void on_timeout(uv_timer_t *timer) {
  struct client *c = timer->loop->data;
  int running;
  curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  collect(c);
}

static int on_timer(CURLM *multi, long ms, void *ud) {
  struct client *c = ud;
  (void)multi;
  if (ms < 0) return uv_timer_stop(&c->timer);
  return uv_timer_start(&c->timer, on_timeout, (uint64_t)ms, 0);
}

static void prepare(struct client *c, const char *url) {
  c->headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");
  if ((c->target = malloc(strlen(url) + sizeof "/api/chat")) == NULL) abort();
  sprintf(c->target, "%s/api/chat", url);
  if ((c->slots = calloc(c->count, sizeof *c->slots)) == NULL) abort();
  for (size_t i = 0; i < c->count; i++) {
    c->slots[i].client = c;
    if (!c->fresh) make_handle(c, &c->slots[i]);
  }
}

static void run(struct client *c, size_t replies) {
  c->to_start = replies;
  c->finished = c->lines = 0;
  c->cpu = cpu_seconds();
  for (size_t i = 0; i < c->count && c->to_start > 0; i++) start(c, &c->slots[i]);
  uv_run(c->loop, UV_RUN_DEFAULT);
  c->cpu = cpu_seconds() - c->cpu;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fputs("usage: client call|fresh|stream|hold URL N [CONCURRENCY [BODY...]]\n", stderr);
    return 2;
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  size_t n = strtoul(argv[3], NULL, 10);
  struct client c = {.loop = uv_default_loop()};
  c.fresh = strcmp(argv[1], "fresh") == 0;
  c.keep = c.fresh || strcmp(argv[1], "call") == 0;
  c.hold = strcmp(argv[1], "hold") == 0;
  c.count = c.hold ? n : argc > 4 ? strtoul(argv[4], NULL, 10) : 64;
  if (argc > 5) {
    c.bodies = argv + 5;
    c.body_count = (size_t)argc - 5;
  }
  c.loop->data = &c;
  uv_timer_init(c.loop, &c.timer);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  c.multi = curl_multi_init();
  curl_multi_setopt(c.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(c.multi, CURLMOPT_SOCKETDATA, &c);
  curl_multi_setopt(c.multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(c.multi, CURLMOPT_TIMERDATA, &c);
  curl_multi_setopt(c.multi, CURLMOPT_MAXCONNECTS, (long)c.count);
  c.body = c.hold   ? "{\"model\":\"slow\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
           : c.keep ? "{\"model\":\"bench\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":false}"
                    : "{\"model\":\"bench\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
  size_t before = resident_bytes();
  prepare(&c, argv[2]);
  run(&c, c.count);
  if (c.hold) {
    printf("stream_bytes=%zu\n", (c.memory - before) / n);
    return 0;
  }
  run(&c, n);
  if (c.keep) {
    printf("call_us=%.2f\n", c.cpu / (double)c.finished * 1e6);
  } else {
    printf("line_ns=%.1f\n", c.cpu / (double)c.lines * 1e9);
  }
  return 0;
}
