/* The operators of an int16 network: dense layers and their tanh and sigmoid in integers, and the way in and out.
 *
 * An activation is an int16 in units of 2^-15; what a tanh or sigmoid takes, an int32 in units of 2^-17. Activations
 * and inputs are stored in pairs (int16.h). Everything saturates, nothing wraps; every rounding is to the nearest, a half
 * upwards. A float that is no finite number has no int16: the functions that take floats return NaN then, else 0, and
 * those that give floats add that to every result. */
#ifndef RS_KERNELS_INT16_H
#define RS_KERNELS_INT16_H

#include <stdint.h>

/* y = x[i] scale[i], as pairs. */
float rs_quantise(const float *x, const float *scale, uint32_t *y, uint32_t size);

/* y[r] = bias[r] + ((w[r][0] x[0] + w[r][1] x[1] + ..) >> shift), the shift rounded. Rows come in groups of four with a
 * shift each, `pairs` words a row, column by column in a group. Nothing can leave 32 bits: no |x| is above 32767, the
 * exporter keeps each row's sum of |w| to 65535 and shifts to 15, so a sum with half a unit stays below 2^31; and it
 * has checked that the bias added to that does, too (robostack/export/quantise.py). */
void rs_dense_int16(const uint32_t *weights, const int32_t *bias, const uint8_t *shift, const uint32_t *x,
                    uint32_t pairs, int32_t *y, uint32_t rows);

/* Within 2.6 units of 2^-15 of tanh and sigmoid, by a table of tanh with linear interpolation. An odd size takes one
 * more of x and makes it the last pair's second half; a layer has zero weights there. */
void rs_tanh_int16(const int32_t *x, uint32_t *y, uint32_t size);
void rs_sigmoid_int16(const int32_t *x, uint32_t *y, uint32_t size);

/* What tanh or sigmoid takes, from floats. */
float rs_preactivation(const float *x, int32_t *y, uint32_t size);

/* y[i] = x[i] unit[i] + not_finite: the sums of a dense layer. */
void rs_sums_to_float(const int32_t *x, const float *unit, float not_finite, float *y, uint32_t size);

/* y[i] = x[i] 2^-15 + not_finite: activations. */
void rs_pairs_to_float(const uint32_t *x, float not_finite, float *y, uint32_t size);

#endif
