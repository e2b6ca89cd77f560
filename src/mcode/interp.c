#include "mcode/interp.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mcode/alu.h"
#include "mcode/program.h"
#include "mcode/validate.h"

struct interp_code {
	struct mcode_insn *insns; /* a jump's imm is an index here */
	uint32_t count;
};

struct mcode_interp {
	const struct mcode_kernel *kernel;
	struct interp_code code[MCODE_SECTIONS];
};

/* One lane: the state that a section sees. */
struct interp_lane {
	const struct mcode_kernel *kernel;
	const struct mcode_view *views;
	uint64_t regs[MCODE_REGISTERS];
	uint64_t *slots;
	uint64_t k;
	uint32_t fuel;
	bool fault;
};

static struct error *decode_section(const struct mcode_code *from, struct interp_code *to)
{
	AUTO(own_free) uint32_t *index_of = NULL;
	TRY(error_alloc(from->count + 1, sizeof(*index_of), &index_of));
	TRY(error_alloc(from->count + 1, sizeof(*to->insns), &to->insns));
	for (uint32_t at = 0; at < from->count;) {
		struct mcode_insn *insn = &to->insns[to->count];
		CHECK(mcode_decode(from->pixels, from->count, at, insn, NULL));
		index_of[at] = to->count++;
		at += insn->n_pixels;
	}
	index_of[from->count] = to->count;
	for (uint32_t i = 0; i < to->count; i++) {
		unsigned form = mcode_op_info(to->insns[i].op)->form;
		if (form == MCODE_FORM_J || form == MCODE_FORM_RJ)
			to->insns[i].imm = index_of[to->insns[i].imm];
	}
	return NULL;
}

struct error *mcode_interp_create(const struct mcode_kernel *kernel, struct mcode_interp **ret)
{
	TRY(mcode_validate(kernel));
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	TRY(error_alloc(1, sizeof(*interp), &interp));
	interp->kernel = kernel;
	for (int s = 0; s < MCODE_SECTIONS; s++)
		TRY(decode_section(&kernel->code[s], &interp->code[s]));
	*ret = TAKE(interp);
	return NULL;
}

void mcode_interp_destroy(struct mcode_interp *interp)
{
	if (!interp)
		return;
	for (int s = 0; s < MCODE_SECTIONS; s++)
		free(interp->code[s].insns);
	free(interp);
}

/* Address of an access relative to the stream's base at iteration k, or fault. The stream's
 * window bounds indexed accesses too, so that no lane leaves what the guard looked at. */
static uint8_t *lane_address(struct interp_lane *lane, const struct mcode_insn *insn,
			     unsigned size_bytes)
{
	const struct mcode_stream *stream = &lane->kernel->streams[insn->rs1];
	const struct mcode_view *view = &lane->views[insn->rs1];
	bool indexed = insn->op == MCODE_LDX || insn->op == MCODE_STX;
	uint64_t offset = insn->imm + (indexed ? lane->regs[insn->rs2] : 0);
	uint64_t stride = stream->stride_slot == MCODE_NO_SLOT
				  ? (uint64_t)stream->stride
				  : lane->slots[stream->stride_slot];
	uint64_t low = (uint64_t)(int64_t)stream->low;
	uint64_t length = stream->flags & MCODE_STREAM_REGION
				  ? lane->slots[stream->length_slot]
				  : (uint64_t)((int64_t)stream->high - stream->low);
	if (length < size_bytes || offset - low > length - size_bytes)
		return NULL;
	uint64_t at = lane->slots[stream->base_slot] + stride * lane->k + offset;
	uint64_t inside = at - view->address;
	if (view->size_bytes < size_bytes || inside > view->size_bytes - size_bytes)
		return NULL;
	return view->bytes + inside;
}

static void lane_access(struct interp_lane *lane, const struct mcode_insn *insn)
{
	unsigned size_bytes = mcode_width_bits(insn->width_code) / 8;
	if (insn->op == MCODE_STC && !lane->regs[insn->rs2])
		return;
	uint8_t *at = lane_address(lane, insn, size_bytes);
	bool load = insn->op == MCODE_LD || insn->op == MCODE_LDX;
	lane->fault |= !at;
	if (load) {
		lane->regs[insn->rd] = 0;
		if (at)
			memcpy(&lane->regs[insn->rd], at, size_bytes);
	} else if (at) {
		memcpy(at, &lane->regs[insn->rd], size_bytes);
	}
}

/* Index of the next instruction; count ends the section. */
static uint32_t lane_jump(struct interp_lane *lane, const struct mcode_insn *insn, uint32_t at,
			  uint32_t count)
{
	uint64_t condition = lane->regs[insn->rs1];
	bool taken = insn->op == MCODE_JMP || (insn->op == MCODE_JZ) == !condition;
	if (!taken)
		return at + 1;
	if (insn->imm > at)
		return (uint32_t)insn->imm;
	if (!lane->fuel) {
		lane->fault = true;
		return count;
	}
	lane->fuel--;
	return (uint32_t)insn->imm;
}

static void lane_alu(struct interp_lane *lane, const struct mcode_insn *insn)
{
	uint64_t b = insn->has_imm ? insn->imm : lane->regs[insn->rs2];
	lane->regs[insn->rd] = mcode_alu(insn->op, insn->width_code, insn->packed,
					 lane->regs[insn->rs1], b, lane->regs[insn->rd]);
}

