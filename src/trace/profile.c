/* Every executed block adds one to an edge (previous block -> this block) of an address space,
 * so that block counts are sums over edges. The edge of a running loop is the one used last
 * time from the same block: `hint` finds it without hashing. */
#include "trace/profile.h"

#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "plugin/control.h"
#include "plugin/record.h"

struct lane { /* one vCPU's position in its stream */
	uint64_t partial[GB_REC_MAX_WORDS]; /* a record cut by the end of a batch */
	unsigned n_partial;
	uint32_t previous; /* block */
	uint32_t previous_space; /* it ran in */
	uint32_t space;
};

struct trace_profile {
	uint32_t n_blocks;
	uint32_t *hint; /* per block: edge used last + 1 */
	uint32_t *index; /* hash of edges: position + 1 */
	uint64_t index_mask;
	VEC(struct trace_edge) edges;
	VEC(struct trace_space) spaces;
	uint32_t *access_index; /* hash of accesses: position + 1 */
	uint64_t access_mask;
	VEC(struct trace_access) accesses;
	struct trace_totals totals;
	struct lane lanes[GB_MAX_VCPUS];
};

enum { FIRST_HASH = 1 << 12 };

struct error *trace_profile_create(uint32_t n_blocks, struct trace_profile **ret)
{
	AUTO(own_trace_profile) struct trace_profile *p = NULL;
	if (n_blocks > TRACE_MAX_BLOCKS)
		return error_create(ERR_LIMIT, "too many blocks in a trace: %u", n_blocks);
	TRY(error_alloc(1, sizeof(*p), &p));
	TRY(error_alloc(n_blocks + 1, sizeof(*p->hint), &p->hint));
	TRY(error_alloc(FIRST_HASH, sizeof(*p->index), &p->index));
	TRY(error_alloc(FIRST_HASH, sizeof(*p->access_index), &p->access_index));
	p->index_mask = p->access_mask = FIRST_HASH - 1;
	p->n_blocks = n_blocks;
	if (!VEC_PUSH(&p->spaces, (struct trace_space){ 0 }))
		return error_create(ERR_MEMORY, "out of memory");
	for (unsigned i = 0; i < GB_MAX_VCPUS; i++)
		p->lanes[i].previous = TRACE_NO_BLOCK;
	*ret = TAKE(p);
	return NULL;
}

void trace_profile_destroy(struct trace_profile *p)
{
	if (!p)
		return;
	free(p->hint);
	free(p->index);
	free(p->access_index);
	VEC_FREE(&p->edges);
	VEC_FREE(&p->spaces);
	VEC_FREE(&p->accesses);
	free(p);
}

static uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

static uint64_t edge_hash(uint32_t space, uint32_t from, uint32_t to)
{
	return mix(mix((uint64_t)space << 48 ^ (uint64_t)from << 24) + to);
}

static struct error *grow_edges(struct trace_profile *p)
{
	uint64_t size = (p->index_mask + 1) * 2;
	uint32_t *bigger;
	TRY(error_alloc(size, sizeof(*bigger), &bigger));
	for (size_t i = 0; i < p->edges.count; i++) {
		const struct trace_edge *e = &p->edges.items[i];
		uint64_t at = edge_hash(e->space, e->from, e->to) & (size - 1);
		while (bigger[at])
			at = (at + 1) & (size - 1);
		bigger[at] = (uint32_t)i + 1;
	}
	free(p->index);
	p->index = bigger;
	p->index_mask = size - 1;
	return NULL;
}

static struct error *count_edge_slowly(struct trace_profile *p, uint32_t space, uint32_t from,
				       uint32_t to, uint64_t times)
{
	uint64_t at = edge_hash(space, from, to) & p->index_mask;
	for (; p->index[at]; at = (at + 1) & p->index_mask) {
		struct trace_edge *e = &p->edges.items[p->index[at] - 1];
		if (e->to == to && e->from == from && e->space == space) {
			e->count += times;
			break;
		}
	}
	if (!p->index[at]) {
		if (!VEC_PUSH(&p->edges, (struct trace_edge){ space, from, to, times }))
			return error_create(ERR_MEMORY, "out of memory");
		p->index[at] = (uint32_t)p->edges.count;
	}
	if (from != TRACE_NO_BLOCK)
		p->hint[from] = p->index[at];
	return p->edges.count * 2 > p->index_mask ? grow_edges(p) : NULL;
}

