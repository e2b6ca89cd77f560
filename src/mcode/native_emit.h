/* What native_source.c (sections, loops, the program's frame) and native_insn.c (single
 * instructions) share; nobody else includes it. Thread: one emitter belongs to one thread. */
#ifndef MCODE_NATIVE_EMIT_H
#define MCODE_NATIVE_EMIT_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "mcode/program.h"

/* Where a register's or slot's value is at this point of the text. */
struct value {
	uint32_t number; /* of the t variable; for slots 0 means the invariant */
	uint8_t width_code;
	bool known; /* regs: false means 0; slots: false means the invariant v */
};

struct emitter {
	FILE *to;
	const struct mcode_kernel *kernel;
	struct value regs[MCODE_REGISTERS], slots[MCODE_SLOTS];
	uint32_t n_temps;
	enum mcode_section section;
	uint32_t label_base; /* distinguishes labels of sections emitted twice */
	const char *index; /* number of the iteration, as an expression */
	bool jumps; /* this section is in form 2 */
	bool can_fault;
};

unsigned native_bits_of(unsigned width_code);
const char *native_reg_at(const struct emitter *em, unsigned reg, unsigned width_code,
			  char text[32]);
void native_define(struct emitter *em, unsigned reg, unsigned width_code);
void native_lower(const char *upper, char text[16]);
/* The address of an access, plus what stands in `offset`. */
void native_print_place(struct emitter *em, const struct mcode_insn *insn, const char *offset);
/* Rule 7 in native_source.c: whether the body has the form, and the loop in it; registers and
 * slots are as at the start of the body. */
bool native_wide_suits(const struct mcode_kernel *kernel);
void native_emit_wide(struct emitter *em);
void native_emit_insn(struct emitter *em, const struct mcode_insn *insn, uint32_t at);
#endif
