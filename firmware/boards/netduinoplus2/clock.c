#include "clock.h"

#include "stm32f405.h"

#define SYSTICK_MAX 0x1000000u /* a 24-bit counter */

static uint32_t reload;           /* core clocks in a SysTick */
static uint32_t ticks_per_period; /* 1, unless a period is longer than SysTick can count */
static volatile uint32_t ticks;
static volatile uint32_t periods;

void SysTick_Handler(void);

void SysTick_Handler(void) {
  static uint32_t tick_in_period;
  ticks++;
  tick_in_period++;
  if (tick_in_period == ticks_per_period) {
    tick_in_period = 0;
    periods++;
  }
}

void rs_clock_start(float control_dt_s) {
  const float clocks = control_dt_s * (float)RS_CORE_HZ + 0.5f; /* of a period; up to 25 s */
  uint32_t period = (uint32_t)clocks;
  ticks_per_period = period / SYSTICK_MAX + 1u;
  reload = period / ticks_per_period;
  RCC_APB1ENR |= 1u; /* TIM2 */
  TIM2_PSC = 0;
  TIM2_ARR = 0xFFFFFFFFu;
  TIM2_EGR = 1u;
  TIM2_CR1 = 1u;
  SYST_RVR = reload - 1u;
  SYST_CVR = 0;
  SYST_CSR = 7u; /* core clock, interrupt, on */
}

uint32_t rs_clock_now_us(void) {
  uint32_t before;
  uint32_t left;
  do { /* until no tick came between the two reads */
    before = ticks;
    left = SYST_CVR;
  } while (before != ticks);
  uint64_t since_tick = (uint64_t)reload - 1u - left;
  uint64_t clocks = (uint64_t)before * reload + since_tick;
  return (uint32_t)(clocks / (RS_CORE_HZ / 1000000u));
}

uint32_t rs_clock_periods(void) { return periods; }

uint32_t rs_clock_stopwatch(void) { return TIM2_CNT; }
