/* A robostack policy as an out-of-tree controller of the stock firmware.
 *
 * The stock PID runs at every call, in the shadow while the policy flies, so that it can take over at any call.
 * The policy flies only after it was asked (rsp.enable = 1) and while nothing stands in its way (rs_cf_obstacle_t).
 * Whatever ends a flight of the policy, a trip of the envelope among it, hands back to the stock PID in the same call
 * and sets rsp.enable to 0: it stays with the stock PID until it is asked anew. That is the one rung of this ladder;
 * the contract's own rungs never reach the motors.
 *
 * Timing: the firmware calls at 1 kHz. The control period runs in every call whose step is 1 modulo control_dt_s in
 * milliseconds (in odd steps the stock attitude PID rests), and its command is held until the next. */
#include <math.h>
#include <string.h>

#include "../envelope/controller.h"
#include "border.h"
#include "expected_bits.h"
#include "firmware.h"
#include "motor_command.h"
#include "output_bits.h"
#if RS_SWAP_SIZE > 0u
#include "radio.h"
#endif

#define CALLS_PER_S 1000.0f
#define PHASE 1u
#define SUPPLY_SHARE 0.01f   /* of a new reading in the supply's voltage, as in the firmware's own compensation */
#define LOWEST_SUPPLY_V 2.0f /* below, the firmware stops the motors */

/* What stands in the policy's way, or ended its last flight. */
typedef enum {
  NOTHING = 0,
  CONTRACT = 1,   /* made for another machine: channels, actions or period */
  SELF_TEST = 2,  /* this board computes something else than the export recorded */
  DISARMED = 3,   /* the supervisor does not let us fly */
  NOT_FLYING = 4, /* take off with the stock controller first */
  SETPOINT = 5,   /* asks for something else than a position */
  YAW = 6,        /* asks for another yaw than zero */
  ESTIMATOR = 7,  /* not the Kalman filter, or unsure of where it is */
  SUPPLY = 8,     /* no sane voltage */
  CHANNEL = 9,    /* one is stale, invalid or was never seen */
  TRIPPED = 10,   /* the envelope tripped: see reason and channel */
  NOT_ASKED = 11, /* rsp.enable was set to 0 */
  FAR = 12,       /* the setpoint is further than any that the policy was trained with */
} obstacle_t;

/* Parameters, written by the radio's task. */
static uint8_t enable;
static uint8_t path = RS_CF_COMPENSATED;
static float nominal_v = 3.7f;
static float max_std_m = 0.3f;
static float yaw_tolerance_deg = 5.0f;
static float max_error_m = 1.0f;

/* Log variables. */
static uint8_t active, pending, obstacle, ended, tripped, reason, failed_tests, other_bits;
static int8_t channel = -1, rung = -1;
static uint16_t late, step_us, longest_us;
static uint32_t periods, policy_hash;
static float command[RS_MAX_ACTION]; /* rad/s, M1 to M4, held between control periods; 0 while the PID flies */
static float reach[RS_MAX_ACTION];   /* rad/s */
static float supply_v, std_m, estimate_age_s;

static bool examined;
static obstacle_t verdict;     /* on the policy itself, at boot */
static rs_contract_t contract; /* the policy's, but action_high is only as far as motors and supply reach */
static rs_controller_t chain;  /* envelope, policy, envelope */
#if RS_SWAP_SIZE > 0u
static rs_cf_radio_t radio; /* brings the chain other policies */
#endif
static rs_cf_channels_t channels;
static uint32_t calls_per_period;
static float observation[RS_MAX_OBSERVATION];
static float ages_s[RS_MAX_CHANNELS];
static uint8_t fresh[RS_MAX_CHANNELS];
static control_t stock; /* the PID's own: it keeps what it does not compute in every call */
static float forces[RS_MAX_ACTION]; /* shares of THRUST_MAX */
static state_t last_estimate;
static uint32_t estimate_ms; /* when the estimate last changed */
static uint64_t period_us;   /* when the last control period began */
static logVarId_t variance_ids[3];

static bool whole_period(float dt_s) {
  const float calls = dt_s * CALLS_PER_S;
  calls_per_period = (uint32_t)(calls + 0.5f);
  return calls_per_period > PHASE && fabsf(calls - (float)calls_per_period) < 1e-3f;
}

