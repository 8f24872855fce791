/* From a rotor's speed to the share of THRUST_MAX that the firmware takes, and what it can reach.
 *
 * Both ways go through the firmware's power distribution, so that its supervisor can stop the motors at any time:
 * thrust of a rotor = curve(speed) by the parameter file that the policy was trained with (machine.h);
 * thrust = cubic(voltage) by the firmware's fit (VMOTOR2THRUST); the firmware inverts that cubic and divides by the
 * supply's voltage. */
#ifndef RS_CF_MOTOR_COMMAND_H
#define RS_CF_MOTOR_COMMAND_H

#include <stdint.h>

typedef enum {
  /* Thrust as asked, whatever the battery has: a simulator without discharge and sag. */
  RS_CF_COMPENSATED = 0,
  /* A constant PWM ratio for a speed, exact at nominal_v: the speed goes with the supply's voltage, as in the
   * simulator's battery model. Our scaling undoes the firmware's compensation. */
  RS_CF_UNCOMPENSATED = 1
} rs_cf_path_t;

float rs_cf_thrust_n(float speed_rad_s);
float rs_cf_speed_rad_s(float thrust_n);

/* Voltage at a rotor that makes this thrust, by the firmware's fit; 0 below THRUST_MIN. */
float rs_cf_motor_v(float thrust_n);

/* Share of THRUST_MAX, 0 to 1. */
float rs_cf_force(rs_cf_path_t path, float speed_rad_s, float supply_v, float nominal_v);

/* The fastest speed that comes out as asked: THRUST_MAX and the supply's voltage limit it. The firmware, asked for more
 * than the supply has, takes the same amount from all four rotors, which no policy was trained with; so we never do. */
float rs_cf_reach_rad_s(rs_cf_path_t path, float supply_v, float nominal_v);

#endif
