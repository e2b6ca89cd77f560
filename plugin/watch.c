/* Block and full trace: what is put into translations, and the callbacks that copy records out.
 * A callback decides nothing: it writes a record or counts a drop. */
#include "internal.h"

static const uint64_t CR3_ADDRESS = 0x000ffffffffff000ull;

static void on_block(unsigned vcpu, void *user)
{
	ring_put(&plugin.vcpu[vcpu], (uint64_t)user);
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

void watch_instrument(struct qemu_plugin_tb *tb, uint32_t block, unsigned n_insns)
{
	uint64_t kernel = qemu_plugin_tb_vaddr(tb) >> 63 ? GB_REC_KERNEL : 0;
	void *record = (void *)gb_record(GB_REC_BLOCK, kernel | block);
	bool sampled = plugin.active.mode == GB_MODE_FULL && plugin.active.sample_every;
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
