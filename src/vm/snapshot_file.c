#include "vm/snapshot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/out_file.h"
#include "base/phys_mem.h"
#include "vm/mapping.h"
#include "vm/migration.h"
#include "vm/proc.h"
#include "vm/qmp.h"
#include "vm/spec_json.h"
#include "vm/vm.h"

OWN_DECLARE(own_json, json_t *, json_decref)

#define SNAPSHOT_VERSION 1u
#define HEADER_BYTES 4096u
#define JSON_LIMIT (1u << 20)
#define STATE_LIMIT (256u << 20)
#define MIGRATE_TIMEOUT_NS 30000000000ull

struct snapshot_file {
	struct mapping *mapping;
	struct snapshot_header header;
	json_t *json;
	struct vm_spec spec;
	const char **lists;
};

/* Whether memory in files is left out of what is migrated. */
static struct error *leave_files_out(struct qmp *qmp, bool on)
{
	return qmp_commandf(qmp, NULL, "migrate-set-capabilities", "{s:[{s:s, s:b}]}",
			    "capabilities", "capability", "x-ignore-shared", "state", (int)on);
}

static struct error *await_migration(struct qmp *qmp)
{
	uint64_t deadline = clock_now_ns() + MIGRATE_TIMEOUT_NS;
	while (clock_now_ns() < deadline) {
		AUTO(own_json) json_t *answer = NULL;
		TRY(qmp_command(qmp, "query-migrate", NULL, 5000, &answer));
		const char *status = json_string_value(json_object_get(answer, "status"));
		if (status && !strcmp(status, "completed"))
			return NULL;
		if (status && !strcmp(status, "failed")) {
			const char *why =
				json_string_value(json_object_get(answer, "error-desc"));
			return error_create(ERR_PEER, "QEMU failed with the device state: %s",
					    why ? why : "no reason given");
		}
		poll(NULL, 0, 1);
	}
	return error_create(ERR_PEER, "QEMU does not finish with the device state");
}

/* Runs "migrate" or "migrate-incoming" over a descriptor. Old QEMUs know "fd:", new ones
 * "file:" with an fdset. */
static struct error *migrate_over(struct qmp *qmp, const char *command, int fd)
{
	char uri[64];
	int64_t set = 0;
	TRY(qmp_add_fd(qmp, fd, &set));
	snprintf(uri, sizeof(uri), "file:/dev/fdset/%lld", (long long)set);
	struct error *err = qmp_commandf(qmp, NULL, command, "{s:s}", "uri", uri);
	if (error_catch(&err, ERR_PEER)) {
		TRY(qmp_give_fd(qmp, fd, "glassbox-state"));
		err = qmp_commandf(qmp, NULL, command, "{s:s}", "uri", "fd:glassbox-state");
	}
	if (!err)
		err = await_migration(qmp);
	error_destroy(
		qmp_commandf(qmp, NULL, "remove-fd", "{s:I}", "fdset-id", (json_int_t)set));
	return err;
}

/* The same without memory that lies in files. A later migration, by whomever, has it again. */
static struct error *migrate_devices(struct qmp *qmp, const char *command, int fd)
{
	TRY(leave_files_out(qmp, true));
	struct error *err = migrate_over(qmp, command, fd), *back = leave_files_out(qmp, false);
	if (!err)
		return back;
	error_destroy(back);
	return err;
}

struct error *snapshot_load_state(struct qmp *qmp, int state_fd)
{
	return migrate_devices(qmp, "migrate-incoming", state_fd);
}

/* ---- saving ---- */

/* A part of the RAM file that no guest address shows (the VGA window hides 128 KiB). */
struct gap {
	uint64_t offset, size_bytes;
	uint8_t *bytes;
};

struct save {
	struct vm *vm;
	int state_fd; /* memfd */
	uint64_t ram_bytes;
	VEC(struct gap) gaps;
	const struct mapping *ram;
};

static void save_deinit(struct save *save)
{
	if (save->state_fd >= 0)
		close(save->state_fd);
	for (size_t i = 0; i < save->gaps.count; i++)
		free(save->gaps.items[i].bytes);
	VEC_FREE(&save->gaps);
	mapping_destroy((struct mapping *)save->ram);
}

static struct error *add_gap(struct save *save, uint64_t offset, uint64_t end)
{
	struct gap gap = { offset, end - offset, NULL };
	if (offset >= end)
		return NULL;
	TRY(error_alloc(1, gap.size_bytes, &gap.bytes));
	if (!VEC_PUSH(&save->gaps, gap)) {
		free(gap.bytes);
		return error_create(ERR_MEMORY, "no memory for hidden RAM");
	}
	return NULL;
}

/* Segments of one RAM file ascend in the file as they do in guest addresses. */
static struct error *find_gaps(struct save *save)
{
	const struct phys_mem *mem = vm_memory(save->vm);
	uint64_t at = 0;
	for (size_t i = 0; i < mem->n_segments; i++) {
		TRY(add_gap(save, at, mem->segments[i].file_offset));
		at = mem->segments[i].file_offset + mem->segments[i].size_bytes;
	}
	return add_gap(save, at, save->ram_bytes);
}

