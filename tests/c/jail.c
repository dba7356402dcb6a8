/* jail.c - work below a root while another thread swaps its folders and files for links and fifos as
 * fast as it can: nothing outside is ever read, listed or changed. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fence/jail.h"

#define ROUNDS 4000
#define SECRET "the canary sings"
#define MINE   "mine"

static struct {
  char base[64], root[80];
  atomic_bool over;
  size_t swaps, done, refused;
  const char *wrong;
} world;

static void put(const char *name, const char *text) {
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
  CHECK(fd >= 0);
  CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  close(fd);
}

/* From here on the working folder is the base: root/ and outside/. */
static void make_world(void) {
  const char *tmp = getenv("TMPDIR");
  snprintf(world.base, sizeof world.base, "%.40s/jail.XXXXXX", tmp ? tmp : "/tmp");
  CHECK(mkdtemp(world.base) && chdir(world.base) == 0);
  snprintf(world.root, sizeof world.root, "%s/root", world.base);
  static const char *const folders[] = {"root", "root/dir", "root/dir/sub", "outside", "outside/sub"};
  for (size_t i = 0; i < COUNT_OF(folders); i++) CHECK(mkdir(folders[i], 0755) == 0);
  static const char *const files[] = {"root/dir/secret", "root/dir/sub/secret", "root/file", "root/piped", "root/log"};
  for (size_t i = 0; i < COUNT_OF(files); i++) put(files[i], MINE);
  put("outside/canary", SECRET); /* the name to look for in lists */
  put("outside/secret", SECRET);
  put("outside/sub/secret", SECRET);
  CHECK(symlink("../outside", "root/dir.other") == 0);
  CHECK(symlink("../outside/secret", "root/file.other") == 0);
  CHECK(symlink("../outside/secret", "root/log.other") == 0);
  CHECK(mkfifo("root/piped.other", 0644) == 0);
}

static bool exchange(const char *a, const char *b) {
#ifdef SYS_renameat2
  return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2u /* RENAME_EXCHANGE */) == 0;
#else
  (void)a, (void)b;
  return false;
#endif
}

static void *swapper(void *arg) {
  (void)arg;
  while (!atomic_load(&world.over)) {
    CHECK(exchange("root/dir", "root/dir.other"));
    CHECK(exchange("root/file", "root/file.other"));
    CHECK(exchange("root/piped", "root/piped.other"));
    CHECK(exchange("root/log", "root/log.other"));
    world.swaps++;
  }
  return NULL;
}

static void fail(const char *what) {
  if (!world.wrong) world.wrong = what;
}

static void judge(const struct jail *j) {
  if (!j->err.kind)
    world.done++;
  else if (strcmp(j->err.kind, "denied") == 0)
    world.refused++;
  else if (strcmp(j->err.kind, "os") != 0)
    fail("an error of another kind");
}

static void work(enum jail_verb verb, const char *path, bool walk, bool append, bool more) {
  struct jail j = {.verb = verb, .root = world.root, .path = path, .path_len = strlen(path), .walk = walk};
  j.max = 1000;
  j.data = "EVIL";
  j.size = 4;
  j.token = "test";
  j.mode = -1;
  j.append = append;
  j.parents = j.recursive = more;
  jail_run(&j);
  judge(&j);
  if (verb == JAIL_READ && !j.err.kind && (j.len != strlen(MINE) || memcmp(j.bytes, MINE, j.len) != 0)) {
    fail(j.len == strlen(SECRET) ? "the outside was read" : "something else was read");
  }
  for (size_t i = 0; verb == JAIL_LIST && i < j.len; i++) {
    if (strcmp(j.entries[i].name, "canary") == 0) fail("the outside was listed");
  }
  jail_free(&j);
}

static void rounds(bool walk) {
  for (int i = 0; i < ROUNDS && !world.wrong; i++) {
    work(JAIL_READ, "dir/secret", walk, false, false);
    work(JAIL_READ, "dir/sub/secret", walk, false, false);
    work(JAIL_READ, "file", walk, false, false);
    work(JAIL_READ, "piped", walk, false, false);
    work(JAIL_LIST, "dir", walk, false, false);
    work(JAIL_WRITE, "log", walk, true, false);
    work(JAIL_MKDIR, "dir/made/deep", walk, false, true);
    work(JAIL_REMOVE, "dir/made", walk, false, true);
    if (i % 20 == 0) work(JAIL_WRITE, "dir/new", walk, false, false);
  }
}

static bool holds(const char *folder, size_t count) {
  DIR *d = opendir(folder);
  CHECK(d);
  while (readdir(d)) count--;
  closedir(d);
  return count == 0;
}

static bool is_secret(const char *name) {
  char text[64];
  int fd = open(name, O_RDONLY);
  CHECK(fd >= 0);
  ssize_t n = read(fd, text, sizeof text);
  close(fd);
  return n == (ssize_t)strlen(SECRET) && memcmp(text, SECRET, (size_t)n) == 0;
}

static void remove_world(void) {
  struct tree t = {.path = world.base, .dir = AT_FDCWD};
  CHECK(chdir("/") == 0);
  tree_remove(&t);
}

int main(void) {
  pthread_t thread;
  make_world();
  if (!exchange("root/dir", "root/dir.other")) {
    printf("jail: this file system cannot exchange names; nothing is shown\n");
    remove_world();
    return 0;
  }
  CHECK(pthread_create(&thread, NULL, swapper, NULL) == 0);
  if (jail_by_kernel()) rounds(false);
  rounds(true);
  atomic_store(&world.over, true);
  pthread_join(thread, NULL);
  if (!holds("outside", 5) || !holds("outside/sub", 3)) fail("the outside has other names");
  if (!is_secret("outside/secret") || !is_secret("outside/sub/secret")) fail("the outside was written");
  if (world.swaps < 100 || world.done < 100 || world.refused < 100) fail("nothing was ever swapped while it was used");
  printf("jail: %s; %zu swaps, %zu done, %zu refused\n", world.wrong ? world.wrong : "well", world.swaps, world.done,
         world.refused);
  remove_world();
  return world.wrong ? 1 : 0;
}
