#include "vm/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"
#include "vm/console.h"
#include "vm/isolation.h"
#include "vm/keeper.h"
#include "vm/layout.h"
#include "vm/proc.h"
#include "vm/qmp.h"
#include "vm/snapshot_file.h"
#include "vm/state.h"

#define START_TIMEOUT_MS 30000
#define SAVE_DELAY_MS 3
/* Ours are far below: descriptors above are strangers without being looked at. */
#define MAX_FDS 4096

OWN_DECLARE(own_json, json_t *, json_decref)

struct keeper {
	const struct keeper_params *params;
	const char *name;
	json_t *document;
	struct qmp *qmp;
	struct console *console;
	pid_t pid;
	int process_fd, signal_fd, owner_fd;
	bool detached, panicked;
	uint64_t started_ns;
	uint64_t unsaved_ns; /* when the document first differed from vm.json; 0: it does not */
	const char *ended; /* why QEMU ended, when an event said so */
};

/* One JSON line to the process that started us, while it listens. */
static void report(struct keeper *keeper, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	json_decref(message);
	if (text && keeper->owner_fd >= 0) {
		struct iovec parts[2] = { { text, strlen(text) }, { (char *)"\n", 1 } };
		struct msghdr line = { .msg_iov = parts, .msg_iovlen = 2 };
		ssize_t sent = sendmsg(keeper->owner_fd, &line, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)sent;
	}
	free(text);
}

static void report_error(struct keeper *keeper, struct error *err)
{
	const char *hint = error_hint_text(err);
	report(keeper,
	       json_pack("{s:s, s:i, s:s, s:s*}", "event", "error", "kind",
			 (int)error_kind(err), "message", error_message(err), "hint", hint));
	error_destroy(err);
}

static void save(struct keeper *keeper)
{
	keeper->unsaved_ns = 0;
	error_destroy(state_write(keeper->name, keeper->document));
}

/* Events come in pairs: whoever pauses a guest for a moment should not have to share the
 * processor with us writing that down. */
static void save_soon(struct keeper *keeper)
{
	if (!keeper->unsaved_ns)
		keeper->unsaved_ns = clock_now_ns();
}

/* Saves when it is time; how long poll may wait until then, -1: for ever. */
static int save_due(struct keeper *keeper)
{
	if (!keeper->unsaved_ns)
		return -1;
	uint64_t waited_ms = (clock_now_ns() - keeper->unsaved_ns) / 1000000;
	if (waited_ms < SAVE_DELAY_MS)
		return SAVE_DELAY_MS - (int)waited_ms;
	save(keeper);
	return -1;
}

static void set(struct keeper *keeper, const char *key, json_t *value)
{
	json_object_set_new(keeper->document, key, value);
}

/* Last non-empty line that QEMU wrote to stderr, without "qemu-system-x86_64: ". */
static void last_words(struct keeper *keeper, char *buffer, size_t size)
{
	char text[4096];
	AUTO(own_free) char *path = NULL;
	struct error *err = state_path(keeper->name, "qemu.log", &path);
	AUTO(own_fd) int fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	error_destroy(err);
	off_t length = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = length > (off_t)sizeof(text) - 1 ? length - (off_t)sizeof(text) + 1 : 0;
	ssize_t got = fd < 0 ? 0 : pread(fd, text, sizeof(text) - 1, from);
	text[got > 0 ? got : 0] = 0;
	char *end = text + strlen(text);
	while (end > text && end[-1] == '\n')
		*--end = 0;
	const char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	const char *colon = strstr(line, ": ");
	if (colon && !strncmp(line, "qemu", 4))
		line = colon + 2;
	snprintf(buffer, size, "%s", *line ? line : "QEMU ended without a word");
}

