/* What the app uses of crazyflie-firmware, declared anew so that it compiles and is tested without a checkout:
 * layouts, constants and signatures of commit 2a18fc299d7b (August 2026, just after 2026.08). `make check` in this
 * folder's parent compares them with the user's own checkout. A user's build takes the real headers instead. */
#ifndef RS_CF_INTERFACE_H
#define RS_CF_INTERFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FreeRTOS: one tick is a millisecond. */
typedef uint32_t TickType_t;
TickType_t xTaskGetTickCount(void);

uint64_t usecTimestamp(void);      /* us since boot */
float pmGetBatteryVoltage(void);   /* V */

typedef union {
  struct {
    float x;
    float y;
    float z;
  };
  float axis[3];
} Axis3f;

typedef uint32_t stabilizerStep_t; /* calls of the stabilizer loop, 1000 a second */

typedef struct {
  uint32_t timestamp; /* ms; the Kalman estimator leaves it 0 */
  float roll;         /* deg */
  float pitch;        /* deg, inverted in state_t */
  float yaw;          /* deg */
} attitude_t;

typedef struct {
  uint32_t timestamp; /* ms; the Kalman estimator leaves it 0 */
  float x;
  float y;
  float z;
} point_t;
typedef point_t velocity_t;
typedef point_t acc_t;
typedef point_t jerk_t;

typedef struct {
  float x;
  float y;
  float z;
  float w;
} quaternion_t; /* body FLU to world ENU */

typedef struct {
  float pressure;    /* mbar */
  float temperature; /* degrees Celsius */
  float asl;         /* m */
} baro_t;

typedef struct {
  Axis3f acc;  /* g */
  Axis3f gyro; /* deg/s */
  Axis3f mag;  /* gauss */
  baro_t baro;
  uint64_t interruptTimestamp; /* us since boot, when the inertial sensor had its sample ready */
} sensorData_t;

typedef struct {
  attitude_t attitude; /* deg, legacy: pitch is inverted */
  quaternion_t attitudeQuaternion;
  point_t position;    /* m, world */
  velocity_t velocity; /* m/s, world */
  acc_t acc;           /* g, world, without gravity */
} state_t;

#define STABILIZER_NR_OF_MOTORS 4

typedef enum {
  controlModeLegacy = 0,
  controlModeForceTorque = 1,
  controlModeForce = 2,
} control_mode_t;

typedef struct {
  union {
    struct { /* controlModeLegacy */
      int16_t roll;
      int16_t pitch;
      int16_t yaw;
      float thrust;
    };
    struct { /* controlModeForceTorque */
      float thrustSi;  /* N */
      float torque[3]; /* N m */
    };
    float normalizedForces[STABILIZER_NR_OF_MOTORS]; /* controlModeForce: shares of THRUST_MAX */
  };
  control_mode_t controlMode;
} control_t;

typedef enum { modeDisable = 0, modeAbs, modeVelocity } stab_mode_t;

typedef struct {
  stab_mode_t x;
  stab_mode_t y;
  stab_mode_t z;
  stab_mode_t roll;
  stab_mode_t pitch;
  stab_mode_t yaw;
  stab_mode_t quat;
} setpoint_mode_t;

typedef struct {
  uint32_t timestamp; /* ms */
  attitude_t attitude;     /* deg */
  attitude_t attitudeRate; /* deg/s */
  quaternion_t attitudeQuaternion;
  float thrust;          /* 0 to 65535 */
  point_t position;      /* m, world */
  velocity_t velocity;   /* m/s, world, or body if velocity_body */
  acc_t acceleration;    /* m/s2, world */
  jerk_t jerk;           /* m/s3, world */
  bool velocity_body;
  setpoint_mode_t mode;
} setpoint_t;

typedef enum {
  StateEstimatorTypeAutoSelect = 0,
  StateEstimatorTypeComplementary,
  StateEstimatorTypeKalman,
} StateEstimatorType;
StateEstimatorType stateEstimatorGetType(void);