static inline struct error *count_edge(struct trace_profile *p, uint32_t space, uint32_t from,
				       uint32_t to, uint64_t times)
{
	p->totals.blocks += times;
	p->spaces.items[space].blocks += times;
	uint32_t hint = from == TRACE_NO_BLOCK ? 0 : p->hint[from];
	if (hint) {
		struct trace_edge *e = &p->edges.items[hint - 1];
		if (e->to == to && e->space == space) {
			e->count += times;
			return NULL;
		}
	}
	return count_edge_slowly(p, space, from, to, times);
}

static inline struct error *add_block(struct trace_profile *p, struct lane *lane, uint64_t word)
{
	uint32_t to = gb_record_block(word);
	if (to >= p->n_blocks) {
		p->totals.bad_words++;
		lane->previous = TRACE_NO_BLOCK;
		return NULL;
	}
	uint32_t from = lane->previous;
	lane->previous = to;
	lane->previous_space = word & GB_REC_KERNEL ? 0 : lane->space;
	return count_edge(p, lane->previous_space, from, to, 1);
}

/* After a gap nobody knows of which block. */
static struct error *add_repeats(struct trace_profile *p, struct lane *lane, uint64_t times)
{
	uint32_t block = lane->previous;
	return block == TRACE_NO_BLOCK
		       ? NULL
		       : count_edge(p, lane->previous_space, block, block, times);
}

static struct error *set_space(struct trace_profile *p, struct lane *lane, uint64_t cr3)
{
	for (size_t i = 1; i < p->spaces.count; i++) {
		if (p->spaces.items[i].cr3 == cr3) {
			lane->space = (uint32_t)i;
			return NULL;
		}
	}
	if (p->spaces.count >= 0xffff)
		return NULL; /* more address spaces than anybody looks at: the last stays */
	if (!VEC_PUSH(&p->spaces, (struct trace_space){ .cr3 = cr3 }))
		return error_create(ERR_MEMORY, "out of memory");
	lane->space = (uint32_t)p->spaces.count - 1;
	return NULL;
}

static struct error *grow_accesses(struct trace_profile *p)
{
	uint64_t size = (p->access_mask + 1) * 2;
	uint32_t *bigger;
	TRY(error_alloc(size, sizeof(*bigger), &bigger));
	for (size_t i = 0; i < p->accesses.count; i++) {
		const struct trace_access *a = &p->accesses.items[i];
		uint64_t at = edge_hash(a->is_store, a->block, a->insn) & (size - 1);
		while (bigger[at])
			at = (at + 1) & (size - 1);
		bigger[at] = (uint32_t)i + 1;
	}
	free(p->access_index);
	p->access_index = bigger;
	p->access_mask = size - 1;
	return NULL;
}

static struct error *find_access(struct trace_profile *p, uint64_t word, uint8_t is_store,
				 struct trace_access **ret)
{
	uint32_t block = gb_record_block(word);
	uint16_t insn = (uint16_t)gb_record_insn(word);
	uint64_t at = edge_hash(is_store, block, insn) & p->access_mask;
	for (; p->access_index[at]; at = (at + 1) & p->access_mask) {
		struct trace_access *a = &p->accesses.items[p->access_index[at] - 1];
		if (a->block == block && a->insn == insn && a->is_store == is_store) {
			*ret = a;
			return NULL;
		}
	}
	if (p->accesses.count * 2 > p->access_mask) {
		TRY(grow_accesses(p));
		return find_access(p, word, is_store, ret);
	}
	struct trace_access fresh = { .block = block, .insn = insn, .is_store = is_store };
	fresh.log2_bytes = (uint8_t)gb_record_log2(word);
	fresh.low = UINT64_MAX;
	if (!VEC_PUSH(&p->accesses, fresh))
		return error_create(ERR_MEMORY, "out of memory");
	p->access_index[at] = (uint32_t)p->accesses.count;
	*ret = &p->accesses.items[p->accesses.count - 1];
	return NULL;
}

