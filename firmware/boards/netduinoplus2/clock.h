/* The board's time: SysTick makes control periods, TIM2 is the stopwatch. */
#ifndef RS_CLOCK_H
#define RS_CLOCK_H

#include <stdint.h>

void rs_clock_start(float control_dt_s);
uint32_t rs_clock_now_us(void);
uint32_t rs_clock_periods(void);

/* TIM2 unprescaled: half a core clock on the chip; under QEMU's -icount shift=0 exactly one executed instruction. */
uint32_t rs_clock_stopwatch(void);

#endif
