/* How a foreign QEMU's memory is reached. Its command line says which backends RAM is made of;
 * /proc/PID/maps says where each is mapped; then, per backend:
 *  1. a shared file that can be opened: mapped here, as fast as our own;
 *  2. a memfd: opened through /proc/PID/fd and mapped here;
 *  3. private memory: read through the process, one system call per read.
 * Which guest address is which byte: QEMU's monitor is asked when its socket is known, else the
 * rules of its machine type apply, and `status` says which of the two it was. */
#include "vm/foreign.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "vm/internal.h"
#include "vm/layout.h"
#include "vm/mapping.h"
#include "vm/proc.h"
#include "vm/qemu_cmdline.h"
#include "vm/qmp.h"
#include "vm/ram.h"
#include "vm/state.h"

OWN_DECLARE(own_json, json_t *, json_decref)

#define CMDLINE_LIMIT (1u << 20)
#define QMP_TIMEOUT_MS 1000

static void own_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Where one backend is. */
struct place {
	char id[64];
	uint64_t size_bytes;
	uint64_t hva; /* in QEMU */
	uint64_t file_offset;
	struct mapping *mapping; /* NULL: through the process */
	bool is_memfd;
};

struct foreign {
	pid_t pid;
	struct qemu_cmdline cmdline;
	VEC(struct place) places;
	struct layout layout;
	const char *layout_source;
	bool qmp_works;
};

static void foreign_deinit(struct foreign *foreign)
{
	for (size_t i = 0; i < foreign->places.count; i++)
		mapping_destroy(foreign->places.items[i].mapping);
	VEC_FREE(&foreign->places);
	layout_deinit(&foreign->layout);
	qemu_cmdline_deinit(&foreign->cmdline);
}

static struct error *read_cmdline(pid_t pid, char **text_ret, size_t *length_ret)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	return proc_read_file(path, CMDLINE_LIMIT, text_ret, length_ret);
}

/* One line of /proc/PID/maps. */
struct region {
	uint64_t start, end, offset, inode;
	char perms[5];
	char path[512];
};

static bool parse_region(const char *line, struct region *ret)
{
	int at = 0;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n",
		   &ret->start, &ret->end, ret->perms, &ret->offset, &ret->inode, &at) != 5)
		return false;
	snprintf(ret->path, sizeof(ret->path), "%s", at ? line + at : "");
	ret->path[strcspn(ret->path, "\n")] = 0;
	return true;
}

/* True if a region can be this backend's, counting only what the kernel shows. */
static bool region_fits(const struct region *region, const struct cmdline_backend *backend)
{
	uint64_t size = region->end - region->start;
	if (size < backend->size_bytes || region->perms[0] != 'r' || region->perms[1] != 'w')
		return false;
	if (backend->kind == BACKEND_MEMFD)
		return !strncmp(region->path, "/memfd:", 7) && size == backend->size_bytes;
	if (backend->kind == BACKEND_FILE) {
		size_t length = strlen(backend->path);
		/* A folder as mem-path: QEMU makes a file in it and removes its name. */
		return length && !strncmp(region->path, backend->path, length);
	}
	return !region->inode && (!region->path[0] || !strncmp(region->path, "[anon", 5)) &&
	       size - backend->size_bytes < 1u << 21;
}

static bool is_taken(const struct foreign *foreign, uint64_t hva)
{
	for (size_t i = 0; i < foreign->places.count; i++)
		if (foreign->places.items[i].hva == hva)
			return true;
	return false;
}

static struct error *find_region(const struct foreign *foreign,
				 const struct cmdline_backend *backend, struct region *ret)
{
	char path[64], line[1024];
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)foreign->pid);
	AUTO(own_file) FILE *maps = fopen(path, "re");
	if (!maps)
		return error_hint(error_system(errno, "cannot open %s", path),
				  "run glassbox as the user of that QEMU, or as root");
	while (fgets(line, sizeof(line), maps)) {
		struct region region;
		if (parse_region(line, &region) && region_fits(&region, backend) &&
		    !is_taken(foreign, region.start)) {
			*ret = region;
			return NULL;
		}
	}
	return error_create(ERR_NOT_FOUND, "the memory backend %s is not found in process %d",
			    backend->id[0] ? backend->id : "of the machine", (int)foreign->pid);
}

