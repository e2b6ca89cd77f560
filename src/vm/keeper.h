/* The process that owns one QEMU: starts it, relays its console, keeps vm.json true, and takes
 * everything away when QEMU ends. QEMU dies with it (the kernel sees to that), and the locks it
 * holds tell everybody else that the VM's files are in use. Runs in a forked child. */
#ifndef VM_KEEPER_H
#define VM_KEEPER_H
#include <jansson.h>

#include "vm/command.h"
struct error;
struct isolation;

struct keeper_params {
	const struct vm_spec *spec;
	struct command *command;
	const struct isolation *isolation;
	int qmp_fd; /* listens; QEMU's */
	int console_fd; /* listens; terminals connect */
	int events_fd[2], serial_fd[2]; /* socket pairs: [0] ours, [1] QEMU's */
	int log_fd, qemu_log_fd;
	int state_fd; /* device state of a snapshot, or -1 */
	int lock_fd, ram_fd; /* held for their locks */
	int owner_fd; /* reports go out as JSON lines; its end without a 'd' ends the VM */
	const struct command_image *images; /* QEMU's */
	size_t n_images;
	json_t *document; /* vm.json so far */
};

/* Never returns. */
_Noreturn void keeper_main(const struct keeper_params *params);
#endif
