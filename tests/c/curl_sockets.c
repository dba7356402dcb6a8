/* curl_sockets.c - what curl may say of its sockets. Now and then (7.88, by chance: `tests/fuzz/net.lua --draw 101`) it wants to
 * write to none at all, so this program gets hold of the callback and says that. */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "loop/host.h"
#include "net/net_curl.h"

static curl_socket_callback tell;

/* In place of the library's: the callback is known here, and nothing else is set. */
static CURLMcode listen_in(CURLM *multi, CURLMoption option, ...) {
  va_list args;
  (void)multi;
  va_start(args, option);
  if (option == CURLMOPT_SOCKETFUNCTION) tell = va_arg(args, curl_socket_callback);
  va_end(args);
  return CURLM_OK;
}

int main(void) {
  static const int wishes[] = {CURL_POLL_IN, CURL_POLL_OUT, CURL_POLL_INOUT, CURL_POLL_NONE, CURL_POLL_REMOVE};
  static const struct net_backend *const backends[] = {&net_curl, NULL};
  static struct host h;
  struct err e;
  int failures = 0;
  mem_init(&h.mem);
  if (uv_loop_init(&h.loop) != 0) return 1;
  h.net_backends = backends;
  if (!curl_api_open(&e)) return 1;
  curl.multi_setopt = listen_in;
  struct curl_engine *c = curl_engine_of(net_of(&h), &e);
  struct curl_shard *s = c ? curl_shard_of(c, 0) : NULL;
  CURL *easy = curl.easy_init();
  if (!s || !easy || !tell) return 1;
  size_t before = h.mem.used;
  (void)alarm(20); /* it went round for ever */
  for (size_t i = 0; i < COUNT_OF(wishes); i++) {
    if (tell(easy, CURL_SOCKET_BAD, wishes[i], s, NULL) == 0) continue;
    printf("failed: wish %d for no socket ends all transfers\n", wishes[i]);
    failures++;
  }
  if (h.mem.used != before) printf("failed: something is polled that is no socket\n"), failures++;
  curl.easy_cleanup(easy);
  net_close(&h);
  while (uv_run(&h.loop, UV_RUN_DEFAULT) != 0) {
  }
  if (uv_loop_close(&h.loop) != 0) printf("failed: a handle is left over\n"), failures++;
  mem_release(&h.mem);
  return failures > 0;
}
