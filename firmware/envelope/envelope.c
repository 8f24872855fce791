#include "envelope.h"

#include <float.h>
#include <string.h>

/* |q|^2 within which a quaternion is normalised; outside, its squares lose their digits. */
#define MIN_NORM2 1e-12f
#define MAX_NORM2 1e12f

typedef struct {
  float x;   /* rad for small angles */
  float y;   /* rad for small angles */
  float cos; /* of the angle between the body's z axis and up */
} tilt_t;

static float clamp(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }

static void copy(float *to, const float *from, uint16_t n) { (void)memcpy(to, from, n * sizeof *to); }

static uint32_t add_saturating(uint32_t a, uint32_t b) { return a > UINT32_MAX - b ? UINT32_MAX : a + b; }

bool rs_all_finite(const float *x, uint16_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if (!(x[i] >= -FLT_MAX && x[i] <= FLT_MAX)) {
      return false;
    }
  }
  return true;
}

static void clear(rs_envelope_t *e) {
  e->tripped = false;
  e->tumbled = false;
  e->reason = RS_REASON_NONE;
  e->trip_channel = -1;
  e->rung = -1;
  e->tilted_ticks = 0;
  e->descend_ticks = 0;
}

bool rs_envelope_init(rs_envelope_t *e, const rs_contract_t *contract) {
  if (contract->num_channels > RS_MAX_CHANNELS || contract->observation_size > RS_MAX_OBSERVATION ||
      contract->action_size > RS_MAX_ACTION || contract->num_rungs == 0u ||
      contract->rungs[contract->num_rungs - 1u].kind == RS_LEVEL_DESCEND) {
    return false;
  }
  e->contract = contract;
  e->armed = false;
  clear(e);
  for (uint32_t i = 0; i < contract->num_channels; i++) {
    e->channels[i] = (rs_channel_state_t){false, false, 0, 0, 0.0f, 0.0f};
  }
  for (uint32_t i = 0; i < contract->observation_size; i++) {
    e->observation[i] = 0.0f;
  }
  copy(e->applied, contract->action_neutral, contract->action_size);
  return true;
}

bool rs_envelope_arm(rs_envelope_t *e, bool armed) {
  const bool restarts = armed && (!e->armed || e->tripped);
  e->armed = armed;
  if (restarts) {
    clear(e);
  }
  return restarts;
}

void rs_envelope_trip(rs_envelope_t *e, rs_reason_t reason, int16_t channel) {
  if (!e->tripped) {
    e->tripped = true;
    e->reason = reason;
    e->trip_channel = channel;
  }
}

void rs_envelope_missed(rs_envelope_t *e, uint32_t periods) {
  for (uint32_t i = 0; i < e->contract->num_channels; i++) {
    e->channels[i].periods = add_saturating(e->channels[i].periods, periods);
  }
}

static bool is_good(const rs_channel_t *channel, const float *sample, float age_s) {
  for (uint32_t i = 0; i < channel->size; i++) {
    if (!(sample[i] >= channel->low[i] && sample[i] <= channel->high[i])) {
      return false;
    }
  }
  return age_s >= 0.0f && age_s <= FLT_MAX;
}

/* Counted periods instead of a running sum, which would drift and then stand still. */
static float age_of(const rs_channel_state_t *state, float dt_s) {
  return state->sent_age_s + (float)state->periods * dt_s;
}

static void observe_channel(const rs_channel_t *channel, rs_channel_state_t *state, float dt_s, const float *sample,
                            bool fresh, float age_s, float *held) {
  if (fresh && !is_good(channel, sample, age_s)) {
    state->bad = add_saturating(state->bad, 1);
  } else if (fresh && (!state->seen || age_s <= age_of(state, dt_s))) {
    copy(held, sample, channel->size);
    state->seen = true;
    state->bad = 0;
    state->periods = 0;
    state->sent_age_s = age_s;
  } else {
    /* nothing new, or older than what is held */
  }
  state->age_s = age_of(state, dt_s);
  state->valid = state->seen && state->age_s <= channel->max_age_s && state->bad <= channel->hold_periods;
}

static void check_channels(rs_envelope_t *e) {
  for (uint32_t i = 0; i < e->contract->num_channels; i++) {
    const rs_channel_state_t *state = &e->channels[i];
    if (!state->valid) {
      rs_reason_t reason = RS_REASON_INVALID;
      if (!state->seen) {
        reason = RS_REASON_NEVER_SEEN;
      } else if (!(state->age_s <= e->contract->channels[i].max_age_s)) {
        reason = RS_REASON_STALE;
      } else {
        /* as fresh as it must be, and bad */
      }
      rs_envelope_trip(e, reason, (int16_t)i);
      return;
    }
  }
}

/* From the quat_wxyz in a channel; false when it cannot be normalised. */
static bool tilt_of(const rs_envelope_t *e, uint16_t channel, tilt_t *tilt) {
  const float *q = &e->observation[e->contract->channels[channel].offset];
  const float w = q[0];
  const float x = q[1];
  const float y = q[2];
  const float z = q[3];
  const float norm2 = w * w + x * x + y * y + z * z;
  if (!(norm2 >= MIN_NORM2 && norm2 <= MAX_NORM2)) {
    return false;
  }
  const float s = 2.0f / norm2;
  tilt->x = s * (w * x + y * z);
  tilt->y = s * (w * y - x * z);
  tilt->cos = 1.0f - s * (x * x + y * y);
  return true;
}

