#include "guest/field.h"

#include <string.h>

#include "base/bytes.h"
#include "guest/btf.h"
#include "guest/inferred.h"
#include "guest/internal.h"

/* STABLE_LOOKS: second looks at what goes over several pages. */
enum { STABLE_LOOKS = 4, PATH_MAX_BYTES = 256, TEXT_PIECE = 256, LIST_STEPS_MAX = 8 << 20 };

static bool type_is_signed(const struct btf *btf, uint32_t id)
{
	struct btf_type type;
	if (!btf_type(btf, id, &type))
		return false;
	/* Encoding bit 0 of an INT; the flag of an enum. */
	return type.kind == BTF_INT
		       ? type.extra[3] & 1
		       : (type.kind == BTF_ENUM || type.kind == BTF_ENUM64) && type.flag;
}

/* One alternative, "struct.member.member". */
static struct field resolve(struct btf *btf, const char *path, size_t length)
{
	struct field field = { 0 };
	char text[PATH_MAX_BYTES];
	if (length >= sizeof(text))
		return field;
	memcpy(text, path, length);
	text[length] = 0;
	char *dot = strchr(text, '.');
	if (!dot)
		return field;
	*dot = 0;
	uint32_t id = btf_find(btf, text);
	struct btf_place place;
	if (!id || !btf_place(btf, id, dot + 1, &place) ||
	    place.bit_offset / 8 > UINT32_MAX - 8)
		return field;
	field = (struct field){ .found = true,
				.bit_size = place.bit_size < 64 ? (uint8_t)place.bit_size : 0,
				.offset = (uint32_t)(place.bit_offset / 8),
				.size_bytes = place.size_bytes,
				.is_signed = type_is_signed(btf, place.type),
				.type = place.type };
	field.bit_shift = field.bit_size ? place.bit_offset % 8 : 0;
	return field;
}

static struct field resolve_any(struct guest *guest, const char *paths)
{
	struct btf *btf = guest_types(guest);
	struct field field = { 0 };
	for (const char *at = paths; btf && at && !field.found;) {
		size_t length = strcspn(at, "|");
		field = resolve(btf, at, length);
		at = at[length] ? at + length + 1 : NULL;
	}
	for (const char *at = paths; !btf && at && !field.found;) {
		size_t length = strcspn(at, "|");
		inferred_find(guest, at, length, &field);
		at = at[length] ? at + length + 1 : NULL;
	}
	return field;
}

struct field guest_field(struct guest *guest, const char *paths)
{
	bool is_new = false;
	struct memo *memo = guest_memo(guest, MEMO_FIELD, paths, &is_new);
	if (!memo)
		return resolve_any(guest, paths);
	if (is_new) {
		/* Looking for types may add to the memos, which moves them. */
		struct field field = resolve_any(guest, paths);
		memo = guest_memo(guest, MEMO_FIELD, paths, &is_new);
		memo->field = field;
		memo->found = field.found;
	}
	return memo->field;
}

struct field guest_need_field(struct guest *guest, const char *paths)
{
	struct field field = guest_field(guest, paths);
	if (!field.found)
		guest_add_note(guest, "this kernel's types lack %s", paths);
	return field;
}

uint64_t guest_sizeof(struct guest *guest, const char *type)
{
	bool is_new = false;
	struct memo *memo = guest_memo(guest, MEMO_SIZE, type, &is_new);
	if (!memo)
		return 0;
	if (is_new) {
		struct btf *btf = guest_types(guest);
		uint32_t id = btf ? btf_find(btf, type) : 0;
		memo = guest_memo(guest, MEMO_SIZE, type, &is_new);
		if (id)
			memo->value = btf_size(btf, id);
		memo->found = memo->value != 0;
	}
	return memo->value;
}

bool guest_enum(struct guest *guest, const char *name, int64_t *ret)
{
	bool is_new = false;
	struct memo *memo = guest_memo(guest, MEMO_ENUM, name, &is_new);
	if (!memo)
		return false;
	if (is_new) {
		struct btf *btf = guest_types(guest);
		int64_t value = 0;
		memo = guest_memo(guest, MEMO_ENUM, name, &is_new);
		memo->found = btf && btf_enumerator(btf, name, &value);
		memo->value = (uint64_t)value;
	}
	if (memo->found)
		*ret = (int64_t)memo->value;
	return memo->found;
}

static void count_fault(struct guest *guest, uint64_t gva)
{
	if (!guest->faults++)
		guest_add_note(guest, "kernel address 0x%llx cannot be read",
			       (unsigned long long)gva);
}

/* What lies on one page is taken as it comes: its reader checks it. What goes over several is
 * read until it stood still, and what never does is told. */
bool guest_read(struct guest *guest, uint64_t gva, void *to, size_t length_bytes)
{
	enum stable_result got = STABLE_YES;
	if ((gva & (PHYS_PAGE_SIZE - 1)) + length_bytes > PHYS_PAGE_SIZE)
		got = guest_space_read_stable(&guest->kernel, gva, to, length_bytes,
					      STABLE_LOOKS, NULL);
	else if (!guest_space_read(&guest->kernel, gva, to, length_bytes))
		got = STABLE_SHORT;
	if (got == STABLE_TORN && !guest->torn++)
		guest_add_note(
			guest,
			"%zu bytes at kernel address 0x%llx changed while they were read",
			length_bytes, (unsigned long long)gva);
	if (got != STABLE_SHORT)
		return true;
	count_fault(guest, gva);
	memset(to, 0, length_bytes);
	return false;
}

