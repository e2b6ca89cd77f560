/* Block and full trace: what is put into translations, and the callbacks that copy records out.
 * A callback decides nothing: it writes a record or counts a drop. */
#include "internal.h"

#include <string.h>

static const uint64_t CR3_ADDRESS = 0x000ffffffffff000ull;

/* A loop of one block does not call us for each pass: translated code compares the block with
 * the one entered last, and counts. Whatever comes next writes the count down. */
struct turn {
	uint64_t block; /* id + 1; 0: none */
	uint64_t passes; /* of it */
};

static struct qemu_plugin_scoreboard *turns; /* one per vCPU */

int watch_init(void)
{
	turns = qemu_plugin_scoreboard_new(sizeof(struct turn));
	return turns ? 0 : -1;
}

/* QEMU moves its scoreboards when a vCPU beyond the first 16 appears: then each use asks. */
enum { SCOREBOARD_VCPUS = 16 };

void watch_vcpu(struct vcpu *v)
{
	if (plugin.n_vcpus <= SCOREBOARD_VCPUS)
		v->turn = qemu_plugin_scoreboard_find(turns, (unsigned)(v - plugin.vcpu));
}

static struct turn *turn_of(const struct vcpu *v)
{
	return v->turn ? v->turn
		       : qemu_plugin_scoreboard_find(turns, (unsigned)(v - plugin.vcpu));
}

void watch_settle(struct vcpu *v)
{
	if (!v->repeating)
		return;
	struct turn *turn = turn_of(v);
	uint64_t passes = turn->passes;
	v->repeating = false;
	v->limit = v->kept_limit;
	turn->block = turn->passes = 0;
	if (passes > 1)
		ring_put(v, gb_record(GB_REC_REPEAT, passes - 1));
}

static void on_block(unsigned vcpu, void *user)
{
	ring_put(&plugin.vcpu[vcpu], (uint64_t)user);
}

/* The first pass of such a block; it is counted behind this call. The limit sends the next
 * record, whatever it is, to ring_refill, so that other blocks need not ask. */
static void on_first_pass(unsigned vcpu, void *user)
{
	struct vcpu *v = &plugin.vcpu[vcpu];
	if (v->repeating)
		watch_settle(v);
	ring_put(v, (uint64_t)user);
	turn_of(v)->block = gb_record_block((uint64_t)user) + 1ull;
	v->repeating = true;
	v->kept_limit = v->limit;
	v->limit = v->head;
}

static void sample_registers(struct vcpu *v, uint32_t block)
{
	uint64_t words[GB_REC_MAX_WORDS] = { gb_record(GB_REC_REGS, block) };
	if (v->muted)
		return;
	for (int i = 0; i < 16; i++)
		words[1 + i] = registers_read(v, v->gpr[i]);
	ring_put_many(v, words, GB_REC_MAX_WORDS);
}

static void on_block_sampled(unsigned vcpu, void *user)
{
	struct vcpu *v = &plugin.vcpu[vcpu];
	ring_put(v, (uint64_t)user);
	if (--v->sample_left == 0) {
		v->sample_left = plugin.active.sample_every;
		sample_registers(v, gb_record_block((uint64_t)user));
	}
}

static void on_access(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *user)
{
	uint64_t kind = qemu_plugin_mem_is_store(info) ? GB_REC_STORE : GB_REC_LOAD;
	uint64_t log2_bytes = qemu_plugin_mem_size_shift(info) & 15;
	ring_put2(&plugin.vcpu[vcpu], (uint64_t)user | kind << 56 | log2_bytes << 48, vaddr);
}

void watch_set_cr3(struct vcpu *v, uint64_t cr3)
{
	cr3 &= CR3_ADDRESS;
	bool muted = plugin.active.cr3 && plugin.active.cr3 != cr3;
	if (cr3 == v->cr3 && muted == v->muted)
		return;
	watch_settle(v);
	v->cr3 = cr3;
	v->muted = muted;
	if (muted)
		v->limit = v->head; /* every record now takes the slow path, which refuses */
	else if (plugin.active.mode >= GB_MODE_BLOCK)
		ring_put(v, gb_record(GB_REC_CR3, cr3 >> 12));
}

