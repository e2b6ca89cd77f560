#include "box/bench_guest.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "vm/demo_guest.h"
#include "vm/proc.h"
#include "vm/start.h"
#include "vm/state.h"
#include "vm/vm.h"

#define START_TIMEOUT_MS 60000

struct bench_guest {
	struct vm_start *start;
	struct vm *vm;
	int console;
};

static struct error *wait_up(struct vm_start *start)
{
	for (;;) {
		enum vm_news news = vm_start_poll(start, START_TIMEOUT_MS);
		if (news == VM_NEWS_READY)
			return NULL;
		if (news != VM_NEWS_FIRST_LINE)
			return error_create(ERR_PEER, "the benchmark's guest does not start");
	}
}

static struct error *connect_console(struct bench_guest *guest)
{
	AUTO(own_free) char *path = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	TRY(state_path(vm_name(guest->vm), "console.sock", &path));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	guest->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(guest->console, (struct sockaddr *)&address, sizeof(address)))
		return error_system(errno, "cannot reach the console of the guest");
	return NULL;
}

struct start_params {
	bool learn;
	const char *initrd; /* NULL: the guest's own */
	bench_guest_early *early;
	void *user;
};

static struct error *start(uint64_t mem_bytes, const struct start_params *params,
			   struct bench_guest **ret)
{
	AUTO(own_bench_guest) struct bench_guest *guest = NULL;
	AUTO(demo_guest_deinit) struct demo_guest demo = { 0 };
	struct vm_spec spec = { .mem_bytes = mem_bytes,
				.cpus = 1,
				.accel = "tcg",
				.learn = params->learn,
				.initrd = params->initrd };
	char name[48];
	TRY(error_alloc(1, sizeof(*guest), &guest));
	guest->console = -1;
	snprintf(name, sizeof(name), "bench-%d-%llum", (int)getpid(),
		 (unsigned long long)(mem_bytes >> 20));
	spec.name = name;
	TRY(demo_guest_fill(NULL, false, &spec, &demo));
	TRY(vm_start(&spec, &guest->start));
	if (params->early)
		TRY(params->early(params->user, name));
	TRY(wait_up(guest->start));
	TRY(vm_open(name, &guest->vm));
	TRY(connect_console(guest));
	/* The shell asks for the cursor's position only once it is there to be typed at. */
	TRY(bench_guest_run(guest, "echo bench $((6 * 7))", "bench 42", START_TIMEOUT_MS));
	*ret = TAKE(guest);
	return NULL;
}

struct error *bench_guest_start(uint64_t mem_bytes, struct bench_guest **ret)
{
	return start(mem_bytes, &(struct start_params){ 0 }, ret);
}

struct error *bench_guest_start_learning(uint64_t mem_bytes, struct bench_guest **ret)
{
	return start(mem_bytes, &(struct start_params){ .learn = true }, ret);
}

struct error *bench_guest_start_early(uint64_t mem_bytes, bench_guest_early *early, void *user,
				      struct bench_guest **ret)
{
	return start(mem_bytes,
		     &(struct start_params){ .learn = true, .early = early, .user = user },
		     ret);
}

/* ORDER bench folder: tools/bench_guest writes it. */
static struct error *bench_path(const char *file, char **ret)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	bool is_set = cache && *cache == '/';
	if (asprintf(ret, "%s%s/glassbox/bench/" DEMO_GUEST_PROFILE "/%s",
		     is_set ? cache
		     : home ? home
			    : "",
		     is_set ? "" : "/.cache", file) < 0) {
		*ret = NULL;
		return error_create(ERR_MEMORY, "no memory for a path");
	}
	return NULL;
}

struct error *bench_guest_extras(char **ret)
{
	return bench_path("opt/bench", ret);
}

struct error *bench_guest_start_equipped(uint64_t mem_bytes, struct bench_guest **ret)
{
	AUTO(own_free) char *initrd = NULL;
	TRY(bench_path("initrd.img", &initrd));
	bool found = !access(initrd, R_OK);
	return start(mem_bytes,
		     &(struct start_params){ .learn = true, .initrd = found ? initrd : NULL },
		     ret);
}

void bench_guest_stop(struct bench_guest *guest)
{
	const char *how;
	if (!guest)
		return;
	if (guest->vm)
		error_destroy(vm_stop(guest->vm, 0, &how));
	vm_close(guest->vm);
	vm_start_destroy(guest->start);
	if (guest->console >= 0)
		close(guest->console);
	free(guest);
}

struct vm *bench_guest_vm(struct bench_guest *guest)
{
	return guest->vm;
}

double bench_guest_boot_ms(const struct bench_guest *guest)
{
	return vm_start_boot_ms(guest->start);
}

struct error *bench_guest_type(struct bench_guest *guest, const char *line)
{
	if (send(guest->console, line, strlen(line), MSG_NOSIGNAL) < 0 ||
	    send(guest->console, "\n", 1, MSG_NOSIGNAL) < 0)
		return error_system(errno, "cannot type at the guest");
	return NULL;
}

struct error *bench_guest_run(struct bench_guest *guest, const char *line, const char *text,
			      int timeout_ms)
{
	char seen[65536];
	size_t used = 0;
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
	TRY(bench_guest_type(guest, line));
	while (clock_now_ns() < deadline) {
		struct pollfd wait = { .fd = guest->console, .events = POLLIN };
		if (poll(&wait, 1, 100) <= 0)
			continue;
		if (used > sizeof(seen) / 2) {
			memmove(seen, seen + used - 4096, 4096);
			used = 4096;
		}
		ssize_t got = recv(guest->console, seen + used, sizeof(seen) - used, 0);
		if (got <= 0)
			break;
		used += (size_t)got;
		if (memmem(seen, used, text, strlen(text)))
			return NULL;
	}
	return error_create(ERR_PEER, "the guest did not answer '%s'", line);
}

double bench_guest_cpu(const struct bench_guest *guest)
{
	clockid_t clock;
	struct timespec used;
	if (clock_getcpuclockid(vm_pid(guest->vm), &clock) || clock_gettime(clock, &used))
		return 0;
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

double bench_guest_vcpu_ms(const struct bench_guest *guest)
{
	char folder[64], path[400];
	double most = 0;
	snprintf(folder, sizeof(folder), "/proc/%d/task", (int)vm_pid(guest->vm));
	DIR *tasks = opendir(folder);
	for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
		unsigned long long ns = 0;
		snprintf(path, sizeof(path), "%s/%s/schedstat", folder, entry->d_name);
		FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (file && fscanf(file, "%llu", &ns) == 1 && (double)ns / 1e6 > most)
			most = (double)ns / 1e6;
		if (file)
			fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return most;
}
