/* Writing SPIR-V: words in sections, types and constants made once. Room-internal. Thread: one.
 */
#ifndef MCODE_SPIRV_WORDS_H
#define MCODE_SPIRV_WORDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
struct error;

/* Opcodes and enumerants of the SPIR-V specification that we use. */
enum spirv_op {
	OpExtInstImport = 11,
	OpExtInst = 12,
	OpMemoryModel = 14,
	OpEntryPoint = 15,
	OpExecutionMode = 16,
	OpCapability = 17,
	OpTypeVoid = 19,
	OpTypeBool = 20,
	OpTypeInt = 21,
	OpTypeVector = 23,
	OpTypeArray = 28,
	OpTypeRuntimeArray = 29,
	OpTypeStruct = 30,
	OpTypePointer = 32,
	OpTypeFunction = 33,
	OpConstantTrue = 41,
	OpConstant = 43,
	OpFunction = 54,
	OpFunctionEnd = 56,
	OpVariable = 59,
	OpLoad = 61,
	OpStore = 62,
	OpAccessChain = 65,
	OpDecorate = 71,
	OpMemberDecorate = 72,
	OpUConvert = 113,
	OpSConvert = 114,
	OpIAdd = 128,
	OpISub = 130,
	OpIMul = 132,
	OpUDiv = 134,
	OpUMod = 137,
	OpLogicalAnd = 167,
	OpLogicalNot = 168,
	OpSelect = 169,
	OpIEqual = 170,
	OpINotEqual = 171,
	OpULessThan = 176,
	OpSLessThan = 177,
	OpULessThanEqual = 178,
	OpSLessThanEqual = 179,
	OpShiftRightLogical = 194,
	OpShiftRightArithmetic = 195,
	OpShiftLeftLogical = 196,
	OpBitwiseOr = 197,
	OpBitwiseXor = 198,
	OpBitwiseAnd = 199,
	OpNot = 200,
	OpBitCount = 205,
	OpControlBarrier = 224,
	OpAtomicUMin = 237,
	OpLoopMerge = 246,
	OpSelectionMerge = 247,
	OpLabel = 248,
	OpBranch = 249,
	OpBranchConditional = 250,
	OpSwitch = 251,
	OpReturn = 253,
};

enum { StorageInput = 1, StorageWorkgroup = 4, StorageFunction = 7, StorageBuffer = 12 };

typedef VEC(uint32_t) spirv_words;

struct spirv {
	spirv_words head, decorations, globals, locals, body; /* in this order in the module */
	uint32_t bound; /* next id */
	bool failed; /* out of memory; checked once at the end */
	uint32_t t_void, t_bool, t_u8, t_u16, t_u32, t_u64;
	uint32_t glsl; /* extended instructions */
};

uint32_t spirv_id(struct spirv *sp);
/* Appends one instruction, operands ending with the count. */
void spirv_put(struct spirv *sp, spirv_words *to, unsigned op, const uint32_t *operands,
	       size_t n);
#define SPIRV_PUT(sp, section, op, ...)                                          \
	spirv_put((sp), &(sp)->section, (op), (const uint32_t[]){ __VA_ARGS__ }, \
		  sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))
/* op with result type and a fresh result id in the body; returns the id. */
uint32_t spirv_op1(struct spirv *sp, unsigned op, uint32_t type, uint32_t a);
uint32_t spirv_op2(struct spirv *sp, unsigned op, uint32_t type, uint32_t a, uint32_t b);
uint32_t spirv_op3(struct spirv *sp, unsigned op, uint32_t type, uint32_t a, uint32_t b,
		   uint32_t c);
uint32_t spirv_glsl1(struct spirv *sp, unsigned instruction, uint32_t type, uint32_t a);
/* A type declaration: op with a fresh id, then operands; made once for equal operands. */
uint32_t spirv_type(struct spirv *sp, unsigned op, const uint32_t *operands, size_t n);
#define SPIRV_TYPE(sp, op, ...)                                   \
	spirv_type((sp), (op), (const uint32_t[]){ __VA_ARGS__ }, \
		   sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))
uint32_t spirv_pointer(struct spirv *sp, unsigned storage, uint32_t type);
uint32_t spirv_u32(struct spirv *sp, uint32_t value);
uint32_t spirv_u64(struct spirv *sp, uint64_t value);
uint32_t spirv_true(struct spirv *sp);
/* Variable of the function or of the module. */
uint32_t spirv_variable(struct spirv *sp, unsigned storage, uint32_t type);
uint32_t spirv_load(struct spirv *sp, uint32_t type, uint32_t pointer);
void spirv_store(struct spirv *sp, uint32_t pointer, uint32_t value);
void spirv_label(struct spirv *sp, uint32_t label);
void spirv_branch(struct spirv *sp, uint32_t label);
void spirv_begin(struct spirv *sp);
void spirv_free(struct spirv *sp);
/* Joins the sections. Caller frees *ret. */
struct error *spirv_end(struct spirv *sp, uint32_t **ret, size_t *n_ret);

/* spirv_alu.c: an arithmetic opcode. Operands and result are 64-bit ids. */
uint32_t spirv_alu(struct spirv *sp, uint8_t op, unsigned width_code, bool packed, uint32_t a,
		   uint32_t b, uint32_t d);
#endif
