/* The lockstep port: FIFOs on the machine that runs the emulator, reached by semihosting (ARM IHI 0029: BKPT 0xAB
 * with the operation in r0 and its arguments in r1). Virtual time stands still during such a call. */
#include "board.h"
#include "clock.h"

#define SYS_OPEN 0x01
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_EXIT 0x18
#define MODE_RB 1u
#define MODE_WB 5u
#define APPLICATION_EXIT 0x20026u

static uint32_t period_us;
static int32_t to_board;
static int32_t from_board;

static int32_t semihosting(int32_t operation, uintptr_t argument) {
  register int32_t r0 __asm("r0") = operation;
  register uintptr_t r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void leave(void) {
  for (;;) {
    (void)semihosting(SYS_EXIT, APPLICATION_EXIT);
  }
}

static int32_t open_file(const char *name, uint32_t length, uint32_t mode) {
  const uintptr_t arguments[3] = {(uintptr_t)name, mode, length};
  int32_t handle = semihosting(SYS_OPEN, (uintptr_t)arguments);
  if (handle < 0) {
    leave();
  }
  return handle;
}

void rs_board_start(float control_dt_s, int count, char **arguments) {
  (void)count;
  (void)arguments;
  to_board = open_file("to_board", sizeof "to_board" - 1u, MODE_RB);
  from_board = open_file("from_board", sizeof "from_board" - 1u, MODE_WB);
  const float us = 1e6f * control_dt_s + 0.5f;
  period_us = (uint32_t)us;
  rs_clock_start(control_dt_s);
}

/* Looks once more with interrupts masked, because one may have come since the caller looked; a pending interrupt
 * ends WFI even so. */
void rs_board_wait(uint32_t served) {
  __asm volatile("cpsid i" ::: "memory");
  if (rs_clock_periods() == served) {
    __asm volatile("wfi" ::: "memory");
  }
  __asm volatile("cpsie i\n\tisb" ::: "memory");
}

uint16_t rs_port_read(uint8_t *data, uint16_t capacity) {
  const uintptr_t arguments[3] = {(uintptr_t)to_board, (uintptr_t)data, capacity};
  int32_t not_read = semihosting(SYS_READ, (uintptr_t)arguments);
  if (not_read < 0 || not_read >= (int32_t)capacity) {
    leave(); /* the host has gone */
  }
  return (uint16_t)(capacity - (uint16_t)not_read);
}

void rs_port_write(const uint8_t *data, uint16_t size) {
  const uintptr_t arguments[3] = {(uintptr_t)from_board, (uintptr_t)data, size};
  if (semihosting(SYS_WRITE, (uintptr_t)arguments) != 0) {
    leave();
  }
}

/* In whole periods: what a delivery holds arrives as its period begins, whatever reading it took, so that ages are
 * those the host says on every board. */
static uint32_t now_us(void) { return rs_clock_periods() * period_us; }

const rs_board_t rs_board = {"netduinoplus2", now_us, rs_clock_periods, rs_clock_stopwatch};
