#include "server.h"

#include <string.h>

/* Where the message of the next frame is written. */
static uint8_t *message_of(rs_server_t *s) { return &s->frame[RS_FRAME_LEAD(RS_MAX_REPLY)]; }

static uint16_t saturated(uint32_t value) { return (uint16_t)(value < 0xFFFFu ? value : 0xFFFFu); }

static void forget(rs_server_t *s) {
  (void)memset(s->observation, 0, sizeof s->observation);
  (void)memset(s->fresh, 0, sizeof s->fresh);
  (void)memset(s->age_s, 0, sizeof s->age_s);
  (void)memset(s->action, 0, sizeof s->action);
  (void)memset(&s->report, 0, sizeof s->report);
  s->report.channel = RS_NO_CHANNEL;
  s->armed = false;
  s->observed = false;
  s->malformed = 0;
  s->decoder.crc_errors = 0;
  s->decoder.length_errors = 0;
}

bool rs_server_init(rs_server_t *s, const rs_contract_t *contract, const rs_board_t *board) {
  (void)memset(s, 0, sizeof *s);
  s->board = board;
  rs_decoder_init(&s->decoder, s->input, sizeof s->input);
  if (contract->num_channels > RS_MAX_CHANNELS || !rs_controller_init(&s->controller, contract)) {
    return false;
  }
  forget(s);
#if RS_SWAP_SIZE > 0u
  rs_swap_init(&s->swap);
#endif
  s->self_test_failures = rs_controller_self_test(&s->controller, &s->self_test_worst);
  s->period = board->periods();
  return true;
}

static uint8_t status(const rs_server_t *s) {
  const rs_envelope_t *e = &s->controller.envelope;
  uint32_t bits = s->armed ? RS_STATUS_ARMED : 0u;
  if (e->tripped) {
    uint32_t rung = e->rung < 0 ? 0u : (uint32_t)e->rung;
    bits |= RS_STATUS_TRIPPED | (rung << RS_STATUS_RUNG_SHIFT);
  }
  return (uint8_t)bits;
}

static rs_verdict_t arm(rs_server_t *s, const rs_message_t *m) {
  const uint8_t *mine = s->controller.contract->policy_hash;
  if (m->size != RS_DIGEST_SIZE || memcmp(m->payload, mine, RS_DIGEST_SIZE) != 0) {
    return RS_WRONG_POLICY;
  }
  if (s->self_test_failures != 0u) {
    return RS_SELF_TEST_FAILED;
  }
  if (s->armed) {
    return RS_ALREADY_ARMED;
  }
  rs_controller_arm(&s->controller, true);
#if RS_SWAP_SIZE > 0u
  rs_swap_armed(&s->swap);
#endif
  s->armed = true;
  return RS_ACCEPTED;
}

static rs_verdict_t disarm(rs_server_t *s) {
  rs_controller_arm(&s->controller, false);
  s->armed = false;
  return RS_ACCEPTED;
}

static rs_verdict_t reset(rs_server_t *s) {
  const rs_contract_t *contract = s->controller.contract;
  forget(s);
  (void)rs_controller_init(&s->controller, contract); /* it fitted at rs_server_init */
#if RS_SWAP_SIZE > 0u
  rs_swap_abort(&s->swap, RS_SWAP_NOT_BEGUN);
#endif
  return RS_ACCEPTED;
}

/* Results of the vectors as they were at the start, and the outputs of one, so that a host can compare the bytes. */
static uint16_t self_test(rs_server_t *s, const rs_message_t *m) {
  const rs_contract_t *c = s->controller.contract;
  static float outputs[RS_MAX_ACTION + RS_MAX_STATE];
  rs_result_t r = {c->num_self_tests, s->self_test_failures, s->self_test_worst, RS_NO_VECTOR};
  uint16_t vector = 0;
  uint16_t n = 0;
  if (!rs_u16_parse(m, &vector)) {
    return 0;
  }
  if (vector < c->num_self_tests) {
    (void)rs_self_test(c, vector, outputs);
    r.vector = vector;
    n = (uint16_t)(c->action_size + c->state_size);
  }
  return rs_write_result(message_of(s), m->sequence, &r, outputs, n);
}

/* Only what has a copy of the policy in its banks can be swapped: without, every one of these is refused. */
static uint16_t swap(rs_server_t *s, const rs_message_t *m) {
#if RS_SWAP_SIZE > 0u
  return rs_swap_answer(&s->swap, &s->controller, m, RS_ACCEPTED, message_of(s));
#else
  return rs_write_ack(message_of(s), m->sequence, m->type, RS_NOT_SWAPPABLE);
#endif
}

static const uint8_t *topology(void) {
#if RS_SWAP_SIZE > 0u
  return rs_topology;
#else
  return NULL;
#endif
}

static void observe(rs_server_t *s, uint16_t sequence) {
  const rs_contract_t *c = s->controller.contract;
  uint32_t now_us = s->board->now_us();
  for (uint16_t i = 0; i < c->num_channels; i++) {
    if (((s->received.fresh >> i) & 1u) != 0u) {
      const rs_channel_t *channel = &c->channels[i];
      (void)memcpy(s->observation + channel->offset, s->received.observation + channel->offset,
             channel->size * sizeof(float));
      s->fresh[i] = 1;
      s->age_s[i] = s->received.age_s[i];
      s->arrived_us[i] = now_us;
    }
  }
  s->observed = true;
  s->observe_sequence = sequence;
}

