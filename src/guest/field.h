/* Reading guest structures by name: resolve a member once, then load it at any address. Loads
 * never fail loudly: a byte that is not there reads as zero and is counted, and the answer gets
 * a note that it is partial. Thread: that of the guest. */
#ifndef GUEST_FIELD_H
#define GUEST_FIELD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct guest;
struct guest_space;

struct field {
	bool found;
	uint8_t bit_shift, bit_size; /* bit_size 0: whole bytes */
	bool is_signed; /* of an integer member */
	uint32_t offset, size_bytes;
	uint32_t type; /* BTF id; 0 when it came from the cache */
};

/* Member by "struct.member.member"; alternatives are separated by '|' and the first that this
 * kernel has is taken. Not found is a result: test found. */
struct field guest_field(struct guest *guest, const char *paths);
/* Like guest_field, but says in a note that the answer lacks something when it is not there. */
struct field guest_need_field(struct guest *guest, const char *paths);
/* Size of a type in bytes, 0 when unknown. */
uint64_t guest_sizeof(struct guest *guest, const char *type);
/* Value of an enumerator. */
bool guest_enum(struct guest *guest, const char *name, int64_t *ret);

/* Copies kernel memory. False and counted when any byte is not there. */
bool guest_read(struct guest *guest, uint64_t gva, void *to, size_t length_bytes);
uint64_t guest_read_word(struct guest *guest, uint64_t gva); /* a pointer or long */
uint32_t guest_read_u32(struct guest *guest, uint64_t gva);
uint64_t guest_read_u64(struct guest *guest, uint64_t gva);
/* Copies a NUL-terminated string, cut at size - 1; always terminated; control characters and
 * bytes that are not UTF-8 stay as they are. Returns its length. */
size_t guest_read_text(struct guest *guest, uint64_t gva, char *to, size_t size);

/* The member's value in the struct at base: integers and pointers up to 8 bytes. */
uint64_t guest_load(struct guest *guest, uint64_t base, struct field field);
/* The same from a copy of the struct, size bytes long. */
uint64_t field_load(struct field field, const void *copy, size_t size);
/* Text in a char array member. */
void guest_load_text(struct guest *guest, uint64_t base, struct field field, char *to,
		     size_t size);

/* True when the address can be a kernel pointer. */
bool guest_is_kernel_pointer(const struct guest *guest, uint64_t gva);
/* Reads that failed since guest_begin. */
unsigned guest_faults(const struct guest *guest);

/* Members of a list_head ring. Start with list_begin, then while (list_next(&walk, &object)).
 * Ends at the head, at a repeated or bad pointer (noted), or when the budget is spent. */
struct guest_list {
	struct guest *guest;
	uint64_t head, at;
	uint32_t link_offset;
	const char *what; /* for the note */
	uint64_t tortoise; /* Brent: where the walk was at the last power of two */
	unsigned steps, lap;
	bool is_hlist, ended_well;
};
void guest_list_begin(struct guest_list *list, struct guest *guest, uint64_t head_gva,
		      struct field link, const char *what);
/* The same for a hlist or a nulls list: from its head to the end. */
void guest_hlist_begin(struct guest_list *list, struct guest *guest, uint64_t head_gva,
		       struct field link, const char *what);
bool guest_list_next(struct guest_list *list, uint64_t *object_ret);
#endif
