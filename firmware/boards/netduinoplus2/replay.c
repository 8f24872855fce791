/* Replays rows of a file through the policy on the emulated board and writes what comes out: the port that
 * verification compares, and the loop that cycle counts are taken of. Files by semihosting (ARM IHI 0029).
 *
 * `replay_in`: one uint32_t, 0: rows of observation, applied action, state go through infer(), which gives action and
 * next state; 1: rows of observation go through the armed controller, which gives what the actuators get. Then rows
 * of float. `replay_out`: one row of float for each. Exit status 0 when every row was answered. */
#include <stdint.h>

#include "controller.h"

#define SYS_OPEN 0x01
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_EXIT 0x18
#define MODE_RB 1u
#define MODE_WB 5u
#define APPLICATION_EXIT 0x20026u
#define RUNTIME_ERROR 0x20023u
#define BYTES(elements) ((uint32_t)(elements) * (uint32_t)sizeof(float))

int main(int count, char **arguments);
void SysTick_Handler(void);

static rs_controller_t controller;
static float row[RS_MAX_OBSERVATION + RS_MAX_ACTION + RS_MAX_STATE];
static float answer[RS_MAX_ACTION + RS_MAX_STATE];
static uint8_t fresh[RS_MAX_CHANNELS];
static float age_s[RS_MAX_CHANNELS];

void SysTick_Handler(void) {}

static int32_t replay_call(int32_t operation, uintptr_t argument) {
  register int32_t r0 __asm("r0") = operation;
  register uintptr_t r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static __attribute__((noreturn)) void replay_leave(uintptr_t reason) {
  for (;;) {
    (void)replay_call(SYS_EXIT, reason);
  }
}

static int32_t replay_open(const char *name, uint32_t length, uint32_t mode) {
  const uintptr_t arguments[3] = {(uintptr_t)name, mode, length};
  const int32_t handle = replay_call(SYS_OPEN, (uintptr_t)arguments);
  if (handle < 0) {
    replay_leave(RUNTIME_ERROR);
  }
  return handle;
}

/* Leaves the program at the end of the file. */
static __attribute__((noinline)) void replay_read(int32_t file, void *data, uint32_t size) {
  const uintptr_t arguments[3] = {(uintptr_t)file, (uintptr_t)data, size};
  const int32_t missing = replay_call(SYS_READ, (uintptr_t)arguments);
  if (missing != 0) {
    replay_leave((uint32_t)missing == size ? APPLICATION_EXIT : RUNTIME_ERROR);
  }
}

static __attribute__((noinline)) void replay_write(int32_t file, const void *data, uint32_t size) {
  const uintptr_t arguments[3] = {(uintptr_t)file, (uintptr_t)data, size};
  if (replay_call(SYS_WRITE, (uintptr_t)arguments) != 0) {
    replay_leave(RUNTIME_ERROR);
  }
}

int main(int count, char **arguments) {
  (void)count;
  (void)arguments;
  const rs_contract_t *k = &rs_policy;
  const int32_t in = replay_open("replay_in", sizeof "replay_in" - 1u, MODE_RB);
  const int32_t out = replay_open("replay_out", sizeof "replay_out" - 1u, MODE_WB);
  uint32_t through_controller = 0;
  replay_read(in, &through_controller, sizeof through_controller);
  if (!rs_controller_init(&controller, k)) {
    replay_leave(RUNTIME_ERROR);
  }
  rs_controller_arm(&controller, true);
  for (uint16_t i = 0; i < k->num_channels; i++) {
    fresh[i] = 1;
  }
  const uint16_t state_at = (uint16_t)(k->observation_size + k->action_size);
  for (;;) {
    if (through_controller != 0) {
      replay_read(in, row, BYTES(k->observation_size));
      rs_controller_tick(&controller, row, fresh, age_s, answer);
      replay_write(out, answer, BYTES(k->action_size));
    } else {
      replay_read(in, row, BYTES(state_at + k->state_size));
      k->infer(row, row + k->observation_size, row + state_at, answer, answer + k->action_size);
      replay_write(out, answer, BYTES(k->action_size + k->state_size));
    }
  }
}
