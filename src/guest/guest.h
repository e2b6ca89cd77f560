/* The Linux kernel in a guest's memory: finds its symbols, types and page tables, and reads by
 * name. The kernel proves itself: three independent sources of where it lies must agree, and
 * what does not agree is reported as a doubt, never hidden. All bytes are untrusted. Thread: a
 * guest belongs to one thread at a time. */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct btf;
struct error;
struct guest;
struct guest_space;
struct phys_mem;
struct symtab;

struct guest_params {
	const char *cache_path; /* file for results of the discovery, or NULL */
	bool ignore_cache; /* discover again; a new cache is written */
	/* Given by the person instead of found in RAM; taken, also on failure. Addresses of
	 * symbols are as linked: KASLR is added here. */
	struct symtab *symbols;
	struct btf *types;
	const char *source_name; /* "ISF linux.json": what the two above are, for status */
};

/* Finds the kernel in mem (borrowed; must outlive the guest). Caller owns *ret. Fails:
 * ERR_NOT_FOUND when no kernel is there, ERR_MEMORY. */
struct error *guest_open(struct phys_mem *mem, struct guest_params *params, struct guest **ret);
void guest_destroy(struct guest *guest);

/* Starts a new question: forgets cached translations and notes, renews the time budget. */
void guest_begin(struct guest *guest);
/* Renews the budget alone, for a question that goes on after a wait: what was read and noted
 * before stays. */
void guest_renew(struct guest *guest);

/* What was found, for status. All borrowed. */
struct guest_summary {
	const char *banner; /* "Linux version ..." or NULL */
	const char *release; /* "6.1.0-50-cloud-amd64" or NULL */
	const char *symbol_source; /* "kallsyms in RAM (6.4-6.19 layout)" */
	const char *type_source; /* "BTF in RAM", or "none" */
	const char *kaslr_source; /* "VMCOREINFO, kallsyms, page tables" */
	uint64_t kernel_offset; /* how far the kernel was moved from its linked address */
	uint64_t image_gva, image_gpa; /* _text or _stext */
	unsigned paging_levels; /* 2 to 5 */
	bool is_pae;
	unsigned word_bytes;
	bool from_cache;
	size_t n_symbols; /* 0 while not expanded */
};
void guest_summary(struct guest *guest, struct guest_summary *ret);

/* Doubts about the kernel found: NULL past the last. */
const char *guest_doubt(const struct guest *guest, size_t n);
/* Why the current answer is partial; NULL past the last. Empty: it is complete. */
const char *guest_note(const struct guest *guest, size_t n);
/* Adds a note; the same text is kept once. */
void guest_add_note(struct guest *guest, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void guest_add_doubt(struct guest *guest, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* One step of any walk over guest data. False when the question's budget of steps or time is
 * spent: the walk ends and a note says so. */
bool guest_step(struct guest *guest);

struct phys_mem *guest_memory(struct guest *guest);
struct guest_space *guest_kernel_space(struct guest *guest);
unsigned guest_word_bytes(const struct guest *guest);

/* All symbols, or NULL when the kernel has none (a doubt says why). Expanded on first use. */
struct symtab *guest_symtab(struct guest *guest);
/* All types, or NULL when there are none. Indexed on first use. */
struct btf *guest_types(struct guest *guest);
/* Whether guest_types gives types, without indexing those that a cache vouches for. */
bool guest_has_types(struct guest *guest);

/* Address of a kernel symbol. Remembered; does not need the whole table when it is cached. */
bool guest_symbol(struct guest *guest, const char *name, uint64_t *gva_ret);
/* "tcp_v4_rcv+0x12", "dummy_xmit+0x4 [dummy]" into text; just the address when there is no
 * symbol near. */
void guest_symbol_text(struct guest *guest, uint64_t gva, char *text, size_t size);

/* Text of the kernel's VMCOREINFO page, borrowed; NULL when it has none. */
const char *guest_vmcoreinfo(const struct guest *guest, size_t *length_ret);

/* Physical address of a part of the kernel image (text, data, bss), without page tables. */
bool guest_image_to_gpa(const struct guest *guest, uint64_t gva, uint64_t *gpa_ret);
#endif
