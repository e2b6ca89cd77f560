/* One engine serves all cases. Each side has its own copy of memory: `x86` is mapped into
 * Unicorn, `mcode` is what the kernel's streams see; before a case both hold the same bytes. */
#include "learn/oracle.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unicorn/unicorn.h>

#include "base/bytes.h"
#include "base/error.h"
#include "learn/oracle_states.h"
#include "learn/translate.h"
#include "mcode/interp.h"

enum { MAPPINGS_MAX = 8, EXTRA_BYTES = 1 << 17, HOPELESS = 400 };

struct mapping {
	uint64_t gva;
	size_t bytes;
	uint8_t *x86, *mcode;
};

struct oracle {
	const struct oracle_params *params;
	struct oracle_result *result;
	uc_engine *uc;
	struct mcode_interp *interp;
	unsigned n_mappings;
	struct mapping mappings[MAPPINGS_MAX];
	struct oracle_states states;
	uint64_t random;
	uint64_t heads_left; /* stop when the head is reached once more after these */
	bool reached, left;
};

static struct error *uc_failed(uc_err code, const char *what)
{
	return error_create(ERR_PEER, "Unicorn cannot %s: %s", what, uc_strerror(code));
}

static void oracle_destroy(struct oracle *o)
{
	if (!o)
		return;
	if (o->uc)
		uc_close(o->uc);
	mcode_interp_destroy(o->interp);
	for (unsigned i = 0; i < o->n_mappings; i++) {
		free(o->mappings[i].x86);
		free(o->mappings[i].mcode);
	}
	free(o);
}
OWN_DECLARE(own_oracle, struct oracle *, oracle_destroy)

static struct error *add_mapping(struct oracle *o, uint64_t gva, size_t bytes)
{
	struct mapping mapping = { .gva = gva, .bytes = bytes };
	if (o->n_mappings == MAPPINGS_MAX)
		return error_create(ERR_LIMIT, "too many places in memory");
	mapping.x86 = aligned_alloc(4096, bytes);
	mapping.mcode = aligned_alloc(4096, bytes);
	o->mappings[o->n_mappings++] = mapping;
	if (!mapping.x86 || !mapping.mcode)
		return error_create(ERR_MEMORY, "out of memory");
	memset(mapping.x86, 0, bytes);
	memset(mapping.mcode, 0, bytes);
	uc_err code =
		uc_mem_map_ptr(o->uc, gva, bytes, UC_PROT_READ | UC_PROT_WRITE, mapping.x86);
	return code ? uc_failed(code, "map memory") : NULL;
}

static struct error *map_code(struct oracle *o)
{
	const struct shape *shape = o->params->shape;
	for (unsigned i = 0; i < shape->count; i++) {
		const struct shape_block *block = &shape->blocks[i];
		uint64_t first = align_down(block->address, 4096);
		uint64_t last = align_down(block->address + block->n_bytes - 1, 4096);
		for (uint64_t page = first; page <= last; page += 4096)
			uc_mem_map(o->uc, page, 4096, UC_PROT_READ | UC_PROT_EXEC);
		uint8_t bytes[VEX_BLOCK_BYTES_MAX];
		size_t have = o->params->source->read(o->params->source->user, block->address,
						      bytes, block->n_bytes);
		uc_err code = uc_mem_write(o->uc, block->address, bytes, have);
		if (code || have != block->n_bytes)
			return uc_failed(code, "load the code");
	}
	return NULL;
}

static void on_code(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
	struct oracle *o = user;
	(void)size;
	if (address == o->params->shape->blocks[0].address) {
		if (o->heads_left == 0) {
			o->reached = true;
			uc_emu_stop(uc);
		} else {
			o->heads_left--;
		}
	}
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
	struct oracle *o = user;
	const struct shape *shape = o->params->shape;
	(void)size;
	for (unsigned i = 0; i < shape->count; i++) {
		const struct shape_block *block = &shape->blocks[i];
		if (address >= block->address && address < block->address + block->n_bytes)
			return;
	}
	o->left = true;
	uc_emu_stop(uc);
}

static struct error *map_constant_streams(struct oracle *o)
{
	const struct loop *loop = o->params->loop;
	for (unsigned s = 0; s < loop->n_streams; s++) {
		uint64_t base;
		if (!ir_is_const(loop->ir, loop->streams[s].base, &base))
			continue;
		bool known = false;
		for (unsigned i = 0; i < o->n_mappings; i++)
			known |= base >= o->mappings[i].gva + 8192 &&
				 base < o->mappings[i].gva + EXTRA_BYTES / 2;
		if (!known)
			TRY(add_mapping(o, align_down(base, 4096) - 16384, EXTRA_BYTES));
	}
	return NULL;
}

