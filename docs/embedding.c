/* An agent inside a C program. Build and run it beside an installed stoke (make install-lib):
 *
 *     cc -o ask embedding.c $(pkg-config --cflags --libs stoke)
 *     ./ask --sim "What is 17 * 23?"
 *
 * The answer is printed as it comes; Ctrl-C cancels the question, not the program. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoke.h>
#include <string.h>

static const char AGENT[] = "local stoke = require 'stoke'\n"
                            "local embedder = require 'stoke.embedder'\n"
                            "local bot = stoke.agent { name = 'clerk', model = 'qwen2.5:3b', tools = { stoke.tools.calculator() } }\n"
                            "package.loaded.clerk = { ask = function(question)\n"
                            "  for event in bot:stream(question) do\n"
                            "    if event.type == 'text' then embedder.emit('text', event.text) end\n"
                            "    if event.type == 'done' then return event.result.usage end\n"
                            "  end\n"
                            "end }\n";

static stoke *host;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
  stoke_wake(host);
}

/* A piece of the answer: JSON, which this program writes as it is. One with a JSON library would read it. */
static void on_event(void *user, const char *name, const char *json, size_t len) {
  (void)user;
  if (strcmp(name, "text") == 0) printf("%.*s", (int)len, json);
  fflush(stdout);
}

static void on_done(void *user, const char *json, const struct stoke_error *e) {
  if (e) fprintf(stderr, "ask: %s: %s\n%s%s\n", e->kind, e->message, *e->hint ? "hint: " : "", e->hint);
  if (json) printf("\nusage %s\n", json);
  *(int *)user = e ? 1 : 0;
}

/* ["..."], as JSON wants it. The caller frees it; NULL: no memory. */
static char *arguments(const char *question) {
  char *text = malloc(6 * strlen(question) + 5), *at = text;
  if (!text) return NULL;
  at += sprintf(at, "[\"");
  for (const char *c = question; *c; c++) {
    if (*c == '"' || *c == '\\')
      at += sprintf(at, "\\%c", *c);
    else if ((unsigned char)*c < 0x20)
      at += sprintf(at, "\\u%04x", (unsigned)*c);
    else
      *at++ = *c;
  }
  sprintf(at, "\"]");
  return text;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: ask [--sim] QUESTION\n");
    return 2;
  }
  const char *flags[] = {argc > 2 ? argv[1] : NULL, NULL};
  struct stoke_options options = {.flags = flags, .event = on_event};
  struct stoke_error e;
  int code = -1;
  host = stoke_open(&options, &e);
  char *question = arguments(argv[argc - 1]), *loaded = host ? stoke_run_chunk(host, "clerk", AGENT, &e) : NULL;
  unsigned long call = loaded && question ? stoke_begin(host, "clerk.ask", question, on_done, &code, &e) : 0;
  free(loaded);
  free(question);
  if (!call) {
    fprintf(stderr, "ask: %s\n", e.message);
    stoke_close(host);
    return 1;
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, on_interrupt);
  while (stoke_turn(host, -1) > 0) {
    if (interrupted) stoke_cancel(host, call);
  }
  stoke_close(host);
  return code;
}
