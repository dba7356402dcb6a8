/* store_rows.h - values on their way between Lua and SQLite, packed: statements with their parameters, and results. Knows
 * neither. A value is a byte for its type, then 8 bytes of a number, or 4 bytes of a length and the bytes. */
#ifndef STOKE_STORE_ROWS_H
#define STOKE_STORE_ROWS_H

#include "base.h"

enum store_type { STORE_NULL, STORE_INTEGER, STORE_FLOAT, STORE_TEXT, STORE_BLOB, STORE_NAME };

struct store_value {
  enum store_type type;
  int64_t integer;
  double number;
  const char *bytes; /* not the value's: valid as long as what it was read from */
  size_t len;        /* < 2^31 */
};

#define STORE_LEN_MAX 0x7fffffffu

size_t store_value_size(const struct store_value *v);
/* Both return where the next one goes, or comes. Text is followed by a zero that does not count. */
char *store_value_write(char *at, const struct store_value *v);
const char *store_value_read(const char *at, struct store_value *v);

/* What a statement gave. The bytes are malloc'ed, by whichever thread ran it. */
struct store_rows {
  size_t rows, columns;
  char *names; /* `columns` texts, packed as values */
  char *bytes; /* rows x columns values */
  size_t len, room, names_len;
  bool more; /* there were more rows than asked for */
};

/* Room for one value more behind the last; NULL = no memory. What is written there counts once len was raised. */
char *store_rows_room(struct store_rows *r, size_t size);
void store_rows_free(struct store_rows *r); /* and empty again */

#endif
