#include "mcode_random.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mcode/interp.h"
#include "mcode/program.h"
#include "mcode/text.h"
#include "mcode/validate.h"

/* Slots: 0 .. 7 inputs, 8 .. 12 stream bases, 13 table length, 14 trip, 15 .. 18 accumulators,
 * 19 .. 22 contributions, 23 search, 24 .. 31 free. */
#define SLOT_BASE 8u
#define SLOT_LENGTH 13u
#define SLOT_TRIP 14u
#define SLOT_ACC 15u
#define SLOT_VALUE 19u
#define SLOT_SEARCH 23u
#define SLOT_FREE 24u
#define STREAM_BASE(s) (UINT64_C(0x7f0000001000) + (uint64_t)(s)*0x10000)

uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)(random_next(state) % limit);
}

uint64_t random_value(uint64_t *state)
{
	static const uint64_t edges[] = {
		0,	    1,		2,	   0x7f,       0x80,
		0xff,	    0x7fff,	0x8000,	   0xffff,     0x7fffffff,
		0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX,
	};
	switch (below(state, 4)) {
	case 0:
		return edges[below(state, sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return below(state, 70);
	case 2:
		return (uint64_t)0 - below(state, 70);
	default:
		return random_next(state);
	}
}

static void emit(struct mcode_kernel *kernel, unsigned section, struct mcode_insn insn)
{
	assert_ok(mcode_emit(&kernel->code[section], &insn));
}

static bool width_allowed(const struct mcode_op_info *info, unsigned width_code, bool packed)
{
	if (packed && width_code == MCODE_W64)
		return false;
	return !(width_code == MCODE_W8 && info->flags & MCODE_NOT8) &&
	       !(width_code == MCODE_W32 && info->flags & MCODE_NOT32);
}

/* Draws until the table's flags allow it. */
static void random_alu(uint64_t *state, struct mcode_kernel *kernel, bool packed_allowed)
{
	for (;;) {
		const struct mcode_op_info *info = mcode_op_info((uint8_t)below(state, 0x60));
		if (!info || info->form < MCODE_FORM_RR || info->form > MCODE_FORM_RI)
			continue;
		struct mcode_insn insn = {
			.op = info->code,
			.rd = (uint8_t)below(state, 12),
			.rs1 = (uint8_t)below(state, 12),
			.rs2 = (uint8_t)below(state, 12),
		};
		if (info->flags & (MCODE_WIDE | MCODE_CROSS))
			insn.width_code = (uint8_t)below(state, 4);
		insn.packed =
			info->flags & MCODE_CROSS ||
			(info->flags & MCODE_PACK && packed_allowed && below(state, 3) == 0);
		if (!width_allowed(info, insn.width_code, insn.packed) ||
		    (insn.packed && !packed_allowed))
			continue;
		if (info->form != MCODE_FORM_RRR)
			insn.rs2 = 0;
		if (info->form == MCODE_FORM_RI)
			insn.rs1 = 0;
		insn.has_imm = info->form == MCODE_FORM_RI ||
			       (info->form == MCODE_FORM_RRR && below(state, 4) == 0);
		if (insn.has_imm) {
			insn.imm = random_value(state);
			insn.rs2 = 0;
		}
		emit(kernel, MCODE_BODY, insn);
		return;
	}
}

static void random_slot_move(uint64_t *state, struct mcode_kernel *kernel)
{
	bool put = below(state, 3) == 0;
	uint32_t slot = put ? SLOT_VALUE + below(state, 13) : below(state, 32);
	if (slot == SLOT_SEARCH)
		slot = SLOT_FREE;
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = put ? MCODE_PUT : MCODE_GET,
				  .rd = (uint8_t)below(state, 12),
				  .rs1 = (uint8_t)slot });
}

/* 0 .. room, a multiple of size if aligned. */
static int64_t random_offset(uint64_t *state, int64_t room, int64_t size, bool aligned)
{
	int64_t offset = (int64_t)below(state, (uint32_t)room + 1);
	return aligned ? offset / size * size : offset;
}

