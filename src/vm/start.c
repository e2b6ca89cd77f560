#include "vm/start.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/error.h"
#include "plugin/pixel.h"
#include "vm/command.h"
#include "vm/images.h"
#include "vm/isolation.h"
#include "vm/keeper.h"
#include "vm/proc.h"
#include "vm/plugin_args.h"
#include "vm/qemu.h"
#include "vm/snapshot_file.h"
#include "vm/spec_json.h"
#include "vm/state.h"

OWN_DECLARE(own_json, json_t *, json_decref)

#define LINE_LIMIT 8192u

struct vm_start {
	char *name, *reason;
	int fd;
	pid_t pid;
	bool is_restored;
	enum qemu_accel accel;
	const char *accel_why;
	double boot_ms, ready_ms;
	char line[LINE_LIMIT];
	size_t line_length;
};

void vm_start_destroy(struct vm_start *start)
{
	if (!start)
		return;
	if (start->fd >= 0)
		close(start->fd);
	free(start->name);
	free(start->reason);
	free(start);
}

void vm_start_detach(struct vm_start *start)
{
	ssize_t sent = send(start->fd, "d", 1, MSG_NOSIGNAL);
	(void)sent;
}

/* Everything that is opened for the keeper and closed here once it is forked. */
struct parts {
	/* The first seven lie one after the other: see parts_deinit. */
	int lock_fd, ram_fd, qmp_fd, console_fd, log_fd, qemu_log_fd;
	int state_fd; /* device state to start from, or -1 */
	int events_fd[2], serial_fd[2], owner_fd[2];
	struct command command;
	struct qemu_binary qemu;
	struct isolation isolation;
	struct images images;
	json_t *document;
};

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void parts_deinit(struct parts *parts)
{
	close_all(&parts->lock_fd, 7);
	close_all(parts->events_fd, 2);
	close_all(parts->serial_fd, 2);
	close_all(parts->owner_fd, 2);
	command_deinit(&parts->command);
	qemu_binary_deinit(&parts->qemu);
	isolation_deinit(&parts->isolation);
	images_deinit(&parts->images);
	json_decref(parts->document);
}

static struct error *need_file(const char *path, const char *what)
{
	struct stat info;
	if (!path)
		return NULL;
	if (stat(path, &info))
		return error_system(errno, "%s %s", what, path);
	if (S_ISDIR(info.st_mode))
		return error_create(ERR_BAD_DATA, "%s %s is a folder", what, path);
	if (access(path, R_OK))
		return error_system(errno, "%s %s", what, path);
	return NULL;
}

static struct error *check_files(const struct vm_spec *spec)
{
	TRY(need_file(spec->kernel, "kernel"));
	TRY(need_file(spec->initrd, "initrd"));
	TRY(need_file(spec->iso, "ISO image"));
	TRY(need_file(spec->restore, "snapshot"));
	for (const char *const *disk = spec->disks; disk && *disk; disk++)
		TRY(need_file(*disk, "disk image"));
	return NULL;
}

static struct error *listen_at(const char *name, const char *file, int *fd_ret)
{
	AUTO(own_free) char *path = NULL;
	TRY(state_path(name, file, &path));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return error_hint(
			error_create(ERR_LIMIT, "the socket path %s is too long", path),
			"a shorter name or XDG_RUNTIME_DIR");
	memcpy(address.sun_path, path, strlen(path));
	unlink(path);
	AUTO(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		return error_system(errno, "cannot listen at %s", path);
	chmod(path, 0600);
	*fd_ret = own_fd_take(&fd);
	return NULL;
}

static struct error *open_log(const char *name, const char *file, int *fd_ret)
{
	AUTO(own_free) char *path = NULL;
	TRY(state_path(name, file, &path));
	*fd_ret = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	return *fd_ret < 0 ? error_system(errno, "cannot write %s", path) : NULL;
}

static struct error *make_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return error_system(errno, "cannot make a socket pair");
	return NULL;
}

