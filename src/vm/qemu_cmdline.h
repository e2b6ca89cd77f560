/* Understands the command line of a QEMU that somebody else started, as far as its memory goes:
 * written by hand, by libvirt, with JSON objects. Pure; the words are hostile. Thread: any. */
#ifndef VM_QEMU_CMDLINE_H
#define VM_QEMU_CMDLINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
struct error;

enum backend_kind { BACKEND_RAM, BACKEND_FILE, BACKEND_MEMFD };

struct cmdline_backend {
	char id[64];
	enum backend_kind kind;
	uint64_t size_bytes;
	bool is_shared;
	char path[256]; /* BACKEND_FILE */
};

struct qemu_cmdline {
	char name[64]; /* "" if none */
	char machine[64]; /* type without its options: "pc-q35-7.2" */
	char accel[16];
	uint64_t mem_bytes; /* of the machine, without DIMMs */
	unsigned cpus;
	char qmp_path[128]; /* unix socket of a monitor, or "" */
	uint64_t max_below_4g; /* machine option max-ram-below-4g, or 0 */
	char ram_backend[64]; /* machine option memory-backend, or "" */
	VEC(struct cmdline_backend) backends; /* all objects, in order */
	/* What machine RAM is made of, in order: indexes into backends. Empty: QEMU's own
	 * anonymous memory of mem_bytes. */
	VEC(size_t) ram;
};

/* words is what /proc/PID/cmdline holds. Caller deinits *ret, also on failure. */
struct error *qemu_cmdline_parse(const char *words, size_t length, struct qemu_cmdline *ret);
void qemu_cmdline_deinit(struct qemu_cmdline *cmdline);

/* True if these words start a QEMU system emulator (also through a wrapper's loader). */
bool qemu_cmdline_is_qemu(const char *words, size_t length);

/* How much of the machine's RAM lies below 4 GiB, by the rules of QEMU's x86 machines. */
uint64_t qemu_cmdline_below_4g(const struct qemu_cmdline *cmdline);
#endif
