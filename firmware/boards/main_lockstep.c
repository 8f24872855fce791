/* A board in lockstep, in virtual time: it sleeps to its next control period, then asks the host what arrived in it.
 * The host makes one delivery at a time. Frames that have replies of their own (HELLO, ARM, ...) take no time; a
 * delivery with anything else in it (OBSERVE, WAIT, a damaged frame or none at all) ends the period, and ACTUATE
 * answers it. So the host's speed never shows, and a flight repeats to the byte. */
#include "board.h"

static rs_server_t server;

/* Returns true when the delivery ends the period. */
static bool receive(void) {
  static uint8_t bytes[4096]; /* as much as a FIFO takes at once */
  uint16_t size = rs_port_read(bytes, sizeof bytes);
  bool replied = false;
  bool taken = false;
  for (uint16_t i = 0; i < size; i++) {
    rs_server_event_t event = rs_server_feed(&server, bytes[i]);
    if (event == RS_SERVER_REPLY) {
      rs_port_write(server.frame, server.frame_size);
      replied = true;
    }
    taken = taken || event == RS_SERVER_TAKEN;
  }
  return taken || !replied;
}

int main(int count, char **arguments) {
  rs_board_start(rs_policy.control_dt_s, count, arguments);
  if (!rs_server_init(&server, &rs_policy, &rs_board)) {
    return 1;
  }
  for (;;) {
    while (rs_board.periods() == server.period) {
      rs_board_wait(server.period);
    }
    while (!receive()) {
    }
    (void)rs_server_tick(&server);
    rs_port_write(server.frame, server.frame_size);
    rs_server_rest(&server);
  }
}
