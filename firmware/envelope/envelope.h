/* The safety envelope between a policy and its actuators. The docstring of robostack/runtime/envelope.py specifies
 * this port and the Python one; both do the same 32-bit operations in the same order, so they agree bit for bit
 * (compile with -ffp-contract=off, never with -ffast-math). One tick is rs_envelope_observe, then the policy if that
 * returned true, then rs_envelope_act. */
#ifndef RS_ENVELOPE_H
#define RS_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"
#include "policy_sizes.h"

/* Why the envelope tripped. */
typedef enum {
  RS_REASON_NONE = 0,
  RS_REASON_NEVER_SEEN = 1,
  RS_REASON_STALE = 2,
  RS_REASON_INVALID = 3,
  RS_REASON_TUMBLE = 4,
  RS_REASON_NON_FINITE_ACTION = 5,
  RS_REASON_NON_FINITE_STATE = 6
} rs_reason_t;

/* What is known of one channel. */
typedef struct {
  bool seen;         /* has had a good sample */
  bool valid;        /* may be acted on in this tick */
  uint32_t bad;      /* bad samples on end */
  uint32_t periods;  /* control periods since the held sample was taken, or since the start */
  float sent_age_s;  /* how old the held sample was when it was sent */
  float age_s;       /* how old it is now */
} rs_channel_state_t;

/* Status fields may be read between ticks; only the functions below write. */
typedef struct {
  const rs_contract_t *contract;
  bool armed;
  bool tripped;            /* latched until armed again */
  bool tumbled;            /* latched: only the last rung may act */
  rs_reason_t reason;      /* of the first trip */
  int16_t trip_channel;    /* index of the channel that tripped, -1: none */
  int16_t rung;            /* index of the rung that acted last, -1: policy or neutral */
  uint32_t tilted_ticks;   /* control periods on end beyond the tumble limit */
  uint32_t descend_ticks;  /* control periods of level_descend since arming */
  rs_channel_state_t channels[RS_MAX_CHANNELS];
  float observation[RS_MAX_OBSERVATION]; /* samples held, in the contract's units */
  float applied[RS_MAX_ACTION];          /* what the actuators got last, in the contract's units */
} rs_envelope_t;

/* Disarmed, nothing seen, neutral applied. Returns false when the contract is larger than the static buffers or its
 * ladder does not end in a rung that needs no signal. */
bool rs_envelope_init(rs_envelope_t *e, const rs_contract_t *contract);

/* Returns true when the policy (re)starts, so that its state must be reset. */
bool rs_envelope_arm(rs_envelope_t *e, bool armed);

/* Latches the fallback; the first reason stays. channel: -1 for none. */
void rs_envelope_trip(rs_envelope_t *e, rs_reason_t reason, int16_t channel);

/* Ages every channel by control periods in which no tick ran. */
void rs_envelope_missed(rs_envelope_t *e, uint32_t periods);

/* Takes this tick's samples (see rs_controller_tick). Returns true when the policy may act. */
bool rs_envelope_observe(rs_envelope_t *e, const float *observation, const uint8_t *fresh, const float *age_s);

/* Writes what the actuators must get (action_size). policy_action is NULL when the policy was not called. */
void rs_envelope_act(rs_envelope_t *e, const float *policy_action, float *action);

/* Neither NaN nor infinity in any of n values. */
bool rs_all_finite(const float *x, uint16_t n);

#endif
