#include "offload/pixel_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "plugin/pixel.h"

struct error *pixel_file_open(const char *vm, const char *kind, int *fd_ret,
			      uint64_t *bytes_ret)
{
	char path[300];
	struct stat st;
	snprintf(path, sizeof(path), "/dev/shm/glassbox-%s-%s", vm, kind);
	*fd_ret = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (*fd_ret < 0 && errno == ENOENT)
		return error_create(ERR_NOT_FOUND, "%s is not here", path);
	if (*fd_ret < 0 || fstat(*fd_ret, &st))
		return error_system(errno, "cannot open %s", path);
	*bytes_ret = (uint64_t)st.st_size;
	return NULL;
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static const char *state_word(const struct gb_pixel *p)
{
	enum { DEAD_NS = 2000 * 1000 * 1000 };
	static const char *const words[] = { "off", "starting", "ready", "no device", "lost" };
	bool lives = p->service == GB_PIXEL_READY || p->service == GB_PIXEL_STARTING;
	if (lives && now_ns() - p->heartbeat_ns > DEAD_NS)
		return "gone";
	return p->service < sizeof(words) / sizeof(*words) ? words[p->service] : "unknown";
}

struct error *pixel_file_forget(const char *vm)
{
	AUTO(own_fd) int fd = -1;
	uint64_t bytes;
	uint32_t off = GB_PIXEL_OFF;
	TRY(pixel_file_open(vm, "pixel", &fd, &bytes));
	if (pwrite(fd, &off, sizeof(off), offsetof(struct gb_pixel, service)) != sizeof(off))
		return error_system(errno, "cannot write the Pixel CPU's file");
	return NULL;
}

static json_t *spent(const struct gb_pixel *p)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "list", (json_int_t)p->list_ns,
			 "answer", (json_int_t)p->answer_ns, "place", (json_int_t)p->place_ns,
			 "record", (json_int_t)p->record_ns, "device", (json_int_t)p->wait_ns,
			 "copy", (json_int_t)p->copy_ns);
}

struct error *pixel_file_report(const char *vm, json_t **ret)
{
	AUTO(own_fd) int fd = -1;
	struct gb_pixel p;
	uint64_t bytes;
	char path[300];
	struct error *err = pixel_file_open(vm, "pixel", &fd, &bytes);
	*ret = NULL;
	if (error_catch(&err, ERR_NOT_FOUND)) {
		*ret = json_null();
		return NULL;
	}
	if (err)
		return err;
	if (pread(fd, &p, sizeof(p), 0) != sizeof(p))
		return error_create(ERR_BAD_DATA, "the Pixel CPU's file is too short");
	p.device[sizeof(p.device) - 1] = 0;
	snprintf(path, sizeof(path), "/dev/shm/glassbox-%s-pixel", vm);
	*ret = json_pack("{s:s, s:I, s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "state", state_word(&p), "pid", (json_int_t)p.pid, "device", p.device,
			 "imported", (int)(p.imported != 0), "memory", path, "memory_bytes",
			 (json_int_t)bytes, "requests", (json_int_t)p.requests, "done",
			 (json_int_t)p.done, "refused", (json_int_t)p.refused, "abandoned",
			 (json_int_t)p.abandoned, "iterations", (json_int_t)p.iterations, "ns",
			 (json_int_t)p.busy_ns, "spent_ns", spent(&p));
	return *ret ? NULL : error_create(ERR_MEMORY, "out of memory");
}
