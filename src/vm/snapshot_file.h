/* A whole VM in one file: what machine it is, its device state, its RAM (sparse). Made from a
 * running VM with a short pause; `restore` starts a new VM from it. Thread: one. */
#ifndef VM_SNAPSHOT_FILE_H
#define VM_SNAPSHOT_FILE_H
#include <jansson.h>
#include <stdint.h>

#include "base/own.h"
#include "vm/snapshot.h"
#include "vm/spec.h"
struct error;
struct qmp;
struct vm;

/*   0   struct snapshot_header
 *   4K  JSON (the spec, and where RAM lies in guest addresses), then the device state as QEMU
 * wrote it ram_offset  the RAM file, holes for zeros
 */
#define SNAPSHOT_MAGIC 0x3150414e53584247ull /* "GBXSNAP1" */

struct snapshot_header {
	uint64_t magic, version;
	uint64_t json_bytes, state_offset, state_bytes;
	uint64_t ram_offset, ram_bytes;
};

/* Writes path, or nothing at all. Fails: ERR_UNSUPPORTED (not our VM), ERR_PEER, ERR_SYSTEM. */
struct error *snapshot_save(struct vm *vm, const char *path, struct snapshot_stats *ret);

struct snapshot_file;

/* Opens and checks a file. Caller owns *ret. ERR_BAD_DATA when it is none. */
struct error *snapshot_file_open(const char *path, struct snapshot_file **ret);
void snapshot_file_close(struct snapshot_file *file);
OWN_DECLARE(own_snapshot_file, struct snapshot_file *, snapshot_file_close)

/* The machine; its texts are borrowed from file. */
const struct vm_spec *snapshot_file_spec(const struct snapshot_file *file);

/* Copies the RAM into an empty file of the right size. */
struct error *snapshot_file_fill(const struct snapshot_file *file, int ram_fd);

/* A descriptor, read-only, of just the device state. Caller owns *fd_ret. */
struct error *snapshot_file_state(const struct snapshot_file *file, int *fd_ret);

/* Makes a QEMU that waits for its state ("-incoming defer") load it from fd (borrowed). */
struct error *snapshot_load_state(struct qmp *qmp, int state_fd);

/* Header and JSON only: pure, for hostile files. Caller owns *json_ret. */
struct error *snapshot_parse(const uint8_t *bytes, uint64_t size_bytes,
			     struct snapshot_header *ret, json_t **json_ret);
#endif
