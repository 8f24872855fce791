/* Feeds the board's server frames that were damaged, cut, repeated, reordered or made up, and holds what it accepts
 * against what was sent. usage: fuzz_frames COUNT SEED. Exit status 0: no lie; the sanitisers see to the rest.
 *
 * A lie is: a message taken that was never sent, a stale one taken, an intact new one not taken, a board armed or
 * disarmed by anything but an accepted ARM or DISARM, an answer whose frame does not decode, an action that is not
 * within its limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define MAX_SENT RS_MAX_REQUEST /* longer than two COBS blocks of 254 */
#define MAX_WIRE (2u * RS_FRAME_SIZE(MAX_SENT) + 64u)

typedef struct {
  uint8_t bytes[MAX_SENT];
  uint16_t size; /* 0: this sequence number was not used yet */
} sent_t;

static sent_t sent[65536]; /* the last message under each sequence number */
static sent_t previous;    /* a frame that lost its last byte ends with the first byte of the next */
static rs_server_t server;
static uint64_t random_state;
static uint32_t clock_periods;
static unsigned long now;
static unsigned long kinds[8];
static unsigned long blocks; /* messages with a COBS block of 254, give or take 14 */
static unsigned long accepted;
static unsigned long answers;

static uint32_t now_us(void) { return clock_periods * 10000u; }
static uint32_t periods(void) { return clock_periods; }
static uint32_t stopwatch(void) { return 0; }
static const rs_board_t board = {"fuzz", now_us, periods, stopwatch};

static void lie(const char *what) {
  fprintf(stderr, "frame %lu: %s\n", now, what);
  exit(1);
}

/* xorshift64* (Vigna 2016) */
static uint32_t random_below(uint32_t n) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (uint32_t)((random_state * 0x2545F4914F6CDD1Du) >> 33) % n;
}

/* Remembers and returns a message under `sequence`: mostly observations, all types, lengths right and wrong. */
static const sent_t *compose(uint16_t sequence) {
  static const uint8_t types[8] = {RS_HELLO, RS_ARM, RS_DISARM, RS_SELF_TEST, RS_RESET, RS_PING, RS_WAIT, 0x55};
  sent_t *m = &sent[sequence];
  uint32_t kind = random_below(16);
  uint8_t type = kind < 8u ? types[kind] : (uint8_t)RS_OBSERVE;
  const uint16_t size_of[8] = {0, RS_DIGEST_SIZE, 0, 2, 0, 12, 0, 20};
  uint16_t size = kind < 8u ? size_of[kind] : RS_OBSERVE_SIZE(3u, 5u) - RS_HEADER_SIZE;
  if (random_below(20) == 0u) {
    size = (uint16_t)random_below(96);
  }
  bool dense = type == RS_PING && random_below(2) == 0u; /* no zero for long: COBS blocks of 254 */
  if (dense) {
    size = (uint16_t)(240u + random_below(RS_MAX_PING - 239u));
    blocks++;
  }
  m->size = (uint16_t)(RS_HEADER_SIZE + size);
  m->bytes[0] = type;
  m->bytes[1] = (uint8_t)sequence;
  m->bytes[2] = (uint8_t)(sequence >> 8);
  for (uint16_t i = 0; i < size; i++) { /* many zeros for COBS to work on */
    bool zero = dense ? random_below(1000) == 0u : random_below(3) == 0u;
    m->bytes[RS_HEADER_SIZE + i] = zero ? 0u : (uint8_t)(1u + random_below(255));
  }
  if (type == RS_ARM && size == RS_DIGEST_SIZE && random_below(4) != 0u) {
    memcpy(m->bytes + RS_HEADER_SIZE, rs_policy.policy_hash, RS_DIGEST_SIZE);
  }
  if (type == RS_PING && size >= 2u) {
    m->bytes[RS_HEADER_SIZE + 1] &= 1u;
  }
  if (type == RS_OBSERVE && size >= 4u) {
    memset(m->bytes + RS_HEADER_SIZE + 1, 0, 3); /* fresh marks, now and then of a fourth channel */
    m->bytes[RS_HEADER_SIZE] &= random_below(8) == 0u ? 0x0Fu : 0x07u;
  }
  return m;
}

static uint32_t damage(uint8_t *wire, uint32_t size) {
  uint32_t hits = 1u + random_below(4);
  while (hits-- > 0u && size > 0u) {
    uint32_t at = random_below(size);
    switch (random_below(4)) {
      case 0:
        wire[at] ^= (uint8_t)(1u << random_below(8));
        break;
      case 1:
        wire[at] = (uint8_t)random_below(256);
        break;
      case 2: /* lost */
        memmove(wire + at, wire + at + 1, size - at - 1u);
        size--;
        break;
      default: /* gained */
        memmove(wire + at + 1, wire + at, size - at);
        wire[at] = (uint8_t)random_below(256);
        size++;
        break;
    }
  }
  return size;
}

static bool is_in_decoder(const sent_t *m) {
  return server.decoder.size == m->size && memcmp(server.decoder.data, m->bytes, m->size) == 0;
}