/* Opens path read-only if it is the very file with this inode. */
static int open_inode(const char *path, uint64_t inode)
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, &info) || info.st_ino != inode)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* The file behind a region: by its name, or through the descriptor QEMU keeps. */
static int open_region(pid_t pid, const struct region *region)
{
	char path[320];
	int fd = region->path[0] == '/' ? open_inode(region->path, region->inode) : -1;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	AUTO(own_dir) DIR *dir = fd < 0 ? opendir(path) : NULL;
	for (struct dirent *entry; dir && fd < 0 && (entry = readdir(dir));) {
		struct stat info;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
		if (isdigit((unsigned char)entry->d_name[0]) && !stat(path, &info) &&
		    info.st_ino == region->inode && S_ISREG(info.st_mode))
			fd = open_inode(path, region->inode);
	}
	if (fd < 0) {
		snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
			 (int)pid, region->start, region->end);
		fd = open_inode(path, region->inode);
	}
	return fd;
}

/* A private mapping of a file hides what the guest wrote; then only the process will do. */
static struct error *add_place(struct foreign *foreign, const struct cmdline_backend *backend)
{
	struct region region;
	TRY(find_region(foreign, backend, &region));
	struct place place = { .size_bytes = backend->size_bytes,
			       .hva = region.start,
			       .file_offset = region.offset,
			       .is_memfd = backend->kind == BACKEND_MEMFD };
	memcpy(place.id, backend->id, sizeof(place.id));
	if (backend->kind == BACKEND_RAM && region.end - region.start > backend->size_bytes)
		/* Kernels of today align big anonymous memory at its start. */
		place.hva = region.start;
	bool shared = region.perms[3] == 's' && region.inode;
	int fd = shared ? open_region(foreign->pid, &region) : -1;
	if (fd >= 0)
		error_destroy(mapping_create(fd, region.path, &place.mapping));
	if (!VEC_PUSH(&foreign->places, place)) {
		mapping_destroy(place.mapping);
		return error_create(ERR_MEMORY, "no memory for a backend");
	}
	return NULL;
}

static struct error *find_places(struct foreign *foreign)
{
	const struct qemu_cmdline *cmdline = &foreign->cmdline;
	for (size_t i = 0; i < cmdline->backends.count; i++)
		TRY(add_place(foreign, &cmdline->backends.items[i]));
	if (cmdline->ram.count)
		return NULL;
	struct cmdline_backend machine_ram = { .kind = BACKEND_RAM,
					       .size_bytes = cmdline->mem_bytes };
	return add_place(foreign, &machine_ram);
}

/* Asks QEMU; anything that goes wrong means: not by this way. */
static void layout_by_qmp(struct foreign *foreign)
{
	struct qmp *qmp = NULL;
	if (!foreign->cmdline.qmp_path[0])
		return;
	struct error *err = qmp_connect(foreign->cmdline.qmp_path, QMP_TIMEOUT_MS, &qmp);
	if (!err) {
		foreign->qmp_works = true;
		err = layout_query(qmp, &foreign->layout);
	}
	if (err)
		foreign->layout.ranges.count = 0;
	else
		foreign->layout_source = "QEMU's monitor";
	error_destroy(err);
	qmp_close(qmp);
}

static struct error *add_range(struct foreign *foreign, uint64_t gpa, uint64_t size_bytes,
			       uint64_t offset, const char *backend)
{
	struct layout_range range = { .gpa = gpa, .size_bytes = size_bytes, .offset = offset };
	snprintf(range.backend, sizeof(range.backend), "%s", backend);
	return VEC_PUSH(&foreign->layout.ranges, range)
		       ? NULL
		       : error_create(ERR_MEMORY, "no memory for a layout");
}

/* Backends one after the other make up the machine's RAM; what does not fit below the PCI hole
 * continues at 4 GiB. */
