#include "guest/search.h"

#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "base/phys_mem.h"
#include "guest/search_pattern.h"

/* Runs come one after another. A match can begin in one run and end in the next, so the last
 * (reach - 1) bytes of a run, where a match may begin but not end, are carried over:
 *
 *   run 1  ................[carry]
 *   run 2                         [head]...............
 *   joint                  [carry][head]     starts in the carry are looked for here
 *
 * Every start is looked at exactly once: in its own run if all of the reach is there, else in
 * a joint. When the next run does not adjoin, the carry is searched by itself. Matches do not
 * overlap. */
#define SLICE_BYTES (4u << 20)

struct searcher {
	const struct search_params *params;
	struct search_result result;
	size_t reach;
	uint8_t *carry; /* room for two reaches: the joint is put together in place */
	size_t carry_bytes;
	uint64_t carry_address;
	uint64_t *carry_physical; /* of each carried byte's run: parallel to carry */
	uint8_t *slice; /* bytes of runs that are not mapped */
	uint64_t next_start; /* a match may not begin before this: the end of the last one */
	bool done;
};

/* A stretch of bytes to look at: matches that start in its first `starts` bytes. */
struct stretch {
	const uint8_t *bytes;
	size_t length, starts;
	uint64_t address, physical;
	const uint64_t *physical_of; /* for joints */
};

static struct error *report(struct searcher *s, const struct stretch *stretch, size_t start,
			    size_t length)
{
	uint64_t address = stretch->address + start;
	if (s->params->space->end && address >= s->params->space->end)
		return NULL;
	struct search_match match = { .address = address,
				      .physical = stretch->physical_of
							  ? stretch->physical_of[start]
							  : stretch->physical + start,
				      .length_bytes = length,
				      .bytes = stretch->bytes + start };
	s->next_start = address + length;
	s->result.matches++;
	TRY(s->params->found(s->params->user, &match));
	if (s->params->limit && s->result.matches == s->params->limit)
		s->done = s->result.limited = true;
	return NULL;
}

static struct error *search_stretch(struct searcher *s, const struct stretch *stretch)
{
	size_t from = 0, start, length;
	if (stretch->address < s->next_start)
		from = s->next_start - stretch->address < stretch->length
			       ? (size_t)(s->next_start - stretch->address)
			       : stretch->length;
	while (from < stretch->starts && !s->done) {
		enum search_outcome outcome =
			search_pattern_find(s->params->pattern, stretch->bytes, stretch->length,
					    from, &start, &length);
		if (outcome == SEARCH_TOO_HARD)
			return error_hint(error_create(ERR_LIMIT,
						       "the regular expression tries too many "
						       "ways at %#llx",
						       (unsigned long long)stretch->address),
					  "make its repetitions less ambiguous");
		if (outcome == SEARCH_NONE || start >= stretch->starts)
			return NULL;
		TRY(report(s, stretch, start, length));
		from = start + length;
	}
	return NULL;
}

/* Nothing adjoins the carry any more. */
static struct error *flush_carry(struct searcher *s)
{
	struct stretch stretch = { .bytes = s->carry,
				   .length = s->carry_bytes,
				   .starts = s->carry_bytes,
				   .address = s->carry_address,
				   .physical_of = s->carry_physical };
	s->carry_bytes = 0;
	return stretch.length ? search_stretch(s, &stretch) : NULL;
}

static void append_to_carry(struct searcher *s, const uint8_t *bytes, size_t length,
			    uint64_t physical)
{
	memcpy(s->carry + s->carry_bytes, bytes, length);
	for (size_t i = 0; i < length; i++)
		s->carry_physical[s->carry_bytes + i] = physical + i;
	s->carry_bytes += length;
}

static void drop_from_carry(struct searcher *s, size_t length)
{
	s->carry_bytes -= length;
	s->carry_address += length;
	memmove(s->carry, s->carry + length, s->carry_bytes);
	memmove(s->carry_physical, s->carry_physical + length,
		s->carry_bytes * sizeof(*s->carry_physical));
}

