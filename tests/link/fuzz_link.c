/* Everything on a board that parses bytes from outside, fed by libFuzzer, and by main() from files where there is none:
 *
 *   clang -fsanitize=fuzzer,address,undefined ... fuzz_link.c; ./fuzz corpus/
 *   cc -DREPLAY ... fuzz_link.c; ./replay corpus/a corpus/b ...
 *
 * An input is a script of steps (step_t), so that a mutation gets behind the CRC and past the policy's digest. What is
 * asked of the board beyond not crashing: it changes by nothing but an intact frame that it was sent; what is intact and
 * new it takes, what is stale it does not; only ARM with the right digest arms; its answers decode; what its actuators
 * get is within the limits; another policy runs only after a whole blob under the right CRC, passes its own self-test,
 * and nobody writes into its bank while it runs. A script that begins with RADIO goes to a Crazyflie's app channel, in
 * packets, where a swap does not outlive arming.
 *
 * blob.h, which benchmarks/fuzz_parsers.py writes, has BLOB_HEADER and BLOB_IMAGE of a policy that fits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "firmware.h"
#include "radio.h"
#include "server.h"

#define MAX_TICKS 64u /* enough for any trip and any swap; a policy takes longer than all parsers */
#define CALLS 4u      /* of the radio, that a TICK is */

typedef enum {
  RAW = 0,     /* n bytes as they are */
  MESSAGE = 1, /* n bytes in a frame of their own */
  NEW = 2,     /* the same under the next sequence number, and 3 n bytes more */
  DAMAGED = 3, /* the same, a byte of the frame changed */
  ARM = 4,     /* with the right digest */
  OBSERVE = 5, /* of the right length; its first n bytes from the input */
  TICK = 6,    /* after up to 3 periods without one */
  DECODER = 7, /* n bytes for a decoder with little room */
  BEGIN = 8,   /* the blob's header, one byte changed or none; so the next */
  DATA = 9,    /* the image's next bytes, from up to 15 before them */
  COMMIT = 10, /* with the CRC of what the board has */
  FLY = 11,    /* up to 63 periods with an observation each */
  RADIO = 12,  /* as the first one: all to the radio */
  STEPS = 16
} step_t;

typedef struct {
  const uint8_t *next;
  size_t left;
} input_t;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static rs_server_t server;
static rs_server_t fresh;
static rs_controller_t chain;
static rs_controller_t fresh_chain;
static rs_cf_radio_t radio;
static rs_cf_radio_t fresh_radio;
static bool by_radio;
static bool radio_armed;
static const uint8_t *packet; /* on its way to the radio */
static size_t packet_size;
static rs_decoder_t heard; /* from the radio */
static uint8_t heard_room[RS_MAX_REPLY + RS_CRC_SIZE];
static uint8_t runs[RS_SWAP_SIZE]; /* a copy of the image that runs, if it is a bank's */
static bool committed;             /* the right CRC, since the last header */
static uint32_t clock_periods;
static uint32_t ticks; /* of this input */
static unsigned long taken;
static unsigned long stale;
static unsigned long answers;
static unsigned long armed_ticks;
static unsigned long trips;
static unsigned long swaps;
static unsigned long swaps_in_flight;
static unsigned long radio_swaps;
static unsigned long radio_aborted;

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

size_t appchannelReceiveDataPacket(void *buffer, size_t max_length, int timeout_ms) {
  const size_t size = packet_size;
  (void)timeout_ms;
  demand(size <= max_length, "has too little room for a packet");
  if (size > 0u) {
    memcpy(buffer, packet, size);
  }
  packet_size = 0;
  return size;
}

int appchannelSendDataPacket(void *data, size_t length) {
  const uint8_t *bytes = data;
  demand(length > 0u && length <= APPCHANNEL_MTU, "sends what is no packet");
  for (size_t i = 0; i < length; i++) {
    demand(rs_decoder_feed(&heard, bytes[i]) != RS_FRAME_REJECTED, "answers by radio what does not decode");
  }
  answers++;
  return 1;
}

