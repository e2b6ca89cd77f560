/* Which blocks make up a loop. Any set of blocks with the head in it may be taken: an edge that
 * leaves the set is an exit. Thread: the lifter's. */
#ifndef LEARN_SHAPE_H
#define LEARN_SHAPE_H
#include "base/own.h"
#include "learn/vex.h"

enum { SHAPE_BLOCKS_MAX = 192, SHAPE_TARGETS_MAX = 24, SHAPE_CANDIDATES_MAX = 4 };

struct shape_block {
	uint64_t address;
	uint32_t n_bytes;
	unsigned n_insns;
	unsigned n_targets;
	uint64_t targets[SHAPE_TARGETS_MAX]; /* direct ones within reach */
};

/* Blocks of one candidate. The head comes first; every edge goes forward but those to the head
 * and those that close an inner loop, whose blocks come before the blocks that follow it. */
struct shape {
	unsigned count;
	struct shape_block blocks[SHAPE_BLOCKS_MAX];
};

struct shape_list {
	unsigned count;
	struct shape *shapes[SHAPE_CANDIDATES_MAX]; /* the largest first */
};

/* Fails: ERR_NOT_FOUND (no way back to the head), ERR_UNSUPPORTED, ERR_LIMIT. */
struct error *shape_find(const struct code_source *source, uint64_t head,
			 struct shape_list *ret);
void shape_list_deinit(struct shape_list *list);

const struct shape_block *shape_block_at(const struct shape *shape, uint64_t address);
#endif
