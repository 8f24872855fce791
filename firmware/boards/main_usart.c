/* A board on a serial line, in real time: the board's timer drives the controller, observations come when they
 * come. */
#include "board.h"

static rs_server_t server;

static void receive(void) {
  int byte;
  while (rs_board.periods() == server.period && (byte = rs_port_read()) >= 0) {
    if (rs_server_feed(&server, (uint8_t)byte) == RS_SERVER_REPLY) {
      rs_port_write(server.frame, server.frame_size);
    }
  }
}

int main(int count, char **arguments) {
  rs_board_start(rs_policy.control_dt_s, count, arguments);
  if (!rs_server_init(&server, &rs_policy, &rs_board)) {
    return 1;
  }
  for (;;) {
    receive();
    if (rs_board.periods() != server.period) {
      if (rs_server_tick(&server)) {
        rs_port_write(server.frame, server.frame_size);
      }
    } else {
      rs_board_wait(server.period);
    }
  }
}