static void lane_run(struct interp_lane *lane, const struct interp_code *code)
{
	lane->fuel = lane->kernel->fuel;
	for (uint32_t at = 0; at < code->count;) {
		const struct mcode_insn *insn = &code->insns[at];
		switch (insn->op) {
		case MCODE_NOP:
			break;
		case MCODE_HALT:
			return;
		case MCODE_JMP:
		case MCODE_JZ:
		case MCODE_JNZ:
			at = lane_jump(lane, insn, at, code->count);
			continue;
		case MCODE_LD ... MCODE_STX:
			lane_access(lane, insn);
			break;
		case MCODE_GET:
			lane->regs[insn->rd] = lane->slots[insn->rs1];
			break;
		case MCODE_PUT:
			lane->slots[insn->rs1] = lane->regs[insn->rd];
			break;
		default:
			lane_alu(lane, insn);
		}
		at++;
	}
}

bool mcode_interp_guard(struct mcode_interp *interp, const uint64_t *guest,
			uint64_t *reason_ret)
{
	const struct mcode_kernel *kernel = interp->kernel;
	uint64_t slots[MCODE_SLOTS] = { 0 };
	struct interp_lane lane = { .kernel = kernel, .slots = slots };
	for (uint32_t i = 0; i < kernel->n_inputs; i++)
		slots[kernel->inputs[i].slot] = guest[kernel->inputs[i].guest];
	lane_run(&lane, &interp->code[MCODE_GUARD]);
	if (reason_ret)
		*reason_ret = lane.regs[1];
	return lane.regs[0] && !lane.fault;
}

void mcode_interp_setup(struct mcode_interp *interp, const uint64_t *guest, uint64_t *slots)
{
	const struct mcode_kernel *kernel = interp->kernel;
	struct interp_lane lane = { .kernel = kernel, .slots = slots };
	memset(slots, 0, MCODE_SLOTS * sizeof(*slots));
	for (uint32_t i = 0; i < kernel->n_inputs; i++)
		slots[kernel->inputs[i].slot] = guest[kernel->inputs[i].guest];
	lane_run(&lane, &interp->code[MCODE_SETUP]);
}

static void fold_reductions(const struct mcode_kernel *kernel, uint64_t *slots,
			    const uint64_t *lane_slots)
{
	for (uint32_t i = 0; i < kernel->n_reductions; i++) {
		const struct mcode_reduction *red = &kernel->reductions[i];
		uint64_t acc = slots[red->acc_slot], value = lane_slots[red->value_slot];
		slots[red->acc_slot] = mcode_alu(red->op, red->width_code, red->packed,
						 red->op == MCODE_MOV ? value : acc, value, 0);
	}
}

/* What the body finds in a serial kernel: the accumulators as the last iteration left them. */
static void show_accumulators(const struct mcode_kernel *kernel, const uint64_t *slots,
			      uint64_t *lane_slots)
{
	for (uint32_t i = 0; kernel->serial && i < kernel->n_reductions; i++) {
		unsigned slot = kernel->reductions[i].acc_slot;
		lane_slots[slot] = slots[slot];
	}
}

uint64_t mcode_interp_iterate(struct mcode_interp *interp, uint64_t *slots,
			      const struct mcode_view *views, uint64_t k0, uint64_t n,
			      bool *fault_ret)
{
	const struct mcode_kernel *kernel = interp->kernel;
	uint64_t invariants[MCODE_SLOTS], lane_slots[MCODE_SLOTS];
	bool fault = false;
	uint64_t done = 0;
	memcpy(invariants, slots, sizeof(invariants));
	for (; done < n; done++) {
		struct interp_lane lane = {
			.kernel = kernel, .views = views, .slots = lane_slots, .k = k0 + done
		};
		memcpy(lane_slots, invariants, kernel->n_slots * sizeof(*slots));
		show_accumulators(kernel, slots, lane_slots);
		lane.regs[0] = lane.k;
		lane_run(&lane, &interp->code[MCODE_BODY]);
		fault = lane.fault;
		if (fault ||
		    (kernel->search_slot != MCODE_NO_SLOT && lane_slots[kernel->search_slot]))
			break;
		fold_reductions(kernel, slots, lane_slots);
	}
	if (fault_ret)
		*fault_ret = fault;
	return done;
}

void mcode_interp_finish(struct mcode_interp *interp, uint64_t *slots, uint64_t done,
			 uint64_t *guest)
{
	const struct mcode_kernel *kernel = interp->kernel;
	struct interp_lane lane = { .kernel = kernel, .slots = slots };
	lane.regs[0] = done;
	lane_run(&lane, &interp->code[MCODE_FINISH]);
	for (uint32_t i = 0; i < kernel->n_exits; i++)
		guest[kernel->exits[i].guest] = slots[kernel->exits[i].slot];
}

bool mcode_interp_run(struct mcode_interp *interp, uint64_t *guest,
		      const struct mcode_view *views, uint64_t n, uint64_t *done_ret,
		      bool *fault_ret)
{
	uint64_t slots[MCODE_SLOTS];
	if (!mcode_interp_guard(interp, guest, NULL))
		return false;
	mcode_interp_setup(interp, guest, slots);
	uint64_t trip = slots[interp->kernel->trip_slot];
	uint64_t done =
		mcode_interp_iterate(interp, slots, views, 0, n < trip ? n : trip, fault_ret);
	mcode_interp_finish(interp, slots, done, guest);
	if (done_ret)
		*done_ret = done;
	return true;
}
