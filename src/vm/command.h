/* QEMU's command line for a struct vm_spec. Pure: opens nothing, starts nothing. */
#ifndef VM_COMMAND_H
#define VM_COMMAND_H
#include <stdbool.h>

#include "base/vec.h"
#include "vm/qemu.h"
#include "vm/spec.h"
struct error;

/* Descriptors that QEMU inherits. */
struct command_params {
	const struct vm_spec *spec;
	const struct qemu_binary *qemu;
	enum qemu_accel accel;
	const char *ram_path;
	const char *plugin; /* value of -plugin, or NULL */
	const char *uefi_code, *uefi_vars; /* firmware images with spec->uefi */
	unsigned tsc_khz; /* of the host, 0: unknown */
	bool sandbox; /* QEMU's own seccomp filter */
	int qmp_fd, events_fd, serial_fd;
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
