/* Frames on a byte stream: 0x00, COBS(message + CRC-32, little-endian), 0x00.
 *
 * COBS (Cheshire & Baker 1999) leaves 0x00 for the delimiter alone, so a receiver that lost its place finds it again
 * at the next one. The CRC is IEEE 802.3's, as in zlib: a CRC-16 lets 15 of a million corrupted frames through. */
#ifndef RS_FRAME_H
#define RS_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define RS_CRC_SIZE 4u
/* Bytes on the wire for a message of n bytes: two delimiters, and one code byte for each 254 data bytes begun. */
#define RS_FRAME_SIZE(n) ((n) + RS_CRC_SIZE + ((n) + RS_CRC_SIZE) / 254u + 3u)
/* How far into `out` a message of at most n bytes must lie to become a frame in place: the bytes written never pass the
 * one that is read. */
#define RS_FRAME_LEAD(n) (2u + ((n) + RS_CRC_SIZE) / 254u)

/* Of data[0..size) after what `crc` is the CRC of; 0: of nothing. */
uint32_t rs_crc32(uint32_t crc, const uint8_t *data, uint32_t size);

/* Writes the frame of message[0..size) to out (RS_FRAME_SIZE(size) bytes); returns its length in bytes. The message may
 * lie in out itself, from RS_FRAME_LEAD(size) or later. */
uint16_t rs_frame_encode(const uint8_t *message, uint16_t size, uint8_t *out);

typedef enum {
  RS_FRAME_NONE = 0,    /* no frame ended with this byte */
  RS_FRAME_READY = 1,   /* data[0..size) is a message whose CRC holds */
  RS_FRAME_REJECTED = 2 /* a frame ended here, and it was damaged */
} rs_frame_event_t;

typedef struct {
  uint8_t *data;     /* capacity bytes, owned by the caller */
  uint16_t capacity; /* bytes: longest message + RS_CRC_SIZE */
  uint16_t size;     /* bytes */
  uint8_t left;      /* data bytes still to come in this COBS block */
  bool full;         /* the block was of 254 bytes: no zero follows it */
  bool started;      /* a code byte was seen since the last delimiter */
  bool too_long;
  uint32_t crc_errors;
  uint32_t length_errors; /* cut short, too short for a CRC, or longer than capacity */
} rs_decoder_t;

void rs_decoder_init(rs_decoder_t *d, uint8_t *data, uint16_t capacity);

/* Takes one byte of the stream. After RS_FRAME_READY the message stays until the next call. */
rs_frame_event_t rs_decoder_feed(rs_decoder_t *d, uint8_t byte);

#endif