/* Looks for matches that begin in the carry and end in the run. */
static struct error *search_joint(struct searcher *s, const struct search_run *run,
				  const uint8_t *bytes)
{
	size_t tail = s->reach - 1, carried = s->carry_bytes;
	size_t head = run->length_bytes < tail ? run->length_bytes : tail;
	append_to_carry(s, bytes, head, run->physical);
	size_t complete = s->carry_bytes > tail ? s->carry_bytes - tail : 0;
	struct stretch stretch = { .bytes = s->carry,
				   .length = s->carry_bytes,
				   .starts = complete < carried ? complete : carried,
				   .address = s->carry_address,
				   .physical_of = s->carry_physical };
	TRY(search_stretch(s, &stretch));
	if (run->length_bytes < tail)
		drop_from_carry(s, complete);
	else
		s->carry_bytes = 0;
	return NULL;
}

static struct error *search_run(struct searcher *s, const struct search_run *run,
				const uint8_t *bytes)
{
	size_t tail = s->reach - 1;
	if (s->carry_bytes && s->carry_address + s->carry_bytes == run->address)
		TRY(search_joint(s, run, bytes));
	else
		TRY(flush_carry(s));
	if (s->carry_bytes || s->done)
		return NULL; /* the run was so short that all of it is in the carry */
	if (run->length_bytes > tail) {
		struct stretch stretch = { .bytes = bytes,
					   .length = run->length_bytes,
					   .starts = run->length_bytes - tail,
					   .address = run->address,
					   .physical = run->physical };
		TRY(search_stretch(s, &stretch));
	}
	size_t kept = run->length_bytes < tail ? run->length_bytes : tail;
	s->carry_address = run->address + run->length_bytes - kept;
	append_to_carry(s, bytes + run->length_bytes - kept, kept,
			run->physical + run->length_bytes - kept);
	return NULL;
}

static bool next_physical(const struct search_space *space, uint64_t address,
			  struct search_run *ret)
{
	uint64_t start, end;
	if (!phys_mem_next_data(space->mem, address, &start, &end))
		return false;
	*ret = (struct search_run){ .address = start,
				    .physical = start,
				    .length_bytes = end - start };
	return true;
}

static bool next_run(const struct search_space *space, uint64_t address, struct search_run *run)
{
	bool more = space->next ? space->next(space->user, address, run)
				: next_physical(space, address, run);
	if (!more || run->length_bytes == 0 || run->address < address)
		return false;
	if (run->length_bytes > SLICE_BYTES)
		run->length_bytes = SLICE_BYTES;
	/* Look a little past the end: a match may begin before it. report() keeps to the end.
	 */
	return !space->end || run->address < space->end;
}

static struct error *search_all(struct searcher *s)
{
	const struct search_space *space = s->params->space;
	struct search_run run;
	uint64_t at = space->start;
	while (!s->done && next_run(space, at, &run)) {
		const uint8_t *bytes = phys_mem_at(space->mem, run.physical, run.length_bytes);
		at = run.address + run.length_bytes;
		if (!bytes &&
		    phys_mem_read(space->mem, run.physical, s->slice, run.length_bytes))
			bytes = s->slice;
		if (bytes)
			TRY(search_run(s, &run, bytes));
		s->result.searched_bytes += run.length_bytes;
		if (s->params->progress)
			TRY(s->params->progress(s->params->user, s->result.searched_bytes));
		if (!at)
			break;
	}
	return s->done ? NULL : flush_carry(s);
}

struct error *search_memory(const struct search_params *params, struct search_result *ret)
{
	struct searcher s = { .params = params,
			      .reach = search_pattern_reach(params->pattern) };
	AUTO(own_free) uint8_t *carry = NULL;
	AUTO(own_free) uint64_t *carry_physical = NULL;
	AUTO(own_free) uint8_t *slice = NULL;
	TRY(error_alloc(2 * s.reach, 1, &carry));
	TRY(error_alloc(2 * s.reach, sizeof(*carry_physical), &carry_physical));
	TRY(error_alloc(SLICE_BYTES, 1, &slice));
	s.carry = carry;
	s.carry_physical = carry_physical;
	s.slice = slice;
	TRY(search_all(&s));
	*ret = s.result;
	return NULL;
}
