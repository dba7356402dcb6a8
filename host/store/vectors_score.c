/* vectors_score.c - scores from f32. The product of two f32 is exact in double, fused with the addition or not; the sums stand side by
 * side in one order. So the score of two vectors is the same number on every machine. */
#include <math.h>

#include "vectors_impl.h"

#define LANES 8

double vectors_dot(const float *a, const float *b, size_t n) {
  double sums[LANES] = {0};
  size_t j = 0;
  for (; j + LANES <= n; j += LANES) {
    for (size_t i = 0; i < LANES; i++) sums[i] += (double)a[j + i] * (double)b[j + i];
  }
  for (size_t i = 0; j + i < n; i++) sums[i] += (double)a[j + i] * (double)b[j + i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

bool vectors_finite(const float *a, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(a[i])) return false;
  }
  return true;
}