static struct error *open_channels(const char *name, struct parts *parts)
{
	TRY(listen_at(name, "qmp.sock", &parts->qmp_fd));
	TRY(listen_at(name, "console.sock", &parts->console_fd));
	TRY(open_log(name, "serial.log", &parts->log_fd));
	TRY(open_log(name, "qemu.log", &parts->qemu_log_fd));
	TRY(make_pair(parts->events_fd));
	TRY(make_pair(parts->serial_fd));
	return make_pair(parts->owner_fd);
}

/* Host's counter rate in kHz, measured; 0 without one. */
static unsigned measure_tsc_khz(void)
{
#ifdef __x86_64__
	uint64_t start_ns = clock_now_ns(), start = __builtin_ia32_rdtsc();
	struct timespec pause = { .tv_nsec = 4000000 };
	nanosleep(&pause, NULL);
	uint64_t end = __builtin_ia32_rdtsc(), ns = clock_now_ns() - start_ns;
	return ns ? (unsigned)((end - start) * 1000000 / ns) : 0;
#else
	return 0;
#endif
}

static struct error *choose_accel(const struct vm_spec *spec, struct vm_start *start)
{
	bool wants_kvm = spec->accel && !strcmp(spec->accel, "kvm");
	start->accel = QEMU_ACCEL_TCG;
	start->accel_why = "asked for";
	if (spec->learn || spec->offload) {
		start->accel_why = "learning watches translated code";
		return wants_kvm ? error_create(ERR_USAGE, "--learn needs --accel tcg") : NULL;
	}
	if (spec->accel && !strcmp(spec->accel, "tcg"))
		return NULL;
	start->accel = qemu_accel_auto(&start->accel_why);
	if (wants_kvm && start->accel != QEMU_ACCEL_KVM)
		return error_hint(error_create(ERR_UNSUPPORTED, "KVM does not work here: %s",
					       start->accel_why),
				  "--accel auto falls back to TCG");
	return NULL;
}

static json_t *string_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static struct error *describe(const struct vm_spec *spec, const struct vm_start *start,
			      struct parts *parts, const char *ram_path)
{
	char version[48];
	snprintf(version, sizeof(version), "%d.%d.%d", parts->qemu.major, parts->qemu.minor,
		 parts->qemu.micro);
	TRY(isolation_prepare(spec, start->accel == QEMU_ACCEL_KVM, &parts->isolation));
	isolation_need(&parts->isolation, spec->kernel);
	isolation_need(&parts->isolation, spec->initrd);
	parts->document = json_pack(
		"{s:s, s:s, s:I, s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:o, s:b, s:b}",
		"name", start->name, "state", "starting", "mem_bytes",
		(json_int_t)spec->mem_bytes, "cpus", (int)spec->cpus, "accel",
		vm_start_accel(start), "accel_why", start->accel_why, "machine",
		command_machine(spec), "qemu", parts->qemu.path, "qemu_version", version,
		"created", (json_int_t)time(NULL), "ram", ram_path, "i386", spec->is_i386,
		"isolation", isolation_report(&parts->isolation), "no_powerdown",
		spec->no_powerdown, "screen", spec->screen);
	if (!parts->document)
		return error_create(ERR_MEMORY, "no memory for a description");
	json_t *kept = NULL;
	TRY(spec_to_json(spec, &kept));
	json_object_set_new(parts->document, "spec", kept);
	json_object_set_new(parts->document, "profile", string_or_null(spec->profile));
	json_object_set_new(parts->document, "kernel", string_or_null(spec->kernel));
	return NULL;
}

/* RAM and device state out of a snapshot. */
static struct error *restore_parts(const struct vm_spec *spec, struct parts *parts)
{
	AUTO(own_snapshot_file) struct snapshot_file *file = NULL;
	if (!spec->restore)
		return NULL;
	TRY(snapshot_file_open(spec->restore, &file));
	TRY(snapshot_file_fill(file, parts->ram_fd));
	return snapshot_file_state(file, &parts->state_fd);
}

/* Value of -plugin, or NULL: not under KVM, not for i386, not for a QEMU without one. Loaded
 * without being asked for too: while it watches nothing it costs next to nothing, and it arms
 * the tracking of written pages. */
