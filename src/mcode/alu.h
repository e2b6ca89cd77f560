/* What every arithmetic opcode computes, as one pure function: the reference for executors, and
 * what constant folding and synthesis evaluate with. Thread: any. */
#ifndef MCODE_ALU_H
#define MCODE_ALU_H
#include <stdbool.h>
#include <stdint.h>

/* Result of an opcode of form RR, RRR or RI: a and b are the sources, d is rd before the
 * instruction. For LDI pass the immediate as b. CHECKs that op is such an opcode. */
uint64_t mcode_alu(uint8_t op, unsigned width_code, bool packed, uint64_t a, uint64_t b,
		   uint64_t d);
#endif
