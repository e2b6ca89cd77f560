#include "trace/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "trace/blocks.h"

enum { MAX_BLOCK_SLOTS = 1 << 24, MAX_CODE_BYTES = 1 << 30 };

struct trace_source {
	int fd;
	char path[256];
	struct gb_control fixed; /* identity and areas as checked at the start */
};

void trace_source_path(const char *vm, char *ret, size_t ret_bytes)
{
	snprintf(ret, ret_bytes, "/dev/shm/glassbox-%s-trace", vm);
}

struct error *trace_source_read(struct trace_source *source, uint64_t offset, void *to,
				size_t bytes)
{
	size_t done = 0;
	while (done < bytes) {
		ssize_t n = pread(source->fd, (char *)to + done, bytes - done,
				  (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, "cannot read %s", source->path);
		if (n == 0)
			return error_create(ERR_BAD_DATA, "%s was cut short", source->path);
		done += (size_t)n;
	}
	return NULL;
}

struct error *trace_source_write(struct trace_source *source, uint64_t offset, const void *from,
				 size_t bytes)
{
	ssize_t n = pwrite(source->fd, from, bytes, (off_t)offset);
	if (n < 0)
		return error_system(errno, "cannot write %s", source->path);
	if ((size_t)n != bytes)
		return error_create(ERR_SYSTEM, "%s is full", source->path);
	return NULL;
}

static bool area_fits(const struct gb_control *c, const struct gb_area *area, uint64_t bytes)
{
	return range_fits(area->offset, area->bytes, c->file_bytes) && area->bytes >= bytes;
}

static const char *layout_problem(const struct gb_control *c)
{
	if (c->magic != GB_MAGIC)
		return "it is not a glassbox trace file";
	if (c->version != GB_VERSION)
		return "it is of another version";
	if (!c->n_vcpus || c->n_vcpus > GB_MAX_VCPUS || !c->n_block_slots ||
	    c->n_block_slots > MAX_BLOCK_SLOTS || c->code.bytes > MAX_CODE_BYTES)
		return "its sizes make no sense";
	if (c->ring_bytes < 4096 || c->ring_bytes > 1ull << 32 ||
	    (c->ring_bytes & (c->ring_bytes - 1)))
		return "its ring size makes no sense";
	bool fits = area_fits(c, &c->ring_heads, c->n_vcpus * sizeof(struct gb_ring_head)) &&
		    area_fits(c, &c->rings, c->n_vcpus * c->ring_bytes) &&
		    area_fits(c, &c->blocks, c->n_block_slots * sizeof(struct gb_block)) &&
		    area_fits(c, &c->code, 0) &&
		    area_fits(c, &c->counts, c->n_block_slots * sizeof(uint64_t)) &&
		    area_fits(c, &c->kernels, 0) && area_fits(c, &c->kernel_code, 0);
	return fits ? NULL : "its areas lie outside the file";
}

static struct error *check_layout(struct trace_source *source)
{
	struct stat status;
	if (fstat(source->fd, &status))
		return error_system(errno, "cannot look at %s", source->path);
	if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < sizeof(struct gb_control))
		return error_create(ERR_BAD_DATA, "%s is not a glassbox trace file",
				    source->path);
	TRY(trace_source_read(source, 0, &source->fixed, sizeof(source->fixed)));
	const char *problem = layout_problem(&source->fixed);
	if (!problem && source->fixed.file_bytes > (uint64_t)status.st_size)
		problem = "it is shorter than it says";
	return problem ? error_create(ERR_BAD_DATA, "cannot use %s: %s", source->path, problem)
		       : NULL;
}

struct error *trace_source_open(const char *path, struct trace_source **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	TRY(error_alloc(1, sizeof(*source), &source));
	source->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	snprintf(source->path, sizeof(source->path), "%s", path);
	if (source->fd < 0 && errno == ENOENT)
		return error_hint(error_create(ERR_NOT_FOUND, "no trace of this VM (%s)", path),
				  "start it with `glassbox run --learn`");
	if (source->fd < 0)
		return error_system(errno, "cannot open %s", path);
	TRY(check_layout(source));
	*ret = TAKE(source);
	return NULL;
}

