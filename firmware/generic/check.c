/* Exit status: how many self-test vectors this machine computes differently, 100 when the policy does not fit. */
#include "controller.h"

int main(void) {
  static rs_controller_t controller;
  if (!rs_controller_init(&controller, &rs_policy)) {
    return 100;
  }
  uint16_t failed = rs_controller_self_test(&controller, NULL);
  return failed < 100u ? (int)failed : 99;
}