static struct error *open_engine(struct oracle *o)
{
	uc_err code = uc_open(UC_ARCH_X86, UC_MODE_64, &o->uc);
	if (code)
		return uc_failed(code, "start");
	TRY(add_mapping(o, ORACLE_ARENA, ORACLE_ARENA_BYTES));
	TRY(map_constant_streams(o));
	TRY(map_code(o));
	uc_hook code_hook, block_hook;
	uint64_t head = o->params->shape->blocks[0].address;
	code = uc_hook_add(o->uc, &code_hook, UC_HOOK_CODE, (void *)on_code, o, head, head);
	if (!code)
		code = uc_hook_add(o->uc, &block_hook, UC_HOOK_BLOCK, (void *)on_block, o, 1ull,
				   0ull);
	return code ? uc_failed(code, "watch") : NULL;
}

static const int gpr_ids[16] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX,
	UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI,
	UC_X86_REG_R8,	UC_X86_REG_R9,	UC_X86_REG_R10, UC_X86_REG_R11,
	UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15
};

static void write_registers(struct oracle *o, const uint64_t *guest)
{
	for (int i = 0; i < 16; i++)
		uc_reg_write(o->uc, gpr_ids[i], &guest[i]);
	for (int i = 0; i < 16; i++)
		uc_reg_write(o->uc, UC_X86_REG_XMM0 + i, &guest[MCODE_XMM + 2 * i]);
	uint64_t flags = guest[MCODE_EFLAGS];
	uc_reg_write(o->uc, UC_X86_REG_EFLAGS, &flags);
}

static void read_registers(struct oracle *o, uint64_t *guest)
{
	for (int i = 0; i < 16; i++)
		uc_reg_read(o->uc, gpr_ids[i], &guest[i]);
	for (int i = 0; i < 16; i++)
		uc_reg_read(o->uc, UC_X86_REG_XMM0 + i, &guest[MCODE_XMM + 2 * i]);
	guest[MCODE_EFLAGS] = 0;
	uc_reg_read(o->uc, UC_X86_REG_EFLAGS, &guest[MCODE_EFLAGS]);
}

/* Runs from the head until it has been reached `heads` times more, or the loop is left. */
static struct error *run_x86(struct oracle *o, uint64_t heads)
{
	o->heads_left = heads;
	o->reached = o->left = false;
	uint64_t head = o->params->shape->blocks[0].address;
	uc_err code = uc_emu_start(o->uc, head, 0, 0, 4000000);
	if (code == UC_ERR_FETCH_UNMAPPED) /* the loop's code ends at a page's end */
		o->left = true;
	if (o->reached || o->left)
		return NULL;
	return uc_failed(code, "run the loop");
}

static uint64_t odd_value(uint64_t *random)
{
	static const uint64_t odd[] = { 0,
					1,
					0x7f,
					0x80,
					0xff,
					0x7fff,
					0x8000,
					0xffff,
					0x7fffffff,
					0x80000000,
					0xffffffff,
					0x7fffffffffffffff,
					0x8000000000000000,
					~0ull };
	uint64_t pick = oracle_random(random);
	if (pick % 3 == 0)
		return odd[pick / 3 % (sizeof(odd) / sizeof(*odd))];
	/* of every magnitude: what grows until it leaves has some way to go */
	return oracle_random(random) >> (pick % 3 == 1 ? pick / 3 % 64 : 0);
}

static void fill(struct oracle *o, uint8_t *bytes, size_t count)
{
	uint64_t style = oracle_random(&o->random) % 4;
	for (size_t i = 0; i < count; i += 8) {
		uint64_t value = style == 0 ? odd_value(&o->random) : oracle_random(&o->random);
		if (style == 1) /* mostly one value: searches run far, comparisons are equal */
			value = value % 16 ? 0x6161616161616161ull : value;
		if (style == 2)
			value &= 0x0101010101010101ull * 0x7f;
		memcpy(bytes + i, &value, count - i < 8 ? count - i : 8);
	}
}

/* Part of a mapping that streams of this state may touch. */
struct span {
	uint64_t low, high;
};