/* Runs before `mov cr3, reg`. */
static void on_cr3_write(unsigned vcpu, void *user)
{
	struct vcpu *v = &plugin.vcpu[vcpu];
	watch_set_cr3(v, registers_read(v, v->gpr[(uintptr_t)user & 15]));
}

/* Register number of a `mov cr3, reg`, or -1. */
static int cr3_source(const uint8_t *code, size_t n)
{
	size_t at = 0;
	int rex_b = 0;
	for (; at < n; at++) {
		if ((code[at] & 0xf0) == 0x40)
			rex_b = code[at] & 1;
		else if (code[at] != 0x66 && code[at] != 0xf2 && code[at] != 0xf3)
			break;
	}
	if (at + 3 > n || code[at] != 0x0f || code[at + 1] != 0x22)
		return -1;
	return (code[at + 2] >> 3 & 7) == 3 ? (code[at + 2] & 7) | rex_b << 3 : -1;
}

void watch_cr3_writes(struct qemu_plugin_tb *tb, unsigned n_insns)
{
	for (unsigned i = 0; i < n_insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint8_t code[16];
		size_t n = qemu_plugin_insn_data(insn, code, sizeof(code));
		int source = cr3_source(code, n);
		if (source >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, on_cr3_write, QEMU_CB_R_REGS, (void *)(uintptr_t)source);
	}
}

/* Whether the block ends in a direct branch to its own start. Where this is wrong, only time
 * is lost. */
static bool is_loop(const struct qemu_plugin_tb *tb, unsigned n_insns)
{
	struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, n_insns - 1);
	uint8_t code[16];
	size_t n = qemu_plugin_insn_data(last, code, sizeof(code)), at = 0;
	int64_t distance;
	while (at < n && (code[at] == 0xf2 || code[at] == 0x2e || code[at] == 0x3e))
		at++;
	size_t left = n - at;
	const uint8_t *op = code + at;
	if (left == 2 && ((op[0] & 0xf0) == 0x70 || op[0] == 0xeb || (op[0] & 0xfc) == 0xe0)) {
		distance = (int8_t)op[1];
	} else if ((left == 5 && op[0] == 0xe9) ||
		   (left == 6 && op[0] == 0x0f && (op[1] & 0xf0) == 0x80)) {
		int32_t distance32;
		memcpy(&distance32, code + n - 4, sizeof(distance32));
		distance = distance32;
	} else {
		return false;
	}
	return qemu_plugin_insn_vaddr(last) + n + (uint64_t)distance ==
	       qemu_plugin_tb_vaddr(tb);
}

static void count_passes(struct qemu_plugin_tb *tb, uint32_t block, void *record)
{
	qemu_plugin_u64 last = { turns, offsetof(struct turn, block) };
	qemu_plugin_u64 passes = { turns, offsetof(struct turn, passes) };
	qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_first_pass, QEMU_CB_NO_REGS,
						  QEMU_COND_NE, last, block + 1ull, record);
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_INLINE_ADD_U64, passes, 1);
}

void watch_instrument(struct qemu_plugin_tb *tb, uint32_t block, unsigned n_insns)
{
	uint64_t kernel = qemu_plugin_tb_vaddr(tb) >> 63 ? GB_REC_KERNEL : 0;
	void *record = (void *)gb_record(GB_REC_BLOCK, kernel | block);
	bool sampled = plugin.active.mode == GB_MODE_FULL && plugin.active.sample_every;
	if (plugin.active.mode == GB_MODE_BLOCK && is_loop(tb, n_insns)) {
		count_passes(tb, block, record);
		return;
	}
	if (sampled)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block_sampled, QEMU_CB_R_REGS,
						     record);
	else
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_CB_NO_REGS, record);
	if (plugin.active.mode != GB_MODE_FULL)
		return;
	for (unsigned i = 0; i < n_insns; i++)
		qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_access,
						 QEMU_CB_NO_REGS, QEMU_MEM_RW,
						 (void *)((uint64_t)i << 32 | block));
}
