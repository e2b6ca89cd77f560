/* Stock QEMU has no command that forbids migration, but opening an image of some old formats
 * does so. A node for such an image, which no device uses, is invisible to the guest. The
 * image is one of 512 bytes without a name; its descriptor is QEMU's from then on. */
#include "vm/migration.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "plugin/control.h"
#include "vm/plugin_state.h"
#include "vm/proc.h"
#include "vm/qmp.h"
#include "vm/vm.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* QEMU names the node when it refuses; at most 31 characters. */
#define NODE "switch-glassbox-offload-off"

/* A qcow image, version 1, of 512 bytes: big-endian magic, version, no backing file, size,
 * cluster and table bits, no encryption, an empty table at 48. */
static const uint8_t image[512] = {
	'Q', 'F', 'I', 0xfb, [7] = 1, [30] = 2, [32] = 12, [33] = 9, [47] = 48
};

static struct error *find_node(struct qmp *qmp, bool *found_ret)
{
	AUTO(own_json) json_t *nodes = NULL;
	const json_t *node;
	size_t i;
	TRY(qmp_commandf(qmp, &nodes, "query-named-block-nodes", "{s:b}", "flat", 1));
	*found_ret = false;
	json_array_foreach(nodes, i, node)
	{
		const char *name = json_string_value(json_object_get(node, "node-name"));
		*found_ret = *found_ret || (name && !strcmp(name, NODE));
	}
	return NULL;
}

static struct error *make_image(int *fd_ret)
{
	AUTO(own_fd) int fd = memfd_create("glassbox-no-migration", MFD_CLOEXEC);
	if (fd < 0 || write(fd, image, sizeof(image)) != sizeof(image))
		return error_system(errno, "cannot make an image");
	*fd_ret = proc_reopen(fd, O_RDONLY);
	return *fd_ret < 0 ? error_system(errno, "cannot reopen an image") : NULL;
}

static struct error *add_node(struct qmp *qmp)
{
	AUTO(own_fd) int fd = -1;
	char path[64];
	int64_t set;
	TRY(make_image(&fd));
	TRY(qmp_add_fd(qmp, fd, &set));
	snprintf(path, sizeof(path), "/dev/fdset/%lld", (long long)set);
	struct error *err = qmp_commandf(
		qmp, NULL, "blockdev-add", "{s:s, s:s, s:b, s:{s:s, s:s, s:b, s:s}}", "driver",
		"qcow", "node-name", NODE, "read-only", 1, "file", "driver", "file", "filename",
		path, "read-only", 1, "locking", "off");
	/* The node has a copy of the descriptor. */
	error_destroy(
		qmp_commandf(qmp, NULL, "remove-fd", "{s:I}", "fdset-id", (json_int_t)set));
	return err;
}

static struct error *remove_node(struct qmp *qmp)
{
	return qmp_commandf(qmp, NULL, "blockdev-del", "{s:s}", "node-name", NODE);
}

/* QEMU's words for a driver it was built without, or that it may not use. */
static bool lacks_driver(const struct error *err)
{
	static const char *const words[] = { "Unknown driver", "does not accept value 'qcow'",
					     "Invalid parameter 'qcow'", "whitelist" };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strstr(error_message(err), words[i]))
			return true;
	return false;
}

/* Whether QEMU would refuse, and because of our node. */
static struct error *is_refused(struct qmp *qmp, bool *ret)
{
	AUTO(own_json) json_t *answer = NULL;
	const json_t *reason;
	size_t i;
	TRY(qmp_commandf(qmp, &answer, "query-migrate", "{}"));
	*ret = false;
	json_array_foreach(json_object_get(answer, "blocked-reasons"), i, reason)
	{
		const char *text = json_string_value(reason);
		*ret = *ret || (text && strstr(text, NODE));
	}
	return NULL;
}

struct error *migration_refuse(struct qmp *qmp, bool *refuses_ret)
{
	bool found, refuses = false;
	TRY(find_node(qmp, &found));
	if (!found) {
		struct error *err = add_node(qmp);
		if (err && !lacks_driver(err))
			return error_hint(
				error_wrap(err, "QEMU does not let migration be refused"),
				"is this VM being migrated, or started with -only-migratable?");
		found = !err;
		error_destroy(err);
	}
	if (found)
		TRY(is_refused(qmp, &refuses));
	if (found && !refuses)
		TRY(remove_node(qmp));
	*refuses_ret = refuses;
	return NULL;
}

struct error *migration_allow(struct qmp *qmp)
{
	bool found;
	TRY(find_node(qmp, &found));
	return found ? remove_node(qmp) : NULL;
}

struct error *migration_check(struct vm *vm, struct qmp *qmp)
{
	struct gb_control control;
	bool refuses;
	if (!plugin_state_read(vm, &control) || control.request.offload == GB_OFFLOAD_OFF)
		return NULL;
	return migration_refuse(qmp, &refuses);
}
