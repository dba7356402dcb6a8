/* mhd.c - the yardstick of http.serve: libmicrohttpd alone, in one thread, with as little beside it as a program can do.
 * Prints its URL as its first line and serves one short text until it is killed; to a POST the lines of a chat of LINES
 * words, each a chunk of its own, one each SECONDS.
 *
 *   mhd [SECONDS] */
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINES = 256, LINE_MAX = 512 };

static size_t line(char *to, long n) {
  struct timespec t;
  struct tm tm;
  char at[32];
  clock_gettime(CLOCK_REALTIME, &t);
  gmtime_r(&t.tv_sec, &tm);
  strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm);
  const char *head = "{\"model\":\"poet\",\"created_at\":\"";
  if (n == LINES)
    return (size_t)snprintf(to, LINE_MAX,
                            "%s%s.%06ldZ\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":"
                            "\"stop\",\"total_duration\":12000000,\"load_duration\":1000000,\"prompt_eval_count\":12,"
                            "\"eval_count\":%d,\"eval_duration\":10000000}\n",
                            head, at, t.tv_nsec / 1000, LINES);
  return (size_t)snprintf(to, LINE_MAX, "%s%s.%06ldZ\",\"message\":{\"role\":\"assistant\",\"content\":\"word \"},\"done\":false}\n",
                          head, at, t.tv_nsec / 1000);
}

/* One answer. Those that wait for their next line are in a ring in the order in which it is due: the pace is one for all. */
struct chat {
  struct MHD_Connection *connection;
  struct chat *next;
  long said;
  double due;
};

static struct chat *first, **last = &first;
static double pace; /* seconds a line; 0: as fast as they go */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static ssize_t on_read(void *cls, uint64_t pos, char *to, size_t max) {
  struct chat *c = cls;
  (void)pos, (void)max;
  if (c->said > LINES) return MHD_CONTENT_READER_END_OF_STREAM;
  if (pace > 0 && c->said > 0 && now() < c->due) {
    c->next = NULL;
    *last = c;
    last = &c->next;
    MHD_suspend_connection(c->connection);
    return 0;
  }
  c->due = now() + pace;
  return (ssize_t)line(to, c->said++);
}

/* Those whose time has come go on; seconds until the next one, -1 when there is none. */
static double wake(void) {
  while (first && first->due <= now()) {
    struct chat *c = first;
    first = c->next;
    if (!first) last = &first;
    MHD_resume_connection(c->connection);
  }
  return first ? first->due - now() : -1;
}

static enum MHD_Result chat(struct MHD_Connection *connection) {
  struct chat *c = calloc(1, sizeof *c);
  if (!c) return MHD_NO;
  c->connection = connection;
  struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, on_read, c, free);
  MHD_add_response_header(r, "Content-Type", "application/x-ndjson");
  enum MHD_Result rc = MHD_queue_response(connection, MHD_HTTP_OK, r);
  MHD_destroy_response(r);
  return rc;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state) {
  static int seen;
  (void)cls, (void)url, (void)version, (void)data;
  if (*state == NULL) {
    *state = &seen;
    return MHD_YES;
  }
  if (*size > 0) {
    *size = 0;
    return MHD_YES;
  }
  if (strcmp(method, "POST") == 0) return chat(c);
  char text[] = "it is late";
  struct MHD_Response *r = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_MUST_COPY);
  MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
  enum MHD_Result rc = MHD_queue_response(c, MHD_HTTP_OK, r);
  MHD_destroy_response(r);
  return rc;
}

int main(int argc, char **argv) {
  if (argc > 1) pace = atof(argv[1]);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, &at,
                                          MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_END);
  const union MHD_DaemonInfo *listener = d ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_LISTEN_FD) : NULL;
  if (listener == NULL || getsockname(listener->listen_fd, (struct sockaddr *)&at, &len) != 0) {
    fputs("mhd: cannot serve\n", stderr);
    return 1;
  }
  printf("http://127.0.0.1:%d\n", ntohs(at.sin_port));
  fflush(stdout);
  for (;;) {
    double left = wake();
    if (MHD_run_wait(d, left < 0 ? -1 : (int)(left * 1e3) + (left > 0)) != MHD_YES) return 1;
  }
}
