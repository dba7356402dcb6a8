/* before_poll.c - work that is done before the system is polled: in its fixed order, once, and never left over for a poll that
 * would block. */
#include <string.h>

#include "loop/host.h"

struct work {
  struct poll_hook hook;
  struct host *host;
  const char *name;
  struct work *then; /* wanted by it */
  enum before_poll when;
  struct work *drops;
};

static char said[200];

static void run(struct poll_hook *hook) {
  struct work *w = CONTAINER_OF(hook, struct work, hook);
  strcat(said, w->name);
  if (w->then) host_before_poll(w->host, w->when, &w->then->hook);
  if (w->drops) host_before_poll_drop(&w->drops->hook);
}

static int failed(const char *what, const char *expected) {
  if (strcmp(said, expected) == 0) {
    said[0] = 0;
    return 0;
  }
  printf("%s: expected %s, got %s\n", what, expected, said);
  return 1;
}

int main(void) {
  static struct host h;
  CHECK(uv_loop_init(&h.loop) == 0);
  host_poll_init(&h);
  struct work w[6];
  static const char *const names[] = {"a ", "b ", "c ", "d ", "e ", "f "};
  for (int i = 0; i < 6; i++) w[i] = (struct work){.hook = {.run = run}, .host = &h, .name = names[i]};
  int bad = 0;

  host_before_poll(&h, BEFORE_POLL_REQUESTS, &w[0].hook);
  host_before_poll(&h, BEFORE_POLL_REPLIES, &w[1].hook);
  host_before_poll(&h, BEFORE_POLL_CONSOLE, &w[2].hook);
  host_before_poll(&h, BEFORE_POLL_JOURNAL, &w[3].hook);
  host_before_poll(&h, BEFORE_POLL_JOURNAL, &w[4].hook);
  host_before_poll(&h, BEFORE_POLL_JOURNAL, &w[3].hook); /* wanted already */
  uv_run(&h.loop, UV_RUN_NOWAIT);
  bad |= failed("the order", "d e c b a ");
  uv_run(&h.loop, UV_RUN_NOWAIT);
  bad |= failed("once", "");

  /* What a later kind is asked for comes in the same pass; the same kind or an earlier one before the next poll, and this one
   * must not block: nothing would end it. */
  w[0].then = &w[1], w[0].when = BEFORE_POLL_REPLIES;
  w[1].then = &w[2], w[1].when = BEFORE_POLL_JOURNAL;
  host_before_poll(&h, BEFORE_POLL_JOURNAL, &w[0].hook);
  uv_run(&h.loop, UV_RUN_ONCE);
  bad |= failed("a later kind", "a b ");
  uv_run(&h.loop, UV_RUN_ONCE);
  bad |= failed("an earlier kind", "c ");

  w[3].drops = &w[4];
  host_before_poll(&h, BEFORE_POLL_CONSOLE, &w[3].hook);
  host_before_poll(&h, BEFORE_POLL_CONSOLE, &w[4].hook);
  host_before_poll(&h, BEFORE_POLL_CONSOLE, &w[5].hook);
  uv_run(&h.loop, UV_RUN_NOWAIT);
  bad |= failed("one that goes away meanwhile", "d f ");
  uv_close((uv_handle_t *)&h.prepare, NULL);
  uv_run(&h.loop, UV_RUN_DEFAULT);
  return bad || uv_loop_close(&h.loop) != 0;
}