static struct error *plugin_option(const struct vm_spec *spec, const struct vm_start *start,
				   const struct parts *parts, const char *ram_path, char **ret)
{
	if (spec->no_plugin || start->accel != QEMU_ACCEL_TCG || spec->is_i386)
		return spec->learn ? error_create(ERR_UNSUPPORTED,
						  "the plugin does not fit this machine")
				   : NULL;
	struct error *err = plugin_args(&parts->qemu, spec->name, ram_path, ret);
	if (err && !spec->learn) {
		error_destroy(err);
		return NULL;
	}
	return err;
}

/* Files for the plugin in /dev/shm, where QEMU's user may not make any: it finds them there.
 * The Pixel CPU's takes no memory before it is used. */
static struct error *make_shared_file(const struct isolation *isolation, const char *path,
				      uint64_t bytes)
{
	AUTO(own_fd)
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		return error_system(errno, "cannot make %s", path);
	return isolation_give(isolation, fd);
}

/* Everything that QEMU has to see once it has its own files. */
static struct error *fill_view(const struct vm_spec *spec, struct parts *parts,
			       const char *ram_path, const char *plugin)
{
	struct view *view = &parts->isolation.view;
	AUTO(own_free) char *folder = NULL;
	AUTO(own_free) char *trace = NULL;
	AUTO(own_free) char *pixel = NULL;
	TRY(state_path(spec->name, NULL, &folder));
	TRY(state_shm_path(spec->name, "trace", &trace));
	TRY(state_shm_path(spec->name, "pixel", &pixel));
	TRY(isolation_give(&parts->isolation, parts->ram_fd));
	if (plugin) {
		TRY(make_shared_file(&parts->isolation, trace, 0));
		TRY(make_shared_file(&parts->isolation, pixel, GB_PIXEL_FILE_BYTES));
	}
	if (!parts->isolation.own_files)
		return NULL;
	TRY(view_init(view, folder));
	TRY(view_add_program(view, parts->qemu.path));
	TRY(view_add(view, ram_path, true));
	TRY(view_add(view, trace, true));
	TRY(view_add(view, pixel, true));
	for (size_t i = 1; i < parts->command.words.count && parts->command.words.items[i]; i++)
		TRY(view_add_word(view, parts->command.words.items[i]));
	return NULL;
}

static struct error *prepare(const struct vm_spec *spec, struct vm_start *start,
			     struct parts *parts)
{
	AUTO(own_free) char *ram_path = NULL;
	AUTO(own_free) char *plugin = NULL;
	TRY(check_files(spec));
	TRY(images_open(spec, &parts->images));
	TRY(choose_accel(spec, start));
	TRY(qemu_find(spec->is_i386, spec->learn || spec->offload, &parts->qemu));
	TRY(state_shm_path(start->name, "ram", &ram_path));
	TRY(describe(spec, start, parts, ram_path));
	TRY(state_ram_create(start->name, spec->mem_bytes, &parts->ram_fd));
	TRY(restore_parts(spec, parts));
	TRY(open_channels(start->name, parts));
	TRY(plugin_option(spec, start, parts, ram_path, &plugin));
	json_object_set_new(parts->document, "plugin", json_boolean(plugin != NULL));
	TRY(command_build(
		&(struct command_params){
			.spec = spec,
			.qemu = &parts->qemu,
			.accel = start->accel,
			.ram_path = ram_path,
			.plugin = plugin,
			.tsc_khz = spec->profile ? measure_tsc_khz() : 0,
			.sandbox = spec->isolation != VM_ISOLATION_NONE,
			.qmp_fd = parts->qmp_fd,
			.events_fd = parts->events_fd[1],
			.serial_fd = parts->serial_fd[1],
			.uefi_code = parts->images.uefi_code,
			.images = parts->images.items,
			.n_images = parts->images.count,
		},
		&parts->command));
	return fill_view(spec, parts, ram_path, plugin);
}