/* In the child: becomes QEMU. */
_Noreturn static void become_qemu(const struct keeper_params *params)
{
	/* The pair's own ends would keep QEMU from seeing that we are gone. */
	close(params->events_fd[0]);
	close(params->serial_fd[0]);
	int keep[] = { params->qmp_fd, params->events_fd[1], params->serial_fd[1] };
	for (size_t i = 0; i < sizeof(keep) / sizeof(*keep); i++)
		fcntl(keep[i], F_SETFD, 0);
	for (size_t i = 0; i < params->n_images; i++) {
		fcntl(params->images[i].fd, F_SETFD, 0);
		fcntl(params->images[i].read_fd, F_SETFD, 0);
	}
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	isolation_enter(params->isolation);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == 1)
		_exit(127);
	execv(params->command->words.items[0], params->command->words.items);
	fprintf(stderr, "cannot execute %s: %s\n", params->command->words.items[0],
		strerror(errno));
	_exit(127);
}

static struct error *start_qemu(struct keeper *keeper)
{
	const struct keeper_params *params = keeper->params;
	keeper->started_ns = clock_now_ns();
	keeper->pid = fork();
	if (keeper->pid < 0)
		return error_system(errno, "cannot start a process for QEMU");
	if (!keeper->pid)
		become_qemu(params);
	close(params->qmp_fd);
	close(params->events_fd[1]);
	close(params->serial_fd[1]);
	keeper->process_fd = (int)syscall(SYS_pidfd_open, keeper->pid, 0);
	set(keeper, "pid", json_integer(keeper->pid));
	set(keeper, "start_time", json_integer((json_int_t)proc_start_time(keeper->pid)));
	save(keeper); /* before anything can fail: the next sweep must find the process */
	return NULL;
}

/* From the greeting to a running guest. */
static struct error *bring_up(struct keeper *keeper)
{
	TRY(qmp_from_fd(keeper->params->events_fd[0], START_TIMEOUT_MS, &keeper->qmp));
	if (keeper->params->state_fd >= 0)
		TRY(snapshot_load_state(keeper->qmp, keeper->params->state_fd));
	struct layout layout = { 0 };
	json_t *json = NULL;
	struct error *err = layout_query(keeper->qmp, &layout);
	if (!err)
		err = layout_to_json(&layout, &json);
	layout_deinit(&layout);
	if (err)
		return err;
	set(keeper, "layout", json);
	set(keeper, "state", json_string("running"));
	save(keeper);
	return qmp_command(keeper->qmp, "cont", NULL, START_TIMEOUT_MS, NULL);
}

static json_t *milliseconds(const struct keeper *keeper)
{
	uint64_t ns = clock_now_ns() - keeper->started_ns;
	return json_real((double)(ns / 10000) / 100);
}

static void handle_marks(struct keeper *keeper, unsigned marks)
{
	static const struct {
		enum console_mark mark;
		const char *key, *event;
	} times[] = { { CONSOLE_FIRST, "boot_ms", "first_line" },
		      { CONSOLE_READY, "ready_ms", "ready" } };
	for (size_t i = 0; i < 2; i++) {
		if (!(marks & times[i].mark) || json_object_get(keeper->document, times[i].key))
			continue;
		json_t *ms = milliseconds(keeper);
		set(keeper, times[i].key, ms);
		report(keeper, json_pack("{s:s, s:O}", "event", times[i].event, "ms", ms));
	}
	/* A restored guest is up when it says anything. */
	if ((marks & CONSOLE_OUTPUT) && keeper->params->spec->restore &&
	    !json_object_get(keeper->document, "boot_ms")) {
		json_t *ms = milliseconds(keeper);
		set(keeper, "boot_ms", ms);
		report(keeper, json_pack("{s:s, s:O}", "event", "first_line", "ms", ms));
	}
	if ((marks & CONSOLE_PANIC) && !keeper->panicked) {
		keeper->panicked = true;
		set(keeper, "panicked", json_true());
		set(keeper, "state", json_string("panicked"));
		report(keeper, json_pack("{s:s}", "event", "panicked"));
	}
	if (marks & ~(unsigned)CONSOLE_OUTPUT)
		save(keeper);
}

