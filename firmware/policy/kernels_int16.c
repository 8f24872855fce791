#include "kernels_int16.h"

#include <math.h>

#include "int16.h"
#include "tanh_table.h"

#define ONE 32768 /* 1 as an activation: out of reach, the largest is one less */
#define LARGEST 32767
#define STEP_BITS 12u /* a step of the table is 2^-5, an argument comes in units of 2^-17 */

/* C99 leaves this conversion and the shift of a negative number to the compiler; ours must do the usual. */
typedef char rs_twos_complement[(int32_t)0xFFFFFFFFu == -1 && (-2 >> 1) == -1 ? 1 : -1];

/* v to the nearest integer, held within +-limit < 2^22; of what is no finite number, NaN is left in *not_finite. */
static inline int32_t nearest(float v, float limit, float *not_finite) {
  if (!(fabsf(v) < limit)) {
    *not_finite += v - v;
    v = v > 0.0f ? limit : -limit;
  }
  return (int32_t)(v + (limit + 1.5f)) - (int32_t)(limit + 1.0f);
}

/* Element i of pairs; elements come in order. */
static inline void put(uint32_t *pairs, uint32_t i, int32_t value) {
  const uint32_t bits = (uint32_t)value;
  pairs[i >> 1] = (i & 1u) != 0u ? pairs[i >> 1] | (bits << 16) : bits & 0xFFFFu;
}

float rs_quantise(const float *x, const float *scale, uint32_t *y, uint32_t size) {
  float not_finite = 0.0f;
  for (uint32_t i = 0; i < size; i++) {
    put(y, i, nearest(x[i] * scale[i], 32767.0f, &not_finite));
  }
  return not_finite;
}

void rs_dense_int16(const uint32_t *weights, const int32_t *bias, const uint8_t *shift, const uint32_t *x,
                    uint32_t pairs, int32_t *y, uint32_t rows) {
  for (uint32_t row = 0; row < rows; row += 4u) {
    const uint32_t by = shift[row / 4u];
    const int32_t half = (1 << by) >> 1;
    rs_sums_t s = {{half, half, half, half}};
    uint32_t i = 0;
    for (; pairs - i >= 4u; i += 4u) { /* enough to hide the loop */
      weights = rs_column(&s, weights, x[i]);
      weights = rs_column(&s, weights, x[i + 1u]);
      weights = rs_column(&s, weights, x[i + 2u]);
      weights = rs_column(&s, weights, x[i + 3u]);
    }
    for (; i < pairs; i++) {
      weights = rs_column(&s, weights, x[i]);
    }
    for (uint32_t r = 0; r < 4u; r++) {
      y[row + r] = bias[row + r] + (s.row[r] >> by);
    }
  }
}

/* 2^15 tanh of x in units of 2^-(5 + step_bits). */
static inline int32_t tanh_q15(int32_t x, uint32_t step_bits) {
  const int32_t sign = x >> 31;
  uint32_t size = (uint32_t)(x ^ sign) - (uint32_t)sign;
  const uint32_t end = (RS_TANH_STEPS << step_bits) - 1u; /* there the result is the largest int16 */
  size = size < end ? size : end;
  const uint16_t *at = rs_tanh_table + (size >> step_bits);
  const int32_t here = at[0];
  const int32_t part = (int32_t)(size & ((1u << step_bits) - 1u));
  const int32_t y = here + (((at[1] - here) * part + (1 << (step_bits - 1u))) >> step_bits);
  return (y ^ sign) - sign;
}

static inline uint32_t joined(int32_t low, int32_t high) { return ((uint32_t)low & 0xFFFFu) | ((uint32_t)high << 16); }

void rs_tanh_int16(const int32_t *x, uint32_t *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i += 2u) {
    y[i >> 1] = joined(tanh_q15(x[i], STEP_BITS), tanh_q15(x[i + 1u], STEP_BITS));
  }
}

/* 1/2 + 1/2 tanh(x/2) */
static inline int32_t sigmoid_1(int32_t x) {
  const int32_t y = (tanh_q15(x, STEP_BITS + 1u) + ONE + 1) >> 1;
  return y < LARGEST ? y : LARGEST;
}

void rs_sigmoid_int16(const int32_t *x, uint32_t *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i += 2u) {
    y[i >> 1] = joined(sigmoid_1(x[i]), sigmoid_1(x[i + 1u]));
  }
}

float rs_preactivation(const float *x, int32_t *y, uint32_t size) {
  float not_finite = 0.0f;
  for (uint32_t i = 0; i < size; i++) {
    y[i] = nearest(x[i] * 131072.0f, 2097152.0f, &not_finite); /* 16: beyond the end */
  }
  return not_finite;
}

void rs_sums_to_float(const int32_t *x, const float *unit, float not_finite, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = (float)x[i] * unit[i] + not_finite;
  }
}

void rs_pairs_to_float(const uint32_t *x, float not_finite, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    const int32_t element = (i & 1u) != 0u ? rs_high(x[i >> 1]) : rs_low(x[i >> 1]);
    y[i] = (float)element * (1.0f / 32768.0f) + not_finite;
  }
}
