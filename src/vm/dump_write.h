/* Writes guest memory as a dump that Volatility 3, crash, drgn and dump_open read: raw (file
 * offset = physical address), LiME, ELF core. Holes and pages of zeros become holes of the
 * file. Does not stop the VM: a consistent dump is the caller's business. Thread: one. */
#ifndef VM_DUMP_WRITE_H
#define VM_DUMP_WRITE_H
#include <stddef.h>
#include <stdint.h>
struct error;
struct phys_mem;

/* ORDER dump write formats */
enum dump_write_format { DUMP_WRITE_RAW, DUMP_WRITE_LIME, DUMP_WRITE_ELF };

struct dump_write_params {
	const char *path;
	enum dump_write_format format;
	/* Text of the kernel's VMCOREINFO page, put into an ELF core for crash and drgn; or
	 * NULL.
	 */
	const void *vmcoreinfo;
	size_t vmcoreinfo_bytes;
	/* Called now and then with 0 .. 1; returning an error ends the dump with it. NULL:
	 * none. */
	struct error *(*progress)(void *user, double done);
	void *progress_user;
};

struct dump_written {
	uint64_t memory_bytes; /* RAM covered */
	uint64_t data_bytes; /* of which are not zero and really written */
	uint64_t file_bytes; /* length of the file */
};

/* Nothing is left at path if it fails. Fails: ERR_SYSTEM (disk full), ERR_FAULT (RAM vanished).
 */
struct error *dump_write(struct phys_mem *mem, const struct dump_write_params *params,
			 struct dump_written *ret);

/* "raw", "lime" or "elf". Fails: ERR_USAGE. */
struct error *dump_write_format_parse(const char *name, enum dump_write_format *ret);
#endif
