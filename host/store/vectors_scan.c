/* vectors_scan.c - the kernel in plain C, which compilers turn into vector instructions of the base architecture (SSE2, NEON), and the
 * choice among all kernels. */
#include <string.h>

#include "vectors_impl.h"

/* 16 sums side by side: the compiler has a constant number of turns to unroll. */
static void scan_plain(const int8_t *codes, size_t stride, size_t rows, const int16_t *query, int32_t *dots) {
  for (size_t i = 0; i < rows; i++, codes += stride) {
    int32_t sums[16] = {0}, sum = 0;
    for (size_t j = 0; j < stride; j += 16) {
      for (size_t n = 0; n < 16; n++) sums[n] += (int32_t)codes[j + n] * query[j + n];
    }
    for (size_t n = 0; n < 16; n++) sum += sums[n];
    dots[i] = sum;
  }
}

#define KERNELS 5
static struct vectors_kernel kernels[KERNELS];
static size_t kernel_count;
static vectors_scan *chosen;

static void look(void) {
  if (kernel_count > 0) return;
  kernel_count = vectors_scan_x86(kernels);
  kernels[kernel_count++] = (struct vectors_kernel){"plain", scan_plain};
  chosen = kernels[0].scan;
}

vectors_scan *vectors_scan_chosen(void) {
  look();
  return chosen;
}

const char *vectors_kernel(size_t i) {
  look();
  return i < kernel_count ? kernels[i].name : NULL;
}

bool vectors_use(const char *name) {
  look();
  for (size_t i = 0; i < kernel_count; i++) {
    if (name && strcmp(kernels[i].name, name) != 0) continue;
    chosen = kernels[i].scan;
    return true;
  }
  return false;
}
