/* Do interface/crazyflie.h and a checkout of crazyflie-firmware mean the same? `make check` compiles this file against
 * each for a Cortex-M4F; what differs is the line that does not compile. A difference does not break the app, which is
 * built with the checkout's own headers: it says that our tests drive something else than what flies. */
#include <stddef.h>

#include "firmware.h"

#define SAME(what) _Static_assert(what, "this is not what interface/crazyflie.h declares: " #what)
#define SIZE(type, bytes) SAME(sizeof(type) == bytes)
#define AT(type, field, bytes) SAME(offsetof(type, field) == bytes)

SIZE(sensorData_t, 56);
AT(sensorData_t, acc.x, 0);
AT(sensorData_t, acc.z, 8);
AT(sensorData_t, gyro.x, 12);
AT(sensorData_t, gyro.y, 16);
AT(sensorData_t, gyro.z, 20);
AT(sensorData_t, interruptTimestamp, 48);

SIZE(state_t, 80);
AT(state_t, attitude.timestamp, 0);
AT(state_t, attitude.roll, 4);
AT(state_t, attitude.pitch, 8);
AT(state_t, attitude.yaw, 12);
AT(state_t, attitudeQuaternion.x, 16);
AT(state_t, attitudeQuaternion.y, 20);
AT(state_t, attitudeQuaternion.z, 24);
AT(state_t, attitudeQuaternion.w, 28);
AT(state_t, position.timestamp, 32);
AT(state_t, position.x, 36);
AT(state_t, position.y, 40);
AT(state_t, position.z, 44);
AT(state_t, velocity.x, 52);
AT(state_t, velocity.y, 56);
AT(state_t, velocity.z, 60);
AT(state_t, acc.x, 68);
AT(state_t, acc.y, 72);
AT(state_t, acc.z, 76);

SIZE(control_t, 20);
AT(control_t, roll, 0);
AT(control_t, thrust, 8);
AT(control_t, thrustSi, 0);
AT(control_t, normalizedForces, 0);
AT(control_t, controlMode, 16);

SIZE(setpoint_t, 128);
AT(setpoint_t, timestamp, 0);
AT(setpoint_t, attitude.yaw, 16);
AT(setpoint_t, attitudeRate.yaw, 32);
AT(setpoint_t, attitudeQuaternion.x, 36);
AT(setpoint_t, attitudeQuaternion.w, 48);
AT(setpoint_t, thrust, 52);
AT(setpoint_t, position.x, 60);
AT(setpoint_t, velocity.x, 76);
AT(setpoint_t, acceleration.x, 92);
AT(setpoint_t, jerk.x, 108);
AT(setpoint_t, velocity_body, 120);
AT(setpoint_t, mode.x, 121);
AT(setpoint_t, mode.y, 122);
AT(setpoint_t, mode.z, 123);
AT(setpoint_t, mode.roll, 124);
AT(setpoint_t, mode.pitch, 125);
AT(setpoint_t, mode.yaw, 126);
AT(setpoint_t, mode.quat, 127);
SAME(modeDisable == 0 && modeAbs == 1 && modeVelocity == 2);
SAME(controlModeLegacy == 0 && controlModeForceTorque == 1 && controlModeForce == 2);
SAME(StateEstimatorTypeComplementary == 1 && StateEstimatorTypeKalman == 2);
SAME(STABILIZER_NR_OF_MOTORS == 4 && sizeof(stabilizerStep_t) == 4 && sizeof(TickType_t) == 4);
SAME(APPCHANNEL_MTU == 30);
SAME(PARAM_UINT8 == 0x08 && PARAM_FLOAT == 0x06);
SAME(LOG_UINT8 == 1 && LOG_UINT16 == 2 && LOG_UINT32 == 3 && LOG_INT8 == 4 && LOG_FLOAT == 7);

/* the default platform's motors; another one has numbers of its own, which the app takes from the checkout */
#ifdef RS_CF_INTERFACE
#define CONFIG_CRAZYFLIE_21_PLUS
#endif
#ifdef CONFIG_CRAZYFLIE_21_PLUS
SAME(VMOTOR2THRUST0 == -0.02476537915958403f && VMOTOR2THRUST1 == 0.06523793527519485f);
SAME(VMOTOR2THRUST2 == -0.026792504967750107f && VMOTOR2THRUST3 == 0.006776789303971145f);
SAME(THRUST_MIN == 0.012817578393224994f && THRUST_MAX == 0.12f);
#endif

typedef void control_function_t(control_t *, const setpoint_t *, const sensorData_t *, const state_t *,
                                const stabilizerStep_t);
extern control_function_t controllerPid, controllerOutOfTree;
extern TickType_t xTaskGetTickCount(void);
extern uint64_t usecTimestamp(void);
extern float pmGetBatteryVoltage(void);
extern StateEstimatorType stateEstimatorGetType(void);
extern bool supervisorIsArmed(void), supervisorCanFly(void), supervisorIsFlying(void);
extern bool supervisorAreMotorsAllowedToRun(void), controllerPidTest(void), controllerOutOfTreeTest(void);
extern void controllerPidInit(void), controllerOutOfTreeInit(void);
extern size_t appchannelReceiveDataPacket(void *, size_t, int);
extern int appchannelSendDataPacket(void *, size_t);
extern logVarId_t logGetVarId(const char *, const char *);
extern float logGetFloat(logVarId_t);
