#include "trace/file_names.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/vec.h"
#include "trace/blocks.h"
#include "trace/file.h"

/* An entry: u64 address, u64 page table, u64 bytes into the function, u64 length of the name,
 * then the name, padded with zeros to a multiple of 8. */
enum { ENTRY_HEAD = 32, NAME_MAX_BYTES = 256 };

struct entry {
	uint64_t gva, cr3, into;
	const char *name; /* not terminated */
	size_t n_name;
};

struct trace_names_table {
	VEC(struct entry) entries; /* ascending by address, then page table */
};

static struct error *write_entry(FILE *out, const struct trace_block *block, uint64_t into,
				 const char *name)
{
	static const uint8_t zeros[8];
	size_t n = strlen(name), padding = (size_t)align_up(n, 8) - n;
	uint64_t head[4] = { block->gva, block->cr3, into, n };
	if (fwrite(head, sizeof(head), 1, out) == 1 && fwrite(name, 1, n, out) == n &&
	    fwrite(zeros, 1, padding, out) == padding)
		return NULL;
	return error_create(ERR_MEMORY, "out of memory");
}

static struct error *write_entries(FILE *out, const struct trace_blocks *blocks,
				   trace_placer *place, void *user)
{
	for (uint32_t i = 0; i < blocks->count; i++) {
		const struct trace_block *block = &blocks->items[i];
		char name[NAME_MAX_BYTES] = "";
		uint64_t into = 0;
		place(user, block->cr3, block->gva, name, sizeof(name), &into);
		if (name[0])
			TRY(write_entry(out, block, into, name));
	}
	return NULL;
}

struct error *trace_file_names_write(FILE *out, const struct trace_blocks *blocks,
				     trace_placer *place, void *user)
{
	AUTO(own_free) char *data = NULL;
	size_t n = 0;
	FILE *memory = open_memstream(&data, &n);
	if (!memory)
		return error_create(ERR_MEMORY, "out of memory");
	struct error *err = write_entries(memory, blocks, place, user);
	fclose(memory);
	return err ? err : trace_file_chunk(out, TRACE_CHUNK_NAMES, 0, data, n);
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	if (x->gva != y->gva)
		return x->gva < y->gva ? -1 : 1;
	return x->cr3 < y->cr3 ? -1 : x->cr3 > y->cr3;
}

static struct error *read_entries(struct trace_names_table *table, const uint8_t *data,
				  size_t n)
{
	for (size_t at = 0; n - at >= ENTRY_HEAD;) {
		uint64_t length = load_u64(data + at + 24);
		size_t left = n - at - ENTRY_HEAD;
		if (length >= NAME_MAX_BYTES || align_up(length, 8) > left)
			break;
		struct entry entry = { load_u64(data + at), load_u64(data + at + 8),
				       load_u64(data + at + 16),
				       (const char *)data + at + ENTRY_HEAD, (size_t)length };
		if (!VEC_PUSH(&table->entries, entry))
			return error_create(ERR_MEMORY, "out of memory");
		at += ENTRY_HEAD + (size_t)align_up(length, 8);
	}
	if (table->entries.count)
		qsort(table->entries.items, table->entries.count, sizeof(struct entry),
		      compare);
	return NULL;
}

struct error *trace_names_table_create(const uint8_t *data, size_t n,
				       struct trace_names_table **ret)
{
	AUTO(own_trace_names_table) struct trace_names_table *table = NULL;
	TRY(error_alloc(1, sizeof(*table), &table));
	TRY(read_entries(table, data, n));
	*ret = TAKE(table);
	return NULL;
}

void trace_names_table_destroy(struct trace_names_table *table)
{
	if (!table)
		return;
	VEC_FREE(&table->entries);
	free(table);
}

/* Control characters of a damaged file are not for a terminal. */
static void copy_name(const struct entry *entry, char *ret, size_t ret_bytes)
{
	size_t n = entry->n_name < ret_bytes - 1 ? entry->n_name : ret_bytes - 1;
	for (size_t i = 0; i < n; i++)
		ret[i] = entry->name[i] < ' ' ? '?' : entry->name[i];
	ret[n] = 0;
}

void trace_names_table_place(void *user, uint64_t cr3, uint64_t gva, char *ret,
			     size_t ret_bytes, uint64_t *into_ret)
{
	const struct trace_names_table *table = user;
	struct entry wanted = { .gva = gva, .cr3 = gva >> 63 ? 0 : cr3 };
	ret[0] = 0;
	*into_ret = 0;
	const struct entry *found =
		table->entries.count ? bsearch(&wanted, table->entries.items,
					       table->entries.count, sizeof(wanted), compare)
				     : NULL;
	if (!found)
		return;
	copy_name(found, ret, ret_bytes);
	*into_ret = found->into;
}