uint64_t guest_read_u64(struct guest *guest, uint64_t gva)
{
	uint64_t value = 0;
	guest_read(guest, gva, &value, sizeof(value));
	return value;
}

uint32_t guest_read_u32(struct guest *guest, uint64_t gva)
{
	uint32_t value = 0;
	guest_read(guest, gva, &value, sizeof(value));
	return value;
}

uint64_t guest_read_word(struct guest *guest, uint64_t gva)
{
	return guest->word_bytes == 8 ? guest_read_u64(guest, gva) : guest_read_u32(guest, gva);
}

size_t guest_read_text(struct guest *guest, uint64_t gva, char *to, size_t size)
{
	size_t done = 0;
	while (done + 1 < size) {
		size_t part = TEXT_PIECE - (size_t)((gva + done) & (TEXT_PIECE - 1));
		if (part > size - 1 - done)
			part = size - 1 - done;
		if (!guest_space_read(&guest->kernel, gva + done, to + done, part)) {
			count_fault(guest, gva + done);
			break;
		}
		size_t length = strnlen(to + done, part);
		done += length;
		if (length < part)
			break;
	}
	to[done] = 0;
	return done;
}

static uint64_t extend(struct field field, uint64_t value, unsigned bits)
{
	if (bits >= 64)
		return value;
	value &= (1ull << bits) - 1;
	if (field.is_signed && value >> (bits - 1))
		value |= ~0ull << bits;
	return value;
}

static uint64_t decode(struct field field, uint64_t raw)
{
	if (field.bit_size)
		return extend(field, raw >> field.bit_shift, field.bit_size);
	return extend(field, raw, field.size_bytes * 8);
}

/* Bytes to read for the value: a bitfield may cross its declared size's boundary. */
static size_t load_bytes(struct field field)
{
	size_t bytes =
		field.bit_size ? (field.bit_shift + field.bit_size + 7u) / 8 : field.size_bytes;
	return bytes < 8 ? bytes : 8;
}

uint64_t guest_load(struct guest *guest, uint64_t base, struct field field)
{
	uint64_t raw = 0;
	if (!field.found || !guest_read(guest, base + field.offset, &raw, load_bytes(field)))
		return 0;
	return decode(field, raw);
}

uint64_t field_load(struct field field, const void *copy, size_t size)
{
	uint64_t raw = 0;
	size_t bytes = load_bytes(field);
	if (!field.found || !range_fits(field.offset, bytes, size))
		return 0;
	memcpy(&raw, (const uint8_t *)copy + field.offset, bytes);
	return decode(field, raw);
}

void guest_load_text(struct guest *guest, uint64_t base, struct field field, char *to,
		     size_t size)
{
	*to = 0;
	if (!field.found)
		return;
	size_t length = field.size_bytes < size - 1 ? field.size_bytes : size - 1;
	guest_read(guest, base + field.offset, to, length);
	to[length] = 0;
}

bool guest_is_kernel_pointer(const struct guest *guest, uint64_t gva)
{
	if (guest->word_bytes == 4)
		return gva >= 0x40000000 && gva < UINT32_MAX - 4096;
	unsigned unused = guest->paging == GUEST_PAGING_5LEVEL ? 7 : 16;
	return (int64_t)gva < -4096 && (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

unsigned guest_faults(const struct guest *guest)
{
	return guest->faults;
}

void guest_list_begin(struct guest_list *list, struct guest *guest, uint64_t head_gva,
		      struct field link, const char *what)
{
	*list = (struct guest_list){ .guest = guest,
				     .head = head_gva,
				     .at = head_gva,
				     .link_offset = link.offset,
				     .what = what,
				     .tortoise = head_gva,
				     .lap = 1 };
}

void guest_hlist_begin(struct guest_list *list, struct guest *guest, uint64_t head_gva,
		       struct field link, const char *what)
{
	guest_list_begin(list, guest, head_gva, link, what);
	list->is_hlist = true;
}

/* A hlist ends with NULL, a nulls list with an odd number. */
static bool is_list_end(const struct guest_list *list, uint64_t next)
{
	return list->is_hlist ? !next || next & 1 : next == list->head;
}

/* Brent's cycle test: compares with a remembered element that moves at powers of two. */
static bool runs_in_circles(struct guest_list *list)
{
	if (list->at == list->tortoise)
		return true;
	if (++list->steps == list->lap) {
		list->tortoise = list->at;
		list->lap *= 2;
	}
	return list->steps > LIST_STEPS_MAX;
}

bool guest_list_next(struct guest_list *list, uint64_t *object_ret)
{
	struct guest *guest = list->guest;
	if (list->ended_well || !guest_step(guest))
		return false;
	uint64_t next = guest_read_word(guest, list->at);
	if (is_list_end(list, next)) {
		list->ended_well = true;
		return false;
	}
	list->at = next;
	if (!guest_is_kernel_pointer(guest, next)) {
		guest_add_note(guest, "the list of %s leads to 0x%llx", list->what,
			       (unsigned long long)next);
		return false;
	}
	if (runs_in_circles(list)) {
		guest_add_note(guest, "the list of %s runs in circles", list->what);
		return false;
	}
	*object_ret = next - list->link_offset;
	return true;
}
