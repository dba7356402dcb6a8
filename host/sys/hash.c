/* hash.c - see hash.h. A struct hash is an EVP_MD_CTX; libcrypto allocates it. */
#include "hash.h"

#include <openssl/evp.h>

static void to_hex(const unsigned char *digest, unsigned len, char out[HASH_HEX_SIZE]) {
  CHECK(len * 2 + 1 == HASH_HEX_SIZE);
  for (unsigned i = 0; i < len; i++) {
    out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  out[2 * len] = '\0';
}

bool hash_sha256(const void *bytes, size_t len, char out[HASH_HEX_SIZE]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (!EVP_Digest(bytes, len, digest, &size, EVP_sha256(), NULL)) return false;
  to_hex(digest, size, out);
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
  if (ok) to_hex(digest, size, out);
  return ok;
}

void hash_free(struct hash *h) {
  EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

size_t hash_base64(const void *bytes, size_t len, char *out) {
  return (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}