/* Majority vote (Boyer and Moore) over the steps between one address and the next. */
static struct error *add_access(struct trace_profile *p, uint64_t word, uint64_t address,
				uint8_t is_store)
{
	struct trace_access *a;
	if (gb_record_block(word) >= p->n_blocks) {
		p->totals.bad_words++;
		return NULL;
	}
	TRY(find_access(p, word, is_store, &a));
	int64_t step = (int64_t)(address - a->last);
	if (a->count && step == a->stride) {
		a->stride_count++;
		a->stride_weight++;
	} else if (a->count && a->stride_weight) {
		a->stride_weight--;
	} else if (a->count) {
		a->stride = step;
		a->stride_count = a->stride_weight = 1;
	}
	a->last = address;
	a->low = address < a->low ? address : a->low;
	a->high = address > a->high ? address : a->high;
	a->count++;
	*(is_store ? &p->totals.stores : &p->totals.loads) += 1;
	return NULL;
}

static void add_time(struct trace_totals *totals, uint64_t ns)
{
	if (!totals->first_ns)
		totals->first_ns = ns;
	if (ns > totals->last_ns)
		totals->last_ns = ns;
}

static struct error *add_record(struct trace_profile *p, struct lane *lane,
				const uint64_t *words)
{
	uint64_t payload = gb_record_payload(words[0]);
	switch (gb_record_kind(words[0])) {
	case GB_REC_BLOCK:
		return add_block(p, lane, words[0]);
	case GB_REC_REPEAT:
		return add_repeats(p, lane, payload);
	case GB_REC_LOAD:
		return add_access(p, words[0], words[1], 0);
	case GB_REC_STORE:
		return add_access(p, words[0], words[1], 1);
	case GB_REC_CR3:
		return set_space(p, lane, payload << 12);
	case GB_REC_TIME:
		add_time(&p->totals, payload);
		return NULL;
	case GB_REC_DROP:
		p->totals.dropped += payload;
		p->totals.gaps++;
		lane->previous = TRACE_NO_BLOCK;
		return NULL;
	case GB_REC_BREAK:
		p->totals.breaks++;
		lane->previous = TRACE_NO_BLOCK;
		return NULL;
	case GB_REC_MODE:
		lane->previous = TRACE_NO_BLOCK;
		return NULL;
	case GB_REC_REGS:
		p->totals.samples++;
		return NULL;
	default:
		return NULL;
	}
}

/* Completes a record that the last batch began. Returns how many words it took. */
static struct error *finish_partial(struct trace_profile *p, struct lane *lane,
				    const uint64_t *words, size_t n, size_t *used_ret)
{
	unsigned wanted = gb_record_words(lane->partial[0]);
	size_t used = 0;
	while (lane->n_partial < wanted && used < n)
		lane->partial[lane->n_partial++] = words[used++];
	*used_ret = used;
	if (lane->n_partial < wanted)
		return NULL;
	lane->n_partial = 0;
	return add_record(p, lane, lane->partial);
}

struct error *trace_profile_add(struct trace_profile *p, unsigned vcpu, const uint64_t *words,
				size_t n)
{
	struct lane *lane = &p->lanes[vcpu % GB_MAX_VCPUS];
	size_t at = 0;
	if (lane->n_partial)
		TRY(finish_partial(p, lane, words, n, &at));
	while (at < n) {
		uint64_t word = words[at];
		if (gb_record_kind(word) == GB_REC_BLOCK) {
			TRY(add_block(p, lane, word));
			at++;
			continue;
		}
		unsigned length = gb_record_words(word);
		if (!length) {
			p->totals.bad_words++;
			at++;
			continue;
		}
		if (length > n - at) {
			lane->n_partial = (unsigned)(n - at);
			memcpy(lane->partial, words + at, (n - at) * sizeof(*words));
			return NULL;
		}
		TRY(add_record(p, lane, words + at));
		at += length;
	}
	return NULL;
}

const struct trace_edge *trace_profile_edges(const struct trace_profile *p, size_t *n_ret)
{
	*n_ret = p->edges.count;
	return p->edges.items;
}

const struct trace_space *trace_profile_spaces(const struct trace_profile *p, size_t *n_ret)
{
	*n_ret = p->spaces.count;
	return p->spaces.items;
}

const struct trace_access *trace_profile_accesses(const struct trace_profile *p, size_t *n_ret)
{
	*n_ret = p->accesses.count;
	return p->accesses.items;
}

const struct trace_totals *trace_profile_totals(const struct trace_profile *p)
{
	return &p->totals;
}
