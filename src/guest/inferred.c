#include "guest/inferred.h"

#include <string.h>

#include "guest/internal.h"

static void add(struct guest *guest, const char *path, struct field field)
{
	struct inferred one = { .field = field };
	if (strlen(path) >= sizeof(one.path))
		return;
	memcpy(one.path, path, strlen(path) + 1);
	one.field.found = true;
	(void)VEC_PUSH(&guest->inferred, one);
}

void inferred_add(struct guest *guest, const char *path, uint64_t offset, uint32_t size_bytes)
{
	add(guest, path,
	    (struct field){ .offset = (uint32_t)offset, .size_bytes = size_bytes });
}

void inferred_add_bits(struct guest *guest, const char *path, uint64_t offset,
		       unsigned bit_shift, unsigned bit_size)
{
	add(guest, path,
	    (struct field){ .offset = (uint32_t)offset,
			    .size_bytes = 1,
			    .bit_shift = (uint8_t)bit_shift,
			    .bit_size = (uint8_t)bit_size });
}

static void remember(struct guest *guest, enum memo_kind kind, const char *name, uint64_t value)
{
	bool is_new = false;
	struct memo *memo = guest_memo(guest, kind, name, &is_new);
	if (!memo)
		return;
	memo->found = true;
	memo->value = value;
}

void inferred_add_size(struct guest *guest, const char *type, uint64_t size_bytes)
{
	remember(guest, MEMO_SIZE, type, size_bytes);
}

void inferred_add_enum(struct guest *guest, const char *name, int64_t value)
{
	remember(guest, MEMO_ENUM, name, (uint64_t)value);
}

void inferred_add_symbol(struct guest *guest, const char *name, uint64_t gva)
{
	remember(guest, MEMO_SYMBOL, name, gva);
}

bool inferred_find(const struct guest *guest, const char *path, size_t length,
		   struct field *ret)
{
	for (size_t i = 0; i < guest->inferred.count; i++) {
		const struct inferred *one = &guest->inferred.items[i];
		if (strlen(one->path) != length || memcmp(one->path, path, length))
			continue;
		*ret = one->field;
		return true;
	}
	return false;
}

size_t inferred_count(const struct guest *guest)
{
	return guest->inferred.count;
}

void inferred_forget(struct guest *guest)
{
	VEC_FREE(&guest->inferred);
}
