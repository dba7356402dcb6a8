/* nats.c - what bare libnats does with a server: messages published to JetStream without waiting for each answer, and
 * messages fetched from a durable consumer and acknowledged.
 *   nats URL STREAM COUNT BATCH */
#ifdef HAVE_NATS
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE 512

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(natsStatus s, const char *what) {
  if (s == NATS_OK) return;
  fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(s));
  exit(1);
}

static double publish(jsCtx *js, const char *subject, int count) {
  char data[SIZE];
  memset(data, 'x', sizeof data);
  double began = now();
  for (int i = 0; i < count; i++) check(js_PublishAsync(js, subject, data, sizeof data, NULL), "publish");
  jsPubOptions wait;
  jsPubOptions_Init(&wait);
  wait.MaxWait = 60000;
  check(js_PublishAsyncComplete(js, &wait), "publish");
  return count / (now() - began);
}

static double work(jsCtx *js, const char *subject, int count, int batch) {
  natsSubscription *sub = NULL;
  check(js_PullSubscribe(&sub, js, subject, "bare", NULL, NULL, NULL), "subscribe");
  double began = now();
  for (int done = 0; done < count;) {
    natsMsgList list;
    check(natsSubscription_Fetch(&list, sub, batch, 5000, NULL), "fetch");
    for (int i = 0; i < list.Count; i++) check(natsMsg_Ack(list.Msgs[i], NULL), "ack");
    done += list.Count;
    natsMsgList_Destroy(&list);
  }
  double took = now() - began;
  natsSubscription_Destroy(sub);
  return count / took;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  char name[80];
  natsConnection *nc = NULL;
  jsCtx *js = NULL;
  jsOptions options;
  jsStreamConfig config;
  snprintf(name, sizeof name, "bare-%s", argv[2]);
  const char *subjects[] = {name};
  check(natsConnection_ConnectTo(&nc, argv[1]), "connect");
  jsOptions_Init(&options);
  options.PublishAsync.MaxPending = 4000;
  check(natsConnection_JetStream(&js, nc, &options), "JetStream");
  jsStreamConfig_Init(&config);
  config.Name = name;
  config.Subjects = subjects;
  config.SubjectsLen = 1;
  check(js_AddStream(NULL, js, &config, NULL, NULL), "stream");
  int count = atoi(argv[3]);
  double published = publish(js, name, count);
  double done = work(js, name, count, atoi(argv[4]));
  printf("publish_s=%.0f\ndone_s=%.0f\n", published, done);
  jsCtx_Destroy(js);
  natsConnection_Destroy(nc);
  nats_Close();
  return 0;
}
#else
int main(void) { return 2; }
#endif
