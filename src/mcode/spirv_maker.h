/* What the files that write a kernel's shader share: the state of one making. Room-internal.
 * Thread: one. */
#ifndef MCODE_SPIRV_MAKER_H
#define MCODE_SPIRV_MAKER_H
#include "mcode/program.h"
#include "mcode/spirv.h"
#include "mcode/spirv_words.h"

struct maker {
	struct spirv sp;
	const struct mcode_kernel *kernel;
	unsigned flags;
	struct mcode_spirv_layout layout;
	uint32_t memory[4]; /* variable by width code, or 0 */
	uint32_t arguments, results, shared;
	uint32_t builtins[4], n_builtins;
	uint32_t regs[MCODE_REGISTERS]; /* variables, 0 if unused */
	uint32_t written[MCODE_SLOTS]; /* variables of slots the body writes, or 0 */
	uint32_t invariants[MCODE_SLOTS]; /* values */
	uint32_t places[MCODE_MAX_STREAMS]; /* values */
	uint32_t tables[MCODE_MAX_STREAMS][2]; /* values: of loads, of stores */
	uint32_t accs[MCODE_MAX_REDUCTIONS]; /* variables */
	uint32_t k, i_var, fault_var, fuel_var, block_var;
	bool can_fault;
	bool jumps; /* as they like: see rule 2 in spirv.c */
};

/* Whether all jumps of a body go to where some part of it ends that they are in, one in
 * another: it needs no loop around a switch then, and no fuel. */
bool maker_jumps_nest(const struct mcode_code *code);
bool maker_is_access(const struct mcode_insn *insn);

/* Type of a memory word of a width, and the address of one: &variable[index]. */
uint32_t maker_element_type(struct spirv *sp, unsigned width_code);
uint32_t maker_element_at(struct spirv *sp, uint32_t variable, uint32_t element,
			  uint32_t index);

/* Values: of 64 bits unless said. */
uint32_t maker_u64_op(struct maker *m, unsigned op, uint32_t a, uint32_t b);
uint32_t maker_argument(struct maker *m, uint32_t index_id);
uint32_t maker_slot_get(struct maker *m, unsigned slot);
uint32_t maker_narrow(struct maker *m, uint32_t value); /* to 32 bits */
uint32_t maker_not_zero(struct maker *m, uint32_t value); /* a boolean */
uint32_t maker_reg_variable(struct maker *m, unsigned reg);

/* if (condition) { what is made until maker_end_if, which takes what maker_begin_if gave */
uint32_t maker_begin_if(struct maker *m, uint32_t condition);
void maker_end_if(struct maker *m, uint32_t merge);

/* One iteration's instructions, registers and slots reset before; m->k is its number. */
struct error *maker_body(struct maker *m);
#endif
