#include "host.h"

#include <math.h>
#include <string.h>

#include "../motor_command.h"
#include "stock.h"

#define G_M_S2 9.81f
#define DEG_PER_RAD 57.29577951308232f
#define CALL_US 1000u
#define SUPPLY_SHARE 0.01f
#define FULL 65535.0f
#define CHANNEL_QUEUE 10u /* packets, as the firmware's */

static rs_cf_world_t now;
static uint32_t time_ms, steps, stock_calls;
static uint64_t time_us;
static state_t state;
static sensorData_t sensors;
static control_t control, stock;
static float variance[3], supply_v = 4.2f;

typedef struct {
  uint8_t size[CHANNEL_QUEUE]; /* bytes */
  uint8_t data[CHANNEL_QUEUE][APPCHANNEL_MTU];
  uint32_t put, taken; /* packets since boot */
} queue_t;
static queue_t to_app, from_app;

TickType_t xTaskGetTickCount(void) { return time_ms; }
uint64_t usecTimestamp(void) { return time_us; }
float pmGetBatteryVoltage(void) { return now.supply_v; }
StateEstimatorType stateEstimatorGetType(void) { return (StateEstimatorType)now.estimator; }
bool supervisorIsArmed(void) { return now.armed; }
bool supervisorCanFly(void) { return now.can_fly; }
bool supervisorIsFlying(void) { return now.flying; }
bool supervisorAreMotorsAllowedToRun(void) { return now.motors_allowed; }

static uint8_t put(queue_t *queue, const uint8_t *data, size_t size) {
  const uint32_t at = queue->put % CHANNEL_QUEUE;
  if (queue->put - queue->taken == CHANNEL_QUEUE) {
    return 0;
  }
  queue->size[at] = (uint8_t)(size < APPCHANNEL_MTU ? size : APPCHANNEL_MTU);
  memcpy(queue->data[at], data, queue->size[at]);
  queue->put++;
  return 1;
}

static uint8_t take(queue_t *queue, uint8_t *data, size_t room) {
  const uint32_t at = queue->taken % CHANNEL_QUEUE;
  if (queue->put == queue->taken) {
    return 0;
  }
  const uint8_t size = (uint8_t)(queue->size[at] < room ? queue->size[at] : room);
  memcpy(data, queue->data[at], size);
  queue->taken++;
  return size;
}

size_t appchannelReceiveDataPacket(void *buffer, size_t max_length, int timeout_ms) {
  (void)timeout_ms;
  return take(&to_app, buffer, max_length);
}

int appchannelSendDataPacket(void *data, size_t length) { return put(&from_app, data, length); }

uint8_t rs_cf_host_send(const uint8_t *data, uint8_t size) { return put(&to_app, data, size); }

uint8_t rs_cf_host_receive(uint8_t *data) { return take(&from_app, data, APPCHANNEL_MTU); }

void controllerPidInit(void) { rs_cf_stock_init(); }
bool controllerPidTest(void) { return true; }
void controllerPid(control_t *answer, const setpoint_t *setpoint, const sensorData_t *sensed, const state_t *estimate,
                   const stabilizerStep_t step) {
  (void)step;
  rs_cf_stock(answer, setpoint, sensed, estimate);
  stock = *answer;
  stock_calls++;
}

/* As the firmware's estimators and drivers hand it on: legacy Euler angles, deg/s, g. */
static void sense(void) {
  const float w = now.quat_wxyz[0], x = now.quat_wxyz[1], y = now.quat_wxyz[2], z = now.quat_wxyz[3];
  const float sin_pitch = fmaxf(-1.0f, fminf(2.0f * (w * y - x * z), 1.0f));
  const float *a = now.specific_force_m_s2;
  sensors.gyro = (Axis3f){.axis = {now.rate_rad_s[0] * DEG_PER_RAD, now.rate_rad_s[1] * DEG_PER_RAD,
                                   now.rate_rad_s[2] * DEG_PER_RAD}};
  sensors.acc = (Axis3f){.axis = {a[0] / G_M_S2, a[1] / G_M_S2, a[2] / G_M_S2}};
  sensors.interruptTimestamp = time_us - now.gyro_age_us;
  if (!now.new_estimate) {
    return;
  }
  state.attitudeQuaternion = (quaternion_t){.x = x, .y = y, .z = z, .w = w};
  state.attitude.roll = DEG_PER_RAD * atan2f(2.0f * (w * x + y * z), w * w - x * x - y * y + z * z);
  state.attitude.pitch = -DEG_PER_RAD * asinf(sin_pitch);
  state.attitude.yaw = DEG_PER_RAD * atan2f(2.0f * (w * z + x * y), w * w + x * x - y * y - z * z);
  state.position = (point_t){.x = now.position_m[0], .y = now.position_m[1], .z = now.position_m[2]};
  state.velocity = (velocity_t){.x = now.velocity_m_s[0], .y = now.velocity_m_s[1], .z = now.velocity_m_s[2]};
  /* the world's up in the body's axes, and so on: a body vector along the world's axes */
  state.acc = (acc_t){
      .x = ((1.0f - 2.0f * (y * y + z * z)) * a[0] + 2.0f * (x * y - w * z) * a[1] + 2.0f * (x * z + w * y) * a[2]) /
           G_M_S2,
      .y = (2.0f * (x * y + w * z) * a[0] + (1.0f - 2.0f * (x * x + z * z)) * a[1] + 2.0f * (y * z - w * x) * a[2]) /
           G_M_S2,
      .z = (2.0f * (x * z - w * y) * a[0] + 2.0f * (y * z + w * x) * a[1] + (1.0f - 2.0f * (x * x + y * y)) * a[2]) /
               G_M_S2 -
           1.0f,
  };
  for (int i = 0; i < 3; i++) {
    variance[i] = now.position_std_m[i] * now.position_std_m[i];
  }
}

