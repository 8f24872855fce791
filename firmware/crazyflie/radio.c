#include "radio.h"

#if RS_SWAP_SIZE > 0u

#include <string.h>

#include "firmware.h"

#if !defined(CONFIG_MOTORS_REQUIRE_ARMING)
#error "firmware that arms by itself is never disarmed, as a hot swap demands: set CONFIG_MOTORS_REQUIRE_ARMING=y"
#endif

void rs_cf_radio_init(rs_cf_radio_t *r, rs_controller_t *controller) {
  memset(r, 0, sizeof *r);
  r->controller = controller;
  rs_swap_init(&r->swap);
  rs_decoder_init(&r->decoder, r->input, sizeof r->input);
}

/* Writes to `out`; returns the answer's size in bytes, 0 when there is none. */
static uint16_t answer(rs_cf_radio_t *r, const rs_message_t *m, bool armed, uint8_t *out) {
  if (m->type != (uint8_t)RS_HELLO && !rs_sequence_accepts(&r->last, m->sequence)) {
    return 0;
  }
  switch (m->type) {
    case RS_HELLO: {
      const uint8_t status = armed ? RS_STATUS_ARMED : 0u;
      const rs_ident_t ident = {"crazyflie", r->controller->contract, rs_topology, r->last, status};
      return rs_write_ident(out, m->sequence, &ident);
    }
    case RS_SWAP_BEGIN:
    case RS_SWAP_DATA:
    case RS_SWAP_COMMIT:
    case RS_SWAP_STATUS:
      return rs_swap_answer(&r->swap, r->controller, m, armed ? RS_REFUSED_ARMED : RS_ACCEPTED, out);
    default:
      return rs_write_ack(out, m->sequence, m->type, RS_NOT_HERE);
  }
}

/* A packet holds one message at most, or a piece of one: what follows a message that was answered is dropped. */
static void take(rs_cf_radio_t *r, const uint8_t *packet, size_t size, bool armed) {
  uint8_t *message = &r->frame[RS_FRAME_LEAD(RS_MAX_REPLY)]; /* it becomes the frame in place */
  rs_message_t m;
  r->frame_size = r->sent = 0;
  for (size_t i = 0; i < size && r->frame_size == 0u; i++) {
    if (rs_decoder_feed(&r->decoder, packet[i]) == RS_FRAME_READY && rs_message_parse(r->input, r->decoder.size, &m)) {
      const uint16_t n = answer(r, &m, armed, message);
      r->frame_size = n == 0u ? 0u : rs_frame_encode(message, n, r->frame);
    }
  }
}

bool rs_cf_radio_call(rs_cf_radio_t *r, bool armed) {
  static uint8_t packet[APPCHANNEL_MTU];
  if (armed) {
    rs_swap_abort(&r->swap, RS_REFUSED_ARMED);
  }
  const bool changed = rs_swap_step(&r->swap, r->controller);
  if (r->sent < r->frame_size) {
    const uint16_t left = (uint16_t)(r->frame_size - r->sent);
    const uint16_t size = left < sizeof packet ? left : (uint16_t)sizeof packet;
    if (appchannelSendDataPacket(&r->frame[r->sent], size) != 0) { /* else its queue is full: in the next call */
      r->sent = (uint16_t)(r->sent + size);
    }
  } else {
    take(r, packet, appchannelReceiveDataPacket(packet, sizeof packet, 0), armed);
  }
  return changed;
}

#endif
