#include "controller.h"

#include <float.h>
#include <math.h>

static void reset_state(rs_controller_t *c) {
  c->current = 0;
  for (uint32_t i = 0; i < c->contract->state_size; i++) {
    c->state[0][i] = c->contract->state_reset[i];
  }
}

bool rs_controller_init(rs_controller_t *c, const rs_contract_t *contract) {
  if (contract->state_size > RS_MAX_STATE || !rs_envelope_init(&c->envelope, contract)) {
    return false;
  }
  c->contract = contract;
  reset_state(c);
  return true;
}

void rs_controller_arm(rs_controller_t *c, bool armed) {
  if (rs_envelope_arm(&c->envelope, armed)) {
    reset_state(c);
  }
}

void rs_controller_tick(rs_controller_t *c, const float *observation, const uint8_t *fresh, const float *age_s,
                        float *action) {
  rs_envelope_t *e = &c->envelope;
  if (!rs_envelope_observe(e, observation, fresh, age_s)) {
    rs_envelope_act(e, NULL, action);
    return;
  }
  const bool has_state = c->contract->state_size > 0u;
  const uint8_t next = c->current ^ 1u;
  float policy_action[RS_MAX_ACTION];
  c->contract->infer(e->observation, e->applied, has_state ? c->state[c->current] : NULL, policy_action,
                     has_state ? c->state[next] : NULL);
  if (!rs_all_finite(c->state[next], c->contract->state_size)) {
    rs_envelope_trip(e, RS_REASON_NON_FINITE_STATE, -1);
  }
  rs_envelope_act(e, policy_action, action);
  if (!e->tripped) {
    c->current = next;
  }
}

void rs_controller_use(rs_controller_t *c, const rs_contract_t *contract, const float *state) {
  c->contract = contract;
  reset_state(c);
  if (state != NULL) {
    for (uint32_t i = 0; i < contract->state_size; i++) {
      c->state[0][i] = state[i];
    }
  }
}

/* |a - b| as a share of scale; FLT_MAX when it is not a number. */
static float relative_error(float a, float b, float scale) {
  const float error = fabsf(a - b) / scale;
  return error <= FLT_MAX ? error : FLT_MAX;
}

float rs_self_test(const rs_contract_t *contract, uint16_t vector, float *outputs) {
  const rs_contract_t *k = contract;
  const uint32_t width = (uint32_t)k->action_size + k->state_size;
  const float *observation = k->self_test_inputs + vector * (k->observation_size + width);
  const float *applied = observation + k->observation_size;
  const float *expected = k->self_test_outputs + vector * width;
  const bool has_state = k->state_size > 0u;
  float error = 0.0f;
  k->infer(observation, applied, has_state ? applied + k->action_size : NULL, outputs,
           has_state ? outputs + k->action_size : NULL);
  for (uint32_t i = 0; i < width; i++) {
    const float size = fabsf(expected[i]); /* a state has no range: relative above 1, absolute below */
    const float scale = i < k->action_size ? k->action_high[i] - k->action_low[i] : (size > 1.0f ? size : 1.0f);
    const float e = relative_error(outputs[i], expected[i], scale);
    error = e > error ? e : error;
  }
  return error;
}

uint16_t rs_controller_self_test(const rs_controller_t *c, float *worst) {
  const rs_contract_t *k = c->contract;
  float outputs[RS_MAX_ACTION + RS_MAX_STATE];
  float largest = 0.0f;
  uint16_t missed = 0;
  for (uint16_t row = 0; row < k->num_self_tests; row++) {
    const float error = rs_self_test(k, row, outputs);
    missed = (uint16_t)(missed + (error <= k->self_test_tolerance ? 0u : 1u));
    largest = error > largest ? error : largest;
  }
  if (worst != NULL) {
    *worst = largest;
  }
  return missed;
}
