/* Another policy by radio, while disarmed: the link's frames on the firmware's app channel, cut into its packets.
 *
 * Everything happens in the stabilizer's own calls, in those without a control period, so no other task shares a byte
 * with the policy, and nothing needs the firmware's app task. A call moves one packet, in or out, and takes one step of
 * a swap (swap.h), a vector of its self-test at most. Arming ends a swap in the same call, wherever it stands. */
#ifndef RS_CF_RADIO_H
#define RS_CF_RADIO_H

#include "../envelope/controller.h"
#include "frame.h"
#include "protocol.h"
#include "swap.h"

/* The longest request: a blob's header, or as much of its image. */
#define RS_CF_MAX_REQUEST (RS_HEADER_SIZE + 12u + 3u * RS_DIGEST_SIZE)

typedef struct {
  rs_controller_t *controller; /* whose policy gives way */
  rs_swap_t swap;
  rs_decoder_t decoder;
  uint16_t last; /* sequence number last accepted */
  uint8_t input[RS_CF_MAX_REQUEST + RS_CRC_SIZE];
  uint8_t frame[RS_FRAME_SIZE(RS_MAX_REPLY)]; /* an answer */
  uint16_t frame_size; /* bytes */
  uint16_t sent;       /* bytes of it */
} rs_cf_radio_t;

void rs_cf_radio_init(rs_cf_radio_t *r, rs_controller_t *controller);

/* True when the controller runs another policy from now on. */
bool rs_cf_radio_call(rs_cf_radio_t *r, bool armed);

#endif
