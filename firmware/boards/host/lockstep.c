/* A process in virtual time over two FIFOs, given as its arguments: to the board, from the board. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "board.h"

static int to_board = -1;
static int from_board = -1;
static uint32_t period;
static uint32_t period_us;

void rs_board_start(float control_dt_s, int count, char **arguments) {
  if (count != 3) {
    exit(2);
  }
  to_board = open(arguments[1], O_RDONLY);
  from_board = open(arguments[2], O_WRONLY);
  if (to_board < 0 || from_board < 0) {
    exit(2);
  }
  const float us = 1e6f * control_dt_s + 0.5f;
  period_us = (uint32_t)us;
}

/* Virtual time has nothing else to wait for. */
void rs_board_wait(uint32_t served) { period = served + 1u; }

uint16_t rs_port_read(uint8_t *data, uint16_t capacity) {
  ssize_t n = read(to_board, data, capacity);
  if (n <= 0) {
    exit(0); /* the host has gone */
  }
  return (uint16_t)n;
}

void rs_port_write(const uint8_t *data, uint16_t size) {
  if (write(from_board, data, size) != (ssize_t)size) {
    exit(0);
  }
}

static uint32_t now_us(void) { return period * period_us; }

static uint32_t periods(void) { return period; }

static uint32_t stopwatch(void) { return 0; } /* a process counts no instructions, and a wall clock repeats nothing */

const rs_board_t rs_board = {"host", now_us, periods, stopwatch};
