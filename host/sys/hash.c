/* hash.c - see hash.h. A struct hash is an EVP_MD_CTX; libcrypto allocates it. */
#include "hash.h"

#include <openssl/evp.h>

void hash_to_hex(const unsigned char digest[HASH_SIZE], char out[HASH_HEX_SIZE]) {
  for (unsigned i = 0; i < HASH_SIZE; i++) {
    out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  out[2 * HASH_SIZE] = '\0';
}

bool hash_sha256_raw(const void *bytes, size_t len, unsigned char out[HASH_SIZE]) {
  unsigned size = HASH_SIZE;
  return EVP_Digest(bytes, len, out, &size, EVP_sha256(), NULL) == 1 && size == HASH_SIZE;
}

bool hash_sha256(const void *bytes, size_t len, char out[HASH_HEX_SIZE]) {
  unsigned char digest[HASH_SIZE];
  if (!hash_sha256_raw(bytes, len, digest)) return false;
  hash_to_hex(digest, out);
  return true;
}

struct hash *hash_new(void) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  if (ctx && !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)) {
    EVP_MD_CTX_free(ctx);
    ctx = NULL;
  }
  return (struct hash *)ctx;
}

bool hash_update(struct hash *h, const void *bytes, size_t len) {
  return EVP_DigestUpdate((EVP_MD_CTX *)h, bytes, len) == 1;
}

bool hash_final(struct hash *h, char out[HASH_HEX_SIZE]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_MD_CTX *copy = EVP_MD_CTX_new(); /* finishing spoils a context, so finish a copy */
  bool ok = copy && EVP_MD_CTX_copy_ex(copy, (EVP_MD_CTX *)h) && EVP_DigestFinal_ex(copy, digest, &size);
  EVP_MD_CTX_free(copy);
  CHECK(!ok || size == HASH_SIZE);
  if (ok) hash_to_hex(digest, out);
  return ok;
}

void hash_free(struct hash *h) {
  EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

size_t hash_base64(const void *bytes, size_t len, char *out) {
  return (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}