static rs_swap_t *the_swap(void) { return by_radio ? &radio.swap : &server.swap; }
static rs_controller_t *the_controller(void) { return by_radio ? &chain : &server.controller; }
static uint16_t the_last(void) { return by_radio ? radio.last : server.last; }

static int running_bank(void) {
  const rs_contract_t *k = the_controller()->contract;
  return k == &the_swap()->contracts[0] ? 0 : (k == &the_swap()->contracts[1] ? 1 : -1);
}

static void check_banks(void) {
  const int bank = running_bank();
  demand(the_swap()->status.received <= RS_SWAP_SIZE, "took more than an image");
  demand(bank < 0 || memcmp(rs_banks[bank].image, runs, sizeof runs) == 0, "writes into the bank that runs");
}

/* After a step that may have put another policy in place. */
static void check_swap(int before) {
  const int bank = running_bank();
  if (bank != before) {
    demand(committed, "runs what nobody committed");
    demand(rs_controller_self_test(the_controller(), NULL) == 0u, "runs a policy that fails its self-test");
    demand(!radio_armed, "takes another policy while armed, by radio");
    memcpy(runs, rs_banks[bank].image, sizeof runs);
    committed = false;
    swaps++;
    swaps_in_flight += !by_radio && server.armed && !server.controller.envelope.tripped;
    radio_swaps += by_radio;
  }
}

