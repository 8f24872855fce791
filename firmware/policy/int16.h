/* The inner product of the int16 kernels: two 16-bit products at a time (SMLAD) where the core has the DSP extension,
 * the same bits in C elsewhere. A pair is one word, its first element in the low half, whatever the byte order. */
#ifndef RS_INT16_H
#define RS_INT16_H

#include <stdint.h>

/* The two's complement number in the low or the high 16 bits. */
static inline int32_t rs_low(uint32_t pair) { return (int32_t)((pair & 0xFFFFu) ^ 0x8000u) - 0x8000; }
static inline int32_t rs_high(uint32_t pair) { return rs_low(pair >> 16); }

typedef struct {
  int32_t row[4];
} rs_sums_t;

/* s.row[r] += low(w[r]) low(x) + high(w[r]) high(x), for four rows; returns the next four words of w. Whoever calls it
 * has made sure that no sum leaves 32 bits. */
#if defined(__ARM_FEATURE_SIMD32) && defined(__thumb2__) && defined(__GNUC__)
static inline const uint32_t *rs_column(rs_sums_t *s, const uint32_t *w, uint32_t x) {
  __asm__("ldmia %[w]!, {r8-r11}\n\t" /* one load of four words: compilers scatter them, at two cycles each */
          "smlad %[s0], r8, %[x], %[s0]\n\t"
          "smlad %[s1], r9, %[x], %[s1]\n\t"
          "smlad %[s2], r10, %[x], %[s2]\n\t"
          "smlad %[s3], r11, %[x], %[s3]"
          : [w] "+&r"(w), [s0] "+&r"(s->row[0]), [s1] "+&r"(s->row[1]), [s2] "+&r"(s->row[2]), [s3] "+&r"(s->row[3])
          : [x] "r"(x)
          : "r8", "r9", "r10", "r11", "memory");
  return w;
}
#else
static inline const uint32_t *rs_column(rs_sums_t *s, const uint32_t *w, uint32_t x) {
  for (uint32_t r = 0; r < 4u; r++) {
    s->row[r] += rs_low(w[r]) * rs_low(x) + rs_high(w[r]) * rs_high(x);
  }
  return w + 4;
}
#endif

#endif