static struct error *layout_by_rule(struct foreign *foreign)
{
	const struct qemu_cmdline *cmdline = &foreign->cmdline;
	uint64_t below = qemu_cmdline_below_4g(cmdline), at = 0;
	size_t n = cmdline->ram.count ? cmdline->ram.count : 1;
	foreign->layout_source = "the rules of its machine type";
	for (size_t i = 0; i < n; i++) {
		size_t index = cmdline->ram.count ? cmdline->ram.items[i] : 0;
		const struct place *place = &foreign->places.items[index];
		uint64_t size = place->size_bytes;
		uint64_t low = at >= below ? 0 : below - at < size ? below - at : size;
		if (low)
			TRY(add_range(foreign, at, low, 0, place->id));
		if (size > low)
			TRY(add_range(foreign, (4ull << 30) + (at + low - below), size - low,
				      low, place->id));
		at += size;
	}
	return NULL;
}

/* The backend that a layout's name means. Machine RAM without a backend has a name of its own.
 */
static const struct place *place_of(const struct foreign *foreign, const char *name)
{
	for (size_t i = 0; i < foreign->places.count; i++)
		if (!strcmp(foreign->places.items[i].id, name))
			return &foreign->places.items[i];
	for (size_t i = 0; i < foreign->places.count; i++)
		if (!foreign->places.items[i].id[0])
			return &foreign->places.items[i];
	return NULL;
}

static struct error *make_piece(const struct foreign *foreign, const struct layout_range *range,
				struct ram_piece *ret)
{
	const struct place *place = place_of(foreign, range->backend);
	if (!place || range->offset > place->size_bytes ||
	    range->size_bytes > place->size_bytes - range->offset)
		return error_create(ERR_BAD_DATA,
				    "QEMU's memory map and its backends disagree");
	*ret = (struct ram_piece){ .gpa = range->gpa, .size_bytes = range->size_bytes };
	if (place->mapping) {
		ret->source = RAM_MAPPED;
		ret->offset = place->file_offset + range->offset;
		ret->which = (unsigned)(place - foreign->places.items);
	} else {
		ret->source = RAM_PROCESS;
		ret->offset = place->hva + range->offset;
	}
	return NULL;
}

/* Mapped backends come first in the array of mappings, at the place's own number when it has
 * a mapping: numbers are made dense here. */
static struct error *make_memory(struct foreign *foreign, struct vm *vm)
{
	AUTO(own_free) struct ram_piece *pieces = NULL;
	AUTO(own_free) struct mapping **mappings = NULL;
	AUTO(own_free) unsigned *dense = NULL;
	size_t n_pieces = foreign->layout.ranges.count, n_mappings = 0;
	TRY(error_alloc(n_pieces, sizeof(*pieces), &pieces));
	TRY(error_alloc(foreign->places.count, sizeof(*mappings), &mappings));
	TRY(error_alloc(foreign->places.count, sizeof(*dense), &dense));
	for (size_t i = 0; i < foreign->places.count; i++) {
		dense[i] = (unsigned)n_mappings;
		if (foreign->places.items[i].mapping)
			mappings[n_mappings++] = foreign->places.items[i].mapping;
	}
	for (size_t i = 0; i < n_pieces; i++) {
		TRY(make_piece(foreign, &foreign->layout.ranges.items[i], &pieces[i]));
		if (pieces[i].source == RAM_MAPPED)
			pieces[i].which = dense[pieces[i].which];
	}
	TRY(ram_create(&(struct ram_params){ .pieces = pieces,
					     .n_pieces = n_pieces,
					     .mappings = mappings,
					     .n_mappings = n_mappings,
					     .pid = foreign->pid,
					     .is_live = true,
					     .owner_alive = vm_owner_alive,
					     .owner_user = vm },
		       &vm->memory));
	for (size_t i = 0; i < foreign->places.count; i++)
		foreign->places.items[i].mapping = NULL; /* the memory owns them now */
	return NULL;
}

static const char *access_name(const struct foreign *foreign)
{
	bool memfd = false, file = false;
	for (size_t i = 0; i < foreign->places.count; i++) {
		const struct place *place = &foreign->places.items[i];
		if (!place->mapping)
			return "process (slower: a system call per read)";
		memfd = memfd || place->is_memfd;
		file = file || !place->is_memfd;
	}
	return memfd && file ? "shared file and memfd" : memfd ? "memfd" : "shared file";
}

