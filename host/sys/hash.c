/* hash.c - see hash.h. A struct hash is an EVP_MD_CTX; libcrypto allocates it. */
#include "hash.h"

#include "hash_api.h"

bool hash_open(struct err *e) {
  return crypto_api_open(e);
}

static bool opened(void) {
  struct err missing;
  return crypto_api_open(&missing);
}

void hash_to_hex(const unsigned char digest[HASH_SIZE], char out[HASH_HEX_SIZE]) {
  for (unsigned i = 0; i < HASH_SIZE; i++) {
    out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  out[2 * HASH_SIZE] = '\0';
}

/* One context a thread is kept and begun anew: to find the algorithm again costs ten times what hashing a short text does. */
bool hash_sha256_raw(const void *bytes, size_t len, unsigned char out[HASH_SIZE]) {
  static _Thread_local struct hash *kept;
  unsigned size = 0;
  if (!kept && !(kept = hash_new())) return false;
  EVP_MD_CTX *ctx = (EVP_MD_CTX *)kept;
  return crypto.EVP_DigestInit_ex(ctx, NULL, NULL) == 1 && crypto.EVP_DigestUpdate(ctx, bytes, len) == 1 &&
         crypto.EVP_DigestFinal_ex(ctx, out, &size) == 1 && size == HASH_SIZE;
}

bool hash_sha256(const void *bytes, size_t len, char out[HASH_HEX_SIZE]) {
  unsigned char digest[HASH_SIZE];
  if (!hash_sha256_raw(bytes, len, digest)) return false;
  hash_to_hex(digest, out);
  return true;
}

struct hash *hash_new(void) {
  if (!opened()) return NULL;
  EVP_MD_CTX *ctx = crypto.EVP_MD_CTX_new();
  if (ctx && !crypto.EVP_DigestInit_ex(ctx, crypto.EVP_sha256(), NULL)) {
    crypto.EVP_MD_CTX_free(ctx);
    ctx = NULL;
  }
  return (struct hash *)ctx;
}

bool hash_update(struct hash *h, const void *bytes, size_t len) {
  return crypto.EVP_DigestUpdate((EVP_MD_CTX *)h, bytes, len) == 1;
}

bool hash_final(struct hash *h, char out[HASH_HEX_SIZE]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_MD_CTX *copy = crypto.EVP_MD_CTX_new(); /* finishing spoils a context, so finish a copy */
  bool ok = copy && crypto.EVP_MD_CTX_copy_ex(copy, (EVP_MD_CTX *)h) && crypto.EVP_DigestFinal_ex(copy, digest, &size);
  crypto.EVP_MD_CTX_free(copy);
  CHECK(!ok || size == HASH_SIZE);
  if (ok) hash_to_hex(digest, out);
  return ok;
}

void hash_free(struct hash *h) {
  crypto.EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

size_t hash_base64(const void *bytes, size_t len, char *out) {
  return (size_t)crypto.EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}