static void handle_shutdown(struct keeper *keeper, const json_t *data)
{
	const char *reason = json_string_value(json_object_get(data, "reason"));
	if (json_is_true(json_object_get(data, "guest")))
		keeper->ended =
			reason && !strcmp(reason, "guest-reset") ? "the guest asked for a reset"
			: reason && !strcmp(reason, "guest-panic") ? "the guest panicked"
								   : "the guest powered off";
	else
		keeper->ended = "it was stopped";
}

static void handle_event(struct keeper *keeper, const json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));
	const char *state = NULL;
	if (!name)
		return;
	if (!strcmp(name, "STOP"))
		state = "paused";
	else if (!strcmp(name, "RESUME"))
		state = "running";
	else if (!strcmp(name, "GUEST_PANICKED"))
		state = "panicked";
	else if (!strcmp(name, "SHUTDOWN"))
		handle_shutdown(keeper, json_object_get(event, "data"));
	else if (!strcmp(name, "RESET")) {
		json_int_t resets =
			json_integer_value(json_object_get(keeper->document, "resets"));
		set(keeper, "resets", json_integer(resets + 1));
		keeper->panicked = false;
		state = "running";
	}
	if (state)
		set(keeper, "state", json_string(state));
	save_soon(keeper);
	report(keeper, json_pack("{s:s, s:s}", "event", "qmp", "name", name));
}

static void handle_events(struct keeper *keeper, bool *closed)
{
	for (;;) {
		AUTO(own_json) json_t *event = qmp_next_event(keeper->qmp, closed);
		if (!event)
			return;
		handle_event(keeper, event);
	}
}

/* 'd' lets the VM go on without its owner; an end of file without it ends the VM. */
static void handle_owner(struct keeper *keeper)
{
	char word;
	ssize_t got = recv(keeper->owner_fd, &word, 1, MSG_DONTWAIT);
	if (got < 0)
		return;
	if (got == 1 && word == 'd') {
		keeper->detached = true;
		return;
	}
	close(keeper->owner_fd);
	keeper->owner_fd = -1;
	if (!keeper->detached) {
		keeper->ended = "the glassbox that ran it ended";
		kill(keeper->pid, SIGKILL);
	}
}

enum { POLL_PROCESS, POLL_SIGNAL, POLL_OWNER, POLL_QMP, POLL_CONSOLE };

/* Until QEMU ends. */
static void watch(struct keeper *keeper)
{
	bool qmp_closed = false;
	for (;;) {
		struct pollfd polls[POLL_CONSOLE + CONSOLE_POLLS] = {
			[POLL_PROCESS] = { keeper->process_fd, POLLIN },
			[POLL_SIGNAL] = { keeper->signal_fd, POLLIN },
			[POLL_OWNER] = { keeper->owner_fd, POLLIN },
			[POLL_QMP] = { qmp_closed ? -1 : qmp_fd(keeper->qmp), POLLIN },
		};
		size_t n = console_polls(keeper->console, polls + POLL_CONSOLE);
		if (poll(polls, POLL_CONSOLE + n, save_due(keeper)) < 0 && errno != EINTR)
			return;
		handle_marks(keeper, console_handle(keeper->console, polls + POLL_CONSOLE, n));
		if (polls[POLL_QMP].revents)
			handle_events(keeper, &qmp_closed);
		if (polls[POLL_OWNER].revents)
			handle_owner(keeper);
		if (polls[POLL_SIGNAL].revents) {
			struct signalfd_siginfo info;
			ssize_t got = read(keeper->signal_fd, &info, sizeof(info));
			(void)got;
			keeper->ended = "its keeper was told to end";
			kill(keeper->pid, SIGKILL);
		}
		if (polls[POLL_PROCESS].revents)
			return;
	}
}

static bool is_kept(const struct keeper_params *params, int fd)
{
	const int keep[] = { params->qmp_fd,	   params->console_fd,	 params->events_fd[0],
			     params->events_fd[1], params->serial_fd[0], params->serial_fd[1],
			     params->log_fd,	   params->qemu_log_fd,	 params->lock_fd,
			     params->ram_fd,	   params->owner_fd,	 params->state_fd };
	bool kept = false;
	for (size_t i = 0; i < sizeof(keep) / sizeof(*keep); i++)
		kept = kept || keep[i] == fd;
	for (size_t i = 0; i < params->n_images; i++)
		kept = kept || params->images[i].fd == fd || params->images[i].read_fd == fd;
	return kept;
}