static json_t *describe(pid_t pid, const struct qemu_cmdline *cmdline)
{
	char name[80];
	if (cmdline->name[0])
		snprintf(name, sizeof(name), "%s", cmdline->name);
	else
		snprintf(name, sizeof(name), "qemu-%d", (int)pid);
	return json_pack("{s:s, s:i, s:s, s:I, s:i, s:s, s:s, s:b}", "name", name, "pid",
			 (int)pid, "state", "unknown", "mem_bytes",
			 (json_int_t)cmdline->mem_bytes, "cpus", (int)cmdline->cpus, "accel",
			 cmdline->accel, "machine", cmdline->machine, "ours", 0);
}

static struct error *fill_vm(struct foreign *foreign, struct vm *vm)
{
	vm->document = describe(foreign->pid, &foreign->cmdline);
	if (!vm->document)
		return error_create(ERR_MEMORY, "no memory for a description");
	vm->name = strdup(json_string_value(json_object_get(vm->document, "name")));
	if (foreign->qmp_works)
		vm->qmp_path = strdup(foreign->cmdline.qmp_path);
	vm->access = access_name(foreign);
	json_object_set_new(vm->document, "layout_source", json_string(foreign->layout_source));
	json_object_set_new(vm->document, "qmp", json_boolean(foreign->qmp_works));
	TRY(make_memory(foreign, vm));
	return foreign_refresh(vm);
}

struct error *foreign_open(pid_t pid, struct vm *vm)
{
	AUTO(own_free) char *words = NULL;
	size_t length = 0;
	vm->pid = pid;
	vm->start_time = proc_start_time(pid);
	struct error *err = read_cmdline(pid, &words, &length);
	bool is_qemu = !err && qemu_cmdline_is_qemu(words, length);
	error_destroy(err);
	if (!is_qemu || !vm->start_time)
		return error_hint(
			error_create(ERR_NOT_FOUND, "process %d is not a QEMU", (int)pid),
			"`glassbox ls` lists them");
	AUTO(foreign_deinit) struct foreign foreign = { .pid = pid };
	err = qemu_cmdline_parse(words, length, &foreign.cmdline);
	if (!err)
		err = find_places(&foreign);
	if (!err) {
		layout_by_qmp(&foreign);
		if (!foreign.layout.ranges.count)
			err = layout_by_rule(&foreign);
	}
	if (!err)
		err = fill_vm(&foreign, vm);
	return error_wrap(err, "QEMU %d", (int)pid);
}

struct error *foreign_refresh(struct vm *vm)
{
	AUTO(own_qmp) struct qmp *qmp = NULL;
	AUTO(own_json) json_t *answer = NULL;
	if (!vm->qmp_path)
		return NULL;
	struct error *err = qmp_connect(vm->qmp_path, QMP_TIMEOUT_MS, &qmp);
	if (!err)
		err = qmp_command(qmp, "query-status", NULL, QMP_TIMEOUT_MS, &answer);
	const char *state = json_string_value(json_object_get(answer, "status"));
	if (!err && state)
		json_object_set_new(vm->document, "state", json_string(state));
	error_destroy(err);
	return NULL;
}

static bool is_listed(const json_t *list, pid_t pid)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_integer_value(json_object_get(json_array_get(list, i), "pid")) == pid)
			return true;
	return false;
}

static void list_process(json_t *list, pid_t pid)
{
	AUTO(own_free) char *words = NULL;
	size_t length = 0;
	struct qemu_cmdline cmdline = { 0 };
	struct error *err = read_cmdline(pid, &words, &length);
	if (!err && qemu_cmdline_is_qemu(words, length) && proc_start_time(pid)) {
		err = qemu_cmdline_parse(words, length, &cmdline);
		if (!err)
			json_array_append_new(list, describe(pid, &cmdline));
		qemu_cmdline_deinit(&cmdline);
	}
	error_destroy(err);
}

struct error *foreign_list(json_t *list)
{
	AUTO(own_dir) DIR *dir = opendir("/proc");
	if (!dir)
		return error_system(errno, "cannot list /proc");
	for (struct dirent *entry; (entry = readdir(dir));) {
		pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
		if (pid && !is_listed(list, pid))
			list_process(list, pid);
	}
	return NULL;
}

pid_t foreign_find(const char *name)
{
	AUTO(own_json) json_t *list = json_array();
	error_destroy(foreign_list(list));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		if (!strcmp(json_string_value(json_object_get(entry, "name")), name))
			return (pid_t)json_integer_value(json_object_get(entry, "pid"));
	}
	return 0;
}
