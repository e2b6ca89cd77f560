/* Entry states for the oracle. Thread: one. */
#ifndef LEARN_ORACLE_STATES_H
#define LEARN_ORACLE_STATES_H
#include "learn/oracle.h"

enum { ORACLE_STATES_MAX = 48, ORACLE_ARENA_BYTES = 1 << 19 };
#define ORACLE_ARENA 0x20000000ull

struct oracle_state {
	uint64_t guest[MCODE_GUEST_REGS];
	uint64_t trip;
	bool wild; /* overlaps on purpose: the guard may refuse it */
};

struct oracle_states {
	unsigned count;
	struct oracle_state items[ORACLE_STATES_MAX];
	bool fixed[MCODE_GUEST_REGS]; /* decides guard, trip count or addresses */
};

struct error *oracle_states_find(const struct oracle_params *params, uint64_t *random,
				 struct oracle_states *ret);

static inline uint64_t oracle_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
#endif
