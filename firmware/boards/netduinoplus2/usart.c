/* USART1 (PA9 out, PA10 in) at 921,600 baud: received by interrupt into a ring, sent by polling, since QEMU 7.2
 * raises no transmit interrupt and an ACTUATE takes 0.6 ms of a chip's time. */
#include "board.h"
#include "clock.h"
#include "stm32f405.h"

#define BAUD 921600u
#define APB2_HZ 84000000u
#define SR_RECEIVED 0x20u
#define SR_OVERRUN 0x08u
#define SR_CAN_SEND 0x80u
#define CR1_ON 0x2000u
#define CR1_INTERRUPT_ON_RECEIPT 0x20u
#define CR1_SEND 0x08u
#define CR1_RECEIVE 0x04u
#define RING_SIZE 1024u /* power of two: the indices run freely */

static volatile uint8_t ring[RING_SIZE];
static volatile uint32_t received;
static volatile uint32_t taken;

void USART1_Handler(void);

/* What does not fit is lost here and caught by the CRC. Reading DR also clears an overrun. */
void USART1_Handler(void) {
  if ((USART1_SR & (SR_RECEIVED | SR_OVERRUN)) != 0u) {
    uint8_t byte = (uint8_t)USART1_DR;
    if (received - taken < RING_SIZE) {
      ring[received % RING_SIZE] = byte;
      received++;
    }
  }
}

void rs_board_start(float control_dt_s, int count, char **arguments) {
  (void)count;
  (void)arguments;
  RCC_AHB1ENR |= 1u;                                        /* GPIOA */
  GPIOA_MODER = (GPIOA_MODER & ~0x3C0000u) | 0x280000u; /* PA9, PA10: alternate function ... */
  GPIOA_AFRH = (GPIOA_AFRH & ~0xFF0u) | 0x770u;       /* ... 7, USART1 */
  RCC_APB2ENR |= 0x10u;
  USART1_BRR = (APB2_HZ + BAUD / 2u) / BAUD;
  USART1_CR1 = CR1_ON | CR1_INTERRUPT_ON_RECEIPT | CR1_SEND | CR1_RECEIVE;
  NVIC_ISER1 = 1u << (USART1_IRQ - 32u);
  rs_clock_start(control_dt_s);
}

/* Looks once more with interrupts masked, because one may have come since the caller looked; a pending interrupt
 * ends WFI even so. */
void rs_board_wait(uint32_t served) {
  __asm volatile("cpsid i" ::: "memory");
  if (received == taken && rs_clock_periods() == served) {
    __asm volatile("wfi" ::: "memory");
  }
  __asm volatile("cpsie i\n\tisb" ::: "memory");
}

uint16_t rs_port_read(uint8_t *data, uint16_t capacity) {
  uint16_t size = 0;
  while (size < capacity && received != taken) {
    data[size++] = ring[taken % RING_SIZE];
    taken++;
  }
  return size;
}

void rs_port_write(const uint8_t *data, uint16_t size) {
  for (uint16_t i = 0; i < size; i++) {
    while ((USART1_SR & SR_CAN_SEND) == 0u) {
    }
    USART1_DR = data[i];
  }
}

const rs_board_t rs_board = {"netduinoplus2", rs_clock_now_us, rs_clock_periods, rs_clock_stopwatch};
