/* Everything on a board that parses bytes from outside, fed by libFuzzer, and by main() from files where there is none:
 *
 *   clang -fsanitize=fuzzer,address,undefined ... fuzz_link.c; ./fuzz corpus/
 *   cc -DREPLAY ... fuzz_link.c; ./replay corpus/a corpus/b ...
 *
 * An input is a script of steps (step_t), so that a mutation gets behind the CRC and past the policy's digest. What is
 * asked of the board beyond not crashing: it changes by nothing but an intact frame that it was sent; what is intact and
 * new it takes, what is stale it does not; only ARM with the right digest arms; its answers decode; what its actuators
 * get is within the limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define MAX_TICKS 16u /* enough for any trip; a policy takes longer than all parsers */

typedef enum {
  RAW = 0,     /* n bytes as they are */
  MESSAGE = 1, /* n bytes in a frame of their own */
  NEW = 2,     /* the same under the next sequence number, and 3 n bytes more */
  DAMAGED = 3, /* the same, a byte of the frame changed */
  ARM = 4,     /* with the right digest */
  OBSERVE = 5, /* of the right length; its first n bytes from the input */
  TICK = 6,    /* after up to 3 periods without one */
  DECODER = 7  /* n bytes for a decoder with little room */
} step_t;

typedef struct {
  const uint8_t *next;
  size_t left;
} input_t;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static rs_server_t server;
static rs_server_t fresh;
static uint32_t clock_periods;
static uint32_t ticks; /* of this input */
static unsigned long taken;
static unsigned long stale;
static unsigned long answers;
static unsigned long armed_ticks;
static unsigned long trips;

static uint32_t now_us(void) { return clock_periods * 10000u; }
static uint32_t periods(void) { return clock_periods; }
static uint32_t stopwatch(void) { return 0; }
static const rs_board_t board = {"fuzz", now_us, periods, stopwatch};

static void demand(bool true_of_a_good_board, const char *else_it) {
  if (!true_of_a_good_board) {
    (void)fprintf(stderr, "the board %s\n", else_it);
    abort();
  }
}

static uint8_t take(input_t *in) {
  if (in->left == 0u) {
    return 0;
  }
  in->left--;
  return *in->next++;
}

static uint16_t take_bytes(input_t *in, uint8_t *out, size_t n) {
  n = n < in->left ? n : in->left;
  memcpy(out, in->next, n);
  in->next += n;
  in->left -= n;
  return (uint16_t)n;
}

static void check_answer(uint16_t sequence) {
  static uint8_t room[RS_MAX_REPLY + RS_CRC_SIZE];
  rs_decoder_t decoder;
  rs_message_t m = {0, 0, NULL, 0};
  rs_frame_event_t event = RS_FRAME_NONE;
  demand(server.frame_size <= sizeof server.frame, "wrote past its frame");
  rs_decoder_init(&decoder, room, sizeof room);
  for (uint16_t i = 0; i < server.frame_size; i++) {
    event = rs_decoder_feed(&decoder, server.frame[i]);
  }
  bool good = event == RS_FRAME_READY && rs_message_parse(room, decoder.size, &m) && m.sequence == sequence;
  demand(good, "answers what does not decode");
  answers++;
}

/* Feeds the wire; `sent` is the one message that may be taken, NULL: whichever has a CRC. */
static void feed(const uint8_t *wire, size_t size, const uint8_t *sent, uint16_t sent_size) {
  for (size_t i = 0; i < size; i++) {
    const uint16_t before = server.last;
    const bool armed = server.armed;
    const bool observed = server.observed;
    const rs_server_event_t event = rs_server_feed(&server, wire[i]);
    const bool changed = server.last != before || server.armed != armed || server.observed != observed;
    demand(event != RS_SERVER_IDLE || !changed, "changes without a frame");
    if (!changed && event != RS_SERVER_REPLY) {
      continue;
    }
    const uint8_t *d = server.decoder.data;
    const uint16_t n = server.decoder.size;
    demand(sent == NULL || (n == sent_size && memcmp(d, sent, n) == 0), "took what was not sent");
    if (d[0] != RS_HELLO) {
      const uint16_t ahead = (uint16_t)(server.last - before);
      demand(ahead != 0u && ahead < 0x8000u, "took a stale message");
      taken++;
    }
    if (server.armed != armed) {
      const bool right = d[0] == RS_ARM && n == RS_HEADER_SIZE + RS_DIGEST_SIZE &&
                         memcmp(d + RS_HEADER_SIZE, rs_policy.policy_hash, RS_DIGEST_SIZE) == 0;
      demand(server.armed ? right : d[0] == RS_DISARM, "is armed or disarmed by something else");
    }
    if (event == RS_SERVER_REPLY) {
      check_answer((uint16_t)(d[1] | (d[2] << 8)));
    }
  }
}

/* The same parsers on a copy that ends where the message ends, so that a sanitiser sees a byte read beyond it. */
static void parse_alone(const uint8_t *message, uint16_t size) {
  static rs_observe_t observe;
  static uint8_t reply[RS_MAX_REPLY];
  rs_message_t m;
  uint16_t value = 0;
  uint8_t *copy = malloc(size + 1u); /* a byte before it: of size 0 there is no pointer to compare */
  demand(copy != NULL, "has no memory for the test");
  memcpy(copy + 1, message, size);
  if (rs_message_parse(copy + 1, size, &m)) {
    (void)rs_u16_parse(&m, &value);
    (void)rs_observe_parse(&rs_policy, &m, &observe);
    demand(rs_write_pong(reply, &m) <= sizeof reply, "wrote past its reply");
  }
  free(copy);
}

