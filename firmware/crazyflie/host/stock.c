/* A cascade of our own where the firmware's PID stands, simple and good enough to take off, hover and fly to
 * positions. It honours the setpoint's modes: absolute position, velocity, attitude with thrust, and stop.
 *
 * The rotors' lag sets what a PD can do with attitude: rate gain 2 / lag and tilt gain 1 / lag^2 are stable with room
 * for 20 ms of delay, as in the simulator's level_descend. Position and velocity are slower loops around it. */
#include "stock.h"

#include <math.h>
#include <string.h>

#include "machine.h"

#define G_M_S2 9.81f
#define RAD_PER_DEG 0.017453292519943295f
#define CALL_S 0.001f
#define RATE_GAIN (2.0f / RS_MACHINE_ROTOR_RISE_TIME)                                   /* 1/s */
#define TILT_GAIN (1.0f / (RS_MACHINE_ROTOR_RISE_TIME * RS_MACHINE_ROTOR_RISE_TIME)) /* 1/s2 */
#define YAW_GAIN 4.0f        /* 1/s2 */
#define YAW_RATE_GAIN 4.0f   /* 1/s */
#define POSITION_GAIN 1.0f   /* 1/s */
#define VELOCITY_GAIN 2.0f   /* 1/s */
#define CLIMB_GAIN 4.0f      /* 1/s */
#define INTEGRAL_GAIN 0.5f   /* 1/s2, on the velocity's error */
#define MAX_SPEED_M_S 1.0f
#define MAX_INTEGRAL 2.0f    /* m/s2 */
#define MAX_TILT 0.35f       /* rad */
#define THRUST_SHARE 0.9f    /* of the most, so that attitude keeps some */

static const float X[4] = RS_MACHINE_ROTOR_X, Y[4] = RS_MACHINE_ROTOR_Y, SPIN[4] = RS_MACHINE_ROTOR_SPIN;
static const float INERTIA[3] = RS_MACHINE_INERTIA;

static float integral[3]; /* m/s2, world */
static float yaw_goal;    /* rad */

static float hold(float x, float limit) { return x < -limit ? -limit : (x > limit ? limit : x); }

static float turn(float angle) { return atan2f(sinf(angle), cosf(angle)); }

void rs_cf_stock_init(void) {
  memset(integral, 0, sizeof integral);
  yaw_goal = 0.0f;
}

/* Acceleration of one axis, m/s2, without gravity. */
static float acceleration(int axis, stab_mode_t mode, float goal_m, float goal_m_s, float forward_m_s2, float at_m,
                          float at_m_s, float gain) {
  const float chase = mode == modeAbs ? hold(POSITION_GAIN * (goal_m - at_m), MAX_SPEED_M_S) : 0.0f;
  const float error = chase + goal_m_s - at_m_s;
  integral[axis] = hold(integral[axis] + INTEGRAL_GAIN * error * CALL_S, MAX_INTEGRAL);
  return gain * error + integral[axis] + (mode == modeAbs ? forward_m_s2 : 0.0f);
}

static void stop(control_t *control) {
  memset(control, 0, sizeof *control);
  control->controlMode = controlModeForce;
  memset(integral, 0, sizeof integral);
}

void rs_cf_stock(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state) {
  const setpoint_mode_t *mode = &setpoint->mode;
  const float roll = state->attitude.roll * RAD_PER_DEG, pitch = -state->attitude.pitch * RAD_PER_DEG;
  const float yaw = state->attitude.yaw * RAD_PER_DEG;
  if (mode->z == modeDisable && !(setpoint->thrust > 0.0f)) {
    yaw_goal = yaw;
    stop(control);
    return;
  }
  const float c = cosf(yaw), s = sinf(yaw);
  float vx = setpoint->velocity.x, vy = setpoint->velocity.y;
  if (setpoint->velocity_body) {
    vx = c * setpoint->velocity.x - s * setpoint->velocity.y;
    vy = s * setpoint->velocity.x + c * setpoint->velocity.y;
  }
  /* rad about the body's x and y: what a Crazyflie calls roll, and minus what it calls pitch */
  float roll_goal = setpoint->attitude.roll * RAD_PER_DEG, pitch_goal = -setpoint->attitude.pitch * RAD_PER_DEG;
  if (mode->x != modeDisable && mode->y != modeDisable) {
    const float ax = acceleration(0, mode->x, setpoint->position.x, vx, setpoint->acceleration.x, state->position.x,
                                  state->velocity.x, VELOCITY_GAIN);
    const float ay = acceleration(1, mode->y, setpoint->position.y, vy, setpoint->acceleration.y, state->position.y,
                                  state->velocity.y, VELOCITY_GAIN);
    pitch_goal = hold((c * ax + s * ay) / G_M_S2, MAX_TILT);
    roll_goal = hold((s * ax - c * ay) / G_M_S2, MAX_TILT);
  }
  const float most_n = 4.0f * THRUST_MAX;
  float thrust_n = most_n * setpoint->thrust / 65535.0f;
  if (mode->z != modeDisable) {
    const float az = acceleration(2, mode->z, setpoint->position.z, setpoint->velocity.z, setpoint->acceleration.z,
                                  state->position.z, state->velocity.z, CLIMB_GAIN);
    thrust_n = RS_MACHINE_MASS * (G_M_S2 + az) / fmaxf(cosf(roll) * cosf(pitch), 0.5f);
  }
  thrust_n = fmaxf(0.0f, fminf(thrust_n, THRUST_SHARE * most_n));

  const float rate[3] = {sensors->gyro.x * RAD_PER_DEG, sensors->gyro.y * RAD_PER_DEG, sensors->gyro.z * RAD_PER_DEG};
  const float yaw_rate = mode->yaw == modeVelocity ? setpoint->attitudeRate.yaw * RAD_PER_DEG : 0.0f;
  yaw_goal = mode->yaw == modeAbs ? setpoint->attitude.yaw * RAD_PER_DEG : turn(yaw_goal + yaw_rate * CALL_S);
  const float moment[3] = {
      INERTIA[0] * (TILT_GAIN * (roll_goal - roll) - RATE_GAIN * rate[0]),
      INERTIA[1] * (TILT_GAIN * (pitch_goal - pitch) - RATE_GAIN * rate[1]),
      INERTIA[2] * (hold(YAW_GAIN * turn(yaw_goal - yaw), 4.0f) + YAW_RATE_GAIN * (yaw_rate - rate[2])),
  };
  control->controlMode = controlModeForce;
  for (int i = 0; i < 4; i++) {
    const float force_n = 0.25f * (thrust_n + moment[0] * Y[i] / (Y[i] * Y[i]) - moment[1] * X[i] / (X[i] * X[i]) +
                                   moment[2] * SPIN[i] / RS_MACHINE_TORQUE_TO_THRUST);
    control->normalizedForces[i] = fmaxf(0.0f, fminf(force_n / THRUST_MAX, 1.0f));
  }
}
