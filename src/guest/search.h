/* Searches memory for a pattern: physical RAM, or any address space given as runs of bytes.
 * Matches that cross the border of two adjoining runs (pages that lie apart in RAM, segments)
 * are found. Thread: one. */
#ifndef GUEST_SEARCH_H
#define GUEST_SEARCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct phys_mem;
struct search_pattern;

/* A piece of an address space whose bytes lie together. */
struct search_run {
	uint64_t address;
	uint64_t physical; /* where its first byte is in RAM */
	size_t length_bytes;
};

struct search_space {
	struct phys_mem *mem;
	/* First run that ends after address, clipped to begin there; false at the end. NULL:
	 * physical memory itself. */
	bool (*next)(void *user, uint64_t address, struct search_run *ret);
	void *user;
	uint64_t start, end; /* end 0: to the last address */
	uint64_t total_bytes; /* for progress; 0: unknown */
};

struct search_match {
	uint64_t address;
	uint64_t physical; /* of its first byte */
	size_t length_bytes;
	const uint8_t *bytes; /* the match; borrowed until the callback returns */
};

struct search_params {
	const struct search_space *space;
	struct search_pattern *pattern;
	size_t limit; /* stop after so many matches; 0: never */
	/* An error ends the search with it. */
	struct error *(*found)(void *user, const struct search_match *match);
	/* Now and then with the bytes searched; may be NULL. An error ends the search with it.
	 */
	struct error *(*progress)(void *user, uint64_t done_bytes);
	void *user;
};

struct search_result {
	size_t matches;
	uint64_t searched_bytes;
	bool limited; /* the limit ended it */
};

/* Fails: ERR_LIMIT (a regular expression that backtracks without end), ERR_MEMORY. */
struct error *search_memory(const struct search_params *params, struct search_result *ret);
#endif
