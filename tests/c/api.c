/* api.c - libstoke as a C program uses it: values, errors, calls side by side, events, cancelling, what never ends, the end. */
#include "api/stoke.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"

static const char CLERK[] = "local embedder = require 'stoke.embedder'\n"
                            "local stoke = require 'stoke'\n"
                            "local bot = stoke.agent { name = 'clerk', model = 'qwen2.5:3b' }\n"
                            "local M = {}\n"
                            "function M.add(a, b) return a + (b or 100) end\n"
                            "function M.both(list) return { list = list, count = #list } end\n"
                            "function M.nothing() end\n"
                            "function M.fails() stoke.http.get 'http://127.0.0.1:9/' end\n"
                            "function M.raises() local t; return t.x end\n"
                            "function M.no_data() return print end\n"
                            "function M.ask(question) return bot:run(question).text end\n"
                            "function M.slow(seconds) stoke.sleep(seconds); return seconds end\n"
                            "function M.stuck() stoke.channel():recv() end\n"
                            "function M.count(n) for i = 1, n do embedder.emit('count', { i = i }) end return n end\n"
                            "function M.exits() os.exit(3) end\n"
                            "function M.jailed() return stoke.proc.run { argv = { 'true' }, sandbox = true }.code end\n"
                            "return M\n";

static const char SCRIPT[] = "local stoke = require 'stoke'\n"
                             "stoke.main(function(args) require('stoke.embedder').emit('words', args) end)\n";

static int bad;

static void expect(const char *what, bool ok, const char *got) {
  if (ok) return;
  printf("%s: got %s\n", what, got ? got : "nothing");
  bad = 1;
}

static void same(const char *what, char *got, const char *wanted, const struct stoke_error *e) {
  expect(what, got && strcmp(got, wanted) == 0, got ? got : e->message);
  free(got);
}

static void fails(const char *what, char *got, const struct stoke_error *e, const char *kind, const char *message) {
  expect(what, !got && strcmp(e->kind, kind) == 0, got ? got : e->kind);
  expect(what, strstr(e->message, message) != NULL, e->message);
  free(got);
}

