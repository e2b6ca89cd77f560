/* Guest-physical memory put together from pieces of files and of other processes: fills in a
 * struct phys_mem for live VMs and for dumps. Thread: as struct phys_mem. */
#ifndef VM_RAM_H
#define VM_RAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/phys_mem.h"
struct error;
struct mapping;

enum ram_source {
	RAM_MAPPED, /* bytes of mappings[which] from offset on */
	RAM_ZERO, /* RAM that was never written: reads as zeros */
	RAM_PROCESS, /* address offset in the memory of process pid: a system call per read */
};

struct ram_piece {
	uint64_t gpa, size_bytes;
	uint64_t offset; /* in the file, or an address in the process */
	enum ram_source source;
	unsigned which; /* index in mappings */
};

struct ram_params {
	const struct ram_piece *pieces; /* copied; any order, must not overlap */
	size_t n_pieces;
	struct mapping **mappings; /* taken on success, the array itself is copied */
	size_t n_mappings;
	pid_t pid; /* for RAM_PROCESS */
	bool is_live;
	/* Asked by phys_mem_alive besides the mappings; NULL: nothing to ask. */
	bool (*owner_alive)(void *user);
	void *owner_user;
};

/* Checks that every piece lies in its file and that none overlap. Caller owns *ret
 * (phys_mem_destroy). Fails: ERR_BAD_DATA, ERR_MEMORY; mappings then stay the caller's. */
struct error *ram_create(const struct ram_params *params, struct phys_mem **ret);

/* Piece i of memory made by ram_create, parallel to its segments; *fd_ret is its file
 * (borrowed), or -1. */
void ram_piece_at(const struct phys_mem *mem, size_t i, struct ram_piece *ret, int *fd_ret);
#endif
