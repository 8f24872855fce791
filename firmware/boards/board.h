/* What a board supplies: bytes and time. Everything else is the same C on every board. */
#ifndef RS_BOARD_H
#define RS_BOARD_H

#include <stdint.h>

#include "server.h"

extern const rs_board_t rs_board;

/* Starts the clock, which must make a period come due every control_dt_s, and opens the port. `arguments` are the
 * process's own where there is a process. */
void rs_board_start(float control_dt_s, int count, char **arguments);

/* Sleeps until periods() is no longer `served` or, where the port is a serial line, a byte may have arrived. */
void rs_board_wait(uint32_t served);

/* Bytes from the host into data; returns how many, at most capacity. A serial line gives what it has, maybe none. A
 * lockstep port waits for one delivery of the host's and gives it whole. Ends the program, where there is one to end,
 * when the host has gone. */
uint16_t rs_port_read(uint8_t *data, uint16_t capacity);

void rs_port_write(const uint8_t *data, uint16_t size);

#endif
