/* The operators of a generated policy, one function each.
 *
 * Every result is a fixed sequence of IEEE-754 single precision operations, so that all compilers and cores that
 * keep to the standard give the same bits: no fused multiply-add, no reassociation, no libm. NaN propagates.
 * Sizes are element counts, at least 1. A result may not overlap an operand unless a function says so. */
#ifndef RS_KERNELS_H
#define RS_KERNELS_H

#include <stdint.h>

/* y[r] = (..((bias[r] + w[r][0] x[0]) + w[r][1] x[1]) + ..), for `outputs` rows of `inputs` weights.
 * Weights are packed in blocks of rows, column by column inside a block: 8 rows while 8 are left, then 4, then
 * 1 at a time. A block of 8 keeps its sums in registers and reads its weights as one run. */
void rs_dense(const float *weights, const float *bias, const float *x, uint32_t inputs, float *y, uint32_t outputs);

/* The same sums from weights row by row: a tenth of the code, for the few that an int16 policy keeps in float. */
void rs_dense_by_row(const float *weights, const float *bias, const float *x, uint32_t inputs, float *y,
                     uint32_t outputs);

/* y = a op b, element by element. */
void rs_add(const float *a, const float *b, float *y, uint32_t size);
void rs_sub(const float *a, const float *b, float *y, uint32_t size);
void rs_mul(const float *a, const float *b, float *y, uint32_t size);
void rs_div(const float *a, const float *b, float *y, uint32_t size);

/* y = x held between low and high, which may be infinite. */
void rs_clip(const float *x, float low, float high, float *y, uint32_t size);

/* Rational form, within 2e-6 of tanh everywhere, odd, never outside [-1, 1]; y may be x. */
void rs_tanh(const float *x, float *y, uint32_t size);

/* 1/2 + 1/2 tanh(x/2) of the rational form, within 1e-6 of the logistic function; y may be x. */
void rs_sigmoid(const float *x, float *y, uint32_t size);

/* Correctly rounded; NaN below zero. */
void rs_sqrt(const float *x, float *y, uint32_t size);

void rs_copy(const float *x, float *y, uint32_t size);

/* y[i] = x[index[i]]. */
void rs_gather(const float *x, const uint16_t *index, float *y, uint32_t size);

#endif
