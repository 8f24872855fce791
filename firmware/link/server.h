/* What a board says to its host: frames in, controller, frames out. A board supplies bytes and time only. */
#ifndef RS_SERVER_H
#define RS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "controller.h"
#include "frame.h"
#include "protocol.h"
#include "swap.h"

typedef struct {
  const char *name;
  uint32_t (*now_us)(void);    /* monotonic, wraps */
  uint32_t (*periods)(void);   /* control periods that have come due since the start, wraps */
  uint32_t (*stopwatch)(void); /* counts up and wraps; the finest clock there is, its unit is the board's */
} rs_board_t;

typedef enum {
  RS_SERVER_IDLE = 0,  /* no frame ended with this byte */
  RS_SERVER_REPLY = 1, /* frame[0..frame_size) answers it and must be sent now */
  RS_SERVER_TAKEN = 2  /* it has no answer of its own: an observation, or a frame that was dropped and counted */
} rs_server_event_t;

typedef struct {
  const rs_board_t *board;
  rs_controller_t controller;
#if RS_SWAP_SIZE > 0u
  rs_swap_t swap;
#endif
  rs_decoder_t decoder;
  rs_observe_t received;               /* the observation frame being read */
  float observation[RS_MAX_OBSERVATION]; /* the newest sample of every channel */
  uint8_t fresh[RS_MAX_CHANNELS];
  float age_s[RS_MAX_CHANNELS];        /* at arrival */
  uint32_t arrived_us[RS_MAX_CHANNELS];
  float action[RS_MAX_ACTION];
  bool armed;
  bool observed;            /* an observation has arrived since the last tick */
  uint16_t last;            /* sequence number last accepted from the host */
  uint16_t observe_sequence; /* of the observation that ACTUATE answers */
  uint32_t period;          /* the period last served */
  rs_actuate_t report;
  uint16_t malformed;
  uint16_t self_test_failures;
  float self_test_worst; /* share of the action's range */
  uint8_t input[RS_MAX_REQUEST + RS_CRC_SIZE];
  uint8_t frame[RS_FRAME_SIZE(RS_MAX_REPLY)]; /* the message is written into it and becomes the frame in place */
  uint16_t frame_size; /* bytes */
} rs_server_t;

/* Disarmed, self-tested. Returns false when the contract does not fit the buffers it was compiled with. */
bool rs_server_init(rs_server_t *s, const rs_contract_t *contract, const rs_board_t *board);

/* Takes one byte from the host. */
rs_server_event_t rs_server_feed(rs_server_t *s, uint8_t byte);

/* One control period, whether an observation came or not: ticks the controller and puts ACTUATE in frame. Returns
 * true when the host should hear of it: the board is armed, or it was sent an observation. */
bool rs_server_tick(rs_server_t *s);

/* What may wait until the period's action is out: a step of a hot swap. Once a tick. */
void rs_server_rest(rs_server_t *s);

#endif
