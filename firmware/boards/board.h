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

/* The next byte from the host. A serial line returns -1 when there is none; a lockstep port waits for it, and ends
 * the program when the host has gone. */
int rs_port_read(void);

void rs_port_write(const uint8_t *data, uint16_t size);

#endif
