/* Memory dumps as guest-physical memory: raw, LiME, ELF core, snapshots, QEMU's own files. A
 * format is a pure function from the file's bytes to a list of pieces, one source file
 * dump_NAME.c each; dump.c tries them in order and takes raw when none fits. Thread: any. */
#ifndef VM_DUMP_H
#define VM_DUMP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
struct error;
struct phys_mem;

/* Offset of a piece that reads as zeros and is not in the file. */
#define DUMP_ZERO UINT64_MAX

struct dump_piece {
	uint64_t gpa, size_bytes, file_offset;
};

struct dump_layout {
	VEC(struct dump_piece) pieces; /* any order; dump.c checks bounds and overlap */
};

struct dump_format {
	const char *name; /* "lime" */
	/* True if the first bytes are this format's. */
	bool (*probe)(const uint8_t *bytes, uint64_t size_bytes);
	/* Finds the pieces. Pure: hostile bytes give an error, never a crash. The caller frees
	 * layout also on failure. */
	struct error *(*layout)(const uint8_t *bytes, uint64_t size_bytes,
				struct dump_layout *layout);
};

/* ORDER dump formats: one line per format here and in dump.c. */
extern const struct dump_format dump_lime;
extern const struct dump_format dump_elf;
extern const struct dump_format dump_snapshot;
extern const struct dump_format dump_raw;

/* Adds a piece to a layout. */
struct error *dump_layout_add(struct dump_layout *layout, uint64_t gpa, uint64_t size_bytes,
			      uint64_t file_offset);

/* Opens a dump. Caller owns *ret (phys_mem_destroy). Fails: ERR_SYSTEM, ERR_BAD_DATA. */
struct error *dump_open(const char *path, struct phys_mem **ret);

/* Name of the format that path was recognised as: for `status --file`. */
struct error *dump_format_of(const char *path, const char **name_ret);
#endif
