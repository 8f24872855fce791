#include "frame.h"

uint32_t rs_crc32(uint32_t crc, const uint8_t *data, uint32_t size) {
  /* Remainders of the reflected polynomial 0xEDB88320 for every low nibble: 64 bytes of flash instead of 1 KiB. */
  static const uint32_t crc_of_nibble[16] = {
      0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
      0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
  uint32_t remainder = ~crc;
  for (uint32_t i = 0; i < size; i++) {
    remainder ^= data[i];
    remainder = (remainder >> 4) ^ crc_of_nibble[remainder & 0xFu];
    remainder = (remainder >> 4) ^ crc_of_nibble[remainder & 0xFu];
  }
  return ~remainder;
}

typedef struct {
  uint8_t *out;
  uint16_t size; /* bytes written */
  uint16_t code; /* where the open block's code byte goes */
} stuffer_t;

static void open_block(stuffer_t *s) { s->code = s->size++; }

static void close_block(stuffer_t *s) { s->out[s->code] = (uint8_t)(s->size - s->code); }

static void stuff(stuffer_t *s, uint8_t byte) {
  if (s->size - s->code == 0xFFu) { /* 254 data bytes: the block is full and stands for no zero */
    close_block(s);
    open_block(s);
  }
  if (byte == 0u) {
    close_block(s);
    open_block(s);
  } else {
    s->out[s->size++] = byte;
  }
}

uint16_t rs_frame_encode(const uint8_t *message, uint16_t size, uint8_t *out) {
  uint32_t crc = rs_crc32(0, message, size);
  stuffer_t s = {out, 0, 0};
  out[s.size++] = 0u; /* ends whatever noise came before */
  open_block(&s);
  for (uint16_t i = 0; i < size; i++) {
    stuff(&s, message[i]);
  }
  for (uint32_t i = 0; i < RS_CRC_SIZE; i++) {
    stuff(&s, (uint8_t)(crc >> (8u * i)));
  }
  close_block(&s);
  out[s.size++] = 0u;
  return s.size;
}

static void restart(rs_decoder_t *d) {
  d->size = 0;
  d->left = 0;
  d->full = false;
  d->started = false;
  d->too_long = false;
}

void rs_decoder_init(rs_decoder_t *d, uint8_t *data, uint16_t capacity) {
  d->data = data;
  d->capacity = capacity;
  d->crc_errors = 0;
  d->length_errors = 0;
  restart(d);
}

static void keep(rs_decoder_t *d, uint8_t byte) {
  if (d->size < d->capacity) {
    d->data[d->size++] = byte;
  } else {
    d->too_long = true;
  }
}

static rs_frame_event_t finish(rs_decoder_t *d) {
  uint16_t size = d->size;
  bool started = d->started;
  bool damaged = d->left != 0u || d->too_long || size < RS_CRC_SIZE;
  restart(d);
  if (!started) {
    return RS_FRAME_NONE; /* delimiters between frames */
  }
  if (damaged) {
    d->length_errors++;
    return RS_FRAME_REJECTED;
  }
  size = (uint16_t)(size - RS_CRC_SIZE);
  uint32_t sent = 0;
  for (uint32_t i = 0; i < RS_CRC_SIZE; i++) {
    sent |= (uint32_t)d->data[size + i] << (8u * i);
  }
  if (sent != rs_crc32(0, d->data, size)) {
    d->crc_errors++;
    return RS_FRAME_REJECTED;
  }
  d->size = size;
  return RS_FRAME_READY;
}

rs_frame_event_t rs_decoder_feed(rs_decoder_t *d, uint8_t byte) {
  if (byte == 0u) {
    return finish(d);
  }
  if (!d->started) {
    d->size = 0; /* the last message has been read by now */
    d->started = true;
    d->left = (uint8_t)(byte - 1u);
    d->full = byte == 0xFFu;
  } else if (d->left == 0u) {
    if (!d->full) {
      keep(d, 0u);
    }
    d->left = (uint8_t)(byte - 1u);
    d->full = byte == 0xFFu;
  } else {
    keep(d, byte);
    d->left--;
  }
  return RS_FRAME_NONE;
}
