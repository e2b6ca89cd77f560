/* Which QEMU to run, what it can do, and whether KVM really works. Thread: any. */
#ifndef VM_QEMU_H
#define VM_QEMU_H
#include <stdbool.h>
struct error;

struct qemu_binary {
	char *path;
	int major, minor, micro;
	const char *why; /* static: "GLASSBOX_QEMU", "system", "private copy" */
};

/* wants_recent: learning needs plugin calls of QEMU 11.1. Caller deinits *ret. Fails:
 * ERR_NOT_FOUND with a hint how to get one. */
struct error *qemu_find(bool is_i386, bool wants_recent, struct qemu_binary *ret);
void qemu_binary_deinit(struct qemu_binary *qemu);

/* Parses "QEMU emulator version 11.1.2 (Debian ...)"; pure. */
bool qemu_parse_version(const char *text, struct qemu_binary *ret);

enum qemu_accel { QEMU_ACCEL_TCG, QEMU_ACCEL_KVM };

/* Decides what `--accel auto` means here. *why_ret is a static sentence for the person. KVM is
 * taken only with a hardware module (kvm_intel, kvm_amd) and after a small guest of ours has
 * run in it within a deadline. */
enum qemu_accel qemu_accel_auto(const char **why_ret);
#endif
