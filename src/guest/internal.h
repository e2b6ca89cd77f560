/* What the files of room guest share and nobody else sees. */
#ifndef GUEST_INTERNAL_H
#define GUEST_INTERNAL_H
#include "base/phys_mem.h"
#include "base/vec.h"
#include "guest/field.h"
#include "guest/guest.h"
#include "guest/kallsyms.h"
#include "guest/space.h"
#include "guest/vmcoreinfo.h"

/* Start of the x86-64 kernel image mapping. */
#define KERNEL_MAP_64 0xffffffff80000000ull
#define KERNEL_MAP_END_64 0xffffffffc0000000ull

/* A remembered lookup by name: a symbol, a field, a size or an enumerator. */
enum memo_kind { MEMO_SYMBOL = 's', MEMO_FIELD = 'f', MEMO_SIZE = 'z', MEMO_ENUM = 'e' };

struct memo {
	enum memo_kind kind;
	bool found;
	char *name;
	uint64_t value; /* symbol, size, enumerator */
	struct field field;
};

/* A member that was worked out (inferred.h). */
struct inferred {
	char path[64];
	struct field field;
};

struct guest {
	struct phys_mem *mem;
	unsigned word_bytes;

	struct vmcoreinfo info;
	bool has_info;

	/* kallsyms: the window of RAM that holds its tables, and where they are in it */
	bool has_kallsyms;
	struct kallsyms kallsyms;
	uint64_t kallsyms_gpa; /* of the window's first byte */
	size_t kallsyms_window_bytes;
	uint8_t *kallsyms_window; /* a copy of it, between finding and expanding */
	struct symtab *symbols; /* NULL until expanded */
	bool symbols_failed;
	bool symbols_slid; /* a pc-relative table has been made one of virtual addresses */
	struct module_symbols *module_symbols; /* of this question; NULL until asked for */

	uint64_t btf_gpa; /* 0: none */
	size_t btf_bytes;
	struct btf *types; /* NULL until indexed */
	bool types_failed;
	VEC(struct inferred) inferred; /* instead of types */
	bool types_given, symbols_given; /* they came from the person */
	bool given_settled; /* the symbols given have been moved to where the kernel is */

	uint64_t image_delta; /* gpa - gva of the kernel image */
	bool has_delta;
	enum guest_paging paging;
	struct guest_space kernel;
	bool has_kernel_space;

	char banner[512];
	char release[128];
	uint64_t banner_gpa;
	char symbol_source[128], type_source[128], kaslr_source[128];

	VEC(char *) doubts;
	VEC(char *) notes;
	unsigned faults;
	unsigned torn; /* reads that changed under way since guest_begin */
	uint64_t steps;
	int64_t deadline_ns;
	bool out_of_budget;

	VEC(struct memo) memos;
	uint32_t *memo_buckets;
	size_t n_memo_buckets;
	bool memos_changed;
	bool from_cache;
	char *cache_path;
};

/* discover.c */
struct error *guest_discover(struct guest *guest);
struct error *guest_expand_symbols(struct guest *guest);
struct error *guest_index_types(struct guest *guest);
bool guest_read_banner(struct guest *guest, uint64_t gpa);
bool guest_info_symbol(const struct guest *guest, const char *name, uint64_t *gva_ret);

/* memo.c: finds or makes the entry; *is_new_ret says that it must be filled in. NULL without
 * memory. */
struct memo *guest_memo(struct guest *guest, enum memo_kind kind, const char *name,
			bool *is_new_ret);
void guest_forget_memos(struct guest *guest);

/* cache.c */
bool guest_cache_load(struct guest *guest); /* true: the guest is ready without discovery */
void guest_cache_save(struct guest *guest);

/* notes.c */
void guest_forget_notes(struct guest *guest);
int64_t guest_clock_ns(void);
#endif
