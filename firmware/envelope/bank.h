/* Where the numbers of another policy find room, in firmware that was exported with hot swap. Generated with the policy
 * that the image is born with; policy_sizes.h has RS_SWAP_SIZE, 0 without hot swap. */
#ifndef RS_BANK_H
#define RS_BANK_H

#include <stdint.h>

#include "contract.h"

typedef struct {
  uint8_t *image; /* RS_SWAP_SIZE bytes: weights and the like, self-test inputs, outputs and tolerance */
  const float *self_test_inputs;    /* in the image, like the next two; as many as the contract has */
  const float *self_test_outputs;
  const float *self_test_tolerance; /* share of each action's range */
  void (*infer)(const float *observation, const float *applied_action, const float *state, float *action,
                float *next_state);
} rs_bank_t;

extern const rs_bank_t rs_banks[2];

/* Of all that a swap leaves as it is: calls, sizes, indices, interface. */
extern const uint8_t rs_topology[RS_DIGEST_SIZE];

#endif