/* Closes everything that was inherited and is not ours: whoever waits for the end of a pipe of
 * our starter must not wait for the end of the VM. */
static void close_strangers(const struct keeper_params *params)
{
	unsigned from = 3;
	for (int fd = 3; fd < MAX_FDS; fd++) {
		if (!is_kept(params, fd))
			continue;
		if ((unsigned)fd > from)
			close_range(from, (unsigned)fd - 1, 0);
		from = (unsigned)fd + 1;
	}
	close_range(from, ~0u, 0);
}

static void set_up_process(struct keeper *keeper)
{
	setsid();
	prctl(PR_SET_NAME, "glassbox-keeper");
	close_strangers(keeper->params);
	AUTO(own_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(keeper->params->qemu_log_fd, STDERR_FILENO);
	close(keeper->params->qemu_log_fd);
	signal(SIGPIPE, SIG_IGN);
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_SETMASK, &ends, NULL);
	keeper->signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);
	if (chdir("/"))
		return;
}

/* Gives QEMU's end its name, takes everything away and leaves. */
_Noreturn static void finish(struct keeper *keeper)
{
	char words[512];
	int status = 0;
	if (keeper->pid > 0) {
		kill(keeper->pid, SIGKILL);
		waitpid(keeper->pid, &status, 0);
	}
	if (keeper->ended)
		snprintf(words, sizeof(words), "%s", keeper->ended);
	else if (WIFSIGNALED(status))
		snprintf(words, sizeof(words), "QEMU was killed by signal %d",
			 WTERMSIG(status));
	else
		last_words(keeper, words, sizeof(words));
	isolation_leave(keeper->params->isolation);
	/* Whoever sees that nothing is left of the VM may use its images. */
	for (size_t i = 0; i < keeper->params->n_images; i++) {
		close(keeper->params->images[i].fd);
		close(keeper->params->images[i].read_fd);
	}
	state_remove(keeper->name);
	report(keeper, json_pack("{s:s, s:s, s:b}", "event", "ended", "reason", words,
				 "panicked", keeper->panicked));
	_exit(0);
}

void keeper_main(const struct keeper_params *params)
{
	struct keeper keeper = { .params = params,
				 .name = params->spec->name,
				 .document = params->document,
				 .owner_fd = params->owner_fd };
	set_up_process(&keeper);
	set(&keeper, "keeper", json_integer(getpid()));
	struct error *err = console_create(
		&(struct console_params){ .serial_fd = params->serial_fd[0],
					  .listen_fd = params->console_fd,
					  .log_fd = params->log_fd,
					  .first_text = params->spec->first_text,
					  .ready_text = params->spec->ready_text },
		&keeper.console);
	if (!err)
		err = start_qemu(&keeper);
	if (!err)
		err = bring_up(&keeper);
	if (err) {
		int status = 0;
		/* QEMU's own words say more than "closed its monitor". */
		if (keeper.pid > 0 &&
		    proc_wait_gone(keeper.pid, proc_start_time(keeper.pid), 200)) {
			char words[512];
			waitpid(keeper.pid, &status, 0);
			keeper.pid = 0;
			last_words(&keeper, words, sizeof(words));
			error_destroy(err);
			err = error_create(ERR_PEER, "QEMU did not start: %s", words);
		}
		report_error(&keeper, err);
		finish(&keeper);
	}
	report(&keeper, json_pack("{s:s, s:i}", "event", "started", "pid", (int)keeper.pid));
	/* The demo guest's shell answers an empty line with its prompt: proof of life. */
	if (params->spec->restore && params->spec->profile)
		console_type(keeper.console, "\n");
	watch(&keeper);
	handle_marks(&keeper, 0);
	bool closed = false;
	handle_events(&keeper, &closed);
	finish(&keeper);
}
