/* A board in lockstep, in virtual time: it sleeps to its next control period, then asks the host what arrived in it.
 * The host answers with one frame at a time; a frame that has a reply of its own (HELLO, ARM, ...) takes no time,
 * any other (OBSERVE, WAIT, or a damaged one) ends the period, and its answer is ACTUATE. So the host's speed never
 * shows, and a flight repeats to the byte. */
#include "board.h"

static rs_server_t server;

static void receive_until_taken(void) {
  for (;;) {
    rs_server_event_t event = rs_server_feed(&server, (uint8_t)rs_port_read());
    if (event == RS_SERVER_TAKEN) {
      return;
    }
    if (event == RS_SERVER_REPLY) {
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
    while (rs_board.periods() == server.period) {
      rs_board_wait(server.period);
    }
    receive_until_taken();
    (void)rs_server_tick(&server);
    rs_port_write(server.frame, server.frame_size);
  }
}
