#include "swap.h"

#if RS_SWAP_SIZE > 0u

#include <string.h>

#include "frame.h"

static bool judging(const rs_swap_t *s) {
  return s->status.phase == RS_SWAP_TESTING || s->status.phase == RS_SWAP_SHADOWING;
}

static void end(rs_swap_t *s, rs_verdict_t verdict) {
  s->status.phase = RS_SWAP_IDLE;
  s->status.verdict = verdict;
}

void rs_swap_init(rs_swap_t *s) {
  (void)memset(s, 0, sizeof *s);
  for (uint8_t i = 0; i < 2u; i++) {
    rs_contract_t *k = &s->contracts[i];
    *k = rs_policy;
    k->policy_hash = s->policy_hash[i];
    k->self_test_inputs = rs_banks[i].self_test_inputs;
    k->self_test_outputs = rs_banks[i].self_test_outputs;
    k->infer = rs_banks[i].infer;
  }
}

rs_verdict_t rs_swap_begin(rs_swap_t *s, const rs_controller_t *c, const rs_message_t *m) {
  rs_swap_header_t header;
  rs_verdict_t verdict = RS_ACCEPTED;
  if (!rs_swap_header_parse(m, &header)) {
    verdict = RS_WRONG_BLOB;
  } else if (memcmp(header.interface_hash, rs_policy.interface_hash, RS_DIGEST_SIZE) != 0) {
    verdict = RS_WRONG_INTERFACE;
  } else if (memcmp(header.topology, rs_topology, RS_DIGEST_SIZE) != 0) {
    verdict = RS_WRONG_TOPOLOGY;
  } else if (header.image_size != RS_SWAP_SIZE) {
    verdict = RS_WRONG_BLOB;
  } else {
    s->bank = c->contract == &s->contracts[0] ? 1u : 0u;
    (void)memcpy(s->policy_hash[s->bank], header.policy_hash, RS_DIGEST_SIZE);
    s->crc = rs_crc32(0, m->payload, m->size);
  }
  end(s, verdict);
  s->status.received = 0;
  if (verdict == RS_ACCEPTED) {
    s->status.phase = RS_SWAP_RECEIVING;
  }
  return verdict;
}

rs_verdict_t rs_swap_data(rs_swap_t *s, const rs_message_t *m) {
  rs_swap_data_t data;
  if (s->status.phase != RS_SWAP_RECEIVING) {
    return RS_SWAP_NOT_BEGUN;
  }
  if (!rs_swap_data_parse(m, &data) || data.offset > s->status.received || data.size > RS_SWAP_SIZE - data.offset) {
    return RS_SWAP_OUT_OF_PLACE;
  }
  const uint32_t known = s->status.received - data.offset; /* bytes that it has already */
  if (data.size > known) {
    const uint32_t size = data.size - known;
    (void)memcpy(rs_banks[s->bank].image + s->status.received, data.bytes + known, size);
    s->crc = rs_crc32(s->crc, rs_banks[s->bank].image + s->status.received, size);
    s->status.received += size;
  }
  return RS_ACCEPTED;
}

rs_verdict_t rs_swap_commit(rs_swap_t *s, const rs_message_t *m) {
  const float max_tolerance = 0.02f; /* a self-test that allows more says nothing */
  uint32_t crc = 0;
  const bool understood = rs_u32_parse(m, &crc);
  if (s->status.phase == RS_SWAP_RECEIVING && s->status.received < RS_SWAP_SIZE) {
    return RS_SWAP_INCOMPLETE;
  }
  /* again: the first answer may have been lost, and the swap have come to its end meanwhile */
  const bool again = judging(s) || (s->status.phase == RS_SWAP_IDLE && s->status.received == RS_SWAP_SIZE);
  if (s->status.phase != RS_SWAP_RECEIVING && !again) {
    return RS_SWAP_NOT_BEGUN;
  }
  if (!understood || crc != s->crc) {
    if (!again) {
      end(s, RS_SWAP_DAMAGED);
    }
    return RS_SWAP_DAMAGED;
  }
  if (again) {
    return judging(s) ? RS_ACCEPTED : s->status.verdict;
  }
  s->contracts[s->bank].self_test_tolerance = *rs_banks[s->bank].self_test_tolerance;
  if (!(s->contracts[s->bank].self_test_tolerance <= max_tolerance)) {
    end(s, RS_SELF_TEST_FAILED);
    return RS_SELF_TEST_FAILED;
  }
  s->status.phase = RS_SWAP_TESTING;
  s->steps = 0;
  s->worst = 0.0f;
  return RS_ACCEPTED;
}

