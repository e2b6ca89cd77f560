/* Parts of the discovery; discover.c tells how they go together. */
#ifndef GUEST_DISCOVER_H
#define GUEST_DISCOVER_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

enum {
	/* Symbol tables, banner and init_task lie this near after the start of text. */
	NEAR_BYTES = 128 << 20,
};

/* What one source says about image_delta. */
struct claim {
	bool made;
	uint64_t delta;
};

/* discover_symbols.c: where kallsyms is, at the place claimed, near the kernel, or anywhere. */
void discover_kallsyms(struct guest *guest, const struct claim *claim);
/* A symbol's address in whatever space the table is in now. */
bool discover_symbol(struct guest *guest, const char *name, uint64_t *gva_ret);

/* discover_place.c: the claim of VMCOREINFO, then the agreement of all sources. */
struct claim discover_claim_of_info(struct guest *guest);
void discover_settle(struct guest *guest, const struct claim *info);
/* Once the place is known: makes a pc-relative table one of virtual addresses. */
void discover_slide(struct guest *guest, uint64_t delta);
/* Before that, for symbols from a file: moves them to where this kernel lies. */
void discover_settle_given(struct guest *guest);
/* The banner's text, somewhere in the image that starts at gpa. */
void discover_scan_for_banner(struct guest *guest, uint64_t gpa);
#endif