static void send(input_t *in, step_t step) {
  static uint8_t message[RS_MAX_REQUEST + 256u]; /* longer than a board takes, and than one byte counts */
  static uint8_t wire[RS_FRAME_SIZE(RS_MAX_REQUEST + 256u)];
  static const uint8_t delimiter = 0;
  uint16_t size = 0;
  feed(&delimiter, 1, NULL, 0); /* ends what the step before left open, which may be whole */
  if (step == ARM) {
    message[0] = RS_ARM;
    memcpy(message + RS_HEADER_SIZE, rs_policy.policy_hash, RS_DIGEST_SIZE);
    size = RS_HEADER_SIZE + RS_DIGEST_SIZE;
  } else if (step == OBSERVE) {
    size = (uint16_t)RS_OBSERVE_SIZE(rs_policy.num_channels, rs_policy.observation_size);
    memset(message, 0, size);
    message[0] = RS_OBSERVE;
    message[RS_HEADER_SIZE] = take(in); /* which channels are fresh */
    const size_t wanted = take(in);
    const size_t room = size - RS_HEADER_SIZE - 4u;
    (void)take_bytes(in, message + RS_HEADER_SIZE + 4, wanted < room ? wanted : room);
  } else {
    const size_t wanted = take(in); /* of a new one four times that, so that short inputs make long messages */
    const uint16_t n = take_bytes(in, message, wanted);
    const size_t whole = step == NEW && n == wanted ? 4u * wanted : n;
    size = (uint16_t)(whole < sizeof message ? whole : sizeof message);
    memset(message + n, 0x5A, size - n);
  }
  if (step != MESSAGE && size >= RS_HEADER_SIZE) {
    const uint16_t sequence = (uint16_t)(server.last + 1u);
    message[1] = (uint8_t)sequence;
    message[2] = (uint8_t)(sequence >> 8);
  }
  parse_alone(message, size);
  const uint16_t wire_size = rs_frame_encode(message, size, wire);
  demand(wire_size <= RS_FRAME_SIZE(size), "makes frames that are too long");
  if (step == DAMAGED) {
    const uint8_t at = take(in);
    wire[at % wire_size] ^= take(in);
    feed(wire, wire_size, NULL, 0);
    return;
  }
  const uint16_t last = server.last;
  const uint16_t was_stale = server.report.stale;
  feed(wire, wire_size, message, size);
  const bool whole = size >= RS_HEADER_SIZE && size <= RS_MAX_REQUEST;
  demand(step == MESSAGE || !whole || message[0] == RS_HELLO || server.last == (uint16_t)(last + 1u),
         "does not take an intact new message");
  stale += server.report.stale != was_stale;
}

static void tick(uint8_t missed) {
  if (++ticks > MAX_TICKS) {
    return;
  }
  clock_periods += 1u + (missed & 3u);
  (void)rs_server_tick(&server);
  check_answer(server.observe_sequence);
  for (uint16_t i = 0; i < rs_policy.action_size; i++) {
    const float a = server.action[i];
    demand(a >= rs_policy.action_low[i] && a <= rs_policy.action_high[i], "lets an action beyond its limits");
  }
  armed_ticks += server.armed;
  trips += server.controller.envelope.tripped;
}

static void decode_with_little_room(input_t *in) {
  const uint16_t capacity = (uint16_t)(RS_CRC_SIZE + take(in) % 32u);
  const size_t n = take(in);
  uint8_t *room = malloc(capacity);
  rs_decoder_t decoder;
  demand(room != NULL, "has no memory for the test");
  rs_decoder_init(&decoder, room, capacity);
  for (size_t i = 0; i < n && in->left > 0u; i++) {
    if (rs_decoder_feed(&decoder, take(in)) == RS_FRAME_READY) {
      demand(decoder.size <= capacity - RS_CRC_SIZE, "decodes more than it has room for");
    }
  }
  free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool started;
  input_t in = {data, size};
  if (!started) {
    demand(rs_server_init(&server, &rs_policy, &board), "has no room for its policy");
    demand(server.self_test_failures == 0u, "fails its self-test");
    fresh = server; /* one server, so that the pointers into it stay right */
    started = true;
  }
  server = fresh;
  clock_periods = 0;
  ticks = 0;
  while (in.left > 0u) {
    const step_t step = (step_t)(take(&in) & 7u);
    if (step == RAW) {
      static uint8_t wire[256];
      const uint8_t wanted = take(&in);
      feed(wire, take_bytes(&in, wire, wanted), NULL, 0);
    } else if (step == TICK) {
      tick(take(&in));
    } else if (step == DECODER) {
      decode_with_little_room(&in);
    } else {
      send(&in, step);
    }
  }
  return 0;
}

#ifdef REPLAY
int main(int argc, char **argv) {
  static uint8_t data[65536];
  for (int i = 1; i < argc; i++) {
    FILE *file = fopen(argv[i], "rb");
    demand(file != NULL, "was given a file that is not there");
    (void)LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof data, file));
    (void)fclose(file);
  }
  printf("{\"inputs\": %d, \"taken\": %lu, \"stale\": %lu, \"answers\": %lu, \"armed_ticks\": %lu, \"trips\": %lu}\n",
         argc - 1, taken, stale, answers, armed_ticks, trips);
  return 0;
}
#endif
