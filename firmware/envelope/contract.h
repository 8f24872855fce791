/* The contract of one policy as the firmware sees it: a table generated from policy.onnx, read by the envelope,
 * the link and the boards. Times in seconds, everything else in the unit that the spec names. */
#ifndef RS_CONTRACT_H
#define RS_CONTRACT_H

#include <stdint.h>

#define RS_DIGEST_SIZE 32u
#define RS_NUM_SECTIONS 5u /* timing, observations, actions, state, envelope */

typedef struct {
  const char *name;
  uint16_t offset;       /* first element in the packed observation */
  uint16_t size;         /* elements */
  uint16_t hold_periods; /* invalid samples held before a trip */
  float max_age_s;
  const float *low;  /* size values */
  const float *high; /* size values */
} rs_channel_t;

typedef enum { RS_LEVEL_DESCEND = 0, RS_RAMP_TO = 1, RS_HOLD_LAST = 2, RS_CUT = 3 } rs_rung_kind_t;

/* One rung of the fallback ladder; fields not of its kind are NULL or 0. */
typedef struct {
  rs_rung_kind_t kind;
  uint16_t attitude;        /* channel indices, level_descend only */
  uint16_t body_rate;
  uint16_t velocity;
  float max_s;              /* level_descend only */
  const float *target;      /* action_size: base, target or value */
  const float *gain;        /* action_size x 6, row-major, level_descend only */
  const float *rate_per_s;  /* action_size, ramp_to only */
} rs_rung_t;

typedef struct {
  const char *task;
  float control_dt_s;
  uint16_t num_channels;
  uint16_t observation_size;
  uint16_t action_size;
  uint16_t state_size;
  const rs_channel_t *channels;
  const float *action_low;
  const float *action_high;
  const float *action_neutral;
  const float *action_slew_per_s; /* NULL: not limited; an element 0: that element is not limited */
  const float *state_reset;       /* state_size values, NULL when 0 */
  int16_t tumble_channel;         /* -1: no tumble cut-off */
  float tumble_cos;               /* trips while cos(tilt) stays below this */
  float tumble_for_s;
  uint16_t num_rungs;
  const rs_rung_t *rungs;
  const uint8_t *policy_hash;     /* RS_DIGEST_SIZE */
  const uint8_t *interface_hash;  /* RS_DIGEST_SIZE */
  const uint8_t *section_digests; /* RS_NUM_SECTIONS x RS_DIGEST_SIZE */
  uint16_t num_self_tests;
  const float *self_test_inputs;  /* num x (observation + action + state) */
  const float *self_test_outputs; /* num x (action + state), computed by torch or ONNX Runtime */
  float self_test_tolerance;      /* share of each action's range */
  uint8_t weight_bits;            /* of the network: 32, float; 16, integers */
  /* One inference; all pointers distinct. state and next_state are NULL when state_size is 0. */
  void (*infer)(const float *observation, const float *applied_action, const float *state, float *action,
                float *next_state);
} rs_contract_t;

/* The one policy compiled into this image; defined by the generated policy.c. */
extern const rs_contract_t rs_policy;

/* Its actions, action_size times "channel.element"; apart, so that an image that asks for no names carries none. */
extern const char *const *const rs_policy_actions;

#endif
