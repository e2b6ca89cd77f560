/* Kernel -> C source for gcc's optimiser.
 *
 * 1. A section without jumps becomes single-assignment C: each instruction defines a new const
 *    of the instruction's own width (`const u8 t7 = add_8(t5, t6);`). Because a register holds
 *    its value zero-extended, reading it at another width is a plain cast, and the vectoriser
 *    sees 8-, 16- and 32-bit arithmetic instead of 64-bit arithmetic with masks.
 * 2. A section with jumps becomes labels and gotos over 64-bit variables.
 * 3. Slots after setup are const u64; the body's own slot writes are new names (or shadowing
 *    variables with jumps), so that no iteration sees another's.
 * 4. run() = setup, loop over k, reductions in variables of their own width, finish. Streams
 * are restrict pointers: the guard has established that they do not meet.
 * 5. A search runs in blocks of SEARCH_BLOCK: a vectorised pass asks whether any iteration of
 *    the block hits, a scalar pass finds the first one.
 * 6. A serial kernel shows the body its accumulators under their slots' names, and gives all
 *    of them their next values at once.
 * 7. Bodies of much packed arithmetic run four iterations at a time (native_wide.c). */
#include "mcode/native.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "mcode/native_emit.h"
#include "mcode/program.h"
#include "plugin/kernel_abi.h"

#define SEARCH_BLOCK 64

/* native_prelude.inc and the plugin's structs, as text of this program. */
extern const char mcode_native_prelude[], mcode_native_abi[];
__asm__(".pushsection .rodata\n"
	".globl mcode_native_prelude\n.hidden mcode_native_prelude\n"
	"mcode_native_prelude: .incbin \"" MCODE_PRELUDE_PATH "\"\n.byte 0\n"
	".globl mcode_native_abi\n.hidden mcode_native_abi\n"
	"mcode_native_abi: .incbin \"" MCODE_ABI_PATH "\"\n.byte 0\n"
	".popsection\n");

static bool section_has(const struct mcode_code *code,
			bool (*test)(const struct mcode_insn *insn, uint32_t at))
{
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels)
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL) ||
		    test(&insn, at))
			return true;
	return false;
}

static bool insn_jumps(const struct mcode_insn *insn, uint32_t at)
{
	(void)at;
	return mcode_is_jump(insn->op);
}

/* Jumps back may run out of fuel. */
static bool insn_can_fault(const struct mcode_insn *insn, uint32_t at)
{
	return insn->op == MCODE_LDX || insn->op == MCODE_STX ||
	       (mcode_is_jump(insn->op) && insn->imm <= at);
}

/* Names the values a section starts with: r0 (0 = none) and the slots as v. */
static void begin_section(struct emitter *em, enum mcode_section section, const char *r0)
{
	const struct mcode_code *code = &em->kernel->code[section];
	em->section = section;
	em->label_base++;
	em->jumps = section_has(code, insn_jumps);
	memset(em->regs, 0, sizeof(em->regs));
	memset(em->slots, 0, sizeof(em->slots));
	if (!em->jumps) {
		if (r0) {
			native_define(em, 0, MCODE_W64);
			fprintf(em->to, "%s;\n", r0);
		}
		return;
	}
	fprintf(em->to, "\tu32 fuel = %uu;\n\tu64 r0 = %s;\n", em->kernel->fuel, r0 ? r0 : "0");
	for (unsigned i = 1; i < MCODE_REGISTERS; i++)
		fprintf(em->to, "\tu64 r%u = 0;\n", i);
	for (unsigned i = 0; i < em->kernel->n_slots; i++)
		fprintf(em->to, "\tu64 w%u = v%u;\n", i, i);
}

static void emit_section(struct emitter *em)
{
	const struct mcode_code *code = &em->kernel->code[em->section];
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		CHECK(mcode_decode(code->pixels, code->count, at, &insn, NULL));
		if (em->jumps)
			fprintf(em->to, "L%u_%u: __attribute__((unused));\n", em->label_base,
				at);
		if (insn.op == MCODE_HALT) {
			if (!em->jumps)
				return;
			fprintf(em->to, "\tgoto L%u_%u;\n", em->label_base, code->count);
			continue;
		}
		native_emit_insn(em, &insn, at);
	}
	if (em->jumps)
		fprintf(em->to, "L%u_%u: __attribute__((unused));\n", em->label_base,
			code->count);
}

