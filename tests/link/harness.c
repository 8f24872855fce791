/* The C end of the link as a library for Python: the real server over a clock that the test sets. */
#include "server.h"

uint32_t clock_us;
uint32_t clock_periods;
uint32_t clock_stopwatch;
static rs_server_t server;

static uint32_t now_us(void) { return clock_us; }
static uint32_t periods(void) { return clock_periods; }
static uint32_t stopwatch(void) { return clock_stopwatch; }
static const rs_board_t board = {"bench", now_us, periods, stopwatch};

bool bench_start(void);
uint32_t bench_feed(const uint8_t *data, uint32_t size, uint8_t *out);
uint32_t bench_tick(uint8_t *out);

bool bench_start(void) {
  clock_us = clock_periods = clock_stopwatch = 0;
  return rs_server_init(&server, &rs_policy, &board);
}

static uint32_t send(uint8_t *out) {
  for (uint32_t i = 0; i < server.frame_size; i++) {
    out[i] = server.frame[i];
  }
  return server.frame_size;
}

/* Returns the bytes written to out: the frames of all answers. */
uint32_t bench_feed(const uint8_t *data, uint32_t size, uint8_t *out) {
  uint32_t written = 0;
  for (uint32_t i = 0; i < size; i++) {
    if (rs_server_feed(&server, data[i]) == RS_SERVER_REPLY) {
      written += send(out + written);
    }
  }
  return written;
}

/* Returns the bytes written to out: 0 when the board would have kept quiet. */
uint32_t bench_tick(uint8_t *out) {
  clock_periods++;
  clock_us += 10000;
  const uint32_t written = rs_server_tick(&server) ? send(out) : 0;
  rs_server_rest(&server);
  return written;
}