/* Forces to PWM ratios by way of the battery compensation, and the cap that takes the same from all four. */
static void drive(rs_cf_motion_t *motion) {
  float asked[4], highest = 0.0f;
  supply_v += SUPPLY_SHARE * (now.supply_v - supply_v);
  for (int i = 0; i < 4; i++) {
    const float share = fmaxf(0.0f, fminf(control.normalizedForces[i], 1.0f));
    asked[i] = supply_v < 2.0f ? 0.0f : floorf(FULL * rs_cf_motor_v(share * THRUST_MAX) / supply_v);
    highest = fmaxf(highest, asked[i]);
  }
  motion->capped = highest > FULL;
  for (int i = 0; i < 4; i++) {
    const float ratio = fmaxf(0.0f, asked[i] - fmaxf(0.0f, highest - FULL));
    const float motor_v = now.supply_v * ratio / FULL;
    const float thrust_n =
        VMOTOR2THRUST0 + motor_v * (VMOTOR2THRUST1 + motor_v * (VMOTOR2THRUST2 + motor_v * VMOTOR2THRUST3));
    motion->ratio[i] = (uint16_t)ratio;
    motion->rotor_speed_rad_s[i] = rs_cf_speed_rad_s(thrust_n);
  }
}

uint8_t rs_cf_host_boot(float battery_v) {
  now.supply_v = battery_v;
  controllerOutOfTreeInit();
  return controllerOutOfTreeTest() ? 1 : 0;
}

void rs_cf_host_step(const rs_cf_world_t *world, const setpoint_t *setpoint, rs_cf_motion_t *motion) {
  now = *world;
  time_us += now.elapsed_us > 0 ? now.elapsed_us : CALL_US;
  time_ms = (uint32_t)(time_us / CALL_US);
  sense();
  controllerOutOfTree(&control, setpoint, &sensors, &state, ++steps);
  *motion = (rs_cf_motion_t){.stock_calls = stock_calls, .time_ms = time_ms};
  motion->control_mode = (uint8_t)control.controlMode;
  memcpy(motion->forces, control.normalizedForces, sizeof motion->forces);
  memcpy(motion->stock_forces, stock.normalizedForces, sizeof motion->stock_forces);
  if (now.motors_allowed) {
    drive(motion);
  }
}

uint32_t rs_cf_host_time_ms(void) { return time_ms; }

/* The ends of the tables, as the linker names them. */
extern const struct param_s __start_cf_params[], __stop_cf_params[];
extern const struct log_s __start_cf_logs[], __stop_cf_logs[];

const struct param_s *rs_cf_host_params(uint32_t *count) {
  *count = (uint32_t)(__stop_cf_params - __start_cf_params);
  return __start_cf_params;
}

const struct log_s *rs_cf_host_logs(uint32_t *count) {
  *count = (uint32_t)(__stop_cf_logs - __start_cf_logs);
  return __start_cf_logs;
}

logVarId_t logGetVarId(const char *group, const char *name) {
  uint32_t count;
  const struct log_s *logs = rs_cf_host_logs(&count);
  bool inside = false;
  for (uint32_t i = 0; i < count; i++) {
    if (logs[i].name != NULL && (logs[i].type & LOG_GROUP) != 0) {
      inside = strcmp(logs[i].name, group) == 0;
    } else if (logs[i].name != NULL && inside && strcmp(logs[i].name, name) == 0) {
      return (logVarId_t)i;
    }
  }
  return 0xffff;
}

float logGetFloat(logVarId_t id) {
  uint32_t count;
  return *(const float *)rs_cf_host_logs(&count)[id].address;
}

LOG_GROUP_START(kalman)
LOG_ADD(LOG_FLOAT, varX, &variance[0]) /* m2 */
LOG_ADD(LOG_FLOAT, varY, &variance[1])
LOG_ADD(LOG_FLOAT, varZ, &variance[2])
LOG_GROUP_STOP(kalman)

LOG_GROUP_START(stateEstimate)
LOG_ADD(LOG_FLOAT, x, &state.position.x) /* m */
LOG_ADD(LOG_FLOAT, y, &state.position.y)
LOG_ADD(LOG_FLOAT, z, &state.position.z)
LOG_ADD(LOG_FLOAT, vx, &state.velocity.x) /* m/s */
LOG_ADD(LOG_FLOAT, vy, &state.velocity.y)
LOG_ADD(LOG_FLOAT, vz, &state.velocity.z)
LOG_ADD(LOG_FLOAT, roll, &state.attitude.roll) /* deg */
LOG_ADD(LOG_FLOAT, pitch, &state.attitude.pitch)
LOG_ADD(LOG_FLOAT, yaw, &state.attitude.yaw)
LOG_GROUP_STOP(stateEstimate)

LOG_GROUP_START(pm)
LOG_ADD(LOG_FLOAT, vbat, &now.supply_v) /* V */
LOG_GROUP_STOP(pm)
