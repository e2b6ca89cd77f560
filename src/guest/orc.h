/* ORC, the kernel's unwind tables: for an instruction address, where the caller's stack pointer
 * and frame pointer are. Thread: that of the guest. */
#ifndef GUEST_ORC_H
#define GUEST_ORC_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

enum orc_type { ORC_UNDEFINED, ORC_END, ORC_CALL, ORC_REGS, ORC_REGS_PARTIAL };

/* What an offset is counted from; the kernel's own numbers for these differ by version. */
enum orc_register {
	ORC_REG_UNDEFINED,
	ORC_REG_PREV_SP,
	ORC_REG_BP,
	ORC_REG_SP,
	ORC_REG_BP_INDIRECT,
	ORC_REG_SP_INDIRECT,
	ORC_REG_OTHER, /* only in frames of interrupts */
};

struct orc_entry {
	int16_t sp_offset, bp_offset;
	enum orc_register sp_register, bp_register;
	enum orc_type type;
};

/* False when there are no tables, or none for this address. */
bool guest_orc_find(struct guest *guest, uint64_t ip, struct orc_entry *ret);
/* Where the entry for code at ip lies, when entries are that large. */
bool guest_orc_place(struct guest *guest, uint64_t ip, uint64_t entry_bytes, uint64_t *ret);
#endif