/* With the guest stopped, and so migration harmless; who stopped it sees to it that offload's
 * refusal is there again before it goes on (vm/pause.c). Device state, and the RAM that guest
 * addresses do not reach. */
static struct error *save_devices(void *user, struct qmp *qmp)
{
	struct save *save = user;
	AUTO(own_fd) int fd = proc_reopen(save->state_fd, O_WRONLY);
	if (fd < 0)
		return error_system(errno, "cannot open a buffer for the device state");
	TRY(migration_allow(qmp));
	TRY(migrate_devices(qmp, "migrate", fd));
	for (size_t i = 0; i < save->gaps.count; i++) {
		struct gap *gap = &save->gaps.items[i];
		if (pread(mapping_fd(save->ram), gap->bytes, gap->size_bytes,
			  (off_t)gap->offset) != (ssize_t)gap->size_bytes)
			return error_create(ERR_PEER, "the VM's RAM file was cut short");
	}
	return NULL;
}

static struct error *open_ram(struct save *save)
{
	const char *path = json_string_value(json_object_get(vm_document(save->vm), "ram"));
	struct mapping *ram = NULL;
	if (!vm_is_ours(save->vm) || !path)
		return error_hint(error_create(ERR_UNSUPPORTED,
					       "only VMs that glassbox started can be saved"),
				  "`glassbox dump` writes the memory of any VM");
	TRY(mapping_open(path, &ram));
	save->ram = ram;
	save->ram_bytes = mapping_size(ram);
	save->state_fd = memfd_create("glassbox-state", MFD_CLOEXEC);
	if (save->state_fd < 0)
		return error_system(errno, "cannot make a buffer for the device state");
	return find_gaps(save);
}

static struct error *pad_to(struct out_file *file, uint64_t position)
{
	return out_file_skip(file, position - out_file_position(file));
}

static struct error *write_head(struct save *save, struct out_file *file, uint64_t *ram_at_ret)
{
	struct stat info;
	if (fstat(save->state_fd, &info))
		return error_system(errno, "cannot look at the device state");
	const json_t *document = vm_document(save->vm);
	AUTO(own_json) json_t *kept = json_deep_copy(json_object_get(document, "spec"));
	json_object_set(kept, "layout", json_object_get(document, "layout"));
	AUTO(own_free) char *json = kept ? json_dumps(kept, JSON_COMPACT) : NULL;
	if (!json)
		return error_create(ERR_BAD_DATA, "vm.json does not say what machine it is");
	struct snapshot_header header = { .magic = SNAPSHOT_MAGIC,
					  .version = SNAPSHOT_VERSION,
					  .json_bytes = strlen(json),
					  .state_bytes = (uint64_t)info.st_size,
					  .ram_bytes = save->ram_bytes };
	header.state_offset = align_up(HEADER_BYTES + header.json_bytes, 4096);
	header.ram_offset = align_up(header.state_offset + header.state_bytes, 4096);
	AUTO(own_mapping) struct mapping *state = NULL;
	TRY(mapping_create(dup(save->state_fd), "the device state", &state));
	TRY(out_file_write(file, &header, sizeof(header)));
	TRY(pad_to(file, HEADER_BYTES));
	TRY(out_file_write(file, json, strlen(json)));
	TRY(pad_to(file, header.state_offset));
	TRY(out_file_write(file, mapping_bytes(state), header.state_bytes));
	*ram_at_ret = header.ram_offset;
	return pad_to(file, header.ram_offset);
}

static struct error *write_segment(struct phys_mem *copy, const struct phys_segment *segment,
				   struct out_file *file, uint64_t ram_at)
{
	uint64_t at = segment->gpa, limit = at + segment->size_bytes, start, end;
	while (at < limit && phys_mem_next_data(copy, at, &start, &end) && start < limit) {
		if (end > limit)
			end = limit;
		TRY(pad_to(file, ram_at + segment->file_offset + (start - segment->gpa)));
		TRY(out_file_write(file, phys_mem_at(copy, start, end - start), end - start));
		at = end;
	}
	return NULL;
}

static struct error *write_gaps(const struct save *save, uint64_t before, struct out_file *file,
				uint64_t ram_at, size_t *next)
{
	for (; *next < save->gaps.count && save->gaps.items[*next].offset < before; ++*next) {
		const struct gap *gap = &save->gaps.items[*next];
		TRY(pad_to(file, ram_at + gap->offset));
		TRY(out_file_write(file, gap->bytes, gap->size_bytes));
	}
	return NULL;
}

