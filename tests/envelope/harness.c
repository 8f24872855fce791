/* Lets a test drive controller.c: the policy answers what the test scripted and keeps what it was given. */
#include <string.h>

#include "controller.h"

void policy_infer(const float *observation, const float *applied_action, const float *state, float *action,
                  float *next_state);

static rs_controller_t controller;
static float scripted_action[RS_MAX_ACTION], scripted_state[RS_MAX_STATE];
float given_observation[RS_MAX_OBSERVATION], given_applied[RS_MAX_ACTION], given_state[RS_MAX_STATE];
uint32_t calls;

void policy_infer(const float *observation, const float *applied_action, const float *state, float *action,
                  float *next_state) {
  calls++;
  memcpy(given_observation, observation, rs_policy.observation_size * sizeof(float));
  memcpy(given_applied, applied_action, rs_policy.action_size * sizeof(float));
  memcpy(action, scripted_action, rs_policy.action_size * sizeof(float));
  if (rs_policy.state_size > 0) {
    memcpy(given_state, state, rs_policy.state_size * sizeof(float));
    memcpy(next_state, scripted_state, rs_policy.state_size * sizeof(float));
  }
}

bool start(void) { return rs_controller_init(&controller, &rs_policy); }

void arm(bool armed) { rs_controller_arm(&controller, armed); }

void script(const float *action, const float *state) {
  memcpy(scripted_action, action, rs_policy.action_size * sizeof(float));
  memcpy(scripted_state, state, rs_policy.state_size * sizeof(float));
}

void tick(const float *observation, const uint8_t *fresh, const float *age_s, uint32_t missed, float *action) {
  rs_envelope_missed(&controller.envelope, missed);
  rs_controller_tick(&controller, observation, fresh, age_s, action);
}

void status(int32_t *flags, float *age_s) {
  const rs_envelope_t *e = &controller.envelope;
  flags[0] = e->armed;
  flags[1] = e->tripped;
  flags[2] = (int32_t)e->reason;
  flags[3] = e->trip_channel;
  flags[4] = e->rung;
  for (uint16_t i = 0; i < rs_policy.num_channels; i++) {
    age_s[i] = e->channels[i].age_s;
  }
}

uint16_t self_test(float *worst) { return rs_controller_self_test(&controller, worst); }
