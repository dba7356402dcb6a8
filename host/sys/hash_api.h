/* hash_api.h - every function of libcrypto that host/ calls, once; crypto.EVP_sha256() is EVP_sha256(). */
#ifndef STOKE_HASH_API_H
#define STOKE_HASH_API_H

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "loop/err.h"

#define CRYPTO_FUNCTIONS(X)                                                                                            \
  X(OpenSSL_version) X(EVP_sha256) X(EVP_EncodeBlock)                                                                  \
  X(EVP_MD_CTX_new) X(EVP_MD_CTX_free) X(EVP_MD_CTX_copy_ex)                                                           \
  X(EVP_DigestInit_ex) X(EVP_DigestUpdate) X(EVP_DigestFinal_ex)

#define CRYPTO_MEMBER(name) __typeof__(name) *name;
struct crypto_api {
  CRYPTO_FUNCTIONS(CRYPTO_MEMBER)
};
#undef CRYPTO_MEMBER

extern struct crypto_api crypto;

/* Before the first call of one; later ones cost a look. False with e filled: libcrypto is not there. */
bool crypto_api_open(struct err *e);

#endif