bool supervisorIsArmed(void);
bool supervisorCanFly(void);
bool supervisorIsFlying(void);
bool supervisorAreMotorsAllowedToRun(void);

void controllerPidInit(void);
bool controllerPidTest(void);
void controllerPid(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state,
                   const stabilizerStep_t stabilizerStep);

/* Packets to and from an app, in order, some lost: ten wait in each direction at least, and what comes beyond them is
 * dropped. Received: their bytes, 0 when none came within timeout_ms. Sent: 0 when the queue is full. */
#define APPCHANNEL_MTU (30)
size_t appchannelReceiveDataPacket(void *buffer, size_t max_length, int timeout_ms);
int appchannelSendDataPacket(void *data, size_t length);

/* What the firmware calls in the app. */
void controllerOutOfTreeInit(void);
bool controllerOutOfTreeTest(void);
void controllerOutOfTree(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors,
                         const state_t *state, const stabilizerStep_t stabilizerStep);

/* Motors and propellers of the default platform, Crazyflie 2.1+: thrust of a rotor in N is a cubic of its voltage. */
#define CONFIG_ENABLE_THRUST_BAT_COMPENSATED 1
#define CONFIG_MOTORS_REQUIRE_ARMING 1
#define VMOTOR2THRUST0 -0.02476537915958403f
#define VMOTOR2THRUST1 0.06523793527519485f
#define VMOTOR2THRUST2 -0.026792504967750107f
#define VMOTOR2THRUST3 0.006776789303971145f
#define THRUST_MIN 0.012817578393224994f /* N; below, the battery compensation stops the rotor */
#define THRUST_MAX 0.12f                 /* N */

/* Parameters and log variables: tables of name, type and address, found by the linker. Where the firmware has a
 * section a group, all groups share one here, whose ends the linker names. */
#define PARAM_1BYTE 0x00
#define PARAM_2BYTES 0x01
#define PARAM_4BYTES 0x02
#define PARAM_TYPE_FLOAT (0x01 << 2)
#define PARAM_UNSIGNED (0x01 << 3)
#define PARAM_GROUP (0x01 << 7)
#define PARAM_UINT8 (PARAM_1BYTE | PARAM_UNSIGNED)
#define PARAM_FLOAT (PARAM_4BYTES | PARAM_TYPE_FLOAT)
#define PARAM_START 1

struct param_s {
  uint8_t type;
  uint8_t extended_type;
  const char *name;
  void *address;
};

#define PARAM_GROUP_START(NAME) \
  static const struct param_s params_##NAME[] __attribute__((section("cf_params"), used, aligned(8))) = { \
      {.type = PARAM_GROUP | PARAM_START, .name = #NAME},
#define PARAM_ADD(TYPE, NAME, ADDRESS) {.type = TYPE, .name = #NAME, .address = ADDRESS},
#define PARAM_GROUP_STOP(NAME) };

#define LOG_UINT8 1
#define LOG_UINT16 2
#define LOG_UINT32 3
#define LOG_INT8 4
#define LOG_FLOAT 7
#define LOG_GROUP 0x80
#define LOG_START 1

struct log_s {
  uint8_t type;
  const char *name;
  void *address;
};

#define LOG_GROUP_START(NAME) \
  static const struct log_s logs_##NAME[] __attribute__((section("cf_logs"), used, aligned(8))) = { \
      {.type = LOG_GROUP | LOG_START, .name = #NAME},
#define LOG_ADD(TYPE, NAME, ADDRESS) {.type = TYPE, .name = #NAME, .address = ADDRESS},
#define LOG_GROUP_STOP(NAME) };

typedef uint16_t logVarId_t;
logVarId_t logGetVarId(const char *group, const char *name);
static inline bool logVarIdIsValid(logVarId_t id) { return id != 0xffffu; }
float logGetFloat(logVarId_t id);

#endif
