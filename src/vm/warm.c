#include "vm/warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/cache_path.h"
#include "base/error.h"
#include "vm/qemu.h"
#include "vm/snapshot_file.h"
#include "vm/spec_json.h"
#include "vm/start.h"
#include "vm/vm.h"

OWN_DECLARE(own_json, json_t *, json_decref)

#define KEPT 8u
#define BOOT_TIMEOUT_MS 120000
/* From its ready line to a shell that waits for input. */
#define SETTLE_MS 400
#define SUFFIX ".gbs"

/* Everything that a copy depends on, as a file name. */
static struct error *key_of(const struct vm_spec *spec, char ret[static 33])
{
	struct qemu_binary qemu = { 0 };
	AUTO(own_json) json_t *key = NULL;
	TRY(spec_to_json(spec, &key));
	TRY(qemu_find(spec->is_i386, spec->learn || spec->offload, &qemu));
	json_object_set_new(
		key, "qemu",
		json_sprintf("%s %d.%d.%d", qemu.path, qemu.major, qemu.minor, qemu.micro));
	json_object_set_new(key, "program", spec_file_stamp(qemu.path));
	qemu_binary_deinit(&qemu);
	json_object_set_new(key, "learn", json_boolean(spec->learn));
	AUTO(own_free) char *text = json_dumps(key, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return error_create(ERR_MEMORY, "no memory for a name");
	XXH128_hash_t hash = XXH3_128bits(text, strlen(text));
	snprintf(ret, 33, "%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
	return NULL;
}

static struct error *await_up(struct vm_start *start)
{
	for (;;) {
		enum vm_news news = vm_start_poll(start, BOOT_TIMEOUT_MS);
		if (news == VM_NEWS_READY)
			break;
		if (news != VM_NEWS_FIRST_LINE)
			return error_create(ERR_PEER, "the guest to be copied does not start");
	}
	poll(NULL, 0, SETTLE_MS);
	return NULL;
}

/* Boots a guest of its own for it, which ends with us whatever happens. */
static struct error *make_copy(const struct vm_spec *spec, const char *path)
{
	AUTO(own_vm_start) struct vm_start *start = NULL;
	AUTO(own_vm) struct vm *vm = NULL;
	struct snapshot_stats stats;
	struct vm_spec hidden = *spec;
	char name[32];
	const char *how;
	snprintf(name, sizeof(name), "warm-%d", (int)getpid());
	hidden.name = name;
	TRY(vm_start(&hidden, &start));
	TRY(await_up(start));
	TRY(vm_open(name, &vm));
	TRY(snapshot_save(vm, path, &stats));
	return vm_stop(vm, 0, &how);
}

struct entry {
	char name[64];
	struct timespec used;
};

static int newest_first(const void *a, const void *b)
{
	const struct timespec *left = &((const struct entry *)a)->used;
	const struct timespec *right = &((const struct entry *)b)->used;
	if (left->tv_sec != right->tv_sec)
		return left->tv_sec < right->tv_sec ? 1 : -1;
	return left->tv_nsec < right->tv_nsec ? 1 : left->tv_nsec > right->tv_nsec ? -1 : 0;
}

static void own_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Keeps the copies that were used last. */
static void prune(const char *folder)
{
	struct entry entries[256];
	size_t count = 0;
	AUTO(own_dir) DIR *dir = opendir(folder);
	for (struct dirent *at; dir && count < 256 && (at = readdir(dir));) {
		struct entry *entry = &entries[count];
		struct stat info;
		size_t length = strlen(at->d_name);
		if (length != 32 + strlen(SUFFIX) || strcmp(at->d_name + 32, SUFFIX) ||
		    fstatat(dirfd(dir), at->d_name, &info, AT_SYMLINK_NOFOLLOW))
			continue;
		memcpy(entry->name, at->d_name, length + 1);
		entry->used = info.st_mtim;
		count++;
	}
	qsort(entries, count, sizeof(*entries), newest_first);
	for (size_t i = KEPT; i < count; i++)
		unlinkat(dirfd(dir), entries[i].name, 0);
}

static struct error *find_or_make(const struct vm_spec *spec, char **path_ret)
{
	AUTO(own_free) char *folder = NULL;
	AUTO(own_free) char *path = NULL;
	char key[33];
	TRY(cache_folder("warm", &folder));
	TRY(key_of(spec, key));
	if (asprintf(&path, "%s/%s" SUFFIX, folder, key) < 0) {
		path = NULL;
		return error_create(ERR_MEMORY, "no memory for a path");
	}
	if (access(path, R_OK)) {
		TRY(make_copy(spec, path));
		prune(folder);
	}
	utimensat(AT_FDCWD, path, NULL, 0);
	*path_ret = TAKE(path);
	return NULL;
}

static struct error *check(const struct vm_spec *spec)
{
	bool has_more = (spec->disks && *spec->disks) || spec->iso || spec->uefi || spec->net ||
			(spec->forwards && *spec->forwards) ||
			(spec->qemu_args && *spec->qemu_args);
	if (spec->profile && spec->ready_text && !spec->restore && !has_more)
		return NULL;
	return error_hint(error_create(ERR_USAGE,
				       "--warm starts a demo guest without disks, network or "
				       "options of QEMU's"),
			  "`glassbox snapshot` and `restore` do the same for others");
}

struct error *warm_start(const struct vm_spec *spec, struct vm_start **ret)
{
	AUTO(own_free) char *path = NULL;
	TRY(check(spec));
	struct vm_spec made_of = *spec;
	made_of.cpu_percent = 0; /* a limit is for the guest, not for its copy's boot */
	TRY(find_or_make(&made_of, &path));
	struct vm_spec copy = *spec;
	copy.restore = path; /* its kernel stays named: a reset boots it */
	struct error *err = vm_start(&copy, ret);
	if (!error_catch(&err, ERR_BAD_DATA) && !error_catch(&err, ERR_PEER))
		return err;
	unlink(path);
	return vm_start(spec, ret);
}
