/* hash.h - SHA-256 out of libcrypto, as lower-case hex, and base64. Knows no Lua. */
#ifndef STOKE_HASH_H
#define STOKE_HASH_H

#include "base.h"
#include "loop/err.h"

#define HASH_SIZE     32
#define HASH_HEX_SIZE 65 /* with the NUL */

struct hash; /* a digest being fed */

/* Opens libcrypto; false, with e filled, if it is missing. Without this call a missing library looks like a lack of memory. Must be
 * called before hash_base64. */
bool hash_open(struct err *e);
bool hash_sha256(const void *bytes, size_t len, char out[HASH_HEX_SIZE]); /* false = out of memory */
bool hash_sha256_raw(const void *bytes, size_t len, unsigned char out[HASH_SIZE]);
void hash_to_hex(const unsigned char digest[HASH_SIZE], char out[HASH_HEX_SIZE]);
struct hash *hash_new(void); /* NULL = out of memory */
bool hash_update(struct hash *h, const void *bytes, size_t len);
bool hash_final(struct hash *h, char out[HASH_HEX_SIZE]); /* of the bytes fed so far; feeding may continue */
void hash_free(struct hash *h);

/* Base64 with padding, in one line; out holds (len + 2) / 3 * 4 + 1 bytes, len is at most HASH_BASE64_MAX. Returns its length. */
#define HASH_BASE64_MAX ((size_t)INT32_MAX / 4 * 3)
size_t hash_base64(const void *bytes, size_t len, char *out);

#endif