static struct span touched(const struct oracle *o, const uint64_t *slots,
			   const struct mapping *mapping, uint64_t iterations)
{
	const struct mcode_kernel *kernel = o->params->kernel;
	struct span span = { mapping->bytes, 0 };
	for (unsigned s = 0; s < kernel->n_streams; s++) {
		const struct mcode_stream *stream = &kernel->streams[s];
		uint64_t base = slots[stream->base_slot];
		if (base < mapping->gva || base >= mapping->gva + mapping->bytes)
			continue;
		int64_t reach = stream->stride * (int64_t)iterations;
		int64_t from = (int64_t)(base - mapping->gva) + (reach < 0 ? reach : 0) - 4160;
		int64_t to = (int64_t)(base - mapping->gva) + (reach > 0 ? reach : 0) + 4160;
		if (stream->flags & MCODE_STREAM_REGION)
			to += (int64_t)slots[stream->length_slot];
		from = from < 0 ? 0 : from;
		to = to > (int64_t)mapping->bytes ? (int64_t)mapping->bytes : to;
		span.low = (uint64_t)from < span.low ? (uint64_t)from : span.low;
		span.high = (uint64_t)to > span.high ? (uint64_t)to : span.high;
	}
	return span;
}

static void make_views(const struct oracle *o, const uint64_t *slots, struct mcode_view *views)
{
	const struct mcode_kernel *kernel = o->params->kernel;
	for (unsigned s = 0; s < kernel->n_streams; s++) {
		uint64_t base = slots[kernel->streams[s].base_slot];
		views[s] = (struct mcode_view){ 0 };
		for (unsigned i = 0; i < o->n_mappings; i++) {
			const struct mapping *m = &o->mappings[i];
			if (base >= m->gva && base < m->gva + m->bytes)
				views[s] = (struct mcode_view){ m->mcode, m->gva, m->bytes };
		}
	}
}

static void mismatch(struct oracle *o, const char *what, uint64_t x86, uint64_t mcode)
{
	if (o->result->mismatches++ == 0)
		snprintf(o->result->first, sizeof(o->result->first),
			 "%s: x86 0x%llx, microcode 0x%llx", what, (unsigned long long)x86,
			 (unsigned long long)mcode);
}

static void compare_memory(struct oracle *o)
{
	for (unsigned i = 0; i < o->n_mappings; i++) {
		const struct mapping *m = &o->mappings[i];
		if (!memcmp(m->x86, m->mcode, m->bytes))
			continue;
		size_t at = 0;
		while (m->x86[at] == m->mcode[at])
			at++;
		char what[48];
		snprintf(what, sizeof(what), "memory at 0x%llx",
			 (unsigned long long)(m->gva + at));
		mismatch(o, what, m->x86[at], m->mcode[at]);
		memcpy(m->mcode, m->x86, m->bytes);
	}
}

/* Live registers only, or all at an exit. */
static void compare_registers(struct oracle *o, const uint64_t *x86, const uint64_t *mcode,
			      bool all)
{
	const struct loop *loop = o->params->loop;
	for (unsigned c = 0; c < CELLS; c++) {
		int guest = translate_guest_reg(c);
		if (guest < 0 || (!all && loop_class_is_stale(loop->cells[c].class)) ||
		    x86[guest] == mcode[guest])
			continue;
		char name[12], what[32];
		mcode_guest_reg_name((unsigned)guest, name);
		snprintf(what, sizeof(what), "%s%s", name, all ? " at the exit" : "");
		mismatch(o, what, x86[guest], mcode[guest]);
		return;
	}
	if (all && x86[MCODE_EFLAGS] != mcode[MCODE_EFLAGS])
		mismatch(o, "flags at the exit", x86[MCODE_EFLAGS], mcode[MCODE_EFLAGS]);
}

/* A case that cannot be followed to its exit: both sides go on from equal memory. */
static struct error *same_memory(struct oracle *o)
{
	for (unsigned i = 0; i < o->n_mappings; i++)
		memcpy(o->mappings[i].mcode, o->mappings[i].x86, o->mappings[i].bytes);
	return NULL;
}

