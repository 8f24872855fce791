/* Runs on the machine that builds: what the board must compute at boot, bit for bit. */
#include <stdio.h>

#include "output_bits.h"

int main(void) {
  printf("#define RS_CF_OUTPUT_BITS 0x%08lxu\n", (unsigned long)rs_cf_output_bits(&rs_policy));
  return 0;
}
