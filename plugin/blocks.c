/* The block table: which id stands for which code. Ids are given at translation and stay the
 * same when QEMU translates the same code again. Thread: vCPU threads, under one lock; the lock
 * is taken at translation only, never when guest code runs. */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t *slots; /* id + 1 by hash, open addressing; 0 free */
static uint64_t slots_mask;

static struct gb_block *table(void)
{
	return (struct gb_block *)(plugin.file + plugin.control->blocks.offset);
}

int blocks_init(void)
{
	uint64_t n = 1;
	while (n < 2ull * plugin.control->n_block_slots)
		n *= 2;
	slots = calloc(n, sizeof(*slots));
	slots_mask = n - 1;
	return slots ? 0 : -1;
}

/* All vCPUs stand still. */
void blocks_clear(void)
{
	struct gb_control *c = plugin.control;
	memset(slots, 0, (slots_mask + 1) * sizeof(*slots));
	c->generation++;
	c->code_used = 0;
	c->blocks_lost = 0;
	__atomic_store_n(&c->n_blocks, 0, __ATOMIC_RELEASE);
}

static uint32_t hash_bytes(const uint8_t *bytes, unsigned n, uint64_t seed)
{
	uint64_t h = seed * 0x9e3779b97f4a7c15ull ^ n;
	for (unsigned i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static void describe(struct gb_block *b, const uint8_t *bytes, unsigned n_bytes)
{
	struct gb_control *c = plugin.control;
	if (c->code_used + n_bytes > c->code.bytes) {
		b->flags |= GB_BLOCK_CUT;
		b->n_bytes = 0;
		return;
	}
	b->code_offset = (uint32_t)c->code_used;
	memcpy(plugin.file + c->code.offset + c->code_used, bytes, n_bytes);
	c->code_used += n_bytes;
}

static uint32_t find_or_add(const struct gb_block *wanted, const uint8_t *bytes)
{
	struct gb_control *c = plugin.control;
	struct gb_block *blocks = table();
	uint64_t at = wanted->hash & slots_mask;
	for (; slots[at]; at = (at + 1) & slots_mask) {
		struct gb_block *b = &blocks[slots[at] - 1];
		if (b->hash != wanted->hash || b->gva != wanted->gva || b->gpa != wanted->gpa ||
		    b->n_insns != wanted->n_insns)
			continue;
		/* Processes share code: the one that lives is the better name. */
		__atomic_store_n(&b->cr3, wanted->cr3, __ATOMIC_RELAXED);
		return slots[at] - 1;
	}
	uint64_t id = c->n_blocks;
	if (id >= c->n_block_slots) {
		c->blocks_lost++;
		return BLOCK_NONE;
	}
	blocks[id] = *wanted;
	describe(&blocks[id], bytes, wanted->n_bytes);
	slots[at] = (uint32_t)id + 1;
	__atomic_store_n(&c->n_blocks, id + 1, __ATOMIC_RELEASE); /* pairs: reader's acquire */
	return (uint32_t)id;
}

uint32_t blocks_add(uint64_t gva, uint64_t gpa, const uint8_t *bytes, unsigned n_bytes,
		    unsigned n_insns, uint64_t cr3)
{
	struct gb_block wanted = {
		.gva = gva,
		.gpa = gpa,
		.cr3 = cr3,
		.n_bytes = (uint16_t)n_bytes,
		.n_insns = (uint16_t)n_insns,
		.hash = hash_bytes(bytes, n_bytes, gva ^ gpa << 1),
		.flags = gva >> 63 ? GB_BLOCK_KERNEL : 0,
	};
	pthread_mutex_lock(&blocks_lock);
	uint32_t id = find_or_add(&wanted, bytes);
	pthread_mutex_unlock(&blocks_lock);
	return id;
}
