#include "vm/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "vm/state.h"

/* Users without a name, as systemd's dynamic ones: each VM gets one of its own. */
#define FIRST_UID 61184u
#define N_UIDS 4336u

OWN_DECLARE(own_json, json_t *, json_decref)

enum probe_result { PROBE_USER = 1, PROBE_FILES = 2, PROBE_NETWORK = 4 };

/* Tries in a child what is allowed here, since there is no way to ask. */
static unsigned probe(uid_t uid)
{
	pid_t child = fork();
	if (!child) {
		unsigned can = 0;
		if (!unshare(CLONE_NEWNS) && !mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		    !mount("glassbox", "/tmp", "tmpfs", 0, NULL))
			can |= PROBE_FILES;
		if (!unshare(CLONE_NEWNET))
			can |= PROBE_NETWORK;
		if (!geteuid() && !setgroups(0, NULL) && !setresgid(uid, uid, uid) &&
		    !setresuid(uid, uid, uid))
			can |= PROBE_USER;
		_exit((int)can);
	}
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 0;
	return (unsigned)WEXITSTATUS(status);
}

static bool uid_in_use(uid_t uid, const json_t *names)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		AUTO(own_json) json_t *document = NULL;
		struct error *err =
			state_read(json_string_value(json_array_get(names, i)), &document);
		error_destroy(err);
		json_int_t other = json_integer_value(
			json_object_get(json_object_get(document, "isolation"), "uid"));
		if (other == uid)
			return true;
	}
	return false;
}

static uid_t choose_uid(const char *name)
{
	AUTO(own_json) json_t *names = NULL;
	unsigned hash = 5381;
	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	error_destroy(state_names(&names));
	for (unsigned i = 0; i < N_UIDS; i++) {
		uid_t uid = FIRST_UID + (hash + i) % N_UIDS;
		if (!uid_in_use(uid, names))
			return uid;
	}
	return FIRST_UID;
}

struct error *isolation_prepare(const struct vm_spec *spec, bool needs_kvm,
				struct isolation *ret)
{
	struct stat kvm;
	*ret = (struct isolation){ .enabled = spec->isolation != VM_ISOLATION_NONE };
	if (!ret->enabled)
		return NULL;
	ret->uid = choose_uid(spec->name);
	unsigned can = probe(ret->uid);
	/* Another user without another view of the files could not reach a QEMU, a kernel or a
	 * disk in somebody's home. */
	ret->own_files = can & PROBE_FILES;
	ret->own_user = (can & PROBE_USER) && ret->own_files;
	ret->own_network =
		(can & PROBE_NETWORK) && !spec->net && !(spec->forwards && *spec->forwards);
	if (needs_kvm && !stat("/dev/kvm", &kvm))
		ret->kvm_gid = kvm.st_gid;
	quota_prepare(spec, &ret->limits);
	return NULL;
}

void isolation_deinit(struct isolation *isolation)
{
	view_deinit(&isolation->view);
	quota_deinit(&isolation->limits);
}

void isolation_need(struct isolation *isolation, const char *path)
{
	struct stat info;
	if (path && !stat(path, &info) && !(info.st_mode & S_IROTH))
		isolation->own_user = false;
}

struct error *isolation_give(const struct isolation *isolation, int fd)
{
	if (isolation->own_user && fchown(fd, isolation->uid, isolation->uid))
		return error_system(errno, "cannot give a file to QEMU's user");
	return NULL;
}

json_t *isolation_report(const struct isolation *isolation)
{
	return json_pack("{s:b, s:b, s:o, s:b, s:b, s:s}", "seccomp", isolation->enabled,
			 "no_new_privs", isolation->enabled, "uid",
			 isolation->own_user ? json_integer(isolation->uid) : json_null(),
			 "own_files", isolation->own_files, "own_network",
			 isolation->own_network, "limits", quota_name(&isolation->limits));
}

_Noreturn static void give_up(const char *what)
{
	fprintf(stderr, "glassbox: cannot isolate QEMU: %s: %s\n", what, strerror(errno));
	_exit(126);
}

static void become_user(const struct isolation *isolation)
{
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	gid_t groups[] = { isolation->kvm_gid };
	if (setgroups(isolation->kvm_gid ? 1 : 0, groups) ||
	    setresgid(isolation->uid, isolation->uid, isolation->uid) ||
	    setresuid(isolation->uid, isolation->uid, isolation->uid))
		give_up("its own user");
}

void isolation_enter(const struct isolation *isolation)
{
	quota_enter(&isolation->limits);
	if (!isolation->enabled)
		return;
	int spaces = (isolation->own_files ? CLONE_NEWNS : 0) |
		     (isolation->own_network ? CLONE_NEWNET | CLONE_NEWIPC : 0);
	if (spaces && unshare(spaces))
		give_up("namespaces");
	const char *failed = isolation->own_files ? view_enter(&isolation->view) : NULL;
	if (failed)
		give_up(failed);
	if (isolation->own_user)
		become_user(isolation);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		give_up("no new privileges");
}

void isolation_leave(const struct isolation *isolation)
{
	quota_leave(&isolation->limits);
}
