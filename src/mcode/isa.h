/* The Pixel CPU's instruction set: one table. Every instruction is one RGBA pixel (R opcode, G
 * destination, B first source, A second source), followed by one or two pixels of immediate.
 * The decoder, assembler, disassembler, validator, all executors, docs/pixel-cpu.md and the
 * prover are made from this table. Thread: any, plain values only.
 *
 * Rules that hold for every opcode (numbers are quoted elsewhere):
 * 1. A register holds 64 bits; there are 32. Every operation has a width w of 8, 16, 32 or 64:
 *    its operands are cut to w bits, the result is zero-extended to 64. No flags.
 * 2. Every operation is total. Where arithmetic has holes SMT-LIB's bit-vector theory decides:
 *    x / 0 = all ones, x % 0 = x, MIN / -1 = MIN; a shift by w or more gives 0 (SAR: the sign).
 * 3. With the packed bit an ALU operation works on the 64/w lanes of its operands, lane by
 * lane, each lane as in rules 1 and 2.
 * 4. An immediate takes the place of the second source: 32 bits sign-extended, or 64 bits.
 * 5. Slots are 64-bit variables private to the lane; guest state, invariants and reductions
 *    pass through them. Streams are the only memory.
 * 6. A load outside its stream's bytes gives 0, a store outside does nothing; both set the
 *    lane's fault, which ends the kernel before that iteration.
 * 7. A taken backward jump costs one unit of fuel; without fuel the lane stops as at HALT, with
 *    its fault set. */
#ifndef MCODE_ISA_H
#define MCODE_ISA_H
#include <stdbool.h>
#include <stdint.h>

#define MCODE_REGISTERS 32u
#define MCODE_SLOTS 256u

/* Pixel layout (little endian: R is the low byte):
 *   G  bits 0-4 register, 5-6 width code, 7 packed
 *   B  register, or the number of a stream or slot
 *   A  bits 0-4 register, bit 7: an immediate follows, bit 6: it has 64 bits
 * The immediate's 32-bit halves follow low half first, each one pixel. */
#define MCODE_G_PACKED 0x80u
#define MCODE_A_IMM 0x80u
#define MCODE_A_IMM64 0x40u

/* Width codes in G; plain register numbers therefore mean 64 bits. */
enum mcode_width_code { MCODE_W64, MCODE_W32, MCODE_W16, MCODE_W8 };

/* Operands of an opcode. rs2 may be an immediate in RRR and CMOV. */
enum mcode_form {
	MCODE_FORM_NONE, /* op                                                        */
	MCODE_FORM_RR, /* op rd, rs1                                                */
	MCODE_FORM_RRR, /* op rd, rs1, rs2|#imm                                      */
	MCODE_FORM_RI, /* op rd, #imm                                               */
	MCODE_FORM_J, /* op target             target = pixel index in its section */
	MCODE_FORM_RJ, /* op rs1, target        rs1 in B                            */
	MCODE_FORM_LD, /* op rd, sN[+imm]       stream in B                         */
	MCODE_FORM_LDX, /* op rd, sN, rs2[+imm]                                      */
	MCODE_FORM_ST, /* op sN[+imm], rv       value register in G, stream in B    */
	MCODE_FORM_STX, /* op sN, rs2[+imm], rv                                      */
	MCODE_FORM_GET, /* op rd, vN             slot in B                           */
	MCODE_FORM_PUT, /* op vN, rv             value register in G, slot in B      */
};

/* What a row allows besides its plain 64-bit form. */
enum mcode_op_flags {
	MCODE_WIDE = 1, /* widths 8, 16, 32 and 64; otherwise 64 only */
	MCODE_PACK = 2, /* the packed bit may be set, w below 64 */
	MCODE_CROSS = 4, /* works across lanes: the packed bit must be set, w below 64 */
	MCODE_NOT8 = 8, /* not at width 8 */
	MCODE_NOT32 = 16, /* not at width 32 */
	MCODE_COMMUTES = 32, /* rs1 and rs2 may be swapped */
};
#define MCODE_ALU (MCODE_WIDE | MCODE_PACK)
#define MCODE_ALUC (MCODE_WIDE | MCODE_PACK | MCODE_COMMUTES)

