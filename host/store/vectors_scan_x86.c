/* vectors_scan_x86.c - kernels of x86-64, each compiled for its processors by an attribute and chosen at run time. Codes of 8 bits are
 * widened to 16, multiplied and added in pairs: one instruction for 8, 16 or 32 products. */
#include "vectors_impl.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* The processor's own prefetching ends with each page of 4096 bytes: ask for what comes then. Beyond the codes it does nothing. */
#define AHEAD 4096

static void scan_sse2(const int8_t *codes, size_t stride, size_t rows, const int16_t *query, int32_t *dots) {
  for (size_t i = 0; i < rows; i++, codes += stride) {
    __m128i a = _mm_setzero_si128(), b = a;
    for (size_t j = 0; j < stride; j += 16) {
      __m128i c = _mm_loadu_si128((const __m128i *)(codes + j));
      __m128i low = _mm_srai_epi16(_mm_unpacklo_epi8(c, c), 8), high = _mm_srai_epi16(_mm_unpackhi_epi8(c, c), 8);
      a = _mm_add_epi32(a, _mm_madd_epi16(low, _mm_loadu_si128((const __m128i *)(query + j))));
      b = _mm_add_epi32(b, _mm_madd_epi16(high, _mm_loadu_si128((const __m128i *)(query + j + 8))));
    }
    a = _mm_add_epi32(a, b);
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1));
    dots[i] = _mm_cvtsi128_si32(a);
  }
}

__attribute__((target("avx2"))) static void scan_avx2(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                                                      int32_t *dots) {
  for (size_t i = 0; i < rows; i++, codes += stride) {
    __m256i a = _mm256_setzero_si256(), b = a;
    for (size_t j = 0; j < stride; j += 32) {
      if (j % 64 == 0) __builtin_prefetch(codes + j + AHEAD);
      __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(codes + j)));
      __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(codes + j + 16)));
      a = _mm256_add_epi32(a, _mm256_madd_epi16(low, _mm256_loadu_si256((const __m256i *)(query + j))));
      b = _mm256_add_epi32(b, _mm256_madd_epi16(high, _mm256_loadu_si256((const __m256i *)(query + j + 16))));
    }
    a = _mm256_add_epi32(a, b);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    dots[i] = _mm_cvtsi128_si32(sum);
  }
}

__attribute__((target("avx512f,avx512bw"))) static void scan_avx512(const int8_t *codes, size_t stride, size_t rows,
                                                                    const int16_t *query, int32_t *dots) {
  for (size_t i = 0; i < rows; i++, codes += stride) {
    __m512i a = _mm512_setzero_si512(), b = a;
    for (size_t j = 0; j < stride; j += 64) {
      __builtin_prefetch(codes + j + AHEAD);
      __m512i low = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(codes + j)));
      __m512i high = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(codes + j + 32)));
      a = _mm512_add_epi32(a, _mm512_madd_epi16(low, _mm512_loadu_si512(query + j)));
      b = _mm512_add_epi32(b, _mm512_madd_epi16(high, _mm512_loadu_si512(query + j + 32)));
    }
    dots[i] = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
  }
}

size_t vectors_scan_x86(struct vectors_kernel out[4]) {
  size_t n = 0;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
    out[n++] = (struct vectors_kernel){"avx512", scan_avx512};
  if (__builtin_cpu_supports("avx2")) out[n++] = (struct vectors_kernel){"avx2", scan_avx2};
  out[n++] = (struct vectors_kernel){"sse2", scan_sse2};
  return n;
}

#else

size_t vectors_scan_x86(struct vectors_kernel out[4]) {
  (void)out;
  return 0;
}

#endif
