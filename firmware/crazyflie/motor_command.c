#include "motor_command.h"

#include <math.h>

#include "firmware.h"
#include "machine.h"

#ifndef RS_MACHINE_THRUST_CURVE
#error "policy.onnx does not tell its machine's thrust curve: export it again"
#endif

#define HIGHEST_V 6.0f /* above any supply's */
#define HALVINGS 24    /* 6 V / 2^24: the last bits of a float */

static const float CURVE[3] = RS_MACHINE_THRUST_CURVE; /* N, N s/rad, N s2/rad2 */

static float limited(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }

static float thrust_of_v(float motor_v) {
  return VMOTOR2THRUST0 + motor_v * (VMOTOR2THRUST1 + motor_v * (VMOTOR2THRUST2 + motor_v * VMOTOR2THRUST3));
}

float rs_cf_thrust_n(float speed_rad_s) { return CURVE[0] + speed_rad_s * (CURVE[1] + speed_rad_s * CURVE[2]); }

float rs_cf_speed_rad_s(float thrust_n) {
  const float inside = CURVE[1] * CURVE[1] - 4.0f * CURVE[2] * (CURVE[0] - thrust_n);
  const float speed = inside > 0.0f ? (sqrtf(inside) - CURVE[1]) / (2.0f * CURVE[2]) : 0.0f;
  return speed > 0.0f ? speed : 0.0f;
}

float rs_cf_motor_v(float thrust_n) {
  float low = 0.0f, high = HIGHEST_V;
  if (!(thrust_n >= THRUST_MIN)) {
    return 0.0f;
  }
  for (int i = 0; i < HALVINGS; i++) { /* the cubic rises all the way */
    const float middle = 0.5f * (low + high);
    if (thrust_of_v(middle) < thrust_n) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return high;
}

float rs_cf_force(rs_cf_path_t path, float speed_rad_s, float supply_v, float nominal_v) {
  float thrust_n = rs_cf_thrust_n(speed_rad_s);
  if (path == RS_CF_UNCOMPENSATED) {
    thrust_n = thrust_of_v(rs_cf_motor_v(thrust_n) * supply_v / nominal_v);
  }
  return limited(thrust_n / THRUST_MAX, 0.0f, 1.0f);
}

float rs_cf_reach_rad_s(rs_cf_path_t path, float supply_v, float nominal_v) {
  const float full_v = fminf(rs_cf_motor_v(THRUST_MAX), supply_v);
  return rs_cf_speed_rad_s(thrust_of_v(path == RS_CF_UNCOMPENSATED ? full_v * nominal_v / supply_v : full_v));
}
