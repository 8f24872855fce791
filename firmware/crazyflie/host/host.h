/* The rest of a Crazyflie, as much of it as the app touches, as a library on this machine: time, estimate, supervisor
 * and battery come from the caller, the motors' way is the firmware's. One call is one millisecond. */
#ifndef RS_CF_HOST_H
#define RS_CF_HOST_H

#include <stdint.h>

#include "../interface/crazyflie.h"

/* What the caller says is true in this millisecond: SI, world ENU, body FLU. */
typedef struct {
  float position_m[3];
  float velocity_m_s[3];
  float quat_wxyz[4];
  float rate_rad_s[3];
  float specific_force_m_s2[3]; /* body; what an accelerometer feels */
  float position_std_m[3];      /* what the estimator thinks of its position */
  float supply_v;
  uint8_t armed;          /* the supervisor's answers */
  uint8_t can_fly;
  uint8_t flying;
  uint8_t motors_allowed;
  uint8_t new_estimate;   /* 0: the estimator hangs, its state stays as it was */
  uint8_t estimator;      /* StateEstimatorType */
  uint32_t gyro_age_us;
  uint32_t elapsed_us;    /* what the clock says passed since the last call; 0: 1000 */
} rs_cf_world_t;

/* What came of it. Motors are M1 to M4. */
typedef struct {
  float rotor_speed_rad_s[4]; /* that the motors are driven to, by the thrust curve of machine.h */
  uint16_t ratio[4];          /* PWM, 65535 is full */
  uint8_t capped;             /* the firmware's cap took from all four */
  uint8_t control_mode;       /* control_mode_t of the controller's answer */
  float forces[4];            /* that answer */
  float stock_forces[4];      /* what the stock controller asked for in this call */
  uint32_t stock_calls;       /* since boot */
  uint32_t time_ms;           /* since boot; stamp setpoints with it */
} rs_cf_motion_t;

/* What the firmware does at boot, and whenever this controller is chosen. Returns whether its test passed. */
uint8_t rs_cf_host_boot(float supply_v);

void rs_cf_host_step(const rs_cf_world_t *world, const setpoint_t *setpoint, rs_cf_motion_t *motion);

uint32_t rs_cf_host_time_ms(void);

/* The app channel. A packet to the app; 0 when its queue is full, and the packet is lost. */
uint8_t rs_cf_host_send(const uint8_t *data, uint8_t size);

/* The app's oldest packet, at most APPCHANNEL_MTU bytes; returns its size, 0: there is none. */
uint8_t rs_cf_host_receive(uint8_t *data);

/* Tables of parameters and log variables: a group begins with an entry of type 0x80 (| 1) and its name. Entries
 * without a name are gaps. Returns the first, and the number of entries in *count. */
const struct param_s *rs_cf_host_params(uint32_t *count);
const struct log_s *rs_cf_host_logs(uint32_t *count);

#endif
