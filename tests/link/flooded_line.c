/* boards/main_usart.c on a serial line that is never silent, in virtual time: a byte takes as long as at 921,600 baud,
 * in either direction. usage: flooded_line FILE: what is in it comes over and over. Prints what the controller made of
 * two seconds of that. */
#include <stdio.h>
#include <stdlib.h>

#define main board_main
int board_main(int count, char **arguments);
#include "main_usart.c"
#undef main

#define BYTE_NS 10851u
#define READ_NS 1000u /* of a byte, in the parsers */
#define RING_SIZE 1024u
#define END_NS 2000000000u

static uint64_t now_ns;
static uint64_t period_ns;
static uint64_t taken; /* bytes of the flood, lost ones too */
static uint8_t flood[4096];
static size_t flood_size;

static uint32_t now_us(void) { return (uint32_t)(now_ns / 1000u); }
static uint32_t periods(void) { return (uint32_t)(now_ns / period_ns); }
static uint32_t stopwatch(void) { return (uint32_t)now_ns; }
const rs_board_t rs_board = {"flooded", now_us, periods, stopwatch};

void rs_board_start(float control_dt_s, int count, char **arguments) {
  FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
  flood_size = file == NULL ? 0u : fread(flood, 1, sizeof flood, file);
  if (flood_size == 0u) {
    exit(2);
  }
  (void)fclose(file);
  period_ns = (uint64_t)(control_dt_s * 1e9f);
}

void rs_board_wait(uint32_t served) {
  (void)served;
  now_ns += BYTE_NS;
}

uint16_t rs_port_read(uint8_t *data, uint16_t capacity) {
  const uint64_t came = now_ns / BYTE_NS;
  if (now_ns >= END_NS) {
    printf("{\"ticks\": %u, \"deadline_misses\": %u, \"taken\": %lu}\n", server.report.tick,
           server.report.deadline_misses, (unsigned long)taken);
    exit(0);
  }
  if (came - taken > RING_SIZE) {
    taken = came - RING_SIZE;
  }
  uint16_t size = 0;
  while (size < capacity && taken < came) {
    data[size++] = flood[taken++ % flood_size];
  }
  now_ns += size * READ_NS;
  return size;
}

void rs_port_write(const uint8_t *data, uint16_t size) {
  (void)data;
  now_ns += (uint64_t)size * BYTE_NS;
}

int main(int count, char **arguments) { return board_main(count, arguments); }
