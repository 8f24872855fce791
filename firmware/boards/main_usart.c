/* A board on a serial line, in real time: the board's timer drives the controller, observations come when they
 * come. */
#include "board.h"

static rs_server_t server;

/* A chunk small enough that a flood of bytes does not hold up the controller. */
static bool receive(void) {
  static uint8_t bytes[64];
  uint16_t size = rs_port_read(bytes, sizeof bytes);
  for (uint16_t i = 0; i < size; i++) {
    if (rs_server_feed(&server, bytes[i]) == RS_SERVER_REPLY) {
      rs_port_write(server.frame, server.frame_size);
    }
  }
  return size != 0u;
}

int main(int count, char **arguments) {
  rs_board_start(rs_policy.control_dt_s, count, arguments);
  if (!rs_server_init(&server, &rs_policy, &rs_board)) {
    return 1;
  }
  for (;;) {
    if (rs_board.periods() != server.period) {
      if (rs_server_tick(&server)) {
        rs_port_write(server.frame, server.frame_size);
      }
    } else if (!receive()) {
      rs_board_wait(server.period);
    }
  }
}