/* Value of a slot at the end of the section, cut to a width. */
static const char *slot_at(const struct emitter *em, unsigned slot, unsigned width_code,
			   char text[32])
{
	const struct value *value = &em->slots[slot];
	if (em->jumps)
		snprintf(text, 32, "(u%u)w%u", native_bits_of(width_code), slot);
	else if (!value->known)
		snprintf(text, 32, "(u%u)v%u", native_bits_of(width_code), slot);
	else if (value->width_code == width_code)
		snprintf(text, 32, "t%u", value->number);
	else
		snprintf(text, 32, "(u%u)t%u", native_bits_of(width_code), value->number);
	return text;
}

static const char *guest_place(unsigned guest, char text[32])
{
	if (guest < MCODE_XMM)
		snprintf(text, 32, "gpr[%u]", guest);
	else
		snprintf(text, 32, "xmm[%u][%u]", (guest - MCODE_XMM) / 2, guest & 1);
	return text;
}

/* u64 vN for every slot: the inputs, 0 for the rest. */
static void emit_inputs(struct emitter *em, const char *regs, const char *prefix)
{
	const struct mcode_kernel *kernel = em->kernel;
	const struct mcode_binding *by_slot[MCODE_SLOTS] = { NULL };
	char place[32];
	for (uint32_t i = 0; i < kernel->n_inputs; i++)
		by_slot[kernel->inputs[i].slot] = &kernel->inputs[i];
	for (uint32_t i = 0; i < kernel->n_slots; i++) {
		fprintf(em->to, "\tconst u64 %s%u = ", prefix, i);
		if (by_slot[i])
			fprintf(em->to, "%s->%s;\n", regs,
				guest_place(by_slot[i]->guest, place));
		else
			fprintf(em->to, "0;\n");
	}
}

/* setup as a function over an array, so that its inputs and outputs share the names v. */
static void emit_setup(struct emitter *em)
{
	const struct mcode_kernel *kernel = em->kernel;
	char text[32];
	fprintf(em->to,
		"INLINE void setup(const struct gb_regs *g, u64 *slots)\n{\n\tu8 f = 0;\n");
	emit_inputs(em, "g", "v");
	begin_section(em, MCODE_SETUP, NULL);
	emit_section(em);
	for (uint32_t i = 0; i < kernel->n_slots; i++)
		fprintf(em->to, "\tslots[%u] = %s;\n", i, slot_at(em, i, MCODE_W64, text));
	fprintf(em->to, "\t(void)f;\n}\n\n");
}

static void emit_guard(struct emitter *em)
{
	char go[32], why[32];
	fprintf(em->to, "INLINE u32 guard(const struct gb_regs *g)\n{\n\tu8 f = 0;\n");
	emit_inputs(em, "g", "v");
	begin_section(em, MCODE_GUARD, NULL);
	emit_section(em);
	native_reg_at(em, 0, MCODE_W64, go);
	native_reg_at(em, 1, MCODE_W32, why);
	fprintf(em->to,
		"\tif (%s && !f)\n\t\treturn 0;\n"
		"\treturn %s && %s < %u ? %s : GB_PLAN_SHAPE;\n}\n\n",
		go, why, why, GB_PLAN_REASONS, why);
}

static void emit_plan_stream(struct emitter *em, uint32_t i)
{
	const struct mcode_stream *stream = &em->kernel->streams[i];
	fprintf(em->to, "\tout->stream[%u].gva = v[%u] + (u64)%dll;\n", i, stream->base_slot,
		stream->low);
	if (stream->stride_slot != MCODE_NO_SLOT)
		fprintf(em->to, "\tout->stream[%u].stride = (s64)v[%u];\n", i,
			stream->stride_slot);
	else
		fprintf(em->to, "\tout->stream[%u].stride = %" PRId64 "ll;\n", i,
			stream->stride);
	if (stream->flags & MCODE_STREAM_REGION)
		fprintf(em->to,
			"\tif (v[%u] > %u || !v[%u])\n\t\treturn GB_PLAN_SHAPE;\n"
			"\tout->stream[%u].width = (u32)v[%u];\n",
			stream->length_slot,
			stream->flags & MCODE_STREAM_WRITE ? GB_KERNEL_MAX_WIDTH
							   : GB_KERNEL_MAX_TABLE,
			stream->length_slot, i, stream->length_slot);
	else
		fprintf(em->to, "\tout->stream[%u].width = %d;\n", i,
			stream->high - stream->low);
	fprintf(em->to, "\tout->stream[%u].write = %d;\n", i,
		stream->flags & MCODE_STREAM_WRITE ? 1 : 0);
}