static struct error *write_file(struct save *save, struct phys_mem *copy, const char *path)
{
	AUTO(own_out_file) struct out_file *file = NULL;
	uint64_t ram_at = 0;
	size_t next_gap = 0;
	TRY(out_file_create(path, &file));
	TRY(write_head(save, file, &ram_at));
	for (size_t i = 0; i < copy->n_segments; i++) {
		const struct phys_segment *segment = &copy->segments[i];
		TRY(write_gaps(save, segment->file_offset, file, ram_at, &next_gap));
		TRY(write_segment(copy, segment, file, ram_at));
	}
	TRY(write_gaps(save, UINT64_MAX, file, ram_at, &next_gap));
	TRY(pad_to(file, ram_at + save->ram_bytes));
	return out_file_commit(file);
}

struct error *snapshot_save(struct vm *vm, const char *path, struct snapshot_stats *ret)
{
	AUTO(save_deinit) struct save save = { .vm = vm, .state_fd = -1 };
	AUTO(own_snapshot) struct snapshot *snapshot = NULL;
	TRY(open_ram(&save));
	TRY(snapshot_create(vm, &snapshot));
	TRY(snapshot_take(snapshot,
			  &(struct snapshot_params){ .needs_monitor = true,
						     .while_paused = save_devices,
						     .user = &save },
			  ret));
	return write_file(&save, snapshot_memory(snapshot), path);
}

/* ---- opening ---- */

struct error *snapshot_parse(const uint8_t *bytes, uint64_t size_bytes,
			     struct snapshot_header *ret, json_t **json_ret)
{
	struct snapshot_header header;
	if (size_bytes < HEADER_BYTES)
		return error_create(ERR_BAD_DATA, "it is too short for a snapshot");
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != SNAPSHOT_MAGIC)
		return error_create(ERR_BAD_DATA, "it is not a snapshot");
	if (header.version != SNAPSHOT_VERSION)
		return error_create(ERR_UNSUPPORTED, "it is a snapshot of another version");
	if (header.json_bytes > JSON_LIMIT || header.state_bytes > STATE_LIMIT ||
	    !range_fits(HEADER_BYTES, header.json_bytes, size_bytes) ||
	    !range_fits(header.state_offset, header.state_bytes, size_bytes) ||
	    !range_fits(header.ram_offset, header.ram_bytes, size_bytes))
		return error_create(ERR_BAD_DATA, "the snapshot is cut short");
	json_t *json =
		json_loadb((const char *)bytes + HEADER_BYTES, header.json_bytes, 0, NULL);
	if (!json_is_object(json)) {
		json_decref(json);
		return error_create(ERR_BAD_DATA, "the snapshot is damaged");
	}
	*ret = header;
	*json_ret = json;
	return NULL;
}

void snapshot_file_close(struct snapshot_file *file)
{
	if (!file)
		return;
	mapping_destroy(file->mapping);
	json_decref(file->json);
	free(file->lists);
	free(file);
}

static struct error *load(struct snapshot_file *file)
{
	TRY(snapshot_parse(mapping_bytes(file->mapping), mapping_size(file->mapping),
			   &file->header, &file->json));
	TRY(spec_from_json(file->json, &file->spec, &file->lists));
	if (file->spec.mem_bytes != file->header.ram_bytes)
		return error_create(ERR_BAD_DATA, "its RAM has not the size of its machine");
	return NULL;
}

struct error *snapshot_file_open(const char *path, struct snapshot_file **ret)
{
	AUTO(own_snapshot_file) struct snapshot_file *file = NULL;
	TRY(error_alloc(1, sizeof(*file), &file));
	TRY(mapping_open(path, &file->mapping));
	TRY(error_wrap(load(file), "%s", path));
	*ret = TAKE(file);
	return NULL;
}

const struct vm_spec *snapshot_file_spec(const struct snapshot_file *file)
{
	return &file->spec;
}

struct error *snapshot_file_fill(const struct snapshot_file *file, int ram_fd)
{
	int fd = mapping_fd(file->mapping);
	uint64_t at = file->header.ram_offset, limit = at + file->header.ram_bytes, start, end;
	while (at < limit && mapping_next_data(file->mapping, at, &start, &end) &&
	       start < limit) {
		off_t from = (off_t)start;
		if (end > limit)
			end = limit;
		if (lseek(ram_fd, (off_t)(start - file->header.ram_offset), SEEK_SET) < 0)
			return error_system(errno, "cannot fill the RAM file");
		while ((uint64_t)from < end) {
			ssize_t sent = sendfile(ram_fd, fd, &from, end - (uint64_t)from);
			if (sent <= 0)
				return error_system(sent ? errno : EIO,
						    "cannot fill the RAM file");
		}
		at = end;
	}
	return NULL;
}

struct error *snapshot_file_state(const struct snapshot_file *file, int *fd_ret)
{
	AUTO(own_fd) int fd = memfd_create("glassbox-state", MFD_CLOEXEC);
	const uint8_t *bytes = mapping_bytes(file->mapping) + file->header.state_offset;
	if (fd < 0 ||
	    write(fd, bytes, file->header.state_bytes) != (ssize_t)file->header.state_bytes)
		return error_system(errno, "cannot make a buffer for the device state");
	*fd_ret = proc_reopen(fd, O_RDONLY);
	return *fd_ret < 0 ? error_system(errno, "cannot reopen the device state") : NULL;
}