static void call_radio(const uint8_t *bytes, size_t size) {
  const int before = running_bank();
  const bool under_way = radio.swap.status.phase != RS_SWAP_IDLE;
  packet = bytes;
  packet_size = size;
  (void)rs_cf_radio_call(&radio, radio_armed);
  while (packet_size > 0u) { /* it was answering */
    (void)rs_cf_radio_call(&radio, radio_armed);
  }
  demand(!radio_armed || radio.swap.status.phase == RS_SWAP_IDLE, "goes on with a swap while armed, by radio");
  radio_aborted += under_way && radio_armed;
  check_swap(before);
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
  if (by_radio) {
    for (size_t i = 0; i < size; i += APPCHANNEL_MTU) {
      call_radio(wire + i, size - i < APPCHANNEL_MTU ? size - i : APPCHANNEL_MTU);
    }
    return;
  }
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

/* Fills the message of a step that swaps; returns its size. */
static uint16_t swap_message(input_t *in, step_t step, uint8_t *message) {
  uint8_t *payload = message + RS_HEADER_SIZE;
  uint16_t size = 0;
  if (step == BEGIN) {
    message[0] = RS_SWAP_BEGIN;
    size = sizeof BLOB_HEADER;
    memcpy(payload, BLOB_HEADER, size);
  } else if (step == DATA) {
    const uint32_t received = the_swap()->status.received;
    const uint32_t back = take(in) & 15u;
    const uint32_t offset = back < received ? received - back : 0u;
    const uint32_t most = by_radio ? RS_CF_MAX_REQUEST - RS_HEADER_SIZE - 4u : RS_MAX_FILLER - 4u;
    const uint32_t left = RS_SWAP_SIZE - offset;
    const uint32_t n = left < most ? left : most;
    message[0] = RS_SWAP_DATA;
    for (uint32_t i = 0; i < 4u; i++) {
      payload[i] = (uint8_t)(offset >> (8u * i));
    }
    memcpy(payload + 4, BLOB_IMAGE + offset, n);
    size = (uint16_t)(4u + n);
  } else {
    message[0] = RS_SWAP_COMMIT;
    for (uint32_t i = 0; i < 4u; i++) {
      payload[i] = (uint8_t)(the_swap()->crc >> (8u * i));
    }
    size = 4;
  }
  const uint32_t at = take(in) + 256u * (take(in) & 1u);
  const uint8_t change = take(in);
  payload[at % size] ^= change;
  const bool whole = step == COMMIT && change == 0u && the_swap()->status.received == RS_SWAP_SIZE;
  committed = whole || (committed && step != BEGIN);
  return (uint16_t)(RS_HEADER_SIZE + size);
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
    rs_swap_header_t header;
    rs_swap_data_t swap_data;
    (void)rs_u16_parse(&m, &value);
    (void)rs_swap_header_parse(&m, &header);
    (void)rs_swap_data_parse(&m, &swap_data);
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
  } else if (step == BEGIN || step == DATA || step == COMMIT) {
    size = swap_message(in, step, message);
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
    const uint16_t sequence = (uint16_t)(the_last() + 1u);
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
  const uint16_t last = the_last();
  const uint16_t was_stale = server.report.stale;
  feed(wire, wire_size, message, size);
  const bool whole = size >= RS_HEADER_SIZE && size <= (by_radio ? RS_CF_MAX_REQUEST : RS_MAX_REQUEST);
  demand(step == MESSAGE || !whole || message[0] == RS_HELLO || the_last() == (uint16_t)(last + 1u),
         "does not take an intact new message");
  stale += server.report.stale != was_stale;
}

static void tick(uint8_t missed) {
  const int before = running_bank();
  if (++ticks > MAX_TICKS) {
    return;
  }
  if (by_radio) {
    radio_armed = (missed & 4u) != 0u;
    for (uint32_t i = 0; i < CALLS; i++) {
      call_radio(NULL, 0);
    }
    return;
  }
  clock_periods += 1u + (missed & 3u);
  (void)rs_server_tick(&server);
  if (ticks <= 16u) { /* they are all alike */
    check_answer(server.observe_sequence);
  }
  for (uint16_t i = 0; i < rs_policy.action_size; i++) {
    const float a = server.action[i];
    demand(a >= rs_policy.action_low[i] && a <= rs_policy.action_high[i], "lets an action beyond its limits");
  }
  rs_server_rest(&server);
  check_swap(before);
  armed_ticks += server.armed;
  trips += server.controller.envelope.tripped;
}

/* Every channel fresh, as the self-test's first vector has it, without a frame each: that is OBSERVE's. */
static void fly(uint8_t count) {
  for (uint32_t i = 0; i < (count & 63u) && ticks < MAX_TICKS; i++) {
    memcpy(server.observation, rs_policy.self_test_inputs, sizeof(float) * rs_policy.observation_size);
    memset(server.fresh, 1, rs_policy.num_channels);
    memset(server.age_s, 0, sizeof server.age_s);
    for (uint16_t k = 0; k < rs_policy.num_channels; k++) {
      server.arrived_us[k] = now_us();
    }
    tick(0);
  }
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
    demand(rs_controller_init(&chain, &rs_policy), "has no room for its policy by radio");
    rs_cf_radio_init(&radio, &chain);
    fresh = server; /* one of each, so that the pointers into it stay right */
    fresh_chain = chain;
    fresh_radio = radio;
    started = true;
  }
  server = fresh;
  chain = fresh_chain;
  radio = fresh_radio;
  rs_decoder_init(&heard, heard_room, sizeof heard_room);
  clock_periods = 0;
  ticks = 0;
  radio_armed = committed = false;
  by_radio = size > 0u && data[0] % STEPS == RADIO;
  while (in.left > 0u) {
    const step_t step = (step_t)(take(&in) % STEPS);
    if (step == RAW) {
      static uint8_t wire[256];
      const uint8_t wanted = take(&in);
      feed(wire, take_bytes(&in, wire, wanted), NULL, 0);
    } else if (step == TICK) {
      tick(take(&in));
    } else if (step == DECODER) {
      decode_with_little_room(&in);
    } else if (step == FLY) {
      fly(take(&in));
    } else if (step < RADIO) {
      send(&in, step);
    } else {
      /* nothing */
    }
    check_banks();
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
  printf("{\"inputs\": %d, \"taken\": %lu, \"stale\": %lu, \"answers\": %lu, \"armed_ticks\": %lu, \"trips\": %lu, "
         "\"swaps\": %lu, \"in_flight\": %lu, \"by_radio\": %lu, \"aborted_by_arming\": %lu}\n",
         argc - 1, taken, stale, answers, armed_ticks, trips, swaps, swaps_in_flight, radio_swaps, radio_aborted);
  return 0;
}
#endif