/* From the head to wherever the loop ends, starting from both sides' states in turn. */
static struct error *compare_exit(struct oracle *o, const uint64_t *x86, const uint64_t *mcode)
{
	uint64_t end_x86[MCODE_GUEST_REGS] = { 0 }, end_mcode[MCODE_GUEST_REGS] = { 0 };
	write_registers(o, x86);
	AUTO(own_error) struct error *err = run_x86(o, 100000);
	if (err) /* it walks off the arena after the iterations of this case */
		return same_memory(o);
	read_registers(o, end_x86);
	for (unsigned i = 0; i < o->n_mappings; i++) { /* swap the memories */
		struct mapping *m = &o->mappings[i];
		for (size_t at = 0; at < m->bytes; at += 4096) {
			uint8_t page[4096];
			if (!memcmp(m->x86 + at, m->mcode + at, 4096))
				continue;
			memcpy(page, m->x86 + at, 4096);
			memcpy(m->x86 + at, m->mcode + at, 4096);
			memcpy(m->mcode + at, page, 4096);
		}
	}
	write_registers(o, mcode);
	err = run_x86(o, 100000);
	if (err) /* what follows a string instruction runs on in the same block */
		return same_memory(o);
	read_registers(o, end_mcode);
	compare_registers(o, end_x86, end_mcode, true);
	compare_memory(o);
	return NULL;
}

/* Moves one register that the guard looks at: it must refuse, or be right. */
static void disturb(struct oracle *o, uint64_t *guest)
{
	const struct mcode_kernel *kernel = o->params->kernel;
	if (kernel->n_inputs == 0)
		return;
	unsigned r = kernel->inputs[oracle_random(&o->random) % kernel->n_inputs].guest;
	if (r != MCODE_RSP && r < MCODE_XMM)
		guest[r] += oracle_random(&o->random) % 257 - 128;
}

static struct error *run_case(struct oracle *o, const struct oracle_state *state, bool to_exit)
{
	uint64_t guest[MCODE_GUEST_REGS], x86[MCODE_GUEST_REGS], slots[MCODE_SLOTS];
	struct mcode_view views[MCODE_MAX_STREAMS];
	memcpy(guest, state->guest, sizeof(guest));
	for (unsigned r = 0; r < MCODE_EFLAGS; r++)
		if (!o->states.fixed[r])
			guest[r] = odd_value(&o->random);
	if (state->wild)
		disturb(o, guest);
	memcpy(x86, guest, sizeof(x86));
	mcode_interp_setup(o->interp, guest, slots);
	make_views(o, slots, views);
	for (unsigned i = 0; i < o->n_mappings; i++) {
		struct mapping *m = &o->mappings[i];
		struct span span = touched(o, slots, m, state->trip + 8);
		if (span.low >= span.high)
			continue;
		fill(o, m->x86 + span.low, span.high - span.low);
		memcpy(m->mcode + span.low, m->x86 + span.low, span.high - span.low);
	}
	uint64_t limit = 1 + oracle_random(&o->random) % (state->trip + 2), done = 0;
	bool fault = false;
	if (!mcode_interp_run(o->interp, guest, views, limit, &done, &fault)) {
		o->result->refused++;
		return NULL;
	}
	if (fault) { /* a table larger than the arena: the iteration that faults has stored */
		o->result->refused++;
		return same_memory(o);
	}
	o->result->cases++;
	o->result->iterations += done;
	if (done == 0)
		return NULL;
	write_registers(o, x86);
	TRY(run_x86(o, done));
	if (!o->reached) {
		mismatch(o, "the loop ends early", done, 0);
		return NULL;
	}
	read_registers(o, x86);
	compare_registers(o, x86, guest, false);
	compare_memory(o);
	guest[MCODE_EFLAGS] = x86[MCODE_EFLAGS]; /* kernels leave flags alone */
	return to_exit && o->params->loop->counted && !o->params->loop->search
		       ? compare_exit(o, x86, guest)
		       : NULL;
}

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

struct error *oracle_run(const struct oracle_params *params, struct oracle_result *ret)
{
	AUTO(own_oracle) struct oracle *o = NULL;
	double start = now_ms();
	memset(ret, 0, sizeof(*ret));
	TRY(error_alloc(1, sizeof(*o), &o));
	o->params = params;
	o->result = ret;
	o->random = params->seed;
	TRY(oracle_states_find(params, &o->random, &o->states));
	ret->states = o->states.count;
	TRY(mcode_interp_create(params->kernel, &o->interp));
	TRY(open_engine(o));
	unsigned wanted = params->cases ? params->cases : 10000;
	for (unsigned i = 0; ret->cases < wanted && ret->refused < wanted * 2 &&
			     (ret->cases > 0 || ret->refused < HOPELESS);
	     i++) {
		TRY(run_case(o, &o->states.items[i % o->states.count], i % 4 == 0));
		if (ret->mismatches > 8)
			break;
	}
	ret->ms = now_ms() - start;
	return NULL;
}
