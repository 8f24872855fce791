/* A board on a serial line, in real time: the board's timer drives the controller, observations come when they
 * come. */
#include "board.h"

static rs_server_t server;

/* Returns false when there is nothing to read. Neither a flood of bytes nor one of questions holds up the controller:
 * between two looks at the clock this takes a chunk at most and sends one reply at most, since a long one is several
 * milliseconds on the wire. */
static bool receive(void) {
  static uint8_t bytes[64];
  static uint16_t size;
  static uint16_t next;
  if (next == size) {
    size = rs_port_read(bytes, sizeof bytes);
    next = 0;
  }
  bool replied = false;
  while (next < size && !replied) {
    replied = rs_server_feed(&server, bytes[next]) == RS_SERVER_REPLY;
    next++;
  }
  if (replied) {
    rs_port_write(server.frame, server.frame_size);
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
      rs_server_rest(&server);
    } else {
      bool idle = !receive();
      if (idle) {
        rs_board_wait(server.period);
      }
    }
  }
}