static void check_tumble(rs_envelope_t *e) {
  const rs_contract_t *c = e->contract;
  if (c->tumble_channel < 0) {
    return;
  }
  const uint16_t i = (uint16_t)c->tumble_channel;
  tilt_t tilt;
  const bool upright = tilt_of(e, i, &tilt) && tilt.cos >= c->tumble_cos;
  e->tilted_ticks = upright || !e->channels[i].valid ? 0u : add_saturating(e->tilted_ticks, 1);
  if ((float)e->tilted_ticks * c->control_dt_s > c->tumble_for_s) {
    e->tumbled = true;
    rs_envelope_trip(e, RS_REASON_TUMBLE, (int16_t)i);
  }
}

bool rs_envelope_observe(rs_envelope_t *e, const float *observation, const uint8_t *fresh, const float *age_s) {
  const rs_contract_t *c = e->contract;
  rs_envelope_missed(e, 1);
  for (uint32_t i = 0; i < c->num_channels; i++) {
    const rs_channel_t *channel = &c->channels[i];
    observe_channel(channel, &e->channels[i], c->control_dt_s, &observation[channel->offset], fresh[i] != 0u, age_s[i],
                    &e->observation[channel->offset]);
  }
  if (e->armed) {
    check_channels(e);
    check_tumble(e);
  }
  return e->armed && !e->tripped;
}

static bool level_descend(const rs_envelope_t *e, const rs_rung_t *rung, float *action) {
  const rs_contract_t *c = e->contract;
  tilt_t tilt;
  if (!(e->channels[rung->attitude].valid && e->channels[rung->body_rate].valid) ||
      (float)add_saturating(e->descend_ticks, 1) * c->control_dt_s > rung->max_s || !tilt_of(e, rung->attitude, &tilt)) {
    return false;
  }
  const float *rate = &e->observation[c->channels[rung->body_rate].offset];
  const float *velocity = &e->observation[c->channels[rung->velocity].offset];
  const float v_z = e->channels[rung->velocity].valid ? velocity[2] : 0.0f;
  const float signal[6] = {tilt.x, tilt.y, rate[0], rate[1], rate[2], v_z};
  for (uint32_t i = 0; i < c->action_size; i++) {
    action[i] = rung->target[i];
    for (uint32_t k = 0; k < 6u; k++) {
      action[i] = action[i] + rung->gain[i * 6u + k] * signal[k];
    }
  }
  return true;
}

static bool rung_acts(const rs_envelope_t *e, const rs_rung_t *rung, float *action) {
  const rs_contract_t *c = e->contract;
  if (rung->kind == RS_LEVEL_DESCEND) {
    return level_descend(e, rung, action);
  }
  for (uint32_t i = 0; i < c->action_size; i++) {
    if (rung->kind == RS_RAMP_TO) {
      const float step = rung->rate_per_s[i] * c->control_dt_s;
      action[i] = clamp(rung->target[i], e->applied[i] - step, e->applied[i] + step);
    } else {
      action[i] = rung->kind == RS_CUT ? rung->target[i] : e->applied[i];
    }
  }
  return true;
}

static void fall_back(rs_envelope_t *e) {
  const rs_contract_t *c = e->contract;
  float action[RS_MAX_ACTION];
  for (uint32_t r = e->tumbled ? c->num_rungs - 1u : 0u; r < c->num_rungs; r++) {
    if (rung_acts(e, &c->rungs[r], action) && rs_all_finite(action, c->action_size)) {
      for (uint32_t i = 0; i < c->action_size; i++) {
        e->applied[i] = clamp(action[i], c->action_low[i], c->action_high[i]);
      }
      e->rung = (int16_t)r;
      if (c->rungs[r].kind == RS_LEVEL_DESCEND) {
        e->descend_ticks = add_saturating(e->descend_ticks, 1);
      }
      return;
    }
  }
  /* Not reached: rs_envelope_init wants a last rung that always acts. Even so, what was applied last stays. */
}

static void limit(rs_envelope_t *e, const float *policy_action) {
  const rs_contract_t *c = e->contract;
  for (uint32_t i = 0; i < c->action_size; i++) {
    const float last = e->applied[i];
    float action = clamp(policy_action[i], c->action_low[i], c->action_high[i]);
    if (c->action_slew_per_s != NULL && c->action_slew_per_s[i] > 0.0f) {
      const float step = c->action_slew_per_s[i] * c->control_dt_s;
      action = clamp(action, last - step, last + step);
    }
    e->applied[i] = clamp(action, c->action_low[i], c->action_high[i]);
  }
}

void rs_envelope_act(rs_envelope_t *e, const float *policy_action, float *action) {
  const rs_contract_t *c = e->contract;
  if (!e->armed) {
    e->rung = -1;
    copy(e->applied, c->action_neutral, c->action_size);
  } else {
    if (policy_action == NULL || !rs_all_finite(policy_action, c->action_size)) {
      rs_envelope_trip(e, RS_REASON_NON_FINITE_ACTION, -1);
    }
    if (e->tripped) {
      fall_back(e);
    } else {
      limit(e, policy_action);
    }
  }
  copy(action, e->applied, c->action_size);
}
