/* A kernel: what one learned loop does, as microcode over slots and streams. Plain data that
 * learn fills in, the prover reads, the library stores and every executor runs. Nothing here
 * may be trusted before mcode_validate (validate.h) accepted it. Thread: any number of readers.
 *
 * How a kernel runs (mcode/interp.h is the reference; all executors agree with it):
 *   1. slots = 0; slots[inputs[i].slot] = guest register inputs[i].guest at the loop head.
 *   2. guard runs: r0 != 0 at its end means that the kernel may run on these values. Else r1
 *      may say why not: a number of plugin/kernel_abi.h's plan results, 0 for the general one.
 *   3. setup runs once; the slots it leaves are the invariants: stream bases, strides, trip
 *      count, start values of reductions, start values and steps of induction variables.
 *   4. slots[trip_slot] is the number of iterations still to come, the last one included. n =
 *      the smaller of it and what the caller asks for. For k = 0 .. n-1, in any order:
 *      registers = 0 except r0 = k; slots = the invariants; body runs; what it left in slots is
 *      seen by reductions and the search exit of this k only.
 *   5. Each reduction folds its contribution: slots[acc] = slots[acc] OP slots[value].
 *      A serial kernel differs: k = 0, 1, .. strictly in order, and the body of k finds in the
 *      accumulators' slots what k - 1 left there. There OP may be MOV: the value replaces the
 *      accumulator, which is how state is carried on. All reductions of one k take their
 *      values before any of them changes its accumulator.
 *   6. A search kernel ends at the smallest k whose body leaves slots[search_slot] != 0; that k
 *      does not count as done. The same holds for the smallest k that faults: its stores are
 *      done, those of later iterations are not (an executor that cannot promise this refuses
 *      kernels that store and can fault).
 *   7. finish runs once with r0 = number of iterations done and the invariants plus the final
 *      accumulators in slots; guest register exits[i].guest = slots[exits[i].slot].
 * Sections see no registers of each other: all start at 0 except r0 as said. */
#ifndef MCODE_PROGRAM_H
#define MCODE_PROGRAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "mcode/isa.h"
struct error;

#define MCODE_MAX_INPUTS 64u
#define MCODE_MAX_EXITS 64u
#define MCODE_MAX_STREAMS 32u
#define MCODE_MAX_REDUCTIONS 32u
#define MCODE_MAX_PIXELS 65536u /* of one section */
#define MCODE_MAX_WINDOW 65536 /* bytes a fixed-window stream may reach from its address */
#define MCODE_NO_SLOT 0xffffu

/* Guest registers by number: x86's own order, then the two halves of each XMM register. */
enum mcode_guest_reg {
	MCODE_RAX,
	MCODE_RCX,
	MCODE_RDX,
	MCODE_RBX,
	MCODE_RSP,
	MCODE_RBP,
	MCODE_RSI,
	MCODE_RDI,
	MCODE_R8, /* .. R15 = 15 */
	MCODE_XMM = 16, /* XMM i: low half 16 + 2 * i, high half 17 + 2 * i */
	MCODE_EFLAGS = 48, /* input only */
	MCODE_FS_BASE, /* input only */
	MCODE_GS_BASE, /* input only */
	MCODE_GUEST_REGS,
};

struct mcode_binding { /* a guest register and the slot it comes from or goes to */
	uint16_t guest;
	uint16_t slot;
};

enum mcode_stream_flags {
	MCODE_STREAM_READ = 1,
	MCODE_STREAM_WRITE = 2,
	/* The same bytes in every iteration (stride 0, only LDX and STX): a table. Its length
	 * in bytes is slots[length_slot]. */
	MCODE_STREAM_REGION = 4,
};

/* Memory at guest address slots[base_slot] + stride * k. Loads and stores of iteration k lie in
 * the window [low, high) bytes around it; LDX and STX in a stream are checked against the
 * window, in a region against [0, length). Under the guard no byte that a stream writes in
 * iteration i is touched in iteration j != i, nor through another stream in any iteration; in a
 * serial kernel only the latter. */
