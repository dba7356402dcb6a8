/* shape.c - fuzz target: a line that fits the shape of another is one that the picker takes, with the same text. The input is
 * two lines or three. */
#include <string.h>

#include "json/json.h"
#include "json/line_predict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char words[] = "model created_at message.role message.content:text message.thinking:second done=false";
  const char *why = NULL, *first = (const char *)data, *end = first + size, *found;
  const char *second = size ? memchr(first, '\n', size) : NULL;
  char scratch[256];
  struct pick_spec spec;
  struct shape shape = {0};
  struct pick a, b;
  size_t len;
  CHECK(pick_compile(&spec, words, &why));
  if (!second) return 0;
  if (pick_line(&spec, first, (size_t)(second - first), scratch, sizeof scratch, &a) != PICK_PLAIN || a.len == 0)
    return 0;
  bool unescaped = a.text >= first && a.text < second;
  if (!unescaped) return 0;
  shape_learn(&shape, first, (size_t)(second - first), a.text);
  second++;
  /* the input may have a third line: what the first two have in common is fixed then */
  const char *third = memchr(second, '\n', (size_t)(end - second));
  if (third) {
    if (shape_match(&shape, second, (size_t)(third - second), &found, &len) != SHAPE_HIT) return 0;
    shape_narrow(&shape, second, (size_t)(third - second));
    second = third + 1;
  }
  if (shape_match(&shape, second, (size_t)(end - second), &found, &len) != SHAPE_HIT) return 0;
  CHECK(pick_line(&spec, second, (size_t)(end - second), scratch, sizeof scratch, &b) == PICK_PLAIN);
  CHECK(b.len == len && (len == 0 || (b.text == found && b.second == a.second)));
  return 0;
}
