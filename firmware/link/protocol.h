/* Messages between a host and a board that runs one policy: type u8, sequence u16, payload; all little-endian,
 * floats IEEE 754 binary32. One message is one frame (frame.h). The host speaks, the board answers under the
 * sequence number it was asked with. The same layouts in Python: robostack_real/link/protocol.py. */
#ifndef RS_PROTOCOL_H
#define RS_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "contract.h"
#include "policy_sizes.h"

#define RS_PROTOCOL_VERSION 3u

typedef enum {
  RS_HELLO = 0x01,     /* -> IDENT, which says where the sequence stands; changes nothing */
  RS_ARM = 0x02,       /* policy_hash 32 B -> ACK */
  RS_DISARM = 0x03,    /* -> ACK */
  RS_OBSERVE = 0x04,   /* fresh u32, age u16 x channels (0.1 ms), observation f32 x n -> ACTUATE at the next tick */
  RS_SELF_TEST = 0x05, /* vector u16 (or RS_NO_VECTOR) -> RESULT */
  RS_RESET = 0x06,     /* -> ACK; disarms, forgets observations, counters and state */
  RS_PING = 0x07,      /* answer_size u16, filler -> PONG with answer_size bytes of the filler, zeros after it */
  RS_WAIT = 0x08,      /* nothing; in lockstep a control period passes */
  RS_SWAP_BEGIN = 0x09,  /* rs_swap_header_t -> ACK */
  RS_SWAP_DATA = 0x0A,   /* offset u32, bytes -> ACK */
  RS_SWAP_COMMIT = 0x0B, /* CRC-32 u32 of header and image -> ACK; the board goes on by itself */
  RS_SWAP_STATUS = 0x0C, /* -> SWAP_STATE; changes nothing */
  RS_IDENT = 0x81,   /* rs_ident_t */
  RS_ACK = 0x82,     /* request u8, verdict u8 (rs_verdict_t) */
  RS_ACTUATE = 0x84, /* rs_actuate_t */
  RS_RESULT = 0x85,  /* count u16, failures u16, worst f32, vector u16, outputs f32 x (action + state, or none) */
  RS_PONG = 0x87,
  RS_SWAP_STATE = 0x8C /* rs_swap_status_t */
} rs_type_t;

typedef enum {
  RS_ACCEPTED = 0,
  RS_WRONG_POLICY = 1,     /* ARM carries the hash of another policy */
  RS_ALREADY_ARMED = 2,    /* a second ARM clears no latch: disarm first */
  RS_SELF_TEST_FAILED = 3, /* this build computes something else than the policy it was made from */
  RS_REFUSED_ARMED = 4,    /* not while armed; or a swap that arming ended */
  RS_NOT_SWAPPABLE = 5,    /* firmware that was exported without hot swap */
  RS_WRONG_BLOB = 6,       /* no blob, or of another version */
  RS_WRONG_INTERFACE = 7,
  RS_WRONG_TOPOLOGY = 8,     /* another graph, or the same in another precision */
  RS_SWAP_NOT_BEGUN = 9,
  RS_SWAP_OUT_OF_PLACE = 10, /* bytes that leave a gap, or beyond the image */
  RS_SWAP_INCOMPLETE = 11,
  RS_SWAP_DAMAGED = 12,    /* the CRC is another */
  RS_SWAP_NOT_FINITE = 13, /* in the shadow of the policy that flies */
  RS_NOT_HERE = 14         /* a link for other policies alone */
} rs_verdict_t;

#define RS_NO_VECTOR 0xFFFFu
#define RS_NO_CHANNEL 0xFFu
#define RS_STATUS_ARMED 0x01u
#define RS_STATUS_TRIPPED 0x02u
#define RS_STATUS_RUNG_SHIFT 4u /* bits 4-7: the rung that acts, while tripped */
#define RS_AGES_PER_S 1e4f      /* ages come in 0.1 ms, so none is negative or NaN */
#define RS_AGE_MAX 0xFFFFu      /* that old or older: too old for every channel */

#define RS_HEADER_SIZE 3u
#define RS_TEXT_SIZE 48u /* longest board or task name in bytes */
#define RS_MAX_PING 128u /* as much as an observation and its answer have, or nearly */
#if RS_SWAP_SIZE > 0u
#define RS_MAX_FILLER 512u /* an offset and 508 bytes of an image */
#else
#define RS_MAX_FILLER RS_MAX_PING
#endif
#define RS_MAX_2(a, b) ((a) > (b) ? (a) : (b))
#define RS_OBSERVE_SIZE(channels, n) (RS_HEADER_SIZE + 4u + 2u * (channels) + 4u * (n))
#define RS_ACTUATE_SIZE(n) (RS_HEADER_SIZE + 17u + 4u * (n))
#define RS_RESULT_SIZE(n) (RS_HEADER_SIZE + 10u + 4u * (n))
#define RS_IDENT_SIZE (RS_HEADER_SIZE + 1u + 2u * (1u + RS_TEXT_SIZE) + 16u + (RS_NUM_SECTIONS + 3u) * RS_DIGEST_SIZE)
/* The longest message in each direction. */
#define RS_MAX_REQUEST RS_MAX_2(RS_OBSERVE_SIZE(RS_MAX_CHANNELS, RS_MAX_OBSERVATION), RS_HEADER_SIZE + RS_MAX_FILLER)
#define RS_MAX_REPLY                                             \
  RS_MAX_2(RS_MAX_2(RS_IDENT_SIZE, RS_HEADER_SIZE + RS_MAX_PING), \
           RS_MAX_2(RS_ACTUATE_SIZE(RS_MAX_ACTION), RS_RESULT_SIZE(RS_MAX_ACTION + RS_MAX_STATE)))

