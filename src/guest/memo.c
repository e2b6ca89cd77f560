/* Lookups by name that were done once. They are what the cache file keeps, so that a later run
 * needs neither the symbol table nor the types. */
#include <string.h>
#include <xxhash.h>

#include "guest/internal.h"

static size_t memo_hash(enum memo_kind kind, const char *name)
{
	return (size_t)XXH3_64bits_withSeed(name, strlen(name), kind);
}

static bool grow_buckets(struct guest *guest)
{
	size_t n = guest->n_memo_buckets ? guest->n_memo_buckets * 2 : 512;
	uint32_t *buckets = calloc(n, sizeof(*buckets));
	if (!buckets)
		return false;
	for (size_t i = 0; i < guest->memos.count; i++) {
		const struct memo *memo = &guest->memos.items[i];
		size_t at = memo_hash(memo->kind, memo->name) & (n - 1);
		while (buckets[at])
			at = (at + 1) & (n - 1);
		buckets[at] = (uint32_t)i + 1;
	}
	free(guest->memo_buckets);
	guest->memo_buckets = buckets;
	guest->n_memo_buckets = n;
	return true;
}

struct memo *guest_memo(struct guest *guest, enum memo_kind kind, const char *name,
			bool *is_new_ret)
{
	if (guest->memos.count * 2 >= guest->n_memo_buckets && !grow_buckets(guest))
		return NULL;
	size_t mask = guest->n_memo_buckets - 1, at = memo_hash(kind, name) & mask;
	for (; guest->memo_buckets[at]; at = (at + 1) & mask) {
		struct memo *memo = &guest->memos.items[guest->memo_buckets[at] - 1];
		if (memo->kind != kind || strcmp(memo->name, name))
			continue;
		*is_new_ret = false;
		return memo;
	}
	struct memo fresh = { .kind = kind, .name = strdup(name) };
	if (!fresh.name || !VEC_PUSH(&guest->memos, fresh)) {
		free(fresh.name);
		return NULL;
	}
	guest->memo_buckets[at] = (uint32_t)guest->memos.count;
	guest->memos_changed = true;
	*is_new_ret = true;
	return &guest->memos.items[guest->memos.count - 1];
}

void guest_forget_memos(struct guest *guest)
{
	for (size_t i = 0; i < guest->memos.count; i++)
		free(guest->memos.items[i].name);
	VEC_FREE(&guest->memos);
	free(guest->memo_buckets);
	guest->memo_buckets = NULL;
	guest->n_memo_buckets = 0;
}