static void random_load(uint64_t *state, struct mcode_kernel *kernel, bool aligned)
{
	unsigned width_code = below(state, 4);
	bool indexed = !below(state, 4);
	uint8_t stream = (uint8_t)below(state, 3);
	if (aligned && indexed)
		width_code = MCODE_W8; /* nobody knows what an index is a multiple of */
	if (aligned && stream == 1 && width_code == MCODE_W64)
		width_code = MCODE_W32; /* its stride is 4 */
	int64_t size = mcode_width_bits(width_code) / 8;
	if (!indexed) {
		const struct mcode_stream *s = &kernel->streams[stream];
		int64_t room = s->high - s->low - size;
		emit(kernel, MCODE_BODY,
		     (struct mcode_insn){
			     .op = MCODE_LD,
			     .width_code = (uint8_t)width_code,
			     .rd = (uint8_t)below(state, 12),
			     .rs1 = stream,
			     .has_imm = true,
			     .imm = (uint64_t)(s->low +
					       random_offset(state, room, size, aligned)) });
		return;
	}
	/* A byte as index: the table is long enough, so nothing faults. */
	uint8_t index = (uint8_t)below(state, 12);
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = MCODE_MOV,
				  .width_code = MCODE_W8,
				  .rd = index,
				  .rs1 = (uint8_t)below(state, 12) });
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = MCODE_LDX,
				  .width_code = (uint8_t)width_code,
				  .rd = (uint8_t)below(state, 12),
				  .rs1 = 4,
				  .rs2 = index,
				  .has_imm = true,
				  .imm = below(state, 16) });
}

static void random_store(uint64_t *state, struct mcode_kernel *kernel, bool aligned)
{
	unsigned width_code = below(state, 4);
	uint32_t size = mcode_width_bits(width_code) / 8;
	uint8_t stream = (uint8_t)(2 + below(state, 2));
	const struct mcode_stream *s = &kernel->streams[stream];
	bool conditional = below(state, 2);
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = conditional ? MCODE_STC : MCODE_ST,
				  .width_code = (uint8_t)width_code,
				  .rd = (uint8_t)below(state, 12),
				  .rs1 = stream,
				  .rs2 = conditional ? (uint8_t)below(state, 12) : 0,
				  .has_imm = true,
				  .imm = (uint64_t)random_offset(state, s->high - (int64_t)size,
								 size, aligned) });
}

/* Jumps are drawn with an instruction number and patched when all pixels are known. */
struct pending_jump {
	uint32_t pixel, target_insn;
};

/* Ends of the regions that are open; the last is that of the section. */
struct regions {
	uint32_t ends[8], n;
};

static uint32_t end_of_region(uint64_t *state, struct regions *regions, uint32_t at)
{
	while (regions->n > 1 && regions->ends[regions->n - 1] <= at)
		regions->n--;
	uint32_t end = regions->ends[regions->n - 1];
	if (regions->n < 8 && below(state, 2))
		regions->ends[regions->n++] = end = at + 1 + below(state, end - at);
	return end;
}

static void random_jump(uint64_t *state, struct mcode_kernel *kernel, uint32_t at, uint32_t n,
			struct regions *regions, struct pending_jump *jump)
{
	static const uint8_t ops[] = { MCODE_JZ, MCODE_JNZ, MCODE_JZ, MCODE_JNZ, MCODE_JMP };
	uint8_t op = ops[below(state, sizeof(ops) - (regions != NULL))];
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = op,
				  .rs1 = op == MCODE_JMP ? 0 : (uint8_t)below(state, 12),
				  .has_imm = true });
	jump->pixel = kernel->code[MCODE_BODY].count - 1;
	if (regions) {
		jump->target_insn = end_of_region(state, regions, at);
		return;
	}
	/* Mostly forward; an unconditional jump only forward, or nothing else would happen. */
	jump->target_insn = op == MCODE_JMP || below(state, 3) ? at + 1 + below(state, n - at)
							       : below(state, at + 1);
}

static void add_streams(struct mcode_kernel *kernel, const struct random_params *params)
{
	static const struct mcode_stream streams[] = {
		{ .stride = 8, .low = 0, .high = 8, .flags = MCODE_STREAM_READ },
		{ .stride = -4, .low = -8, .high = 12, .flags = MCODE_STREAM_READ },
		{ .stride = 8,
		  .low = 0,
		  .high = 8,
		  .flags = MCODE_STREAM_READ | MCODE_STREAM_WRITE },
		{ .stride = 16, .low = 0, .high = 16, .flags = MCODE_STREAM_WRITE },
		{ .flags = MCODE_STREAM_READ | MCODE_STREAM_REGION },
	};
	kernel->n_streams = 5;
	for (uint32_t i = 0; i < 5; i++) {
		kernel->streams[i] = streams[i];
		kernel->streams[i].base_slot = (uint16_t)(SLOT_BASE + i);
		kernel->streams[i].stride_slot = MCODE_NO_SLOT;
		kernel->streams[i].length_slot = i == 4 ? SLOT_LENGTH : MCODE_NO_SLOT;
		if (params->search && !params->serial)
			kernel->streams[i].flags &= (uint16_t)~MCODE_STREAM_WRITE;
		if (!(kernel->streams[i].flags & 3))
			kernel->streams[i].flags |= MCODE_STREAM_READ;
	}
}

