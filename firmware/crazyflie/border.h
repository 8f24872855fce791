/* The one border between the Crazyflie's conventions and the contract's: units, order of quaternions, setpoints. */
#ifndef RS_CF_BORDER_H
#define RS_CF_BORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "contract.h"
#include "firmware.h"

/* Indices of the five channels in the contract. */
typedef struct {
  uint16_t position;
  uint16_t velocity;
  uint16_t attitude;
  uint16_t body_rate;
  uint16_t setpoint;
} rs_cf_channels_t;

/* What a setpoint asks of a policy that flies to positions with its nose along the world's x. */
typedef enum { RS_CF_CAN_FLY = 0, RS_CF_OTHER_MODE = 1, RS_CF_OTHER_YAW = 2 } rs_cf_wish_t;

/* Finds the channels by name. False when one is missing, another is there, a size is not ours, or the actions are not
 * the four rotor speeds in the order M1 to M4. */
bool rs_cf_find_channels(const rs_contract_t *contract, rs_cf_channels_t *channels);

/* Fills the packed observation: gyro deg/s to rad/s, quaternion xyzw to wxyz; positions, velocities and accelerations
 * are SI and world ENU on both sides. The legacy Euler angles, whose pitch is inverted, are not used. */
void rs_cf_observe(const rs_contract_t *contract, const rs_cf_channels_t *channels, const state_t *state,
                   const sensorData_t *sensors, const setpoint_t *setpoint, float *observation);

/* Whether the policy can do what the setpoint asks: absolute x, y and z in the world, and a yaw within yaw_tolerance_deg
 * of zero. All else (attitude, rates, thrust, velocities, stop, level-out) is the stock controller's. */
rs_cf_wish_t rs_cf_wish(const setpoint_t *setpoint, float yaw_tolerance_deg);

#endif