static void emit_plan(struct emitter *em)
{
	const struct mcode_kernel *kernel = em->kernel;
	fprintf(em->to,
		"__attribute__((used)) u32 plan(const struct gb_regs *in, struct gb_plan "
		"*out)\n"
		"{\n\tu64 v[%u];\n\tconst u32 no = guard(in);\n\tif (no)\n\t\treturn no;\n"
		"\tsetup(in, v);\n\tout->iterations = v[%u];\n\tout->n_streams = %u;\n"
		"\tout->reserved = 0;\n",
		kernel->n_slots, kernel->trip_slot, kernel->n_streams);
	for (uint32_t i = 0; i < kernel->n_streams; i++)
		emit_plan_stream(em, i);
	fprintf(em->to, "\treturn GB_PLAN_GO;\n}\n\n");
}

static void emit_body(struct emitter *em)
{
	begin_section(em, MCODE_BODY, "k");
	emit_section(em);
}

static bool is_search(const struct mcode_kernel *kernel)
{
	return kernel->search_slot != MCODE_NO_SLOT;
}

static void emit_reductions_begin(struct emitter *em)
{
	for (uint32_t i = 0; i < em->kernel->n_reductions; i++) {
		const struct mcode_reduction *red = &em->kernel->reductions[i];
		unsigned bits = red->packed ? 64 : native_bits_of(red->width_code);
		fprintf(em->to, "\tu%u a%u = (u%u)v%u;\n", bits, i, bits, red->acc_slot);
	}
}

/* Rule 6. */
static void emit_accumulators_shown(struct emitter *em)
{
	for (uint32_t i = 0; em->kernel->serial && i < em->kernel->n_reductions; i++)
		fprintf(em->to, "\tconst u64 v%u = a%u;\n", em->kernel->reductions[i].acc_slot,
			i);
}

static void emit_reductions_step(struct emitter *em)
{
	char value[32], name[16];
	for (uint32_t i = 0; i < em->kernel->n_reductions; i++) {
		const struct mcode_reduction *red = &em->kernel->reductions[i];
		unsigned width_code = red->packed ? MCODE_W64 : red->width_code;
		native_lower(mcode_op_info(red->op)->name, name);
		slot_at(em, red->value_slot, width_code, value);
		fprintf(em->to, "\tconst u%u b%u = ", native_bits_of(width_code), i);
		if (red->op == MCODE_MOV)
			fprintf(em->to, "%s;\n", value);
		else
			fprintf(em->to, "%s_%s%u(a%u, %s);\n", name, red->packed ? "p" : "",
				native_bits_of(red->width_code), i, value);
	}
	for (uint32_t i = 0; i < em->kernel->n_reductions; i++)
		fprintf(em->to, "\ta%u = b%u;\n", i, i);
}

/* for (; k < n; k++) { body } with what ends it early. */
static void emit_loop(struct emitter *em)
{
	char hit[32];
	if (!em->can_fault && !is_search(em->kernel) && !em->kernel->serial)
		fprintf(em->to, "#pragma GCC ivdep\n");
	fprintf(em->to, "\tfor (; k < n; k++) {\n");
	if (em->can_fault)
		fprintf(em->to, "\tu8 f = 0;\n");
	emit_accumulators_shown(em);
	emit_body(em);
	if (em->can_fault)
		fprintf(em->to, "\tif (f)\n\t\tbreak;\n");
	if (is_search(em->kernel))
		fprintf(em->to, "\tif (%s)\n\t\tbreak;\n",
			slot_at(em, em->kernel->search_slot, MCODE_W64, hit));
	emit_reductions_step(em);
	fprintf(em->to, "\t}\n");
}

/* Leaves k at the block that holds the first hit. */
static void emit_search_blocks(struct emitter *em)
{
	char hit[32];
	fprintf(em->to,
		"\tu64 block = 0;\n"
		"\tfor (; block + %d <= n; block += %d) {\n\tu8 f = 0, any = 0;\n"
		"\tfor (u64 k = block; k < block + %d; k++) {\n",
		SEARCH_BLOCK, SEARCH_BLOCK, SEARCH_BLOCK);
	emit_body(em);
	fprintf(em->to,
		"\tany |= (%s) != 0;\n\t}\n\tif (any | f)\n\t\tbreak;\n\t}\n\tk = block;\n",
		slot_at(em, em->kernel->search_slot, MCODE_W64, hit));
}

