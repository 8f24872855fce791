/* Everything the app takes from crazyflie-firmware: from the user's checkout, or, without one, from our own
 * declarations of the same. */
#ifndef RS_CF_FIRMWARE_H
#define RS_CF_FIRMWARE_H

#ifdef RS_CF_INTERFACE
#include "interface/crazyflie.h"
#else
#include "FreeRTOS.h"
#include "task.h"

#include "app_channel.h"
#include "controller.h"
#include "controller_pid.h"
#include "estimator.h"
#include "log.h"
#include "param.h"
#include "platform_defaults.h"
#include "pm.h"
#include "stabilizer_types.h"
#include "supervisor.h"
#include "usec_time.h"
#endif

#if !defined(CONFIG_ENABLE_THRUST_BAT_COMPENSATED)
#error "the app needs the firmware's battery compensation: set CONFIG_ENABLE_THRUST_BAT_COMPENSATED=y"
#endif

#endif
