/* QEMU's command line for a struct vm_spec. Pure: opens nothing, starts nothing. */
#ifndef VM_COMMAND_H
#define VM_COMMAND_H
#include <stdbool.h>

#include "base/vec.h"
#include "vm/qemu.h"
#include "vm/spec.h"
struct error;

struct command_image {
	int fd, read_fd; /* read_fd: the same file read-only, or -1; QEMU wants both */
	const char *format; /* "raw", "qcow2" */
};

/* Descriptors that QEMU inherits. */
struct command_params {
	const struct vm_spec *spec;
	const struct qemu_binary *qemu;
	enum qemu_accel accel;
	const char *ram_path;
	const char *plugin; /* value of -plugin, or NULL */
	const char *uefi_code; /* firmware image with spec->uefi */
	unsigned tsc_khz; /* of the host, 0: unknown */
	bool sandbox; /* QEMU's own seccomp filter */
	int qmp_fd, events_fd, serial_fd;
	/* Open images, in the order of spec->disks, then the ISO, then the firmware's
	 * variables. QEMU gets them as fdsets: it need not be allowed to open the files itself.
	 */
	const struct command_image *images;
	size_t n_images;
};

struct command {
	VEC(char *) words; /* owned; ends with NULL after command_build */
};

/* Caller deinits *ret, also on failure. ERR_USAGE for options that do not fit together. */
struct error *command_build(const struct command_params *params, struct command *ret);
void command_deinit(struct command *command);

/* The machine type that is used: with its options: "q35". */
const char *command_machine(const struct vm_spec *spec);
#endif