void rs_swap_abort(rs_swap_t *s, rs_verdict_t why) {
  if (s->status.phase != RS_SWAP_IDLE) {
    end(s, why);
  }
  s->status.received = 0;
}

uint16_t rs_swap_answer(rs_swap_t *s, const rs_controller_t *c, const rs_message_t *m, rs_verdict_t refused,
                        uint8_t *out) {
  rs_verdict_t verdict = refused;
  if (m->type == (uint8_t)RS_SWAP_STATUS) {
    return rs_write_swap_state(out, m->sequence, &s->status);
  }
  if (refused != RS_ACCEPTED) {
    /* not now */
  } else if (m->type == (uint8_t)RS_SWAP_BEGIN) {
    verdict = rs_swap_begin(s, c, m);
  } else if (m->type == (uint8_t)RS_SWAP_DATA) {
    verdict = rs_swap_data(s, m);
  } else {
    verdict = rs_swap_commit(s, m);
  }
  return rs_write_ack(out, m->sequence, m->type, verdict);
}

void rs_swap_armed(rs_swap_t *s) { s->steps = s->status.phase == RS_SWAP_SHADOWING ? 0u : s->steps; }

void rs_swap_look(rs_swap_t *s, const rs_controller_t *c) {
  (void)memcpy(s->applied, c->envelope.applied, sizeof s->applied);
}

static void test(rs_swap_t *s) {
  const rs_contract_t *k = &s->contracts[s->bank];
  float outputs[RS_MAX_ACTION + RS_MAX_STATE];
  const float error = rs_self_test(k, s->steps, outputs);
  s->worst = error > s->worst ? error : s->worst;
  s->steps++;
  if (!(error <= k->self_test_tolerance)) {
    end(s, RS_SELF_TEST_FAILED);
  } else if (s->steps == k->num_self_tests) {
    s->status.phase = RS_SWAP_SHADOWING;
    s->steps = 0;
  } else {
    /* the next vector after the next period */
  }
}

/* The policy that runs has acted in this period; so does the new one, and nobody looks but for NaN. */
static void shadow(rs_swap_t *s, const rs_controller_t *c) {
  const rs_contract_t *k = &s->contracts[s->bank];
  const bool has_state = k->state_size > 0u;
  if (s->steps == 0u) {
    (void)memcpy(s->state[0], c->state[c->current], sizeof s->state[0]);
  } else {
    float action[RS_MAX_ACTION];
    k->infer(c->envelope.observation, s->applied, has_state ? s->state[0] : NULL, action,
             has_state ? s->state[1] : NULL);
    if (!rs_all_finite(action, k->action_size) || !rs_all_finite(s->state[1], k->state_size)) {
      end(s, RS_SWAP_NOT_FINITE);
      return;
    }
    (void)memcpy(s->state[0], s->state[1], sizeof s->state[0]);
  }
  s->steps++;
}

bool rs_swap_step(rs_swap_t *s, rs_controller_t *c) {
  const uint16_t shadow_periods = 50; /* a recurrent state forgets what another network wrote into it */
  const bool acting = c->envelope.armed && !c->envelope.tripped;
  if (s->status.phase == RS_SWAP_TESTING) {
    test(s);
  } else if (s->status.phase == RS_SWAP_SHADOWING && acting) {
    shadow(s, c);
  } else {
    /* nothing to compute */
  }
  const bool proven = s->status.phase == RS_SWAP_SHADOWING && (!acting || s->steps > shadow_periods);
  if (proven) {
    rs_controller_use(c, &s->contracts[s->bank], acting ? s->state[0] : NULL);
    end(s, RS_ACCEPTED);
  }
  return proven;
}

#endif
