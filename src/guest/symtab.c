#include "guest/symtab.h"

#include <string.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/vec.h"

/* 8 million names: forty times today's largest kernels. */
enum { SYMTAB_LIMIT = 8 << 20, NAMES_LIMIT_BYTES = 512 << 20 };

struct entry {
	uint64_t address;
	uint32_t name_offset;
	char type;
};

struct symtab {
	VEC(struct entry) entries;
	VEC(char) names;
	uint32_t *buckets; /* entry index + 1, open addressing; NULL until the first find */
	size_t n_buckets; /* power of two */
	uint32_t *sorted; /* entry indices by address; NULL until needed */
};

struct error *symtab_create(struct symtab **ret)
{
	return error_alloc(1, sizeof(**ret), ret);
}

static void forget_indexes(struct symtab *table)
{
	free(table->buckets);
	free(table->sorted);
	table->buckets = NULL;
	table->sorted = NULL;
}

void symtab_destroy(struct symtab *table)
{
	if (!table)
		return;
	forget_indexes(table);
	VEC_FREE(&table->entries);
	VEC_FREE(&table->names);
	free(table);
}

void symtab_reserve(struct symtab *table, size_t count)
{
	if (count <= SYMTAB_LIMIT && VEC_RESERVE(&table->entries, count))
		VEC_RESERVE(&table->names, count * 28);
}

struct error *symtab_add(struct symtab *table, uint64_t address, char type, const char *name,
			 size_t name_length)
{
	if (table->entries.count >= SYMTAB_LIMIT ||
	    name_length >= NAMES_LIMIT_BYTES - table->names.count)
		return error_create(ERR_LIMIT, "more than %d symbols", SYMTAB_LIMIT);
	if (!VEC_RESERVE(&table->names, table->names.count + name_length + 1))
		return error_create(ERR_MEMORY, "no memory for symbol names");
	struct entry entry = { .address = address,
			       .name_offset = (uint32_t)table->names.count,
			       .type = type };
	if (!VEC_PUSH(&table->entries, entry))
		return error_create(ERR_MEMORY, "no memory for symbols");
	memcpy(table->names.items + table->names.count, name, name_length);
	table->names.items[table->names.count + name_length] = 0;
	table->names.count += name_length + 1;
	if (table->buckets || table->sorted)
		forget_indexes(table);
	return NULL;
}

void symtab_slide(struct symtab *table, uint64_t low, uint64_t high, uint64_t delta)
{
	for (size_t i = 0; i < table->entries.count; i++) {
		uint64_t *address = &table->entries.items[i].address;
		if (*address >= low && *address <= high)
			*address += delta;
	}
	free(table->sorted);
	table->sorted = NULL;
}

size_t symtab_count(const struct symtab *table)
{
	return table->entries.count;
}

static const char *entry_name(const struct symtab *table, size_t index)
{
	return table->names.items + table->entries.items[index].name_offset;
}

struct symbol symtab_get(const struct symtab *table, size_t index)
{
	const struct entry *entry = &table->entries.items[index];
	return (struct symbol){ .name = entry_name(table, index),
				.address = entry->address,
				.type = entry->type };
}

/* Seeded by where the table happens to lie: a guest cannot choose names that all collide. */
static size_t name_hash(const struct symtab *table, const char *name)
{
	return (size_t)XXH3_64bits_withSeed(name, strlen(name), (uintptr_t)table);
}

static bool build_buckets(struct symtab *table)
{
	size_t n = 64;
	while (n < table->entries.count * 2)
		n *= 2;
	table->buckets = calloc(n, sizeof(*table->buckets));
	if (!table->buckets)
		return false;
	table->n_buckets = n;
	for (size_t i = 0; i < table->entries.count; i++) {
		const char *name = entry_name(table, i);
		size_t at = name_hash(table, name) & (n - 1);
		while (table->buckets[at] &&
		       strcmp(entry_name(table, table->buckets[at] - 1), name))
			at = (at + 1) & (n - 1);
		if (!table->buckets[at])
			table->buckets[at] = (uint32_t)i + 1;
	}
	return true;
}

/* Without memory for the index: the slow way gives the same answer. */
static bool find_slowly(struct symtab *table, const char *name, uint64_t *address_ret)
{
	for (size_t i = 0; i < table->entries.count; i++) {
		if (strcmp(entry_name(table, i), name))
			continue;
		*address_ret = table->entries.items[i].address;
		return true;
	}
	return false;
}

bool symtab_find(struct symtab *table, const char *name, uint64_t *address_ret)
{
	if (!table->buckets && !build_buckets(table))
		return find_slowly(table, name, address_ret);
	size_t mask = table->n_buckets - 1;
	for (size_t at = name_hash(table, name) & mask; table->buckets[at];
	     at = (at + 1) & mask) {
		size_t index = table->buckets[at] - 1;
		if (strcmp(entry_name(table, index), name))
			continue;
		*address_ret = table->entries.items[index].address;
		return true;
	}
	return false;
}

static int compare_addresses(const void *left, const void *right, void *user)
{
	const struct symtab *table = user;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	uint64_t first = table->entries.items[a].address;
	uint64_t second = table->entries.items[b].address;
	if (first != second)
		return first < second ? -1 : 1;
	return a < b ? -1 : a > b;
}

static bool build_sorted(struct symtab *table)
{
	size_t count = table->entries.count;
	table->sorted = malloc((count ? count : 1) * sizeof(*table->sorted));
	if (!table->sorted)
		return false;
	bool in_order = true;
	for (size_t i = 0; i < count; i++) {
		table->sorted[i] = (uint32_t)i;
		if (i && table->entries.items[i - 1].address > table->entries.items[i].address)
			in_order = false;
	}
	if (!in_order)
		qsort_r(table->sorted, count, sizeof(*table->sorted), compare_addresses, table);
	return true;
}

size_t symtab_sorted(struct symtab *table, size_t nth)
{
	if (!table->sorted && !build_sorted(table))
		return nth;
	return table->sorted[nth];
}

bool symtab_index_at(struct symtab *table, uint64_t address, size_t *index_ret)
{
	if (!table->sorted && !build_sorted(table))
		return false;
	size_t low = 0, high = table->entries.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (table->entries.items[table->sorted[middle]].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return false;
	/* Of several names for one place the first counts, as in the kernel's own lookup. */
	uint64_t at = table->entries.items[table->sorted[low - 1]].address;
	while (low > 1 && table->entries.items[table->sorted[low - 2]].address == at)
		low--;
	*index_ret = table->sorted[low - 1];
	return true;
}

bool symtab_at(struct symtab *table, uint64_t address, struct symbol *ret, uint64_t *offset_ret)
{
	size_t index;
	if (!symtab_index_at(table, address, &index))
		return false;
	*ret = symtab_get(table, index);
	*offset_ret = address - ret->address;
	return true;
}
