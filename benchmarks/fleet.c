/* Many boards in one process, each the server that every board runs, over a clock that stands still between periods.
 * The faults of fault_campaign.py come in as the bytes of a period and as periods that were missed. */
#include <string.h>

#include "server.h"

#define FLEET 1024u

/* What is known of a board after a period. */
typedef struct {
  int32_t armed;
  int32_t tripped;
  int32_t reason;          /* rs_reason_t */
  int32_t channel;         /* -1: none */
  int32_t rung;            /* -1: the policy or neutral */
  int32_t deadline_misses; /* control periods without a tick, so far */
  int32_t tick;            /* control periods, so far */
  int32_t verdict;         /* of the last ARM or DISARM in this period, -1: none */
} seen_t;

static rs_server_t servers[FLEET];
static uint32_t periods_of[FLEET];
static uint32_t current;

static uint32_t periods(void) { return periods_of[current]; }
static uint32_t now_us(void) { return (uint32_t)((float)periods_of[current] * rs_policy.control_dt_s * 1e6f); }
static uint32_t stopwatch(void) { return 0; }
static const rs_board_t board = {"fleet", now_us, periods, stopwatch};

bool fleet_start(uint32_t n);
void fleet_period(uint32_t n, const uint8_t *bytes, const uint32_t *size, const uint32_t *missed, float *action,
                  seen_t *seen);

bool fleet_start(uint32_t n) {
  bool fits = n <= FLEET;
  for (current = 0; fits && current < n; current++) {
    periods_of[current] = 0;
    fits = rs_server_init(&servers[current], &rs_policy, &board);
  }
  return fits;
}

/* Of the ACK in the server's frame; -1: it is another answer. */
static int32_t verdict_of(const rs_server_t *s) {
  static uint8_t room[RS_MAX_REPLY + RS_CRC_SIZE];
  rs_decoder_t decoder;
  rs_decoder_init(&decoder, room, sizeof room);
  for (uint16_t i = 0; i < s->frame_size; i++) {
    (void)rs_decoder_feed(&decoder, s->frame[i]);
  }
  return room[0] == RS_ACK ? room[RS_HEADER_SIZE + 1u] : -1;
}

/* One control period of each board after `missed` that it did not serve: size[i] of the bytes, then a tick. */
void fleet_period(uint32_t n, const uint8_t *bytes, const uint32_t *size, const uint32_t *missed, float *action,
                  seen_t *seen) {
  for (current = 0; current < n; current++) {
    rs_server_t *s = &servers[current];
    const rs_envelope_t *e = &s->controller.envelope;
    int32_t verdict = -1;
    periods_of[current] += 1u + missed[current];
    for (uint32_t k = 0; k < size[current]; k++) {
      if (rs_server_feed(s, bytes[k]) == RS_SERVER_REPLY) {
        const int32_t answered = verdict_of(s);
        verdict = answered >= 0 ? answered : verdict;
      }
    }
    bytes += size[current];
    (void)rs_server_tick(s);
    memcpy(action, s->action, rs_policy.action_size * sizeof *action);
    action += rs_policy.action_size;
    seen[current] = (seen_t){s->armed, e->tripped, (int32_t)e->reason, e->trip_channel, e->tripped ? e->rung : -1,
                             s->report.deadline_misses, (int32_t)s->report.tick, verdict};
  }
}