#if RS_MAX_CHANNELS > 32
#error "OBSERVE marks fresh channels in 32 bits: join some channels of this contract"
#endif

typedef struct {
  uint8_t type;
  uint16_t sequence;
  const uint8_t *payload;
  uint16_t size; /* bytes of payload */
} rs_message_t;

/* Splits a message; false when it is too short for its header. */
bool rs_message_parse(const uint8_t *data, uint16_t size, rs_message_t *message);

/* The one place that decides whether a frame is new: true, and *last moves on, when `sequence` is ahead of it by
 * serial-number arithmetic (RFC 1982). Everything but HELLO must pass, so that a late ARM arms nothing. */
bool rs_sequence_accepts(uint16_t *last, uint16_t sequence);

typedef struct {
  uint32_t fresh; /* bit i: channel i has a new sample */
  float age_s[RS_MAX_CHANNELS];
  float observation[RS_MAX_OBSERVATION];
} rs_observe_t;

/* False when the payload is not one u16, or u32. */
bool rs_u16_parse(const rs_message_t *message, uint16_t *value);
bool rs_u32_parse(const rs_message_t *message, uint32_t *value);

/* False when the payload does not have the contract's length or marks a channel that does not exist. */
bool rs_observe_parse(const rs_contract_t *contract, const rs_message_t *message, rs_observe_t *observe);

/* IDENT: version u8, last u16, status u8, board and task (length u8, text), control_dt_s f32, sizes of observation,
 * action, state u16, channels u16, weight bits u8, section digests, interface hash, policy hash, topology. */
typedef struct {
  const char *board;
  const rs_contract_t *contract;
  const uint8_t *topology; /* RS_DIGEST_SIZE bytes that come last; NULL: no hot swap, and they are zero */
  uint16_t last;  /* sequence number last accepted */
  uint8_t status; /* RS_STATUS_... */
} rs_ident_t;

/* ACTUATE: these fields in this order, then the action f32 x n that the actuators get. */
typedef struct {
  uint32_t tick;            /* control periods since reset */
  uint32_t spent;           /* stopwatch units in the last controller tick; the board says which */
  uint16_t deadline_misses; /* saturating, like the next two */
  uint16_t rejected;        /* damaged or malformed frames */
  uint16_t stale;           /* repeated, reordered or late frames */
  uint8_t status;           /* RS_STATUS_... */
  uint8_t reason;           /* why the envelope tripped, 0: it did not */
  uint8_t channel;          /* which channel tripped it, or RS_NO_CHANNEL */
} rs_actuate_t;

typedef struct {
  uint16_t count;    /* self-test vectors */
  uint16_t failures; /* beyond the tolerance */
  float worst;       /* share of the action's range */
  uint16_t vector;   /* whose outputs follow, or RS_NO_VECTOR */
} rs_result_t;

/* A blob's: magic "RSWB", version u32, image size u32, digests of topology, interface and policy. */
#define RS_SWAP_VERSION 1u
typedef struct {
  uint32_t image_size; /* bytes */
  const uint8_t *topology;
  const uint8_t *interface_hash;
  const uint8_t *policy_hash;
} rs_swap_header_t;

typedef struct {
  uint32_t offset; /* bytes */
  uint16_t size;   /* bytes, at least 1 */
  const uint8_t *bytes;
} rs_swap_data_t;

typedef enum {
  RS_SWAP_IDLE = 0,
  RS_SWAP_RECEIVING = 1,
  RS_SWAP_TESTING = 2,
  RS_SWAP_SHADOWING = 3
} rs_swap_phase_t;

/* SWAP_STATE: phase u8, verdict u8, received u32. */
typedef struct {
  rs_swap_phase_t phase;
  rs_verdict_t verdict; /* how the last one ended, when idle */
  uint32_t received;    /* bytes of the image */
} rs_swap_status_t;

/* False for a payload of another length, magic or version. */
bool rs_swap_header_parse(const rs_message_t *message, rs_swap_header_t *header);

/* False for a payload without bytes. */
bool rs_swap_data_parse(const rs_message_t *message, rs_swap_data_t *data);

/* Each writes one message of at most RS_MAX_REPLY bytes and returns its size. */
uint16_t rs_write_ident(uint8_t *out, uint16_t sequence, const rs_ident_t *ident);
uint16_t rs_write_ack(uint8_t *out, uint16_t sequence, uint8_t request, rs_verdict_t verdict);
uint16_t rs_write_actuate(uint8_t *out, uint16_t sequence, const rs_actuate_t *a, const float *action, uint16_t n);
uint16_t rs_write_result(uint8_t *out, uint16_t sequence, const rs_result_t *r, const float *outputs, uint16_t n);
uint16_t rs_write_swap_state(uint8_t *out, uint16_t sequence, const rs_swap_status_t *status);
uint16_t rs_write_pong(uint8_t *out, const rs_message_t *ping); /* 0 when the ping is malformed */

#endif
