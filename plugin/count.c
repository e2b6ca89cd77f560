/* Counting: one inline add per executed block into QEMU's per-vCPU scoreboard, the helper
 * thread's copy of the sums into the shared file, and an event when a count reaches the
 * threshold on one vCPU: QEMU compares inline and calls only then. */
#include "internal.h"

#include <string.h>

static struct qemu_plugin_scoreboard *score; /* n_block_slots counters per vCPU */

static uint64_t *sums(void)
{
	return (uint64_t *)(plugin.file + plugin.control->counts.offset);
}

int count_init(void)
{
	score = qemu_plugin_scoreboard_new(plugin.control->n_block_slots * sizeof(uint64_t));
	return score ? 0 : -1;
}

static void on_threshold(unsigned vcpu, void *user)
{
	ring_put2(&plugin.vcpu[vcpu], gb_record(GB_REC_HOT, (uintptr_t)user),
		  plugin.active.threshold);
}

void count_instrument(struct qemu_plugin_tb *tb, uint32_t block)
{
	qemu_plugin_u64 entry = { score, block * sizeof(uint64_t) };
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_INLINE_ADD_U64, entry, 1);
	if (plugin.active.threshold)
		qemu_plugin_register_vcpu_tb_exec_cond_cb(
			tb, on_threshold, QEMU_CB_NO_REGS, QEMU_COND_EQ, entry,
			plugin.active.threshold, (void *)(uintptr_t)block);
}

/* All vCPUs stand still. */
void count_clear(void)
{
	uint64_t bytes = plugin.control->n_block_slots * sizeof(uint64_t);
	for (int i = 0; i < qemu_plugin_num_vcpus(); i++)
		memset(qemu_plugin_scoreboard_find(score, (unsigned)i), 0, bytes);
	memset(sums(), 0, bytes);
}

static uint64_t sum_of(uint64_t *const *rows, int n_rows, uint64_t block)
{
	uint64_t sum = 0;
	for (int i = 0; i < n_rows; i++)
		sum += __atomic_load_n(&rows[i][block], __ATOMIC_RELAXED);
	return sum;
}

void count_publish(void)
{
	struct gb_control *c = plugin.control;
	uint64_t *rows[GB_MAX_VCPUS];
	int n_rows = qemu_plugin_num_vcpus();
	if (n_rows > (int)GB_MAX_VCPUS)
		n_rows = GB_MAX_VCPUS;
	for (int i = 0; i < n_rows; i++)
		rows[i] = qemu_plugin_scoreboard_find(score, (unsigned)i);
	const struct gb_block *blocks = (void *)(plugin.file + c->blocks.offset);
	uint64_t n_blocks = __atomic_load_n(&c->n_blocks, __ATOMIC_ACQUIRE), insns = 0;
	for (uint64_t block = 0; block < n_blocks; block++) {
		uint64_t sum = sum_of(rows, n_rows, block), before = sums()[block];
		if (before == sum)
			continue;
		insns += (sum - before) * blocks[block].n_insns;
		__atomic_store_n(&sums()[block], sum, __ATOMIC_RELAXED);
	}
	tally_counted(insns);
	c->counts_ns = plugin_now_ns();
	__atomic_store_n(&c->counts_seq, c->counts_seq + 1, __ATOMIC_RELEASE);
}