/* The keeper is nobody's child: whoever starts a VM need not wait for its end. */
static struct error *fork_keeper(const struct vm_spec *spec, struct parts *parts)
{
	struct keeper_params params = {
		.spec = spec,
		.command = &parts->command,
		.isolation = &parts->isolation,
		.qmp_fd = parts->qmp_fd,
		.console_fd = parts->console_fd,
		.events_fd = { parts->events_fd[0], parts->events_fd[1] },
		.serial_fd = { parts->serial_fd[0], parts->serial_fd[1] },
		.log_fd = parts->log_fd,
		.qemu_log_fd = parts->qemu_log_fd,
		.lock_fd = parts->lock_fd,
		.ram_fd = parts->ram_fd,
		.owner_fd = parts->owner_fd[1],
		.state_fd = parts->state_fd,
		.images = parts->images.items,
		.n_images = parts->images.count,
		.document = parts->document,
	};
	pid_t middle = fork();
	if (middle < 0)
		return error_system(errno, "cannot start a process");
	if (!middle) {
		pid_t keeper = fork();
		if (!keeper)
			keeper_main(&params);
		_exit(keeper < 0);
	}
	int status = 0;
	while (waitpid(middle, &status, 0) < 0 && errno == EINTR)
		continue;
	return status ? error_create(ERR_SYSTEM, "cannot start a process") : NULL;
}

/* Next whole line from the keeper; false at the timeout or at the end (*ended_ret). */
static bool next_line(struct vm_start *start, int timeout_ms, json_t **ret, bool *ended_ret)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
	for (;;) {
		char *end = memchr(start->line, '\n', start->line_length);
		if (end) {
			size_t used = (size_t)(end - start->line) + 1;
			*ret = json_loadb(start->line, used, 0, NULL);
			start->line_length -= used;
			memmove(start->line, end + 1, start->line_length);
			return *ret != NULL;
		}
		uint64_t now = clock_now_ns();
		struct pollfd wait = { .fd = start->fd, .events = POLLIN };
		int left = now < deadline ? (int)((deadline - now) / 1000000) + 1 : 0;
		int ready = poll(&wait, 1, left);
		if (ready <= 0)
			return false; /* also EINTR: the caller looks at its signals */
		ssize_t got = recv(start->fd, start->line + start->line_length,
				   LINE_LIMIT - start->line_length, 0);
		if (got <= 0) {
			*ended_ret = true;
			return false;
		}
		start->line_length += (size_t)got;
	}
}

static struct error *reported_error(const json_t *message)
{
	const char *text = json_string_value(json_object_get(message, "message"));
	const char *hint = json_string_value(json_object_get(message, "hint"));
	json_int_t kind = json_integer_value(json_object_get(message, "kind"));
	struct error *err = error_create(
		kind >= ERR_MEMORY && kind <= ERR_USAGE ? (enum error_kind)kind : ERR_PEER,
		"%s", text ? text : "the VM did not start");
	return hint ? error_hint(err, "%s", hint) : err;
}

/* Reads reports until the guest runs or is known not to. */
static struct error *await_start(struct vm_start *start)
{
	struct error *err = NULL;
	for (;;) {
		AUTO(own_json) json_t *message = NULL;
		bool ended = false;
		if (!next_line(start, 40000, &message, &ended)) {
			if (err)
				return err;
			if (!ended && errno == EINTR)
				continue;
			return error_create(ERR_PEER, "the VM's keeper %s",
					    ended ? "died" : "does not answer");
		}
		const char *event = json_string_value(json_object_get(message, "event"));
		if (event && !strcmp(event, "started")) {
			start->pid = (pid_t)json_integer_value(json_object_get(message, "pid"));
			return NULL;
		}
		if (event && !strcmp(event, "error") && !err)
			err = reported_error(message);
		if (event && !strcmp(event, "ended"))
			return err ? err : error_create(ERR_PEER, "QEMU ended at once");
	}
}

static struct error *claim_name(const struct vm_spec *spec, struct vm_start *start,
				struct parts *parts)
{
	if (spec->name) {
		start->name = strdup(spec->name);
		return start->name ? state_claim(start->name, &parts->lock_fd)
				   : error_create(ERR_MEMORY, "no memory for a name");
	}
	for (unsigned i = 1; i < 1000; i++) {
		free(start->name);
		if (asprintf(&start->name, "vm%u", i) < 0) {
			start->name = NULL;
			return error_create(ERR_MEMORY, "no memory for a name");
		}
		AUTO(own_free) char *ram = NULL;
		TRY(state_shm_path(start->name, "ram", &ram));
		if (!access(ram, F_OK))
			continue;
		struct error *err = state_claim(start->name, &parts->lock_fd);
		if (!error_catch(&err, ERR_LIMIT))
			return err;
	}
	return error_create(ERR_LIMIT, "there are a thousand VMs");
}

