/* Members by path, through unnamed structs and unions. */
#include <string.h>

#include "guest/btf.h"

enum { NESTING_MAX = 16, MEMBER_STEPS_MAX = 1 << 16 };

struct member_search {
	const struct btf *btf;
	const char *name;
	size_t length;
	unsigned steps; /* all members looked at: types made by a hostile guest may nest wildly
			 */
};

static bool find_member(struct member_search *search, uint32_t id, int depth,
			struct btf_place *ret)
{
	struct btf_type type;
	if (depth > NESTING_MAX ||
	    !btf_type(search->btf, btf_resolve(search->btf, id), &type) ||
	    (type.kind != BTF_STRUCT && type.kind != BTF_UNION))
		return false;
	for (uint32_t n = 0; n < type.count; n++) {
		struct btf_member member;
		if (search->steps++ >= MEMBER_STEPS_MAX)
			return false;
		btf_member(&type, search->btf, n, &member);
		if (!*member.name) {
			struct btf_place inner;
			if (!find_member(search, member.type, depth + 1, &inner))
				continue;
			*ret = inner;
			ret->bit_offset += member.bit_offset;
			return true;
		}
		if (strncmp(member.name, search->name, search->length) ||
		    member.name[search->length])
			continue;
		*ret = (struct btf_place){ .bit_offset = member.bit_offset,
					   .bit_size = member.bit_size,
					   .type = member.type };
		return true;
	}
	return false;
}

/* BTF without the kind flag stores a bitfield's width in its INT type. */
static uint32_t int_bits(const struct btf *btf, uint32_t id)
{
	struct btf_type type;
	if (!btf_type(btf, id, &type) || type.kind != BTF_INT)
		return 0;
	uint32_t bits = type.extra[0];
	return bits == type.size_bytes * 8 ? 0 : bits;
}

bool btf_place(const struct btf *btf, uint32_t id, const char *path, struct btf_place *ret)
{
	struct btf_place place = { .type = id };
	while (*path) {
		struct member_search search = { .btf = btf,
						.name = path,
						.length = strcspn(path, ".") };
		struct btf_place inner;
		if (!find_member(&search, place.type, 0, &inner))
			return false;
		inner.bit_offset += place.bit_offset;
		place = inner;
		path += search.length + (path[search.length] == '.');
	}
	place.type = btf_resolve(btf, place.type);
	uint64_t size = btf_size(btf, place.type);
	place.size_bytes = size <= UINT32_MAX ? (uint32_t)size : 0;
	if (!place.bit_size)
		place.bit_size = int_bits(btf, place.type);
	*ret = place;
	return true;
}