void trace_source_close(struct trace_source *source)
{
	if (!source)
		return;
	if (source->fd >= 0)
		close(source->fd);
	free(source);
}

struct error *trace_source_state(struct trace_source *source, struct gb_control *ret)
{
	return trace_source_read(source, 0, ret, sizeof(*ret));
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct error *wait_applied(struct trace_source *source, uint64_t seq,
				  unsigned timeout_ms)
{
	uint64_t deadline = monotonic_ms() + timeout_ms;
	for (;;) {
		uint64_t applied;
		TRY(trace_source_read(source, offsetof(struct gb_control, applied_seq),
				      &applied, sizeof(applied)));
		if (applied == seq)
			return NULL;
		if (monotonic_ms() >= deadline)
			return error_hint(error_create(ERR_PEER,
						       "the guest did not take up the request "
						       "within %u ms",
						       timeout_ms),
					  "is it paused or gone?");
		nanosleep(&(struct timespec){ 0, 500 * 1000 }, NULL);
	}
}

struct error *trace_source_request(struct trace_source *source, const struct gb_request *wanted,
				   unsigned timeout_ms)
{
	uint64_t seq;
	size_t at = offsetof(struct gb_control, request_seq);
	TRY(trace_source_read(source, at, &seq, sizeof(seq)));
	seq++;
	TRY(trace_source_write(source, offsetof(struct gb_control, request), wanted,
			       sizeof(*wanted)));
	TRY(trace_source_write(source, at, &seq, sizeof(seq))); /* pairs: plugin_poll */
	return wait_applied(source, seq, timeout_ms);
}

/* Locks one byte of the file, which stands for something; it goes with our descriptor. */
enum claim { CLAIM_REQUEST = 0, CLAIM_WATCH = 1 };

static bool lock_byte(struct trace_source *source, enum claim byte, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};
	return !fcntl(source->fd, F_OFD_SETLK, &lock);
}

static bool lock_within(struct trace_source *source, enum claim byte, unsigned wait_ms)
{
	uint64_t deadline = monotonic_ms() + wait_ms;
	while (!lock_byte(source, byte, F_WRLCK)) {
		if (monotonic_ms() >= deadline)
			return false;
		nanosleep(&(struct timespec){ 0, 2 * 1000 * 1000 }, NULL);
	}
	return true;
}

struct error *trace_source_change(struct trace_source *source, trace_request_change *change,
				  const void *user, unsigned timeout_ms)
{
	struct gb_control now;
	if (!lock_within(source, CLAIM_REQUEST, timeout_ms))
		return error_create(ERR_LIMIT, "others keep changing what %s records",
				    source->path);
	struct error *err = trace_source_state(source, &now);
	if (!err) {
		change(&now.request, user);
		err = trace_source_request(source, &now.request, timeout_ms);
	}
	lock_byte(source, CLAIM_REQUEST, F_UNLCK);
	return err;
}

struct error *trace_source_claim(struct trace_source *source, unsigned wait_ms)
{
	if (lock_within(source, CLAIM_WATCH, wait_ms))
		return NULL;
	return error_hint(error_create(ERR_LIMIT, "this VM is being watched already"),
			  "wait until the other `trace`, `hot` or `learn` has ended");
}

void trace_source_unclaim(struct trace_source *source)
{
	lock_byte(source, CLAIM_WATCH, F_UNLCK);
}

unsigned trace_source_vcpus(const struct trace_source *source)
{
	return source->fixed.n_vcpus;
}

static uint64_t head_offset(const struct trace_source *source, unsigned vcpu)
{
	return source->fixed.ring_heads.offset + vcpu * sizeof(struct gb_ring_head);
}