/* Returns the size of the answer in message_of(s), or 0. */
static uint16_t answer(rs_server_t *s, const rs_message_t *m) {
  uint16_t size = 0;
  bool wellformed = true;
  if (m->type != (uint8_t)RS_HELLO && !rs_sequence_accepts(&s->last, m->sequence)) {
    s->report.stale = saturated(s->report.stale + 1u);
    return 0;
  }
  switch (m->type) {
    case RS_HELLO: {
      rs_ident_t ident = {s->board->name, s->controller.contract, topology(), s->last, status(s)};
      size = rs_write_ident(message_of(s), m->sequence, &ident);
      break;
    }
    case RS_ARM:
      size = rs_write_ack(message_of(s), m->sequence, m->type, arm(s, m));
      break;
    case RS_DISARM:
      size = rs_write_ack(message_of(s), m->sequence, m->type, disarm(s));
      break;
    case RS_RESET:
      size = rs_write_ack(message_of(s), m->sequence, m->type, s->armed ? RS_REFUSED_ARMED : reset(s));
      break;
    case RS_OBSERVE:
      wellformed = rs_observe_parse(s->controller.contract, m, &s->received);
      if (wellformed) {
        observe(s, m->sequence);
      }
      break;
    case RS_SELF_TEST: /* inference outside the control period would cost a deadline */
      size = s->armed ? rs_write_ack(message_of(s), m->sequence, m->type, RS_REFUSED_ARMED) : self_test(s, m);
      wellformed = size != 0u;
      break;
    case RS_PING:
      size = rs_write_pong(message_of(s), m);
      wellformed = size != 0u;
      break;
    case RS_WAIT:
      break;
    case RS_SWAP_BEGIN:
    case RS_SWAP_DATA:
    case RS_SWAP_COMMIT:
    case RS_SWAP_STATUS:
      size = swap(s, m);
      break;
    default:
      wellformed = false;
      break;
  }
  if (!wellformed) {
    s->malformed = saturated(s->malformed + 1u);
  }
  return size;
}

rs_server_event_t rs_server_feed(rs_server_t *s, uint8_t byte) {
  rs_message_t m;
  rs_frame_event_t event = rs_decoder_feed(&s->decoder, byte);
  if (event == RS_FRAME_NONE) {
    return RS_SERVER_IDLE;
  }
  if (event == RS_FRAME_REJECTED) {
    return RS_SERVER_TAKEN;
  }
  if (!rs_message_parse(s->decoder.data, s->decoder.size, &m)) {
    s->malformed = saturated(s->malformed + 1u);
    return RS_SERVER_TAKEN;
  }
  uint16_t size = answer(s, &m);
  if (size == 0u) {
    return RS_SERVER_TAKEN;
  }
  s->frame_size = rs_frame_encode(message_of(s), size, s->frame);
  return RS_SERVER_REPLY;
}

bool rs_server_tick(rs_server_t *s) {
  const rs_contract_t *c = s->controller.contract;
  bool heard = s->armed || s->observed;
  uint32_t period = s->board->periods();
  uint32_t now_us = s->board->now_us();
  uint32_t skipped = period - s->period;
  s->period = period;
  for (uint16_t i = 0; i < c->num_channels; i++) {
    if (s->fresh[i] != 0u) {
      const uint32_t since_us = now_us - s->arrived_us[i];
      s->age_s[i] += (float)since_us / 1e6f;
    }
  }

  if (skipped > 1u) {
    rs_envelope_missed(&s->controller.envelope, skipped - 1u);
  }
#if RS_SWAP_SIZE > 0u
  rs_swap_look(&s->swap, &s->controller);
#endif
  uint32_t start = s->board->stopwatch();
  rs_controller_tick(&s->controller, s->observation, s->fresh, s->age_s, s->action);
  s->report.spent = s->board->stopwatch() - start;

  /* An action that comes after the next period began is late; so is every period that had no tick at all. */
  uint32_t misses = (skipped > 1u ? skipped - 1u : 0u) + (s->board->periods() != period ? 1u : 0u);
  s->report.deadline_misses = saturated(s->report.deadline_misses + misses);
  s->report.rejected = saturated(s->malformed + s->decoder.crc_errors + s->decoder.length_errors);
  s->report.tick++;
  s->report.status = status(s);
  s->report.reason = (uint8_t)s->controller.envelope.reason;
  s->report.channel = (uint8_t)s->controller.envelope.trip_channel; /* -1 is RS_NO_CHANNEL */
  (void)memset(s->fresh, 0, sizeof s->fresh);
  s->observed = false;

  uint16_t size = rs_write_actuate(message_of(s), s->observe_sequence, &s->report, s->action, c->action_size);
  s->frame_size = rs_frame_encode(message_of(s), size, s->frame);
  return heard;
}

void rs_server_rest(rs_server_t *s) {
#if RS_SWAP_SIZE > 0u
  if (rs_swap_step(&s->swap, &s->controller)) {
    s->self_test_failures = 0; /* or it would not run */
    s->self_test_worst = s->swap.worst;
  }
#else
  (void)s;
#endif
}
