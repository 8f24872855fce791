/* A process in real time. Its serial line is file descriptors 0 and 1, which a twin makes a pseudo-terminal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

static uint64_t start_ns;
static uint64_t period_ns = 1;

static uint64_t now_ns(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void rs_board_start(float control_dt_s, int count, char **arguments) {
  (void)count;
  (void)arguments;
  (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK); /* a line that nobody reads must not stop the controller */
  (void)fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
  start_ns = now_ns();
  const double ns = (double)control_dt_s * 1e9 + 0.5;
  period_ns = (uint64_t)ns;
}

void rs_board_wait(uint32_t served) {
  (void)served;
  uint64_t left_ns = period_ns - (now_ns() - start_ns) % period_ns;
  uint64_t whole_s = left_ns / 1000000000u;
  uint64_t rest_ns = left_ns - whole_s * 1000000000u;
  struct timespec left = {(time_t)whole_s, (long)rest_ns};
  struct pollfd input = {STDIN_FILENO, POLLIN, 0};
  (void)ppoll(&input, 1, &left, NULL);
}

uint16_t rs_port_read(uint8_t *data, uint16_t capacity) {
  ssize_t n = read(STDIN_FILENO, data, capacity);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    return 0;
  }
  if (n <= 0) {
    exit(0); /* the other side has hung up */
  }
  return (uint16_t)n;
}

void rs_port_write(const uint8_t *data, uint16_t size) {
  ssize_t n = write(STDOUT_FILENO, data, size);
  (void)n; /* what does not fit is lost, as on a wire; the CRC tells the host */
}

static uint32_t now_us(void) { return (uint32_t)(now_ns() / 1000u); }

static uint32_t periods(void) { return (uint32_t)((now_ns() - start_ns) / period_ns); }

static uint32_t stopwatch(void) { return (uint32_t)now_ns(); } /* ns */

const rs_board_t rs_board = {"host", now_us, periods, stopwatch};
