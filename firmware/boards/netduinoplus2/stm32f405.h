/* The registers of an STM32F405 that these boards use (ST RM0090 rev 19, ARM DDI 0403E). */
#ifndef RS_STM32F405_H
#define RS_STM32F405_H

#include <stdint.h>

#define RS_REGISTER(address) (*(volatile uint32_t *)(address))

#define SYST_CSR RS_REGISTER(0xE000E010u) /* SysTick: control, reload, current */
#define SYST_RVR RS_REGISTER(0xE000E014u)
#define SYST_CVR RS_REGISTER(0xE000E018u)
#define NVIC_ISER1 RS_REGISTER(0xE000E104u) /* enables interrupts 32-63 */
#define SCB_CPACR RS_REGISTER(0xE000ED88u)  /* access to the floating-point unit */

#define RCC_AHB1ENR RS_REGISTER(0x40023830u) /* clocks of GPIO ports */
#define RCC_APB1ENR RS_REGISTER(0x40023840u) /* clock of TIM2 */
#define RCC_APB2ENR RS_REGISTER(0x40023844u) /* clock of USART1 */

#define GPIOA_MODER RS_REGISTER(0x40020000u)
#define GPIOA_AFRH RS_REGISTER(0x40020024u)

#define TIM2_CR1 RS_REGISTER(0x40000000u) /* a 32-bit counter */
#define TIM2_EGR RS_REGISTER(0x40000014u)
#define TIM2_CNT RS_REGISTER(0x40000024u)
#define TIM2_PSC RS_REGISTER(0x40000028u)
#define TIM2_ARR RS_REGISTER(0x4000002Cu)

#define USART1_SR RS_REGISTER(0x40011000u)
#define USART1_DR RS_REGISTER(0x40011004u)
#define USART1_BRR RS_REGISTER(0x40011008u)
#define USART1_CR1 RS_REGISTER(0x4001100Cu)
#define USART1_IRQ 37u

/* QEMU's core clock. It models no clock tree (RCC reads 0, and a loop that waits for the PLL would hang), so these
 * boards set none up; a chip of silicon starts at 16 MHz and needs its PLL first. */
#define RS_CORE_HZ 168000000u

#endif
