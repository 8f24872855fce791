#include "kernels.h"

#ifdef __FAST_MATH__
#error "-ffast-math reorders sums and deletes NaN: the policy would not be the one that was verified"
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* Two inputs a turn: enough to hide the loop, few enough that all weights of a turn fit the registers. */
static const float *dense_8(const float *weights, const float *bias, const float *x, uint32_t inputs, float *y) {
  const float *w = weights;
  float s0 = bias[0];
  float s1 = bias[1];
  float s2 = bias[2];
  float s3 = bias[3];
  float s4 = bias[4];
  float s5 = bias[5];
  float s6 = bias[6];
  float s7 = bias[7];
  uint32_t i = 0;
  for (; inputs - i >= 2u; i += 2u) {
    const float u = x[i];
    const float v = x[i + 1u];
    s0 = s0 + w[0] * u + w[8] * v;
    s1 = s1 + w[1] * u + w[9] * v;
    s2 = s2 + w[2] * u + w[10] * v;
    s3 = s3 + w[3] * u + w[11] * v;
    s4 = s4 + w[4] * u + w[12] * v;
    s5 = s5 + w[5] * u + w[13] * v;
    s6 = s6 + w[6] * u + w[14] * v;
    s7 = s7 + w[7] * u + w[15] * v;
    w = &w[16];
  }
  if (i < inputs) {
    const float u = x[i];
    s0 += w[0] * u;
    s1 += w[1] * u;
    s2 += w[2] * u;
    s3 += w[3] * u;
    s4 += w[4] * u;
    s5 += w[5] * u;
    s6 += w[6] * u;
    s7 += w[7] * u;
    w = &w[8];
  }
  y[0] = s0;
  y[1] = s1;
  y[2] = s2;
  y[3] = s3;
  y[4] = s4;
  y[5] = s5;
  y[6] = s6;
  y[7] = s7;
  return w;
}

static const float *dense_4(const float *weights, const float *bias, const float *x, uint32_t inputs, float *y) {
  const float *w = weights;
  float s0 = bias[0];
  float s1 = bias[1];
  float s2 = bias[2];
  float s3 = bias[3];
  uint32_t i = 0;
  for (; inputs - i >= 2u; i += 2u) {
    const float u = x[i];
    const float v = x[i + 1u];
    s0 = s0 + w[0] * u + w[4] * v;
    s1 = s1 + w[1] * u + w[5] * v;
    s2 = s2 + w[2] * u + w[6] * v;
    s3 = s3 + w[3] * u + w[7] * v;
    w = &w[8];
  }
  if (i < inputs) {
    const float u = x[i];
    s0 += w[0] * u;
    s1 += w[1] * u;
    s2 += w[2] * u;
    s3 += w[3] * u;
    w = &w[4];
  }
  y[0] = s0;
  y[1] = s1;
  y[2] = s2;
  y[3] = s3;
  return w;
}

static const float *dense_1(const float *w, float bias, const float *x, uint32_t inputs, float *y) {
  float s = bias;
  for (uint32_t i = 0; i < inputs; i++) {
    s += w[i] * x[i];
  }
  *y = s;
  return &w[inputs];
}

void rs_dense(const float *weights, const float *bias, const float *x, uint32_t inputs, float *y, uint32_t outputs) {
  const float *w = weights;
  uint32_t row = 0;
  for (; outputs - row >= 8u; row += 8u) {
    w = dense_8(w, bias + row, x, inputs, y + row);
  }
  for (; outputs - row >= 4u; row += 4u) {
    w = dense_4(w, bias + row, x, inputs, y + row);
  }
  for (; row < outputs; row++) {
    w = dense_1(w, bias[row], x, inputs, y + row);
  }
}

void rs_dense_by_row(const float *weights, const float *bias, const float *x, uint32_t inputs, float *y,
                     uint32_t outputs) {
  for (uint32_t row = 0; row < outputs; row++) {
    weights = dense_1(weights, bias[row], x, inputs, y + row);
  }
}

void rs_add(const float *a, const float *b, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = a[i] + b[i];
  }
}

void rs_sub(const float *a, const float *b, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = a[i] - b[i];
  }
}

void rs_mul(const float *a, const float *b, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = a[i] * b[i];
  }
}

void rs_div(const float *a, const float *b, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = a[i] / b[i];
  }
}

/* Comparisons with NaN are false, so NaN falls through to the last branch and stays. */
static float clip(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }

void rs_clip(const float *x, float low, float high, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = clip(x[i], low, high);
  }
}

/* tanh x ~ x P(x^2) / Q(x^2), fitted for the least largest error on [-7, 7] (9e-7; beyond, 1 - |tanh| < 2e-6).
 * Monotone up to rounding, and below 1 at 7, where it is held. */
static float tanh_1(float x) {
  float v = x;
  float t = x * x;
  if (t > 49.0f) {
    v = x < 0.0f ? -7.0f : 7.0f;
    t = 49.0f;
  }
  const float p = ((3.930006187147228e-06f * t + 0.002276987535879016f) * t + 0.12302181124687195f) * t +
                  0.9999957084655762f;
  const float q = ((0.00014235069102142006f * t + 0.02107217349112034f) * t + 0.45634031295776367f) * t + 1.0f;
  return v * p / q;
}

void rs_tanh(const float *x, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = tanh_1(x[i]);
  }
}

void rs_sigmoid(const float *x, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = 0.5f + 0.5f * tanh_1(0.5f * x[i]);
  }
}

/* The instruction, because the C library's function sets errno through a call that a bare board need not have. */
#if defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 4)
static float sqrt_1(float x) {
  float y;
  __asm__("vsqrt.f32 %0, %1" : "=t"(y) : "t"(x));
  return y;
}
#elif defined(__SSE__)
#include <xmmintrin.h>
static float sqrt_1(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
#elif defined(__aarch64__)
static float sqrt_1(float x) {
  float y;
  __asm__("fsqrt %s0, %s1" : "=w"(y) : "w"(x));
  return y;
}
#else
#include <math.h>
static float sqrt_1(float x) { return sqrtf(x); }
#endif

void rs_sqrt(const float *x, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = sqrt_1(x[i]);
  }
}

void rs_copy(const float *x, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = x[i];
  }
}

void rs_gather(const float *x, const uint16_t *index, float *y, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    y[i] = x[index[i]];
  }
}
