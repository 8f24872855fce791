#include "protocol.h"

#include <float.h>
#include <stddef.h>
#include <string.h>

static uint16_t get_u16(const uint8_t *p) { return (uint16_t)(p[0] | (uint16_t)(p[1] << 8)); }

static uint32_t get_u32(const uint8_t *p) { return (uint32_t)get_u16(p) | ((uint32_t)get_u16(p + 2) << 16); }

static float get_f32(const uint8_t *p) {
  uint32_t bits = get_u32(p);
  float value;
  (void)memcpy(&value, &bits, sizeof value);
  return value;
}

/* Writes on and returns the place after what it wrote. */
static uint8_t *put_u8(uint8_t *p, uint8_t value) {
  *p = value;
  return p + 1;
}

static uint8_t *put_u16(uint8_t *p, uint16_t value) {
  return put_u8(put_u8(p, (uint8_t)value), (uint8_t)(value >> 8));
}

static uint8_t *put_u32(uint8_t *p, uint32_t value) {
  return put_u16(put_u16(p, (uint16_t)value), (uint16_t)(value >> 16));
}

static uint8_t *put_f32(uint8_t *p, float value) {
  uint32_t bits;
  (void)memcpy(&bits, &value, sizeof bits);
  return put_u32(p, bits);
}

static uint8_t *put_floats(uint8_t *p, const float *values, uint16_t n) {
  uint8_t *end = p;
  for (uint32_t i = 0; i < n; i++) {
    end = put_f32(end, values[i]);
  }
  return end;
}

static uint8_t *put_bytes(uint8_t *p, const uint8_t *bytes, uint16_t n) {
  (void)memcpy(p, bytes, n);
  return p + n;
}

static uint8_t *put_text(uint8_t *p, const char *text) {
  size_t n = strlen(text);
  n = n < RS_TEXT_SIZE ? n : RS_TEXT_SIZE;
  return put_bytes(put_u8(p, (uint8_t)n), (const uint8_t *)text, (uint16_t)n);
}

/* Bytes of a message that ends before `end`. */
static uint16_t size_of(const uint8_t *out, const uint8_t *end) {
  const ptrdiff_t size = end - out;
  return (uint16_t)size;
}

static uint8_t *put_header(uint8_t *p, rs_type_t type, uint16_t sequence) {
  return put_u16(put_u8(p, (uint8_t)type), sequence);
}

bool rs_message_parse(const uint8_t *data, uint16_t size, rs_message_t *message) {
  if (size < RS_HEADER_SIZE) {
    return false;
  }
  message->type = data[0];
  message->sequence = get_u16(data + 1);
  message->payload = data + RS_HEADER_SIZE;
  message->size = (uint16_t)(size - RS_HEADER_SIZE);
  return true;
}

bool rs_sequence_accepts(uint16_t *last, uint16_t sequence) {
  uint16_t ahead = (uint16_t)(sequence - *last);
  if (ahead == 0u || ahead >= 0x8000u) {
    return false;
  }
  *last = sequence;
  return true;
}

bool rs_u16_parse(const rs_message_t *message, uint16_t *value) {
  if (message->size != 2u) {
    return false;
  }
  *value = get_u16(message->payload);
  return true;
}

bool rs_u32_parse(const rs_message_t *message, uint32_t *value) {
  if (message->size != 4u) {
    return false;
  }
  *value = get_u32(message->payload);
  return true;
}

bool rs_swap_header_parse(const rs_message_t *message, rs_swap_header_t *header) {
  static const uint8_t magic[4] = {0x52u, 0x53u, 0x57u, 0x42u}; /* RSWB */
  const uint8_t *p = message->payload;
  if (message->size != 12u + 3u * RS_DIGEST_SIZE || memcmp(p, magic, sizeof magic) != 0 ||
      get_u32(p + 4) != RS_SWAP_VERSION) {
    return false;
  }
  header->image_size = get_u32(p + 8);
  header->topology = p + 12;
  header->interface_hash = header->topology + RS_DIGEST_SIZE;
  header->policy_hash = header->interface_hash + RS_DIGEST_SIZE;
  return true;
}

bool rs_swap_data_parse(const rs_message_t *message, rs_swap_data_t *data) {
  if (message->size <= 4u) {
    return false;
  }
  data->offset = get_u32(message->payload);
  data->size = (uint16_t)(message->size - 4u);
  data->bytes = message->payload + 4;
  return true;
}

