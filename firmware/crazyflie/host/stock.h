/* What stands where the firmware's PID controller stands. */
#ifndef RS_CF_STOCK_H
#define RS_CF_STOCK_H

#include "../interface/crazyflie.h"

void rs_cf_stock_init(void);
void rs_cf_stock(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state);

#endif
