#include "border.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define RAD_PER_DEG 0.017453292519943295f

/* M1 to M4, seen from above: M1 front right, then clockwise. */
static const char *const ROTORS[STABILIZER_NR_OF_MOTORS] = {
    "rotor_speed_command.front_right",
    "rotor_speed_command.back_right",
    "rotor_speed_command.back_left",
    "rotor_speed_command.front_left",
};

typedef struct {
  const char *name;
  uint16_t size;     /* elements */
  size_t where;      /* offset in rs_cf_channels_t */
} wanted_t;

static const wanted_t WANTED[] = {
    {"position", 3, offsetof(rs_cf_channels_t, position)},
    {"velocity", 3, offsetof(rs_cf_channels_t, velocity)},
    {"attitude", 4, offsetof(rs_cf_channels_t, attitude)},
    {"body_rate", 3, offsetof(rs_cf_channels_t, body_rate)},
    {"setpoint", 9, offsetof(rs_cf_channels_t, setpoint)},
};
#define NUM_WANTED (sizeof WANTED / sizeof WANTED[0])

bool rs_cf_find_channels(const rs_contract_t *contract, rs_cf_channels_t *channels) {
  if (contract->num_channels != NUM_WANTED || contract->action_size != STABILIZER_NR_OF_MOTORS) {
    return false;
  }
  for (uint16_t m = 0; m < STABILIZER_NR_OF_MOTORS; m++) {
    if (strcmp(rs_policy_actions[m], ROTORS[m]) != 0) {
      return false;
    }
  }
  for (size_t i = 0; i < NUM_WANTED; i++) {
    uint16_t c = 0;
    while (c < contract->num_channels && strcmp(contract->channels[c].name, WANTED[i].name) != 0) {
      c++;
    }
    if (c == contract->num_channels || contract->channels[c].size != WANTED[i].size) {
      return false;
    }
    memcpy((char *)channels + WANTED[i].where, &c, sizeof c);
  }
  return true;
}

static void put3(float *to, float x, float y, float z) {
  to[0] = x;
  to[1] = y;
  to[2] = z;
}

void rs_cf_observe(const rs_contract_t *contract, const rs_cf_channels_t *channels, const state_t *state,
                   const sensorData_t *sensors, const setpoint_t *setpoint, float *observation) {
  const rs_channel_t *c = contract->channels;
  const quaternion_t *q = &state->attitudeQuaternion;
  float *attitude = &observation[c[channels->attitude].offset];
  float *wish = &observation[c[channels->setpoint].offset];
  put3(&observation[c[channels->position].offset], state->position.x, state->position.y, state->position.z);
  put3(&observation[c[channels->velocity].offset], state->velocity.x, state->velocity.y, state->velocity.z);
  attitude[0] = q->w;
  put3(&attitude[1], q->x, q->y, q->z);
  put3(&observation[c[channels->body_rate].offset], sensors->gyro.x * RAD_PER_DEG, sensors->gyro.y * RAD_PER_DEG,
       sensors->gyro.z * RAD_PER_DEG);
  put3(&wish[0], setpoint->position.x, setpoint->position.y, setpoint->position.z);
  put3(&wish[3], setpoint->velocity.x, setpoint->velocity.y, setpoint->velocity.z);
  put3(&wish[6], setpoint->acceleration.x, setpoint->acceleration.y, setpoint->acceleration.z);
}

rs_cf_wish_t rs_cf_wish(const setpoint_t *setpoint, float yaw_tolerance_deg) {
  const setpoint_mode_t *mode = &setpoint->mode;
  const quaternion_t *q = &setpoint->attitudeQuaternion;
  float sin_yaw, cos_yaw; /* of any common length */
  if (mode->x != modeAbs || mode->y != modeAbs || mode->z != modeAbs || mode->roll != modeDisable ||
      mode->pitch != modeDisable || setpoint->velocity_body) {
    return RS_CF_OTHER_MODE;
  }
  if (mode->yaw == modeAbs) {
    sin_yaw = sinf(setpoint->attitude.yaw * RAD_PER_DEG);
    cos_yaw = cosf(setpoint->attitude.yaw * RAD_PER_DEG);
  } else if (mode->yaw == modeDisable && mode->quat == modeAbs) {
    sin_yaw = 2.0f * (q->w * q->z + q->x * q->y);
    cos_yaw = q->w * q->w + q->x * q->x - q->y * q->y - q->z * q->z;
  } else {
    return RS_CF_OTHER_MODE;
  }
  const float yaw_deg = fabsf(atan2f(sin_yaw, cos_yaw)) / RAD_PER_DEG;
  return yaw_deg <= yaw_tolerance_deg ? RS_CF_CAN_FLY : RS_CF_OTHER_YAW; /* NaN: cannot */
}
