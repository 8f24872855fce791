/* A policy written by hand, for the app's tests: it flies to the setpoint as a PD does, and misbehaves on request. The
 * request is the setpoint's acceleration along x, which no test otherwise needs:
 *   1, 2: the action or the state is not a number
 *   3: all rotors at 5000 rad/s
 *   4: the rotors tell four elements of the observation, from the one that acceleration along y names: 1000 + 100 x
 *   5: the rotors turn as fast as acceleration along y says, hundreds of rad/s */
#include <math.h>
#include <stdint.h>

#include "kernels.h"
#include "machine.h"

void policy_infer(const float *observation, const float *applied_action, const float *state, float *action,
                  float *next_state);

static const float X[4] = RS_MACHINE_ROTOR_X, Y[4] = RS_MACHINE_ROTOR_Y, SPIN[4] = RS_MACHINE_ROTOR_SPIN;
static const float CURVE[3] = RS_MACHINE_THRUST_CURVE, INERTIA[3] = RS_MACHINE_INERTIA;

static float held(float x, float limit) { return x < -limit ? -limit : (x > limit ? limit : x); }

static void fly(const float *o, float *action) {
  const float *p = o, *v = o + 3, *q = o + 6, *w = o + 10, *goal = o + 13;
  const float lag = RS_MACHINE_ROTOR_RISE_TIME;
  float a[3];
  for (int i = 0; i < 3; i++) {
    a[i] = held(2.0f * (goal[i] - p[i]), 2.0f) - 2.0f * v[i];
  }
  const float tilt_x = -held(a[1] / 9.81f, 0.3f) - 2.0f * (q[0] * q[1] + q[2] * q[3]);
  const float tilt_y = held(a[0] / 9.81f, 0.3f) - 2.0f * (q[0] * q[2] - q[1] * q[3]);
  const float m_x = INERTIA[0] * (tilt_x / (lag * lag) - 2.0f * w[0] / lag);
  const float m_y = INERTIA[1] * (tilt_y / (lag * lag) - 2.0f * w[1] / lag);
  const float m_z = INERTIA[2] * (-8.0f * q[0] * q[3] - 4.0f * w[2]);
  for (int i = 0; i < 4; i++) {
    const float force = 0.25f * (RS_MACHINE_MASS * (9.81f + a[2]) + m_x / Y[i] - m_y / X[i] +
                                 m_z * SPIN[i] / RS_MACHINE_TORQUE_TO_THRUST);
    const float square = force > 0.0f ? force / CURVE[2] : 0.0f;
    rs_sqrt(&square, &action[i], 1);
  }
}

void policy_infer(const float *observation, const float *applied_action, const float *state, float *action,
                  float *next_state) {
  const float request = observation[19], value = observation[20];
  (void)applied_action;
  next_state[0] = request == 2.0f ? NAN : state[0];
  fly(observation, action);
  for (int i = 0; i < 4 && request > 0.0f && request != 2.0f; i++) {
    action[i] = request == 1.0f   ? NAN
                : request == 3.0f ? 5000.0f
                : request == 4.0f ? 1000.0f + 100.0f * observation[(int)value + i]
                                  : 100.0f * value;
  }
}
