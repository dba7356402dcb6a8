/* hold.c - the floor of a waiting call: libcurl's multi interface on libuv, N streams held open and nothing else. It does what a
 * client can to keep them small and cheap: each has a buffer of BUFFER bytes (0: libcurl's choice), and they are spread over
 * several multi handles, because libcurl looks at all connections of one whenever a request begins.
 *
 *   hold URL N [BUFFER]     prints stream_bytes= and open_us=: memory of each, CPU to make, open and begin each */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

enum { SHARDS = 32 };

static const char body[] = "{\"model\":\"slow\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

struct shard {
  CURLM *multi;
  uv_timer_t timer;
};

static uv_loop_t *loop;
static struct shard shards[SHARDS];
static size_t wanted, begun;

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

static void act(struct shard *s, curl_socket_t fd, int flags) {
  int running, left;
  curl_multi_socket_action(s->multi, fd, flags, &running);
  CURLMsg *m = curl_multi_info_read(s->multi, &left);
  if (m == NULL) return;
  fprintf(stderr, "hold: a stream ended: %s\n", curl_easy_strerror(m->data.result));
  exit(1);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  uv_os_fd_t fd;
  uv_fileno((uv_handle_t *)poll, &fd);
  int flags = status < 0 ? CURL_CSELECT_ERR : 0;
  if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
  act(poll->data, fd, flags);
}

static void on_closed(uv_handle_t *handle) {
  free(handle);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *socket_data) {
  struct shard *s = ud;
  uv_poll_t *poll = socket_data;
  (void)easy;
  if (what == CURL_POLL_REMOVE) {
    if (poll != NULL) uv_close((uv_handle_t *)poll, on_closed);
    curl_multi_assign(s->multi, fd, NULL);
    return 0;
  }
  if (poll == NULL) {
    if ((poll = malloc(sizeof *poll)) == NULL) abort();
    uv_poll_init_socket(loop, poll, fd);
    poll->data = s;
    curl_multi_assign(s->multi, fd, poll);
  }
  uv_poll_start(poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0), on_poll);
  return 0;
}

static void on_timeout(uv_timer_t *timer) {
  act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long ms, void *ud) {
  struct shard *s = ud;
  (void)multi;
  if (ms < 0) return uv_timer_stop(&s->timer);
  return uv_timer_start(&s->timer, on_timeout, (uint64_t)ms, 0);
}

static size_t on_bytes(char *bytes, size_t one, size_t len, void *ud) {
  bool *seen = ud;
  (void)bytes;
  (void)one;
  if (!*seen && ++begun == wanted) uv_stop(loop);
  *seen = true;
  return len;
}

static void make_shards(void) {
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *s = &shards[i];
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->multi = curl_multi_init();
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
  }
}

static void open_stream(const char *url, struct curl_slist *headers, long buffer, struct shard *s, bool *seen) {
  CURL *easy = curl_easy_init();
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, seen);
  if (buffer > 0) curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, buffer);
  curl_multi_add_handle(s->multi, easy);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fputs("usage: hold URL N [BUFFER]\n", stderr);
    return 2;
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  loop = uv_default_loop();
  wanted = strtoul(argv[2], NULL, 10);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  make_shards();
  char url[256];
  snprintf(url, sizeof url, "%s/api/chat", argv[1]);
  struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
  headers = curl_slist_append(headers, "Expect:");
  bool *seen = calloc(wanted, sizeof *seen);
  if (seen == NULL) abort();
  size_t before = resident_bytes();
  double cpu = cpu_seconds();
  for (size_t i = 0; i < wanted; i++)
    open_stream(url, headers, argc > 3 ? strtol(argv[3], NULL, 10) : 0, &shards[i % SHARDS], &seen[i]);
  uv_run(loop, UV_RUN_DEFAULT);
  printf("stream_bytes=%zu open_us=%.1f\n", (resident_bytes() - before) / wanted, (cpu_seconds() - cpu) / (double)wanted * 1e6);
  return 0;
}
