/* From reset to main: vectors, floating-point unit, memory. */
#include <stdint.h>

#include "stm32f405.h"

extern uint32_t rs_stack_top;
extern uint32_t rs_data_load;
extern uint32_t rs_data_start;
extern uint32_t rs_data_end;
extern uint32_t rs_bss_start;
extern uint32_t rs_bss_end;

int main(int count, char **arguments);
void Reset_Handler(void);
void Halt_Handler(void);
void SysTick_Handler(void);
void USART1_Handler(void);

/* A fault stops the board: the motors' own time-out is what acts then. */
void Halt_Handler(void) {
  for (;;) {
  }
}

__attribute__((weak)) void USART1_Handler(void) { Halt_Handler(); }

void Reset_Handler(void) {
  SCB_CPACR |= 0xF00000u; /* before anything that may use a float */
  __asm volatile("dsb\n\tisb");
  const uint32_t *from = &rs_data_load;
  for (uint32_t *to = &rs_data_start; to < &rs_data_end;) {
    *to++ = *from++;
  }
  for (uint32_t *to = &rs_bss_start; to < &rs_bss_end;) {
    *to++ = 0u;
  }
  (void)main(0, 0);
  Halt_Handler();
}

typedef union {
  uint32_t *stack;
  void (*handler)(void);
} vector_t;

__attribute__((section(".vectors"), used)) static const vector_t vectors[16u + USART1_IRQ + 1u] = {
    [0] = {.stack = &rs_stack_top},
    [1] = {.handler = Reset_Handler},
    [2] = {.handler = Halt_Handler},  /* NMI */
    [3] = {.handler = Halt_Handler},  /* hard fault; the others are not enabled and become one */
    [11] = {.handler = Halt_Handler}, /* SVCall */
    [14] = {.handler = Halt_Handler}, /* PendSV */
    [15] = {.handler = SysTick_Handler},
    [16u + USART1_IRQ] = {.handler = USART1_Handler},
};
