/* A policy small enough to write by hand, with a recurrent state and a channel that asks for work: the tests of the
 * link and the boards run it where generated code would be. Its contract is in tiny.py. */
#include <stdint.h>

void policy_infer(const float *observation, const float *applied_action, const float *state, float *action,
                  float *next_state);

void policy_infer(const float *observation, const float *applied_action, const float *state, float *action,
                  float *next_state) {
  for (volatile uint32_t work = (uint32_t)(1000.0f * observation[4]); work > 0u; work--) {
  }
  for (uint16_t i = 0; i < 2; i++) {
    action[i] = 0.5f * observation[i] - 0.25f * observation[2 + i] + 0.125f * applied_action[i] + state[i];
    next_state[i] = 0.5f * state[i] + 0.0625f * observation[i];
  }
}
