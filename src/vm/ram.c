#include "vm/ram.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "base/error.h"
#include "vm/mapping.h"

struct ram {
	struct phys_mem mem; /* first, so that one pointer is both */
	struct ram_piece *pieces; /* parallel to segments */
	struct phys_segment *segments;
	struct mapping **mappings;
	size_t n_mappings;
	pid_t pid;
	bool (*owner_alive)(void *user);
	void *owner_user;
};

static struct ram *ram_of(struct phys_mem *mem)
{
	return mem->owner;
}

/* Index of the first piece that ends after gpa; n_segments if there is none. */
static size_t piece_at_or_after(const struct ram *ram, uint64_t gpa)
{
	size_t low = 0, high = ram->mem.n_segments;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ram_piece *piece = &ram->pieces[middle];
		if (gpa >= piece->gpa + piece->size_bytes)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool read_unmapped(struct phys_mem *mem, uint64_t gpa, void *to, size_t length_bytes)
{
	struct ram *ram = ram_of(mem);
	size_t i = piece_at_or_after(ram, gpa);
	if (i == mem->n_segments || gpa < ram->pieces[i].gpa)
		return false;
	const struct ram_piece *piece = &ram->pieces[i];
	if (piece->source == RAM_ZERO) {
		memset(to, 0, length_bytes);
		return true;
	}
	struct iovec local = { .iov_base = to, .iov_len = length_bytes };
	struct iovec remote = { .iov_base =
					(void *)(uintptr_t)(piece->offset + (gpa - piece->gpa)),
				.iov_len = length_bytes };
	return process_vm_readv(ram->pid, &local, 1, &remote, 1, 0) == (ssize_t)length_bytes;
}

static bool piece_data(struct ram *ram, const struct ram_piece *piece, uint64_t skip,
		       uint64_t *start_ret, uint64_t *end_ret)
{
	uint64_t start, end;
	if (piece->source == RAM_ZERO)
		return false;
	if (piece->source == RAM_PROCESS) {
		*start_ret = piece->gpa + skip;
		*end_ret = piece->gpa + piece->size_bytes;
		return true;
	}
	if (!mapping_next_data(ram->mappings[piece->which], piece->offset + skip, &start, &end))
		return false;
	if (start >= piece->offset + piece->size_bytes)
		return false;
	if (end > piece->offset + piece->size_bytes)
		end = piece->offset + piece->size_bytes;
	/* The file's blocks need not be the guest's pages: LiME puts a header in between. */
	uint64_t first = align_down(piece->gpa + (start - piece->offset), PHYS_PAGE_SIZE);
	uint64_t last = align_up(piece->gpa + (end - piece->offset), PHYS_PAGE_SIZE);
	uint64_t piece_end = piece->gpa + piece->size_bytes;
	*start_ret = first > piece->gpa + skip ? first : piece->gpa + skip;
	*end_ret = last < piece_end ? last : piece_end;
	return true;
}

static bool next_data(struct phys_mem *mem, uint64_t gpa, uint64_t *start_ret,
		      uint64_t *end_ret)
{
	struct ram *ram = ram_of(mem);
	for (size_t i = piece_at_or_after(ram, gpa); i < mem->n_segments; i++) {
		const struct ram_piece *piece = &ram->pieces[i];
		uint64_t skip = gpa > piece->gpa ? gpa - piece->gpa : 0;
		if (piece_data(ram, piece, skip, start_ret, end_ret))
			return true;
	}
	return false;
}

static bool alive(struct phys_mem *mem)
{
	struct ram *ram = ram_of(mem);
	for (size_t i = 0; i < ram->n_mappings; i++)
		if (!mapping_alive(ram->mappings[i]))
			return false;
	return !ram->owner_alive || ram->owner_alive(ram->owner_user);
}

static void destroy(struct phys_mem *mem)
{
	struct ram *ram = ram_of(mem);
	for (size_t i = 0; i < ram->n_mappings; i++)
		mapping_destroy(ram->mappings[i]);
	free(ram->mappings);
	free(ram->pieces);
	free(ram->segments);
	free(ram);
}

/* Mappings are shared and of files: dropping pages loses nothing. */
static void forget(struct phys_mem *mem, const uint8_t *host, size_t length_bytes)
{
	uintptr_t start = align_up((uintptr_t)host, PHYS_PAGE_SIZE);
	uintptr_t end = align_down((uintptr_t)host + length_bytes, PHYS_PAGE_SIZE);
	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}

static const struct phys_mem_ops ram_ops = {
	.forget = forget,
	.read = read_unmapped,
	.next_data = next_data,
	.alive = alive,
	.destroy = destroy,
};

static int by_gpa(const void *a, const void *b)
{
	const struct ram_piece *left = a, *right = b;
	return left->gpa < right->gpa ? -1 : left->gpa > right->gpa;
}

static struct error *check_piece(const struct ram_params *params, const struct ram_piece *piece,
				 uint64_t previous_end)
{
	uint64_t end;
	if (!piece->size_bytes || __builtin_add_overflow(piece->gpa, piece->size_bytes, &end))
		return error_create(ERR_BAD_DATA, "memory at 0x%llx has an impossible size",
				    (unsigned long long)piece->gpa);
	if (piece->gpa < previous_end)
		return error_create(ERR_BAD_DATA, "two pieces of memory overlap at 0x%llx",
				    (unsigned long long)piece->gpa);
	if (piece->source != RAM_MAPPED)
		return NULL;
	if (piece->which >= params->n_mappings ||
	    !range_fits(piece->offset, piece->size_bytes,
			mapping_size(params->mappings[piece->which])))
		return error_create(ERR_BAD_DATA,
				    "memory at 0x%llx lies outside its file (cut short?)",
				    (unsigned long long)piece->gpa);
	return NULL;
}

static void fill_segments(struct ram *ram)
{
	for (size_t i = 0; i < ram->mem.n_segments; i++) {
		const struct ram_piece *piece = &ram->pieces[i];
		ram->segments[i] = (struct phys_segment){
			.gpa = piece->gpa,
			.size_bytes = piece->size_bytes,
			.host = piece->source == RAM_MAPPED
					? mapping_bytes(ram->mappings[piece->which]) +
						  piece->offset
					: NULL,
			.file_offset = piece->source == RAM_MAPPED ? piece->offset : 0,
		};
	}
	ram->mem.segments = ram->segments;
}

static struct error *ram_fill(struct ram *ram, const struct ram_params *params)
{
	TRY(error_alloc(params->n_pieces, sizeof(*ram->pieces), &ram->pieces));
	TRY(error_alloc(params->n_pieces, sizeof(*ram->segments), &ram->segments));
	memcpy(ram->pieces, params->pieces, params->n_pieces * sizeof(*ram->pieces));
	qsort(ram->pieces, params->n_pieces, sizeof(*ram->pieces), by_gpa);
	uint64_t end = 0;
	for (size_t i = 0; i < params->n_pieces; i++) {
		TRY(check_piece(params, &ram->pieces[i], end));
		end = ram->pieces[i].gpa + ram->pieces[i].size_bytes;
	}
	TRY(error_alloc(params->n_mappings, sizeof(*ram->mappings), &ram->mappings));
	for (size_t i = 0; i < params->n_mappings; i++)
		ram->mappings[i] = params->mappings[i];
	ram->n_mappings = params->n_mappings;
	ram->mem.n_segments = params->n_pieces;
	fill_segments(ram);
	return NULL;
}

struct error *ram_create(const struct ram_params *params, struct phys_mem **ret)
{
	if (!params->n_pieces)
		return error_create(ERR_BAD_DATA, "no memory in it");
	struct ram *ram = NULL;
	TRY(error_alloc(1, sizeof(*ram), &ram));
	ram->mem =
		(struct phys_mem){ .ops = &ram_ops, .is_live = params->is_live, .owner = ram };
	ram->pid = params->pid;
	ram->owner_alive = params->owner_alive;
	ram->owner_user = params->owner_user;
	struct error *err = ram_fill(ram, params);
	if (err) {
		free(ram->pieces);
		free(ram->segments);
		free(ram->mappings);
		free(ram);
		return err;
	}
	*ret = &ram->mem;
	return NULL;
}

void ram_piece_at(const struct phys_mem *mem, size_t i, struct ram_piece *ret, int *fd_ret)
{
	const struct ram *ram = mem->owner;
	*ret = ram->pieces[i];
	*fd_ret = ret->source == RAM_MAPPED ? mapping_fd(ram->mappings[ret->which]) : -1;
}