static void write_file(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static char heard[400];

static void on_event(void *user, const char *name, const char *json, size_t len) {
  (void)user;
  expect("the length of an event", strlen(json) == len, json);
  size_t used = strlen(heard);
  snprintf(heard + used, sizeof heard - used, "%s %s;", name, json);
}

static void said(const char *what, const char *wanted) {
  expect(what, strcmp(heard, wanted) == 0, heard);
  heard[0] = 0;
}

struct end {
  char json[100], kind[32];
  int times;
};

static void on_done(void *user, const char *json, const struct stoke_error *e) {
  struct end *end = user;
  end->times++;
  snprintf(end->json, sizeof end->json, "%s", json ? json : "");
  snprintf(end->kind, sizeof end->kind, "%s", e ? e->kind : "");
}

static void values(stoke *s) {
  struct stoke_error e = {0};
  same("a call", stoke_call(s, "clerk.add", "[2, 40]", &e), "42", &e);
  same("a null is a nil", stoke_call(s, "clerk.add", "[2, null]", &e), "102", &e);
  same("a list", stoke_call(s, "clerk.both", "[[1, \"two\"]]", &e), "{\"count\":2,\"list\":[1,\"two\"]}", &e);
  same("no value", stoke_call(s, "clerk.nothing", NULL, &e), "null", &e);
  same("the library", stoke_call(s, "stoke.json.encode", "[[1]]", &e), "\"[1]\"", &e);
  same("a chunk", stoke_run_chunk(s, "sum", "return 1 + 2", &e), "3", &e);
  char *answer = stoke_call(s, "clerk.ask", "[\"Hello\"]", &e);
  expect("an agent answers", answer && strlen(answer) > 4, e.message);
  free(answer);
}

static void errors(stoke *s) {
  struct stoke_error e = {0};
  fails("an error keeps its kind", stoke_call(s, "clerk.fails", NULL, &e), &e, "refused", "");
  fails("a bug", stoke_call(s, "clerk.raises", NULL, &e), &e, "script", "index a nil value");
  fails("a function is no data", stoke_call(s, "clerk.no_data", NULL, &e), &e, "argument", "no data");
  fails("no such function", stoke_call(s, "clerk.ad", NULL, &e), &e, "argument", "no function ad");
  expect("its hint", strstr(e.hint, "clerk.add") != NULL, e.hint);
  fails("no such module", stoke_call(s, "klerk.add", NULL, &e), &e, "script", "klerk");
  fails("no module at all", stoke_call(s, "add", NULL, &e), &e, "argument", "MODULE.NAME");
  fails("arguments that are no JSON", stoke_call(s, "clerk.add", "[1,", &e), &e, "argument", "no JSON");
  fails("arguments that are no array", stoke_call(s, "clerk.add", "{\"a\":1}", &e), &e, "argument", "array");
  fails("a chunk that does not compile", stoke_run_chunk(s, "sum", "return +", &e), &e, "script", "sum:1");
  fails("os.exit ends the call alone", stoke_call(s, "clerk.exits", NULL, &e), &e, "exit", "os.exit");
  fails("no sandbox without the program", stoke_call(s, "clerk.jailed", NULL, &e), &e, "denied", "libstoke");
  fails("what nothing can wake", stoke_call(s, "clerk.stuck", NULL, &e), &e, "script", "deadlock");
  expect("no such file", !stoke_run_file(s, "nowhere.lua", NULL, &e) && strcmp(e.kind, "usage") == 0, e.kind);
  same("it goes on after all that", stoke_call(s, "clerk.add", "[1, 1]", NULL), "2", &e);
}

static void side_by_side(stoke *s) {
  struct stoke_error e = {0};
  struct end ends[3] = {0};
  expect("three calls begin", stoke_begin(s, "clerk.slow", "[0.2]", on_done, &ends[0], &e) != 0, e.message);
  unsigned long second = stoke_begin(s, "clerk.slow", "[3600]", on_done, &ends[1], &e);
  expect("a call that fails begins, too", stoke_begin(s, "clerk.fails", NULL, on_done, &ends[2], &e) != 0, e.message);
  expect("they wait for the first turn", ends[2].times == 0, "an end");
  for (int i = 0; i < 1000 && stoke_turn(s, 1) > 1;) i++;
  expect("the first ends", ends[0].times == 1 && strcmp(ends[0].json, "0.2") == 0, ends[0].json);
  expect("the third fails", ends[2].times == 1 && strcmp(ends[2].kind, "refused") == 0, ends[2].kind);
  expect("the second goes on", ends[1].times == 0, ends[1].kind);
  expect("it is cancelled", stoke_cancel(s, second), "no");
  while (stoke_turn(s, 1) > 0) continue;
  expect("and told so", ends[1].times == 1 && strcmp(ends[1].kind, "cancelled") == 0, ends[1].kind);
  expect("once", !stoke_cancel(s, second), "again");
}

static void another_loop(stoke *s) {
  struct stoke_error e = {0};
  struct end end = {0};
  CHECK(stoke_begin(s, "clerk.slow", "[0.05]", on_done, &end, &e));
  int polls = 0;
  for (; end.times == 0 && polls < 1000; polls++) {
    double wait = stoke_wait(s);
    struct pollfd p = {.fd = stoke_fd(s), .events = POLLIN};
    (void)poll(&p, 1, wait < 0 ? 1000 : (int)(wait * 1000));
    (void)stoke_turn(s, 0);
  }
  char text[20];
  snprintf(text, sizeof text, "%d polls", polls);
  expect("a loop of the program's own turns it", end.times == 1 && polls < 100, text);
  expect("nothing is left to wait for", stoke_turn(s, -1) == 0, "a call");
}

static void a_callback(void *user, const char *json, const struct stoke_error *e) {
  struct stoke_error refused = {0};
  (void)json, (void)e;
  fails("a callback must not wait", stoke_call(user, "clerk.nothing", NULL, &refused), &refused, "argument", "a callback");
  CHECK(stoke_begin(user, "clerk.count", "[1]", NULL, NULL, NULL));
}

static void events(stoke *s) {
  struct stoke_error e = {0};
  const char *const words[] = {"a", "b c", NULL};
  free(stoke_call(s, "clerk.count", "[3]", &e));
  said("events come in their order", "count {\"i\":1};count {\"i\":2};count {\"i\":3};");
  expect("a script runs", stoke_run_file(s, "script.lua", words, &e), e.message);
  said("with its words", "words [\"a\",\"b c\"];");
  CHECK(stoke_begin(s, "clerk.nothing", NULL, a_callback, s, &e));
  while (stoke_turn(s, 1) > 0) continue;
  said("a callback may begin a call", "count {\"i\":1};");
}

int main(void) {
  char folder[] = "/tmp/stoke-api-XXXXXX";
  CHECK(mkdtemp(folder) && chdir(folder) == 0);
  write_file("clerk.lua", CLERK);
  write_file("script.lua", SCRIPT);
  static const char *const flags[] = {"--sim", "--log", "off", NULL}, *const wrong[] = {"--simm", NULL};
  struct stoke_options options = {.flags = wrong, .event = on_event};
  struct stoke_error e = {0};
  expect("a flag that is none", !stoke_open(&options, &e) && strcmp(e.kind, "usage") == 0, e.message);
  options.flags = flags;
  stoke *s = stoke_open(&options, &e), *other = stoke_open(&options, NULL);
  expect("it opens", s && other, e.message);
  if (bad) return bad;
  expect("a file is loaded", stoke_load(s, "clerk.lua", &e), e.message);
  values(s);
  errors(s);
  side_by_side(s);
  another_loop(s);
  events(s);
  same("a host beside it", stoke_call(other, "clerk.add", "[1, 2]", &e), "3", &e);
  struct end end = {0};
  CHECK(stoke_begin(other, "clerk.slow", "[3600]", on_done, &end, &e));
  stoke_close(other);
  expect("closing ends what runs", end.times == 1 && strcmp(end.kind, "cancelled") == 0, end.kind);
  stoke_close(s);
  stoke_close(NULL);
  CHECK(unlink("clerk.lua") == 0 && unlink("script.lua") == 0 && chdir("/") == 0 && rmdir(folder) == 0);
  return bad;
}