static struct error *set_tail(struct trace_source *source, unsigned vcpu, uint64_t tail)
{
	return trace_source_write(
		source, head_offset(source, vcpu) + offsetof(struct gb_ring_head, tail), &tail,
		sizeof(tail)); /* pairs: ring_refill */
}

/* Reads n words at a position, around the ring's end. */
static struct error *read_words(struct trace_source *source, unsigned vcpu, uint64_t position,
				uint64_t *words, size_t n)
{
	uint64_t size = source->fixed.ring_bytes / sizeof(uint64_t);
	uint64_t base = source->fixed.rings.offset + vcpu * source->fixed.ring_bytes;
	uint64_t at = position & (size - 1);
	size_t first = n < size - at ? n : (size_t)(size - at);
	TRY(trace_source_read(source, base + at * 8, words, first * 8));
	return first < n ? trace_source_read(source, base, words + first, (n - first) * 8)
			 : NULL;
}

struct error *trace_source_drain(struct trace_source *source, unsigned vcpu, uint64_t *words,
				 size_t capacity, size_t *n_ret)
{
	struct gb_ring_head head;
	uint64_t size = source->fixed.ring_bytes / sizeof(uint64_t);
	TRY(trace_source_read(source, head_offset(source, vcpu), &head, sizeof(head)));
	uint64_t unread = head.head - head.tail;
	if (unread > size)
		return error_create(ERR_BAD_DATA, "ring of vCPU %u is inconsistent in %s", vcpu,
				    source->path);
	size_t n = unread < capacity ? (size_t)unread : capacity;
	*n_ret = n;
	if (!n)
		return NULL;
	TRY(read_words(source, vcpu, head.tail, words, n));
	return set_tail(source, vcpu, head.tail + n);
}

struct error *trace_source_skip(struct trace_source *source)
{
	for (unsigned i = 0; i < source->fixed.n_vcpus; i++) {
		uint64_t head;
		TRY(trace_source_read(source, head_offset(source, i), &head, sizeof(head)));
		TRY(set_tail(source, i, head));
	}
	return NULL;
}

struct error *trace_source_dropped(struct trace_source *source, uint64_t *ret)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < source->fixed.n_vcpus; i++) {
		uint64_t dropped;
		TRY(trace_source_read(
			source, head_offset(source, i) + offsetof(struct gb_ring_head, dropped),
			&dropped, sizeof(dropped)));
		sum += dropped;
	}
	*ret = sum;
	return NULL;
}

struct error *trace_source_blocks(struct trace_source *source, struct trace_blocks **ret)
{
	const struct gb_control *fixed = &source->fixed;
	struct gb_control now;
	AUTO(own_free) struct gb_block *raw = NULL;
	AUTO(own_free) uint8_t *code = NULL;
	TRY(trace_source_state(source, &now));
	uint64_t n = now.n_blocks < fixed->n_block_slots ? now.n_blocks : fixed->n_block_slots;
	uint64_t code_bytes =
		now.code_used < fixed->code.bytes ? now.code_used : fixed->code.bytes;
	TRY(error_alloc(n ? n : 1, sizeof(*raw), &raw));
	TRY(error_alloc(code_bytes ? code_bytes : 1, 1, &code));
	TRY(trace_source_read(source, fixed->blocks.offset, raw, n * sizeof(*raw)));
	TRY(trace_source_read(source, fixed->code.offset, code, code_bytes));
	return trace_blocks_create(raw, (uint32_t)n, code, code_bytes, ret);
}

struct error *trace_source_counts(struct trace_source *source, uint32_t n, uint64_t **ret)
{
	AUTO(own_free) uint64_t *counts = NULL;
	TRY(error_alloc(n ? n : 1, sizeof(*counts), &counts));
	if (n > source->fixed.n_block_slots)
		n = source->fixed.n_block_slots;
	TRY(trace_source_read(source, source->fixed.counts.offset, counts,
			      n * sizeof(*counts)));
	*ret = TAKE(counts);
	return NULL;
}