struct mcode_stream {
	uint16_t base_slot;
	uint16_t stride_slot; /* MCODE_NO_SLOT: the stride is the constant below */
	uint16_t length_slot; /* of a region, else MCODE_NO_SLOT */
	uint16_t flags;
	int64_t stride;
	int32_t low, high; /* of a stream: low <= 0 < high; of a region 0, 0 */
};

struct mcode_reduction {
	uint8_t op; /* ADD MUL AND OR XOR MINU MINS MAXU MAXS; MOV in a serial kernel */
	uint8_t width_code; /* folded and zero-extended at this width, lane-wise if packed */
	uint8_t packed;
	uint8_t unused;
	uint16_t acc_slot; /* start value after setup; result before finish */
	uint16_t value_slot; /* what one iteration contributes */
};

enum mcode_section { MCODE_GUARD, MCODE_SETUP, MCODE_BODY, MCODE_FINISH, MCODE_SECTIONS };

struct mcode_code {
	uint32_t *pixels; /* owned; R is the low byte */
	uint32_t count, capacity;
};

struct mcode_kernel {
	char name[64]; /* printable ASCII without spaces and quotes; may be empty */
	struct mcode_code code[MCODE_SECTIONS];
	struct mcode_binding inputs[MCODE_MAX_INPUTS], exits[MCODE_MAX_EXITS];
	struct mcode_stream streams[MCODE_MAX_STREAMS];
	struct mcode_reduction reductions[MCODE_MAX_REDUCTIONS];
	uint32_t n_inputs, n_exits, n_streams, n_reductions;
	uint32_t n_slots; /* slots used, 1 .. 256 */
	uint32_t fuel; /* backward jumps that one run of a section may take */
	uint16_t trip_slot; /* iterations the loop has, after setup */
	uint16_t search_slot; /* MCODE_NO_SLOT: no early exit */
	bool serial; /* iterations run in order, see 5 */
};

/* One instruction, decoded. */
struct mcode_insn {
	uint8_t op, width_code;
	bool packed, has_imm;
	uint8_t rd; /* destination, or the value register of a store or PUT */
	uint8_t rs1; /* register, or the stream or slot number */
	uint8_t rs2;
	uint8_t n_pixels; /* 1 to 3; filled in by mcode_decode */
	uint64_t imm; /* sign-extended; a jump's target; 0 without has_imm */
};

/* Empty kernel (every section just ends, no search). Caller owns *ret. Fails: ERR_MEMORY. */
struct error *mcode_kernel_create(struct mcode_kernel **ret);
void mcode_kernel_destroy(struct mcode_kernel *kernel);
OWN_DECLARE(own_mcode_kernel, struct mcode_kernel *, mcode_kernel_destroy)
/* Deep copy. Caller owns *ret. */
struct error *mcode_kernel_copy(const struct mcode_kernel *kernel, struct mcode_kernel **ret);
bool mcode_kernel_equal(const struct mcode_kernel *a, const struct mcode_kernel *b);

/* Decodes the instruction at pixel `at`. False: unknown opcode, a field out of range, or cut
 * short; *why_ret (may be NULL) then says so in a few words. */
bool mcode_decode(const uint32_t *pixels, uint32_t count, uint32_t at, struct mcode_insn *ret,
		  const char **why_ret);
/* Appends; takes the shortest immediate form. CHECKs that the fields are in range. */
struct error *mcode_emit(struct mcode_code *code, const struct mcode_insn *insn);
/* Number of instructions of a section (not of pixels); 0 if it does not decode. */
uint32_t mcode_code_instructions(const struct mcode_code *code);
bool mcode_body_jumps(const struct mcode_kernel *kernel);
/* Sum of the table's costs over a section. */
uint32_t mcode_code_cost(const struct mcode_code *code);
void mcode_code_free(struct mcode_code *code);
const char *mcode_section_name(enum mcode_section section);
/* "rax", "xmm3.hi", "eflags": in *ret. False for a number that is none. */
bool mcode_guest_reg_name(unsigned guest, char ret[12]);
/* Number of a name, or -1. */
int mcode_guest_reg_by_name(const char *name, size_t length);
#endif