static void emit_finish(struct emitter *em)
{
	const struct mcode_kernel *kernel = em->kernel;
	char text[32], place[32];
	fprintf(em->to, "INLINE void finish(struct gb_regs *g, const u64 *slots, u64 done)\n"
			"{\n\tu8 f = 0;\n");
	for (uint32_t i = 0; i < kernel->n_slots; i++)
		fprintf(em->to, "\tconst u64 v%u = slots[%u];\n", i, i);
	begin_section(em, MCODE_FINISH, "done");
	emit_section(em);
	for (uint32_t i = 0; i < kernel->n_exits; i++)
		fprintf(em->to, "\tg->%s = %s;\n", guest_place(kernel->exits[i].guest, place),
			slot_at(em, kernel->exits[i].slot, MCODE_W64, text));
	fprintf(em->to, "\t(void)f;\n}\n\n");
}

static void emit_run(struct emitter *em)
{
	const struct mcode_kernel *kernel = em->kernel;
	fprintf(em->to,
		"__attribute__((used)) u64 run(struct gb_regs *g, u8 *const *host, u64 n)\n"
		"{\n\tu64 v[%u], k = 0;\n\tsetup(g, v);\n",
		kernel->n_slots);
	for (uint32_t i = 0; i < kernel->n_slots; i++)
		fprintf(em->to, "\tconst u64 v%u = v[%u];\n", i, i);
	for (uint32_t i = 0; i < kernel->n_streams; i++)
		fprintf(em->to, "\tu8 *restrict const s%u = host[%u] - (%dll);\n", i, i,
			kernel->streams[i].low);
	emit_reductions_begin(em);
	if (is_search(kernel) && !kernel->serial && !mcode_body_jumps(kernel))
		emit_search_blocks(em);
	if (native_wide_suits(kernel)) {
		begin_section(em, MCODE_BODY, NULL);
		native_emit_wide(em);
	}
	emit_loop(em);
	for (uint32_t i = 0; i < kernel->n_reductions; i++)
		fprintf(em->to, "\tif (k)\n\t\tv[%u] = a%u;\n", kernel->reductions[i].acc_slot,
			i);
	fprintf(em->to, "\tfinish(g, v, k);\n\treturn k;\n}\n");
}

static struct error *check_supported(const struct mcode_kernel *kernel)
{
	if (kernel->n_streams > GB_KERNEL_MAX_STREAMS)
		return error_create(ERR_UNSUPPORTED,
				    "%u streams, a native kernel has at most %u",
				    kernel->n_streams, GB_KERNEL_MAX_STREAMS);
	for (uint32_t i = 0; i < kernel->n_inputs; i++)
		if (kernel->inputs[i].guest >= MCODE_EFLAGS)
			return error_create(ERR_UNSUPPORTED,
					    "a native kernel reads no flags or segment bases");
	for (uint32_t i = 0; i < kernel->n_exits; i++)
		if (kernel->exits[i].guest == MCODE_RSP)
			return error_create(ERR_UNSUPPORTED, "a native kernel cannot set rsp");
	return NULL;
}

static void emit_all(struct emitter *em)
{
	fprintf(em->to, "%s\n%s\n", mcode_native_abi, mcode_native_prelude);
	em->index = "k";
	em->can_fault = section_has(&em->kernel->code[MCODE_BODY], insn_can_fault);
	emit_guard(em);
	emit_setup(em);
	emit_plan(em);
	emit_finish(em);
	emit_run(em);
}

struct error *mcode_native_source(const struct mcode_kernel *kernel, char **ret)
{
	AUTO(own_free) char *text = NULL;
	AUTO(own_free) struct emitter *em = NULL;
	size_t size;
	TRY(check_supported(kernel));
	TRY(error_alloc(1, sizeof(*em), &em));
	em->kernel = kernel;
	em->to = open_memstream(&text, &size);
	if (!em->to)
		return error_system(errno, "cannot hold generated source");
	emit_all(em);
	if (fclose(em->to))
		return error_create(ERR_MEMORY, "no memory for generated source");
	*ret = TAKE(text);
	return NULL;
}
