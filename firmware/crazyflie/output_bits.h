/* Every bit of the self-test's outputs in one number: two builds of one policy compute the same, or they differ here. */
#ifndef RS_CF_OUTPUT_BITS_H
#define RS_CF_OUTPUT_BITS_H

#include <stdint.h>

#include "contract.h"

/* FNV-1a over actions and next states of all self-test vectors, little endian. */
uint32_t rs_cf_output_bits(const rs_contract_t *contract);

#endif