static struct error *start_parts(const struct vm_spec *spec, struct vm_start *start,
				 struct parts *parts)
{
	TRY(claim_name(spec, start, parts));
	struct vm_spec named = *spec;
	named.name = start->name;
	struct error *err = prepare(&named, start, parts);
	if (!err)
		err = fork_keeper(&named, parts);
	if (err) {
		if (parts->ram_fd >= 0)
			state_remove(start->name);
		else
			state_remove_folder(start->name);
		return err;
	}
	start->fd = parts->owner_fd[0];
	parts->owner_fd[0] = -1;
	return NULL;
}

/* Until the keeper is forked. What the keeper got is closed here then: while we held the far
 * ends too, neither would see the other's end, nor the keeper that of QEMU. */
static struct error *launch(const struct vm_spec *spec, struct vm_start *start)
{
	AUTO(parts_deinit)
	struct parts parts = { .lock_fd = -1,
			       .ram_fd = -1,
			       .qmp_fd = -1,
			       .console_fd = -1,
			       .log_fd = -1,
			       .qemu_log_fd = -1,
			       .state_fd = -1,
			       .events_fd = { -1, -1 },
			       .serial_fd = { -1, -1 },
			       .owner_fd = { -1, -1 } };
	return start_parts(spec, start, &parts);
}

struct error *vm_start(const struct vm_spec *spec, struct vm_start **ret)
{
	AUTO(own_vm_start) struct vm_start *start = NULL;
	TRY(error_alloc(1, sizeof(*start), &start));
	start->fd = -1;
	start->boot_ms = start->ready_ms = -1;
	start->is_restored = spec->restore != NULL;
	state_sweep();
	TRY(launch(spec, start));
	TRY(await_start(start));
	*ret = TAKE(start);
	return NULL;
}

const char *vm_start_name(const struct vm_start *start)
{
	return start->name;
}

pid_t vm_start_pid(const struct vm_start *start)
{
	return start->pid;
}

const char *vm_start_accel(const struct vm_start *start)
{
	return start->accel == QEMU_ACCEL_KVM ? "kvm" : "tcg";
}

const char *vm_start_accel_why(const struct vm_start *start)
{
	return start->accel_why;
}

bool vm_start_is_restored(const struct vm_start *start)
{
	return start->is_restored;
}

int vm_start_fd(const struct vm_start *start)
{
	return start->fd;
}

static enum vm_news news_of(struct vm_start *start, const json_t *message)
{
	const char *event = json_string_value(json_object_get(message, "event"));
	double ms = json_number_value(json_object_get(message, "ms"));
	if (!event)
		return VM_NEWS_NONE;
	if (!strcmp(event, "first_line")) {
		start->boot_ms = ms;
		return VM_NEWS_FIRST_LINE;
	}
	if (!strcmp(event, "ready")) {
		start->ready_ms = ms;
		return VM_NEWS_READY;
	}
	if (!strcmp(event, "panicked"))
		return VM_NEWS_PANICKED;
	if (strcmp(event, "ended"))
		return VM_NEWS_NONE;
	const char *reason = json_string_value(json_object_get(message, "reason"));
	start->reason = reason ? strdup(reason) : NULL;
	return VM_NEWS_ENDED;
}

enum vm_news vm_start_poll(struct vm_start *start, int timeout_ms)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
	for (;;) {
		AUTO(own_json) json_t *message = NULL;
		bool ended = false;
		uint64_t now = clock_now_ns();
		int left = now < deadline ? (int)((deadline - now) / 1000000) : 0;
		if (!next_line(start, left, &message, &ended))
			return ended ? VM_NEWS_ENDED : VM_NEWS_NONE;
		enum vm_news news = news_of(start, message);
		if (news != VM_NEWS_NONE)
			return news;
	}
}

double vm_start_boot_ms(const struct vm_start *start)
{
	return start->boot_ms;
}

double vm_start_ready_ms(const struct vm_start *start)
{
	return start->ready_ms;
}

const char *vm_start_reason(const struct vm_start *start)
{
	return start->reason;
}