bool rs_observe_parse(const rs_contract_t *contract, const rs_message_t *message, rs_observe_t *observe) {
  const uint8_t *p = message->payload;
  uint16_t channels = contract->num_channels;
  if (message->size + RS_HEADER_SIZE != RS_OBSERVE_SIZE(channels, contract->observation_size)) {
    return false;
  }
  observe->fresh = get_u32(p);
  if (channels < 32u && (observe->fresh >> channels) != 0u) {
    return false;
  }
  p += 4;
  for (uint32_t i = 0; i < channels; i++) {
    uint16_t age = get_u16(p);
    observe->age_s[i] = age == RS_AGE_MAX ? FLT_MAX : (float)age / RS_AGES_PER_S; /* rounds once: 500 is 0.05f */
    p += 2;
  }
  for (uint32_t i = 0; i < contract->observation_size; i++) {
    observe->observation[i] = get_f32(p);
    p += 4;
  }
  return true;
}

uint16_t rs_write_ident(uint8_t *out, uint16_t sequence, const rs_ident_t *ident) {
  const rs_contract_t *c = ident->contract;
  uint8_t *p = put_header(out, RS_IDENT, sequence);
  p = put_u8(p, RS_PROTOCOL_VERSION);
  p = put_u16(p, ident->last);
  p = put_u8(p, ident->status);
  p = put_text(p, ident->board);
  p = put_text(p, c->task);
  p = put_f32(p, c->control_dt_s);
  p = put_u16(p, c->observation_size);
  p = put_u16(p, c->action_size);
  p = put_u16(p, c->state_size);
  p = put_u16(p, c->num_channels);
  p = put_u8(p, c->weight_bits);
  p = put_bytes(p, c->section_digests, RS_NUM_SECTIONS * RS_DIGEST_SIZE);
  p = put_bytes(p, c->interface_hash, RS_DIGEST_SIZE);
  p = put_bytes(p, c->policy_hash, RS_DIGEST_SIZE);
  if (ident->topology != NULL) {
    p = put_bytes(p, ident->topology, RS_DIGEST_SIZE);
  } else {
    (void)memset(p, 0, RS_DIGEST_SIZE);
    p += RS_DIGEST_SIZE;
  }
  return size_of(out, p);
}

uint16_t rs_write_ack(uint8_t *out, uint16_t sequence, uint8_t request, rs_verdict_t verdict) {
  uint8_t *p = put_header(out, RS_ACK, sequence);
  return size_of(out, put_u8(put_u8(p, request), (uint8_t)verdict));
}

uint16_t rs_write_actuate(uint8_t *out, uint16_t sequence, const rs_actuate_t *a, const float *action, uint16_t n) {
  uint8_t *p = put_header(out, RS_ACTUATE, sequence);
  p = put_u32(p, a->tick);
  p = put_u32(p, a->spent);
  p = put_u16(p, a->deadline_misses);
  p = put_u16(p, a->rejected);
  p = put_u16(p, a->stale);
  p = put_u8(p, a->status);
  p = put_u8(p, a->reason);
  p = put_u8(p, a->channel);
  return size_of(out, put_floats(p, action, n));
}

uint16_t rs_write_result(uint8_t *out, uint16_t sequence, const rs_result_t *r, const float *outputs, uint16_t n) {
  uint8_t *p = put_header(out, RS_RESULT, sequence);
  p = put_u16(p, r->count);
  p = put_u16(p, r->failures);
  p = put_f32(p, r->worst);
  p = put_u16(p, r->vector);
  return size_of(out, put_floats(p, outputs, n));
}

uint16_t rs_write_swap_state(uint8_t *out, uint16_t sequence, const rs_swap_status_t *status) {
  uint8_t *p = put_header(out, RS_SWAP_STATE, sequence);
  p = put_u8(put_u8(p, (uint8_t)status->phase), (uint8_t)status->verdict);
  return size_of(out, put_u32(p, status->received));
}

uint16_t rs_write_pong(uint8_t *out, const rs_message_t *ping) {
  if (ping->size < 2u) {
    return 0;
  }
  uint16_t size = get_u16(ping->payload);
  uint16_t filler = (uint16_t)(ping->size - 2u);
  if (size > RS_MAX_PING) {
    return 0;
  }
  uint8_t *p = put_header(out, RS_PONG, ping->sequence);
  (void)memset(p, 0, size);
  (void)memcpy(p, ping->payload + 2, filler < size ? filler : size);
  return (uint16_t)(RS_HEADER_SIZE + size);
}
