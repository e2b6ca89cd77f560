/* What a VM is to be made of: the options of `glassbox run`. Plain values; texts are borrowed.
 */
#ifndef VM_SPEC_H
#define VM_SPEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vm_isolation {
	VM_ISOLATION_AUTO, /* as much as this user and this machine allow */
	VM_ISOLATION_NONE, /* QEMU runs as the caller, without seccomp: for debugging */
};

struct vm_spec {
	const char *name;
	uint64_t mem_bytes;
	unsigned cpus;
	const char *kernel, *initrd, *append;
	const char *const *disks; /* raw or qcow2 images, ends with NULL; or NULL */
	const char *iso;
	bool uefi, snapshot; /* snapshot: writes to disks are thrown away at the end */
	const char *accel; /* "auto", "tcg", "kvm" */
	const char *machine; /* "q35", "microvm,acpi=off", "pc"; NULL: q35 */
	const char *cpu; /* QEMU's CPU model; NULL: max for KVM, qemu64-like for TCG */
	bool is_i386;
	bool net; /* user networking */
	bool screen; /* a VGA screen, keyboard and tablet, reached by vm_screen */
	const char *const *forwards; /* "tcp::2222-:22", ends with NULL; implies net */
	bool learn, offload; /* fail without the plugin; it is loaded anyway where it can be */
	bool no_plugin;
	bool warm; /* from a copy of the same demo guest: see warm.h; vm_start does not look */
	const char *restore; /* state file of a snapshot to start from, or NULL */
	const char *const *qemu_args; /* passed through, ends with NULL; or NULL */
	enum vm_isolation isolation;
	unsigned cpu_percent; /* limit of host CPU, 100 = one core; 0: none */

	const char *profile; /* built-in demo guest, or NULL: a guest of the caller */
	/* Console texts of the first userspace line and of the finished start; NULL: unknown.
	 */
	const char *first_text, *ready_text;
	bool no_powerdown; /* the guest does not listen to the power button */
};
#endif