static void add_setup(struct mcode_kernel *kernel)
{
	struct mcode_insn get = { .op = MCODE_GET, .rd = 1 };
	struct mcode_insn put = { .op = MCODE_PUT, .rd = 1 };
	/* Bases come from R8 .. R12 and the length from R13. */
	for (unsigned i = 0; i < 6; i++) {
		kernel->inputs[kernel->n_inputs++] =
			(struct mcode_binding){ (uint16_t)(MCODE_R8 + i),
						(uint16_t)(SLOT_BASE + i) };
	}
	emit(kernel, MCODE_SETUP,
	     (struct mcode_insn){
		     .op = MCODE_LDI, .rd = 2, .has_imm = true, .imm = RANDOM_ITERATIONS });
	put.rs1 = SLOT_TRIP;
	put.rd = 2;
	emit(kernel, MCODE_SETUP, put);
	for (unsigned i = 0; i < 4; i++) {
		get.rs1 = (uint8_t)i;
		put.rd = 1;
		put.rs1 = (uint8_t)(SLOT_ACC + i);
		emit(kernel, MCODE_SETUP, get);
		emit(kernel, MCODE_SETUP, put);
	}
}

static void add_reductions(uint64_t *state, struct mcode_kernel *kernel,
			   const struct random_params *params)
{
	static const uint8_t ops[] = { MCODE_ADD,  MCODE_MUL,  MCODE_AND,  MCODE_OR,  MCODE_XOR,
				       MCODE_MINU, MCODE_MINS, MCODE_MAXU, MCODE_MAXS };
	for (unsigned i = 0; i < 4; i++) {
		struct mcode_reduction *red = &kernel->reductions[kernel->n_reductions++];
		*red = (struct mcode_reduction){
			.op = ops[below(state, sizeof(ops))],
			.width_code = (uint8_t)below(state, 4),
			.acc_slot = (uint16_t)(SLOT_ACC + i),
			.value_slot = (uint16_t)(SLOT_VALUE + i),
		};
		if (params->serial && below(state, 2))
			red->op = MCODE_MOV;
		red->packed = red->op != MCODE_MOV && params->packed &&
			      red->width_code != MCODE_W64 && below(state, 3) == 0;
	}
}

static void add_finish(struct mcode_kernel *kernel)
{
	static const uint8_t to[] = { MCODE_RCX, MCODE_RDX, MCODE_RBX, MCODE_RBP };
	/* RAX = iterations done, then the accumulators. */
	emit(kernel, MCODE_FINISH, (struct mcode_insn){ .op = MCODE_PUT, .rd = 0, .rs1 = 24 });
	kernel->exits[kernel->n_exits++] = (struct mcode_binding){ MCODE_RAX, 24 };
	for (unsigned i = 0; i < 4; i++)
		kernel->exits[kernel->n_exits++] =
			(struct mcode_binding){ to[i], (uint16_t)(SLOT_ACC + i) };
}

static void add_search_end(uint64_t *state, struct mcode_kernel *kernel)
{
	/* A hit about once in 64 iterations. */
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = MCODE_AND,
				  .rd = 1,
				  .rs1 = (uint8_t)below(state, 12),
				  .has_imm = true,
				  .imm = 63 });
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = MCODE_CMPEQ,
				  .rd = 1,
				  .rs1 = 1,
				  .has_imm = true,
				  .imm = below(state, 64) });
	emit(kernel, MCODE_BODY,
	     (struct mcode_insn){ .op = MCODE_PUT, .rd = 1, .rs1 = SLOT_SEARCH });
}

static void random_body_insn(uint64_t *state, struct mcode_kernel *kernel,
			     const struct random_params *params)
{
	uint32_t kind = below(state, 12);
	if (kind < 2 && params->memory)
		random_load(state, kernel, params->aligned);
	else if (kind == 2 && params->memory && (!params->search || params->serial))
		random_store(state, kernel, params->aligned);
	else if (kind == 3)
		random_slot_move(state, kernel);
	else
		random_alu(state, kernel, params->packed);
}

static void random_body(uint64_t *state, struct mcode_kernel *kernel,
			const struct random_params *params)
{
	enum { MOST = 512 };
	uint32_t starts[MOST + 1];
	struct pending_jump jumps[MOST];
	uint32_t n_jumps = 0;
	struct regions regions = { { params->n_insns }, 1 };
	struct mcode_code *body = &kernel->code[MCODE_BODY];
	assert_true(params->n_insns <= MOST);
	for (uint32_t i = 0; i < params->n_insns; i++) {
		starts[i] = body->count;
		if (params->jumps && below(state, 8) == 0)
			random_jump(state, kernel, i, params->n_insns,
				    params->nested ? &regions : NULL, &jumps[n_jumps++]);
		else
			random_body_insn(state, kernel, params);
	}
	starts[params->n_insns] = body->count;
	for (uint32_t i = 0; i < n_jumps; i++)
		body->pixels[jumps[i].pixel] = starts[jumps[i].target_insn];
	for (unsigned i = 0; i < 4 && params->reductions; i++)
		emit(kernel, MCODE_BODY,
		     (struct mcode_insn){ .op = MCODE_PUT,
					  .rd = (uint8_t)below(state, 12),
					  .rs1 = (uint8_t)(SLOT_VALUE + i) });
	if (params->search)
		add_search_end(state, kernel);
}