static void show_hash(const uint8_t *hash) {
  policy_hash = (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
}

static obstacle_t examine_policy(void) {
  contract = rs_policy;
  if (!rs_cf_find_channels(&rs_policy, &channels) || !whole_period(rs_policy.control_dt_s) ||
      !rs_controller_init(&chain, &contract)) {
    return CONTRACT;
  }
  const uint16_t failed = rs_controller_self_test(&chain, NULL);
  failed_tests = failed < UINT8_MAX ? (uint8_t)failed : UINT8_MAX;
  other_bits = rs_cf_output_bits(&rs_policy) != RS_CF_OUTPUT_BITS;
  contract.action_high = reach;
#if RS_SWAP_SIZE > 0u
  rs_cf_radio_init(&radio, &chain);
#endif
  return rs_policy.num_self_tests == 0 || failed_tests > 0 || other_bits ? SELF_TEST : NOTHING;
}

void controllerOutOfTreeInit(void) {
  controllerPidInit();
  enable = active = pending = ended = 0;
  rs_controller_arm(&chain, false);
  supply_v = pmGetBatteryVoltage();
  if (!examined) { /* the firmware also calls when the controller is chosen in flight: no time for a self-test */
    show_hash(rs_policy.policy_hash);
    verdict = examine_policy();
    examined = true;
  }
  obstacle = (uint8_t)verdict;
}

/* The stock controller flies whatever the policy is worth, so only it can fail the board's own test. */
bool controllerOutOfTreeTest(void) { return controllerPidTest(); }

/* The Kalman estimator leaves the timestamps of its state 0. But it copies the accelerometer into it at every one of
 * its rounds, so an estimate without any changed bit is an old one. */
static void track_estimate(const state_t *state, uint32_t now_ms) {
  if (memcmp(&state->attitudeQuaternion, &last_estimate.attitudeQuaternion, sizeof state->attitudeQuaternion) != 0 ||
      memcmp(&state->position, &last_estimate.position, sizeof state->position) != 0 ||
      memcmp(&state->velocity, &last_estimate.velocity, sizeof state->velocity) != 0 ||
      memcmp(&state->acc, &last_estimate.acc, sizeof state->acc) != 0) {
    last_estimate = *state;
    estimate_ms = now_ms;
  }
  estimate_age_s = (float)(now_ms - estimate_ms) / CALLS_PER_S;
}

/* As the firmware will filter it when it compensates for it, right after this call. */
static void track_supply(void) {
  const float measured_v = pmGetBatteryVoltage();
  if (supervisorAreMotorsAllowedToRun() && supply_v >= LOWEST_SUPPLY_V) {
    supply_v += SUPPLY_SHARE * (measured_v - supply_v);
  } else {
    supply_v = measured_v;
  }
}

/* The worst axis of what the estimator itself says of its position. Not a number: worse than any limit. */
static float position_std_m(void) {
  static const char *const NAMES[3] = {"varX", "varY", "varZ"};
  float worst = 0.0f;
  for (int i = 0; i < 3; i++) {
    if (variance_ids[i] == 0) { /* 0 is a group; at boot the table may not be there yet */
      variance_ids[i] = logGetVarId("kalman", NAMES[i]);
    }
    const float variance = logVarIdIsValid(variance_ids[i]) ? logGetFloat(variance_ids[i]) : INFINITY;
    worst = variance <= worst ? worst : variance;
  }
  return sqrtf(worst);
}

/* On any axis. What is not a number is for the envelope to judge. */
static bool is_far(const point_t *goal, const point_t *at) {
  return fabsf(goal->x - at->x) > max_error_m || fabsf(goal->y - at->y) > max_error_m ||
         fabsf(goal->z - at->z) > max_error_m;
}

static obstacle_t find_obstacle(const setpoint_t *setpoint, const state_t *state) {
  const rs_cf_wish_t wish = rs_cf_wish(setpoint, yaw_tolerance_deg);
  if (verdict != NOTHING) {
    return verdict;
  }
  if (!supervisorIsArmed() || !supervisorCanFly()) {
    return DISARMED;
  }
  if (!supervisorIsFlying()) {
    return NOT_FLYING;
  }
  if (wish != RS_CF_CAN_FLY) {
    return wish == RS_CF_OTHER_YAW ? YAW : SETPOINT;
  }
  if (is_far(&setpoint->position, &state->position)) {
    return FAR;
  }
  if (stateEstimatorGetType() != StateEstimatorTypeKalman || !(std_m <= max_std_m)) {
    return ESTIMATOR;
  }
  if (!(supply_v >= LOWEST_SUPPLY_V && nominal_v >= LOWEST_SUPPLY_V)) {
    return SUPPLY;
  }
  for (uint16_t i = 0; i < contract.num_channels; i++) {
    if (!active && !chain.envelope.channels[i].valid) { /* while it flies, the envelope is the judge */
      return CHANNEL;
    }
  }
  return NOTHING;
}

static void hand_back(obstacle_t why) {
  ended = (uint8_t)why;
  active = enable = 0;
  memset(command, 0, sizeof command);
  rs_controller_arm(&chain, false);
}

/* How far the rotors can go now, for all four alike: what the envelope lets through is what they do. */
static void limit_reach(void) {
  const float fastest = rs_cf_reach_rad_s((rs_cf_path_t)path, supply_v, nominal_v);
  for (uint16_t i = 0; i < contract.action_size; i++) {
    reach[i] = fmaxf(fminf(fastest, rs_policy.action_high[i]), rs_policy.action_low[i]);
  }
}

static void read_channels(const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state,
                          uint32_t now_ms, uint64_t now_us) {
  rs_cf_observe(&contract, &channels, state, sensors, setpoint, observation);
  for (uint16_t i = 0; i < contract.num_channels; i++) {
    fresh[i] = 1;
    ages_s[i] = estimate_age_s;
  }
  ages_s[channels.body_rate] = (float)(now_us - sensors->interruptTimestamp) * 1e-6f;
  ages_s[channels.setpoint] = (float)(now_ms - setpoint->timestamp) / CALLS_PER_S;
}

/* What may wait for a call without a control period. A build that fails its own self-test is offered nothing: it would
 * compute another policy as wrongly. */
static void rest(void) {
#if RS_SWAP_SIZE > 0u
  if (verdict == NOTHING && rs_cf_radio_call(&radio, supervisorIsArmed())) {
    show_hash(chain.contract->policy_hash);
  }
#endif
}

/* Control periods that did not begin in time since the last one. */
static uint32_t missed_periods(uint64_t now_us) {
  const float elapsed = (float)(now_us - period_us) * 1e-6f / contract.control_dt_s;
  const bool first = periods == 0 || elapsed < 1.5f;
  period_us = now_us;
  return first ? 0 : (uint32_t)fminf(elapsed + 0.5f, 1e6f) - 1;
}

static void control_period(const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state,
                           uint32_t now_ms) {
  const uint64_t begin_us = usecTimestamp();
  const uint32_t missed = missed_periods(begin_us);
  if (missed > 0) {
    rs_envelope_missed(&chain.envelope, missed);
    late = late < UINT16_MAX ? (uint16_t)(late + 1) : late;
  }
  if (enable && !active) {
    if (obstacle == NOTHING) {
      active = 1;
      rs_controller_arm(&chain, true);
    } else {
      hand_back((obstacle_t)obstacle);
    }
  }
  limit_reach();
  read_channels(setpoint, sensors, state, now_ms, begin_us);
  rs_controller_tick(&chain, observation, fresh, ages_s, command);
  if (chain.envelope.tripped && active) {
    hand_back(TRIPPED);
  }
  for (uint16_t i = 0; i < contract.action_size; i++) {
    forces[i] = rs_cf_force((rs_cf_path_t)path, command[i], supply_v, nominal_v);
  }
  periods++;
  tripped = chain.envelope.tripped;
  reason = (uint8_t)chain.envelope.reason;
  channel = (int8_t)chain.envelope.trip_channel;
  rung = tripped ? 0 : -1;
  const uint64_t took_us = usecTimestamp() - begin_us;
  step_us = took_us < UINT16_MAX ? (uint16_t)took_us : UINT16_MAX;
  longest_us = step_us > longest_us ? step_us : longest_us;
}

void controllerOutOfTree(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors,
                         const state_t *state, const stabilizerStep_t step) {
  const uint32_t now_ms = xTaskGetTickCount();
  const bool due = verdict != CONTRACT && step % calls_per_period == PHASE;
  controllerPid(&stock, setpoint, sensors, state, step);
  if (verdict != CONTRACT) {
    track_estimate(state, now_ms);
    track_supply();
    std_m = due ? position_std_m() : std_m;
    obstacle = (uint8_t)find_obstacle(setpoint, state);
    if (active && (!enable || obstacle != NOTHING)) {
      hand_back(enable ? (obstacle_t)obstacle : NOT_ASKED);
    }
    if (due) {
      control_period(setpoint, sensors, state, now_ms);
    } else {
      rest();
    }
  } else if (enable) {
    hand_back(CONTRACT);
  }
  pending = enable && !active;
  *control = stock;
  if (active) {
    control->controlMode = controlModeForce;
    memcpy(control->normalizedForces, forces, sizeof control->normalizedForces);
  }
}

PARAM_GROUP_START(rsp)
/* 1 asks for the policy at the next control period; reads 0 whenever the stock controller flies */
PARAM_ADD(PARAM_UINT8, enable, &enable)
/* motor command: 0 compensated for the battery, 1 a constant PWM ratio */
PARAM_ADD(PARAM_UINT8, path, &path)
/* V, at which path 1 makes exactly the speed commanded */
PARAM_ADD(PARAM_FLOAT, nominalV, &nominal_v)
/* m, largest standard deviation of the estimated position with which the policy may fly */
PARAM_ADD(PARAM_FLOAT, maxStd, &max_std_m)
/* deg, largest yaw that a setpoint may ask of the policy */
PARAM_ADD(PARAM_FLOAT, yawTol, &yaw_tolerance_deg)
/* m, largest distance to a setpoint, each axis, that the policy may be asked to close */
PARAM_ADD(PARAM_FLOAT, maxError, &max_error_m)
PARAM_GROUP_STOP(rsp)

LOG_GROUP_START(rsp)
LOG_ADD(LOG_UINT8, active, &active)           /* 1: the policy flies */
LOG_ADD(LOG_UINT8, pending, &pending)         /* 1: asked, waits for the next control period */
LOG_ADD(LOG_UINT8, obstacle, &obstacle)       /* what stands in the way now (obstacle_t), 0: nothing */
LOG_ADD(LOG_UINT8, ended, &ended)             /* what ended the last flight, or refused it (obstacle_t) */
LOG_ADD(LOG_UINT8, tripped, &tripped)         /* 1: the envelope tripped, until asked anew */
LOG_ADD(LOG_UINT8, reason, &reason)           /* of the trip (rs_reason_t) */
LOG_ADD(LOG_INT8, channel, &channel)          /* that tripped, in the contract's order; -1: none */
LOG_ADD(LOG_INT8, rung, &rung)                /* -1: none; 0: delegated to the stock PID after a trip */
LOG_ADD(LOG_UINT8, failed, &failed_tests)     /* self-test vectors that missed their tolerance */
LOG_ADD(LOG_UINT8, otherBits, &other_bits)    /* 1: outputs differ from the build machine's in some bit */
LOG_ADD(LOG_UINT32, hash, &policy_hash)       /* first four bytes of the policy's hash */
LOG_ADD(LOG_UINT32, tick, &periods)           /* control periods since boot */
LOG_ADD(LOG_UINT16, late, &late)              /* control periods that began too late */
LOG_ADD(LOG_UINT16, stepUs, &step_us)         /* us, last control period */
LOG_ADD(LOG_UINT16, longestUs, &longest_us)   /* us, longest control period */
LOG_ADD(LOG_FLOAT, m1, &command[0])           /* rad/s, rotor speed commanded by the policy; 0 while it does not fly */
LOG_ADD(LOG_FLOAT, m2, &command[1])
LOG_ADD(LOG_FLOAT, m3, &command[2])
LOG_ADD(LOG_FLOAT, m4, &command[3])
LOG_ADD(LOG_FLOAT, reach, &reach[0])          /* rad/s, fastest that motors and supply allow now */
LOG_ADD(LOG_FLOAT, supply, &supply_v)         /* V, filtered */
LOG_ADD(LOG_FLOAT, std, &std_m)               /* m, standard deviation of the estimated position, worst axis */
LOG_ADD(LOG_FLOAT, age, &estimate_age_s)      /* s, of the estimate */
LOG_GROUP_STOP(rsp)
