/* On the emulated board: exit status 0 when it computes the self-test to the bit as the machine that compiled this. */
#include <stdint.h>

#include "expected_bits.h"
#include "output_bits.h"

#define SYS_EXIT 0x18
#define APPLICATION_EXIT 0x20026u
#define RUNTIME_ERROR 0x20023u

int main(int count, char **arguments);
void SysTick_Handler(void);

void SysTick_Handler(void) {}

int main(int count, char **arguments) {
  const uintptr_t reason = rs_cf_output_bits(&rs_policy) == RS_CF_OUTPUT_BITS ? APPLICATION_EXIT : RUNTIME_ERROR;
  register int32_t r0 __asm("r0") = SYS_EXIT;
  register uintptr_t r1 __asm("r1") = reason;
  (void)count;
  (void)arguments;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return 0;
}