struct mcode_kernel *random_kernel(const struct random_params *params)
{
	uint64_t state = params->seed;
	struct mcode_kernel *kernel = NULL;
	assert_ok(mcode_kernel_create(&kernel));
	snprintf(kernel->name, sizeof(kernel->name), "random_%llu",
		 (unsigned long long)params->seed);
	kernel->n_slots = 32;
	kernel->trip_slot = SLOT_TRIP;
	kernel->fuel = params->jumps ? 40 : 0;
	kernel->serial = params->serial;
	kernel->search_slot = params->search ? SLOT_SEARCH : MCODE_NO_SLOT;
	for (unsigned i = 0; i < 8; i++)
		kernel->inputs[kernel->n_inputs++] =
			(struct mcode_binding){ (uint16_t)i, (uint16_t)i };
	if (params->memory)
		add_streams(kernel, params);
	if (params->reductions && (!params->search || params->serial))
		add_reductions(&state, kernel, params);
	emit(kernel, MCODE_GUARD,
	     (struct mcode_insn){ .op = MCODE_LDI, .rd = 0, .has_imm = true, .imm = 1 });
	add_setup(kernel);
	random_body(&state, kernel, params);
	add_finish(kernel);
	assert_ok(mcode_validate(kernel));
	return kernel;
}

void random_memory(uint64_t *state, uint8_t *buffers, struct mcode_view *views, uint64_t *guest)
{
	for (uint32_t i = 0; i < 5 * RANDOM_BYTES; i += 8) {
		uint64_t value = random_value(state);
		memcpy(buffers + i, &value, 8);
	}
	memset(guest, 0, MCODE_GUEST_REGS * sizeof(*guest));
	for (unsigned i = 0; i < 8; i++)
		guest[i] = random_value(state);
	for (unsigned i = 0; i < 5; i++) {
		views[i] = (struct mcode_view){ buffers + i * RANDOM_BYTES, STREAM_BASE(i),
						RANDOM_BYTES };
		guest[MCODE_R8 + i] = STREAM_BASE(i);
	}
	guest[MCODE_R8 + 1] += RANDOM_BYTES / 2; /* its stride is negative */
	guest[MCODE_R8 + 5] = 300; /* table length */
}

/* Instruction texts of the golden file, each once; the caller frees the lines. */
static uint32_t golden_instructions(char *lines[], uint32_t limit)
{
	AUTO(own_file) FILE *file = fopen(GOLDEN_DIR "/mcode_ops.txt", "re");
	char line[256];
	uint32_t n = 0;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		uint32_t known = 0;
		*strstr(line, " ;") = 0;
		while (known < n && strcmp(lines[known], line))
			known++;
		if (known < n)
			continue;
		assert_true(n < limit);
		lines[n++] = strdup(line);
	}
	return n;
}

struct mcode_kernel *golden_kernel(uint32_t part, uint32_t parts, uint32_t *n_ret)
{
	enum { MOST = 1000 };
	char *lines[MOST], *text = NULL;
	size_t size;
	uint32_t all = golden_instructions(lines, MOST), n = 0;
	for (uint32_t i = 0; i < all; i++)
		if (i % parts == part)
			lines[n++] = lines[i];
		else
			free(lines[i]);
	struct mcode_kernel *kernel = NULL;
	FILE *to = open_memstream(&text, &size);
	fprintf(to,
		".kernel golden\n.slots 3\n.trip v2\n.input v0 rdi\n.input v1 rsi\n.input v2 "
		"rcx\n"
		".stream s0 read base v0 stride 24 window 0 24\n"
		".stream s1 write base v1 stride %u window 0 %u\n.guard\nldi r0, #1\n.body\n",
		8 * n, 8 * n);
	for (uint32_t i = 0; i < n; i++) {
		fprintf(to, "ld r1, s0\nld r2, s0+8\nld r3, s0+16\n%s\nst s1+%u, r3\n",
			lines[i], 8 * i);
		free(lines[i]);
	}
	fclose(to);
	assert_ok(mcode_assemble(text, size, &kernel));
	free(text);
	*n_ret = n;
	return kernel;
}
