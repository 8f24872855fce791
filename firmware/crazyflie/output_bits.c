#include "output_bits.h"

#include <string.h>

#include "policy_sizes.h"

static uint32_t fold(uint32_t hash, const float *values, uint16_t size) {
  for (uint16_t i = 0; i < size; i++) {
    uint32_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    for (unsigned shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((bits >> shift) & 0xffu)) * 16777619u;
    }
  }
  return hash;
}

uint32_t rs_cf_output_bits(const rs_contract_t *contract) {
  static float action[RS_MAX_ACTION], next_state[RS_MAX_STATE];
  const float *row = contract->self_test_inputs;
  uint32_t hash = 2166136261u;
  for (uint16_t i = 0; i < contract->num_self_tests; i++) {
    const float *applied = row + contract->observation_size;
    const float *state = applied + contract->action_size;
    contract->infer(row, applied, state, action, next_state);
    hash = fold(hash, action, contract->action_size);
    hash = fold(hash, next_state, contract->state_size);
    row = state + contract->state_size;
  }
  return hash;
}