/* What was just taken must be what was sent under its number. */
static void hold_against_what_was_sent(uint16_t before) {
  const rs_decoder_t *d = &server.decoder;
  const sent_t *original = &sent[(uint16_t)(d->data[1] | d->data[2] << 8)];
  if (!is_in_decoder(original) && !is_in_decoder(&previous)) {
    lie("took a message that was not sent");
  }
  if (d->data[0] != RS_HELLO) {
    uint16_t ahead = (uint16_t)(server.last - before);
    if (ahead == 0u || ahead >= 0x8000u) {
      lie("took a stale message");
    }
    accepted++;
  }
}

static void check_answer(const uint8_t *frame, uint16_t size, uint16_t sequence) {
  static uint8_t room[RS_MAX_REPLY + RS_CRC_SIZE];
  static rs_decoder_t decoder;
  rs_message_t m;
  rs_frame_event_t event = RS_FRAME_NONE;
  rs_decoder_init(&decoder, room, sizeof room);
  for (uint16_t i = 0; i < size; i++) {
    event = rs_decoder_feed(&decoder, frame[i]);
  }
  if (event != RS_FRAME_READY || !rs_message_parse(decoder.data, decoder.size, &m) || m.sequence != sequence) {
    lie("an answer does not decode");
  }
  answers++;
}

static void feed(const uint8_t *wire, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    uint16_t before = server.last;
    bool armed = server.armed;
    bool observed = server.observed;
    rs_server_event_t event = rs_server_feed(&server, wire[i]);
    bool changed = server.last != before || server.armed != armed || server.observed != observed;
    if (event == RS_SERVER_IDLE && changed) {
      lie("changed without a frame");
    }
    if (changed || event == RS_SERVER_REPLY) {
      hold_against_what_was_sent(before);
      const rs_decoder_t *d = &server.decoder;
      bool arms = d->data[0] == RS_ARM && d->size == RS_HEADER_SIZE + RS_DIGEST_SIZE &&
                  memcmp(d->data + RS_HEADER_SIZE, rs_policy.policy_hash, RS_DIGEST_SIZE) == 0;
      if (server.armed != armed && !(server.armed ? arms : d->data[0] == RS_DISARM)) {
        lie("armed or disarmed by something else");
      }
    }
    if (event == RS_SERVER_REPLY) {
      check_answer(server.frame, server.frame_size, (uint16_t)(server.decoder.data[1] | server.decoder.data[2] << 8));
    }
  }
}

static void tick(void) {
  clock_periods++;
  (void)rs_server_tick(&server);
  check_answer(server.frame, server.frame_size, server.observe_sequence);
  for (uint16_t i = 0; i < rs_policy.action_size; i++) {
    if (!(server.action[i] >= rs_policy.action_low[i] && server.action[i] <= rs_policy.action_high[i])) {
      lie("an action beyond its limits");
    }
  }
}

static void send_one(uint16_t next) {
  static uint8_t wire[MAX_WIRE];
  uint32_t kind = random_below(8);
  uint32_t size = 0;
  kinds[kind]++;
  if (kind == 7u) { /* made up */
    size = random_below(RS_FRAME_SIZE(MAX_SENT));
    for (uint32_t i = 0; i < size; i++) {
      wire[i] = (uint8_t)random_below(256);
    }
    feed(wire, size);
    return;
  }
  static sent_t current;
  previous = current;
  const sent_t *m = compose(next);
  if (kind == 5u || kind == 6u) { /* repeated, or from further back */
    const sent_t *old = &sent[(uint16_t)(next - 1u - random_below(kind == 5u ? 1u : 200u))];
    m = old->size != 0u ? old : m;
  }
  current = *m;
  size = rs_frame_encode(m->bytes, m->size, wire);
  if (kind == 2u || kind == 3u) {
    size = damage(wire, size);
  } else if (kind == 4u) { /* cut short */
    size = 1u + random_below(size - 1u);
  }
  feed(wire, size);
  if (kind <= 1u && m->bytes[0] != RS_HELLO && server.last != next) {
    lie("an intact new message was not taken");
  }
}

int main(int argc, char **argv) {
  unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000ul;
  random_state = 0x9E3779B97F4A7C15u ^ (argc > 2 ? strtoull(argv[2], NULL, 10) : 0u);
  if (!rs_server_init(&server, &rs_policy, &board)) {
    lie("the tiny policy does not fit");
  }
  for (now = 0; now < count; now++) {
    send_one((uint16_t)(server.last + 1u));
    if (random_below(4) == 0u) {
      tick();
    }
  }
  printf("{\"frames\": %lu, \"intact\": %lu, \"damaged\": %lu, \"cut\": %lu, \"repeated\": %lu, \"reordered\": %lu, "
         "\"made_up\": %lu, \"long\": %lu, \"accepted\": %lu, \"answers\": %lu}\n",
         count, kinds[0] + kinds[1], kinds[2] + kinds[3], kinds[4], kinds[5], kinds[6], kinds[7], blocks, accepted, answers);
  return 0;
}
