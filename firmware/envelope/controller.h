/* One control period on a board: envelope checks, inference, envelope limits. The chain has no bypass. */
#ifndef RS_CONTROLLER_H
#define RS_CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "contract.h"
#include "envelope.h"

typedef struct {
  const rs_contract_t *contract;
  rs_envelope_t envelope;
  float state[2][RS_MAX_STATE];
  uint8_t current; /* which state is valid */
} rs_controller_t;

/* Ready to be armed; the applied action is neutral and the state has its reset value.
 * Returns false when the contract is larger than the static buffers. */
bool rs_controller_init(rs_controller_t *c, const rs_contract_t *contract);

/* Arming clears a latched fallback and resets the state. Disarming applies neutral from the next tick on. */
void rs_controller_arm(rs_controller_t *c, bool armed);

/* Advances one control_dt_s. `observation` is packed (observation_size); `fresh[i]` says that channel i has a new
 * sample, `age_s[i]` how old that sample already was when it was sent. `action` (action_size) is what the actuators
 * must get. */
void rs_controller_tick(rs_controller_t *c, const float *observation, const uint8_t *fresh, const float *age_s,
                        float *action);

/* From the next tick on runs another policy of the same interface. The envelope, its latch and the applied action stay.
 * `state` (state_size) is what the policy goes on from; NULL: its reset value. */
void rs_controller_use(rs_controller_t *c, const rs_contract_t *contract, const float *state);

/* Runs one self-test vector; writes its outputs (action_size + state_size) and returns the largest error, as a share of
 * the action's range: FLT_MAX when one is not a number. */
float rs_self_test(const rs_contract_t *contract, uint16_t vector, float *outputs);

/* Runs all self-test vectors through infer(); returns the number that miss the tolerance, and the largest error as
 * a share of the action's range in *worst (may be NULL). */
uint16_t rs_controller_self_test(const rs_controller_t *c, float *worst);

#endif