/* ORDER MC_OP. a = rs1, b = rs2 or immediate, d = rd before the instruction, w = width.
 *      name     code  form  flags          class      cost semantics */
#define MCODE_OPS(X)                                                                           \
	X(NOP, 0x00, NONE, 0, CONTROL, 0, "nothing")                                           \
	X(MOV, 0x01, RR, MCODE_WIDE, MOVE, 0, "a, zero-extended from w bits")                  \
	X(ADD, 0x02, RRR, MCODE_ALUC, ALU, 1, "a + b")                                         \
	X(SUB, 0x03, RRR, MCODE_ALU, ALU, 1, "a - b")                                          \
	X(MUL, 0x04, RRR, MCODE_ALUC, MUL, 3, "low w bits of a * b")                           \
	X(DIV, 0x05, RRR, MCODE_ALU, DIV, 20, "a / b unsigned; all ones if b = 0")             \
	X(JMP, 0x06, J, 0, CONTROL, 1, "go on at target")                                      \
	X(HALT, 0x07, NONE, 0, CONTROL, 0, "end of the section")                               \
	X(LDI, 0x08, RI, 0, MOVE, 0, "immediate")                                              \
	X(JZ, 0x09, RJ, 0, CONTROL, 1, "go on at target if a = 0")                             \
	X(JNZ, 0x0a, RJ, 0, CONTROL, 1, "go on at target if a != 0")                           \
	X(REM, 0x10, RRR, MCODE_ALU, DIV, 20, "a mod b unsigned; a if b = 0")                  \
	X(DIVS, 0x11, RRR, MCODE_ALU, DIV, 20,                                                 \
	  "a / b signed, toward 0; b = 0: a < 0 ? 1 : -1")                                     \
	X(REMS, 0x12, RRR, MCODE_ALU, DIV, 20,                                                 \
	  "a - (a / b) * b signed, sign of a; a if b = 0")                                     \
	X(MULHU, 0x13, RRR, MCODE_ALUC, MUL, 4, "high w bits of the 2w-bit unsigned a * b")    \
	X(MULHS, 0x14, RRR, MCODE_ALUC, MUL, 4, "high w bits of the 2w-bit signed a * b")      \
	X(NEG, 0x15, RR, MCODE_ALU, ALU, 1, "0 - a")                                           \
	X(ABS, 0x16, RR, MCODE_ALU, ALU, 1, "a < 0 signed ? 0 - a : a")                        \
	X(AND, 0x18, RRR, MCODE_ALUC, ALU, 1, "a & b")                                         \
	X(OR, 0x19, RRR, MCODE_ALUC, ALU, 1, "a | b")                                          \
	X(XOR, 0x1a, RRR, MCODE_ALUC, ALU, 1, "a ^ b")                                         \
	X(NOT, 0x1b, RR, MCODE_ALU, ALU, 1, "~a")                                              \
	X(ANDN, 0x1c, RRR, MCODE_ALU, ALU, 1, "a & ~b")                                        \
	X(SHL, 0x20, RRR, MCODE_ALU, SHIFT, 1, "a << b; 0 if b >= w")                          \
	X(SHR, 0x21, RRR, MCODE_ALU, SHIFT, 1, "a >> b unsigned; 0 if b >= w")                 \
	X(SAR, 0x22, RRR, MCODE_ALU, SHIFT, 1, "a >> b signed; the sign everywhere if b >= w") \
	X(ROL, 0x23, RRR, MCODE_ALU, SHIFT, 1, "a rotated left by b mod w")                    \
	X(ROR, 0x24, RRR, MCODE_ALU, SHIFT, 1, "a rotated right by b mod w")                   \
	X(CMPEQ, 0x28, RRR, MCODE_ALUC, COMPARE, 1, "a = b ? 1 : 0")                           \
	X(CMPNE, 0x29, RRR, MCODE_ALUC, COMPARE, 1, "a != b ? 1 : 0")                          \
	X(CMPLTU, 0x2a, RRR, MCODE_ALU, COMPARE, 1, "a < b unsigned ? 1 : 0")                  \
	X(CMPLEU, 0x2b, RRR, MCODE_ALU, COMPARE, 1, "a <= b unsigned ? 1 : 0")                 \
	X(CMPLTS, 0x2c, RRR, MCODE_ALU, COMPARE, 1, "a < b signed ? 1 : 0")                    \
	X(CMPLES, 0x2d, RRR, MCODE_ALU, COMPARE, 1, "a <= b signed ? 1 : 0")                   \
	X(MINU, 0x30, RRR, MCODE_ALUC, COMPARE, 1, "smaller of a and b, unsigned")             \
	X(MINS, 0x31, RRR, MCODE_ALUC, COMPARE, 1, "smaller of a and b, signed")               \
	X(MAXU, 0x32, RRR, MCODE_ALUC, COMPARE, 1, "larger of a and b, unsigned")              \
	X(MAXS, 0x33, RRR, MCODE_ALUC, COMPARE, 1, "larger of a and b, signed")                \
	X(AVGU, 0x34, RRR, MCODE_ALUC, ALU, 1, "(a + b + 1) >> 1 unsigned, in w + 1 bits")     \
	X(ADDSU, 0x35, RRR, MCODE_ALUC, ALU, 2, "a + b unsigned, saturating")                  \
	X(ADDSS, 0x36, RRR, MCODE_ALUC, ALU, 2, "a + b signed, saturating")                    \
	X(SUBSU, 0x37, RRR, MCODE_ALU, ALU, 2, "a - b unsigned, saturating at 0")              \
	X(SUBSS, 0x38, RRR, MCODE_ALU, ALU, 2, "a - b signed, saturating")                     \
	X(SEXT, 0x40, RR, MCODE_WIDE, MOVE, 1, "a, sign-extended from w bits to 64")           \
	X(CLZ, 0x41, RR, MCODE_ALU, BITS, 2, "zeros above the highest one; w if a = 0")        \
	X(CTZ, 0x42, RR, MCODE_ALU, BITS, 2, "zeros below the lowest one; w if a = 0")         \
	X(POPCNT, 0x43, RR, MCODE_ALU, BITS, 2, "number of ones")                              \
	X(BSWAP, 0x44, RR, MCODE_ALU | MCODE_NOT8, BITS, 1, "bytes in reverse order")          \
	X(CMOV, 0x45, RRR, MCODE_ALU, MOVE, 1, "a != 0 ? b : d")                               \
	X(SPLAT, 0x48, RR, MCODE_CROSS, LANES, 1, "lowest lane of a in every lane")            \
	X(UNPKL, 0x49, RRR, MCODE_CROSS, LANES, 1, "low halves interleaved: a0 b0 a1 b1 ...")  \
	X(UNPKH, 0x4a, RRR, MCODE_CROSS, LANES, 1, "high halves interleaved, a's lane lowest") \
	X(PACKT, 0x4b, RRR, MCODE_CROSS | MCODE_NOT8, LANES, 1,                                \
	  "lanes of a (low half) then b cut to w/2 bits")                                      \
	X(PACKSS, 0x4c, RRR, MCODE_CROSS | MCODE_NOT8, LANES, 1,                               \
	  "lanes of a then b, signed, saturated to signed w/2 bits")                           \
	X(PACKUS, 0x4d, RRR, MCODE_CROSS | MCODE_NOT8, LANES, 1,                               \
	  "lanes of a then b, signed, saturated to unsigned w/2 bits")                         \
	X(MOVMSK, 0x4e, RR, MCODE_CROSS, LANES, 2, "top bit of lane i in bit i")               \
	X(SADU, 0x4f, RRR, MCODE_CROSS | MCODE_COMMUTES, LANES, 3,                             \
	  "sum over the lanes of |a - b| unsigned, in 64 bits")                                \
	X(MADD, 0x50, RRR, MCODE_CROSS | MCODE_NOT8 | MCODE_NOT32 | MCODE_COMMUTES, LANES, 3,  \
	  "signed products of lanes 2i and 2i+1 added, in 2w-bit lanes")                       \
	X(PERM, 0x51, RRR, MCODE_CROSS, LANES, 4,                                              \
	  "lane i = a's lane b[i] mod 64/w; 0 if b[i]'s top bit is set")                       \
	X(LD, 0x60, LD, MCODE_WIDE, LOAD, 4,                                                   \
	  "w bits at base + stride * k + imm of the stream")                                   \
	X(LDX, 0x61, LDX, MCODE_WIDE, LOAD, 5, "w bits at base + stride * k + rs2 + imm")      \
	X(ST, 0x62, ST, MCODE_WIDE, STORE, 4, "stores w bits of rv where LD would load")       \
	X(STC, 0x63, STX, MCODE_WIDE, STORE, 4, "as ST if rs2 != 0, otherwise nothing")        \
	X(STX, 0x64, STX, MCODE_WIDE, STORE, 5, "stores w bits of rv where LDX would load")    \
	X(GET, 0x68, GET, 0, MOVE, 0, "the slot")                                              \
	X(PUT, 0x69, PUT, 0, MOVE, 0, "slot = rv")

