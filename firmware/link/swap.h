/* Another policy takes the place of the one that runs, without a reflash and without a missed period.
 *
 * A blob (robostack/export/blob.py) is a header, an image for a bank, and the CRC-32 of both. It arrives in order into
 * the bank that does not run. Then, one step after each control period's action is out: its self-test, a vector a
 * period, and, if the policy that runs is acting, 50 periods in its shadow, on the same inputs, from a copy
 * of its state. Then it runs from the next period on. Whatever fails, or any new begin, leaves what runs untouched.
 * The envelope, its latch and the applied action know nothing of a swap. */
#ifndef RS_SWAP_H
#define RS_SWAP_H

#include "../envelope/controller.h" /* another project around us may have one of its own */
#include "bank.h"
#include "protocol.h"

typedef struct {
  rs_contract_t contracts[2]; /* the built-in one with a bank's policy in it */
  uint8_t policy_hash[2][RS_DIGEST_SIZE];
  rs_swap_status_t status;
  uint8_t bank;      /* where the blob goes, or whose policy is judged */
  uint32_t crc;      /* of the header and of what was received */
  uint16_t steps;    /* vectors tested, then periods flown in shadow */
  float worst;       /* of the self-test, share of the action's range */
  float applied[RS_MAX_ACTION]; /* before the period's tick */
  float state[2][RS_MAX_STATE]; /* in shadow: before and after a period */
} rs_swap_t;

void rs_swap_init(rs_swap_t *s);

/* Takes a header, and drops what an earlier begin has left. */
rs_verdict_t rs_swap_begin(rs_swap_t *s, const rs_controller_t *c, const rs_message_t *m);

/* Takes the image's next bytes; bytes that it has already are accepted again, since an answer may be lost. */
rs_verdict_t rs_swap_data(rs_swap_t *s, const rs_message_t *m);

/* Takes the CRC of the whole, and starts to judge. */
rs_verdict_t rs_swap_commit(rs_swap_t *s, const rs_message_t *m);

/* Drops a swap that is under way; `why` is how it ended. */
void rs_swap_abort(rs_swap_t *s, rs_verdict_t why);

/* Does what BEGIN, DATA, COMMIT or STATUS says, and writes the answer to `out`. While `refused` is another than
 * RS_ACCEPTED all but STATUS are answered with it. Returns the answer's size in bytes. */
uint16_t rs_swap_answer(rs_swap_t *s, const rs_controller_t *c, const rs_message_t *m, rs_verdict_t refused,
                        uint8_t *out);

/* The policy has been armed: its state, which the shadow copied, has been reset. */
void rs_swap_armed(rs_swap_t *s);

/* Before a tick: what its inference will see as applied. */
void rs_swap_look(rs_swap_t *s, const rs_controller_t *c);

/* After a tick, when its action is out: one step. True when the controller runs another policy from now on. */
bool rs_swap_step(rs_swap_t *s, rs_controller_t *c);

#endif