enum mcode_op {
#define MCODE_OP_ENUM(name, code, form, flags, class, cost, text) MCODE_##name = code,
	MCODE_OPS(MCODE_OP_ENUM)
#undef MCODE_OP_ENUM
};

/* What an opcode mostly costs an executor; `hot` and the cost model count by these. */
enum mcode_class {
	MCODE_CLASS_CONTROL,
	MCODE_CLASS_MOVE,
	MCODE_CLASS_ALU,
	MCODE_CLASS_MUL,
	MCODE_CLASS_DIV,
	MCODE_CLASS_SHIFT,
	MCODE_CLASS_COMPARE,
	MCODE_CLASS_BITS,
	MCODE_CLASS_LANES,
	MCODE_CLASS_LOAD,
	MCODE_CLASS_STORE,
	MCODE_CLASSES,
};

struct mcode_op_info {
	const char *name; /* upper case; assembler text is lower case */
	uint8_t code, form, flags, class;
	uint8_t cost;
	const char *text; /* semantics, the table's words */
};

/* Row of an opcode, or NULL for a byte that is none. */
const struct mcode_op_info *mcode_op_info(uint8_t op);
/* Row by name in either case, length given, or NULL. */
const struct mcode_op_info *mcode_op_by_name(const char *name, unsigned length);
const char *mcode_class_name(enum mcode_class class);

static inline bool mcode_is_jump(uint8_t op)
{
	return op == MCODE_JMP || op == MCODE_JZ || op == MCODE_JNZ;
}

static inline unsigned mcode_width_bits(unsigned width_code)
{
	return 64u >> width_code;
}

/* All ones in the low w bits. */
static inline uint64_t mcode_width_mask(unsigned width_code)
{
	return UINT64_MAX >> (64 - mcode_width_bits(width_code));
}

/* Width code of 8, 16, 32 or 64 bits. */
static inline unsigned mcode_width_code(unsigned bits)
{
	return bits == 64   ? MCODE_W64
	       : bits == 32 ? MCODE_W32
	       : bits == 16 ? MCODE_W16
			    : MCODE_W8;
}
#endif
