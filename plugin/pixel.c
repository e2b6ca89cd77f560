/* Asking the Pixel CPU service for iterations: pixel.h has the protocol and its fence. Here is
 * what the plugin does for one request:
 *
 *   1. Only loops whose written bytes follow one another without gaps, in streams that no other
 *      stream meets: then every byte copied back is one that the loop stored.
 *   2. Every page of every stream is looked up and must be ready, as for a native chunk; the
 *      list of pages goes into the request. One physical page under two addresses is refused:
 *      proofs speak of addresses.
 *   3. Wait, at most until the deadline, then take the request back or abandon it.
 *   4. After a timely answer: look again that no written page holds code meanwhile, copy the
 *      written bytes through QEMU's own mapping (so that dirty tracking sees them), with the
 *      help of other threads of ours that are waited for, take over the registers.
 *
 * Until step 4 nothing of the guest has changed, so giving up is right at any point. */
#include "pixel.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crew.h"
#include "pixel_run.h"

enum {
	LEAST_ITERATIONS = 1 << 14,
	MOST_ITERATIONS = 1 << 30,
	SPIN_NS = 30 * 1000, /* of waiting for an answer, before naps */
	LONG_SPIN_NS = 2000 * 1000, /* the same where processors are many */
	MANY_PROCESSORS = 4,
	PROCESSORS_EACH = 4, /* for each thread that copies: the vCPU's, up to 3 helpers */
	MOST_HELPERS = 3,
	NAP_NS = 200 * 1000,
	HEARTBEAT_NS = 1000 * 1000 * 1000,
	PIECE_BYTES = 128 * 1024, /* of copying back: what one thread takes */
	MOST_PIECES = GB_PIXEL_DATA_PAGES * GB_PAGE / PIECE_BYTES + 2 * GB_KERNEL_MAX_STREAMS,
	LATE_IN_A_ROW = 3, /* then not again until another service has come */
};

static struct gb_pixel *pixel; /* NULL: no file */
static uint32_t late_in_a_row, late_epoch;
static uint64_t spin_ns;
static pthread_once_t crew_once = PTHREAD_ONCE_INIT;

/* Our own side of a request; belongs to the vCPU that took it. */
static struct own {
	uint32_t pages[GB_PIXEL_PAGES]; /* as in the request, which others can write */
	uint64_t gva[GB_PIXEL_PAGES]; /* of the same pages */
	/* By page of RAM: number of the request << 32 | list index << 1 | written. Tells one
	 * physical page under two addresses. */
	uint64_t *last_use;
	uint32_t number;
	uint32_t n_pages, n_data_pages;
	struct gb_pixel_stream stream[GB_KERNEL_MAX_STREAMS];
} owns[GB_PIXEL_REQUESTS];

void pixel_open(const char *path)
{
	spin_ns = sysconf(_SC_NPROCESSORS_ONLN) >= MANY_PROCESSORS ? LONG_SPIN_NS : SPIN_NS;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	void *at = mmap(NULL, GB_PIXEL_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	off_t bytes = lseek(fd, 0, SEEK_END);
	close(fd);
	if (at != MAP_FAILED && bytes >= (off_t)GB_PIXEL_FILE_BYTES)
		pixel = at;
}

static struct gb_pixel_request *request_at(unsigned i)
{
	return (void *)((uint8_t *)pixel + GB_PAGE + (size_t)i * GB_PIXEL_SLOT_BYTES);
}

static const uint8_t *data_of(unsigned i)
{
	return (const uint8_t *)pixel + GB_PIXEL_DATA_OFFSET + i * GB_PIXEL_DATA_BYTES;
}

static bool change(struct gb_pixel_request *r, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&r->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static uint64_t monotonic_ns(void)
{
	return plugin_now_ns() + plugin.control->epoch_ns;
}

static bool service_is_there(void)
{
	uint64_t beat = __atomic_load_n(&pixel->heartbeat_ns, __ATOMIC_RELAXED);
	uint32_t epoch = __atomic_load_n(&pixel->epoch, __ATOMIC_RELAXED);
	if (__atomic_load_n(&pixel->service, __ATOMIC_ACQUIRE) != GB_PIXEL_READY)
		return false;
	if (epoch != late_epoch) {
		late_epoch = epoch;
		late_in_a_row = 0;
	}
	return late_in_a_row < LATE_IN_A_ROW && monotonic_ns() - beat < HEARTBEAT_NS;
}

/* Step 1. */
bool pixel_suits(const struct gb_plan *plan)
{
	for (uint32_t i = 0; i < plan->n_streams; i++) {
		const struct gb_stream *s = &plan->stream[i];
		int64_t apart = s->stride < 0 ? -s->stride : s->stride;
		if (s->write && apart != s->width)
			return false;
	}
	return plan->iterations > LEAST_ITERATIONS && pixel && service_is_there();
}

/* Iterations whose pages fit into a request. */
uint64_t pixel_most(const struct gb_plan *plan)
{
	uint64_t most = plan->iterations - 1, n_written = 0;
	for (uint32_t i = 0; i < plan->n_streams; i++)
		n_written += plan->stream[i].write;
	for (uint32_t i = 0; i < plan->n_streams; i++) {
		const struct gb_stream *s = &plan->stream[i];
		uint64_t apart = (uint64_t)(s->stride < 0 ? -s->stride : s->stride);
		uint64_t pages = GB_PIXEL_PAGES / plan->n_streams;
		if (s->write && pages > GB_PIXEL_DATA_PAGES / n_written)
			pages = GB_PIXEL_DATA_PAGES / n_written;
		uint64_t room = (pages - 4) * GB_PAGE; /* windows wider than the stride, ends */
		if (apart && room / apart < most)
			most = room / apart;
	}
	return most < MOST_ITERATIONS ? most : MOST_ITERATIONS;
}

/* [*start, *end) of guest addresses that n iterations of a stream touch. False: it wraps. */
static bool extent(const struct gb_stream *s, uint64_t n, uint64_t *start, uint64_t *end)
{
	int64_t way;
	if (__builtin_mul_overflow(s->stride, (int64_t)(n - 1), &way))
		return false;
	*start = way < 0 ? s->gva + (uint64_t)way : s->gva;
	*end = (way < 0 ? s->gva : s->gva + (uint64_t)way) + s->width;
	return *start < *end && *end - *start <= GB_PIXEL_PAGES * (uint64_t)GB_PAGE;
}

/* Whether a written stream shares a byte with another one. */
static bool streams_meet(const struct gb_plan *plan, uint64_t n)
{
	uint64_t start[GB_KERNEL_MAX_STREAMS], end[GB_KERNEL_MAX_STREAMS];
	for (uint32_t i = 0; i < plan->n_streams; i++)
		if (!extent(&plan->stream[i], n, &start[i], &end[i]))
			return true;
	for (uint32_t i = 0; i < plan->n_streams; i++)
		for (uint32_t j = 0; plan->stream[i].write && j < plan->n_streams; j++)
			if (i != j && start[i] < end[j] && start[j] < end[i])
				return true;
	return false;
}

/* A page that this request writes must not come under two addresses. */
static bool note_use(struct own *o, uint32_t index, uint64_t gva, bool write)
{
	uint64_t *use = &o->last_use[o->pages[index]], last = *use;
	bool used = last >> 32 == o->number;
	if (used && (write || (last & 1)) && o->gva[(uint32_t)last >> 1] != gva)
		return false;
	o->gva[index] = gva;
	*use = (uint64_t)o->number << 32 | (uint64_t)index << 1 |
	       (write || (used && (last & 1)));
	return true;
}

static enum gb_plan_result list_page(const struct pixel_job *job, struct own *o, uint64_t gva,
				     bool write)
{
	struct walk_page page;
	enum gb_plan_result ready = walk(job->space, gva, write, &page);
	if (ready != GB_PLAN_GO)
		return ready;
	uint64_t offset = page.offset + (gva - page.gva);
	if (write && code_pages_hold(offset))
		return GB_PLAN_CODE;
	if (o->n_pages == GB_PIXEL_PAGES || (write && o->n_data_pages == GB_PIXEL_DATA_PAGES))
		return GB_PLAN_BAD;
	o->pages[o->n_pages] = (uint32_t)(offset / GB_PAGE);
	if (!note_use(o, o->n_pages, gva, write))
		return GB_PLAN_OVERLAP;
	o->n_pages++;
	o->n_data_pages += write;
	return GB_PLAN_GO;
}

/* Step 2. */
static enum gb_plan_result list_pages(const struct pixel_job *job, struct own *o)
{
	uint64_t start, end;
	o->n_pages = o->n_data_pages = 0;
	o->number++;
	for (uint32_t i = 0; i < job->plan->n_streams; i++) {
		const struct gb_stream *s = &job->plan->stream[i];
		if (!extent(s, job->n, &start, &end))
			return GB_PLAN_WRAP;
		start &= ~(uint64_t)(GB_PAGE - 1);
		o->stream[i] = (struct gb_pixel_stream){ .gva = start,
							 .first = o->n_pages,
							 .data_page = o->n_data_pages,
							 .write = s->write };
		for (uint64_t gva = start; gva < end; gva += GB_PAGE) {
			enum gb_plan_result ready = list_page(job, o, gva, s->write);
			if (ready != GB_PLAN_GO)
				return ready;
		}
		o->stream[i].n_pages = o->n_pages - o->stream[i].first;
	}
	return GB_PLAN_GO;
}

static void ask(const struct pixel_job *job, const struct own *o, struct gb_pixel_request *r)
{
	r->kernel = job->kernel;
	r->serial = job->serial;
	r->n = job->n;
	r->n_streams = job->plan->n_streams;
	r->n_pages = o->n_pages;
	r->regs = *job->regs;
	memcpy(r->stream, o->stream, sizeof(r->stream));
	memcpy((uint8_t *)r + GB_PAGE, o->pages, o->n_pages * sizeof(*o->pages));
	change(r, GB_PIXEL_FILLING, GB_PIXEL_ASKED);
	__atomic_fetch_add(&pixel->doorbell, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&pixel->sleeping, __ATOMIC_SEQ_CST)) /* pairs: the service's wait */
		syscall(SYS_futex, &pixel->doorbell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Step 3. */
static void wait_for(struct gb_pixel_request *r, uint32_t answered)
{
	uint64_t start = monotonic_ns(), now = start;
	uint64_t wait_ns = __atomic_load_n(&pixel->deadline_us, __ATOMIC_RELAXED) * 1000ull;
	while (now - start < wait_ns) {
		uint32_t state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
		if (state == GB_PIXEL_DONE || state == GB_PIXEL_REFUSED)
			return;
		struct timespec nap = { 0, NAP_NS };
		if (now - start > spin_ns)
			syscall(SYS_futex, &r->answered, FUTEX_WAIT, answered, &nap, NULL, 0);
		now = monotonic_ns();
	}
}

/* Takes the request back, whatever has become of it by now. True: it is DONE and stays so until
 * finish(). */
static bool take_back(struct gb_pixel_request *r, enum pixel_outcome *outcome_ret)
{
	if (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) == GB_PIXEL_DONE)
		return true;
	*outcome_ret = PIXEL_REFUSED;
	if (change(r, GB_PIXEL_REFUSED, GB_PIXEL_FREE))
		return false;
	*outcome_ret = PIXEL_LATE;
	if (change(r, GB_PIXEL_ASKED, GB_PIXEL_FREE) ||
	    change(r, GB_PIXEL_RUNNING, GB_PIXEL_ABANDONED))
		return false;
	/* It was answered this very moment. */
	return !change(r, GB_PIXEL_REFUSED, GB_PIXEL_FREE);
}

/* A piece of copying back: pages of one stream, [at, end) of guest addresses. */
struct piece {
	const struct own *own;
	const uint8_t *data; /* the stream's copies */
	const struct gb_pixel_stream *stream;
	uint64_t at, end;
};

struct pieces {
	struct piece items[MOST_PIECES];
	uint32_t n;
};

/* The bytes of written streams that `done` iterations stored. */
static void list_pieces(const struct pixel_job *job, unsigned request, uint64_t done,
			struct pieces *ret)
{
	const struct own *o = &owns[request];
	ret->n = 0;
	for (uint32_t i = 0; done && i < job->plan->n_streams; i++) {
		const struct gb_pixel_stream *p = &o->stream[i];
		uint64_t at, end;
		if (!p->write || !extent(&job->plan->stream[i], done, &at, &end))
			continue;
		while (at < end) {
			uint64_t stop = (at / PIECE_BYTES + 1) * PIECE_BYTES;
			stop = stop < end ? stop : end;
			ret->items[ret->n++] = (struct piece){
				o, data_of(request) + p->data_page * (uint64_t)GB_PAGE, p, at,
				stop
			};
			at = stop;
		}
	}
}

/* Page by page. Without `for_real` only looks whether they may be written. */
static bool do_piece(const struct piece *p, bool for_real)
{
	for (uint64_t at = p->at; at < p->end;) {
		uint64_t index = (at - p->stream->gva) / GB_PAGE, inside = at % GB_PAGE;
		uint64_t offset = p->own->pages[p->stream->first + index] * (uint64_t)GB_PAGE;
		uint64_t n = GB_PAGE - inside < p->end - at ? GB_PAGE - inside : p->end - at;
		if (code_pages_hold(offset))
			return false;
		if (for_real)
			memcpy(plugin.ram.host + offset + inside,
			       p->data + index * GB_PAGE + inside, n);
		at += n;
	}
	return true;
}

static void copy_piece(void *arg, uint32_t i)
{
	do_piece(&((const struct pieces *)arg)->items[i], true);
}

static bool may_copy(const struct pieces *pieces)
{
	for (uint32_t i = 0; i < pieces->n; i++)
		if (!do_piece(&pieces->items[i], false))
			return false;
	return true;
}

static void spent(uint64_t *on, uint64_t since_ns)
{
	__atomic_fetch_add(on, plugin_now_ns() - since_ns, __ATOMIC_RELAXED);
}

/* Step 4. */
static enum pixel_outcome finish(struct pixel_job *job, unsigned request)
{
	struct gb_pixel_request *r = request_at(request);
	uint64_t done = r->done;
	struct gb_regs after = r->regs_after;
	struct pieces pieces = { .n = 0 };
	bool good = done <= job->n;
	if (good)
		list_pieces(job, request, done, &pieces);
	good = good && may_copy(&pieces);
	if (good && done) {
		uint64_t before_ns = plugin_now_ns();
		crew_do(copy_piece, &pieces, pieces.n);
		spent(&pixel->copy_ns, before_ns);
		*job->regs = after;
		job->done = done;
	}
	change(r, GB_PIXEL_DONE, GB_PIXEL_FREE);
	return good && done ? PIXEL_RAN : PIXEL_REFUSED;
}

static void start_crew(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN) / PROCESSORS_EACH - 1;
	crew_start(n < 0 ? 0 : n < MOST_HELPERS ? (unsigned)n : MOST_HELPERS);
}

static enum pixel_outcome run_with(struct pixel_job *job, unsigned request)
{
	struct gb_pixel_request *r = request_at(request);
	struct own *o = &owns[request];
	enum pixel_outcome outcome;
	pthread_once(&crew_once, start_crew); /* not before: QEMU may fork first */
	if (!o->last_use)
		o->last_use = calloc(plugin.ram.bytes / GB_PAGE + 1, sizeof(*o->last_use));
	uint64_t begun_ns = plugin_now_ns();
	job->stop = !o->last_use ? GB_PLAN_BAD : list_pages(job, o);
	if (job->stop != GB_PLAN_GO) {
		change(r, GB_PIXEL_FILLING, GB_PIXEL_FREE);
		return PIXEL_NOT_READY;
	}
	uint32_t answered = __atomic_load_n(&r->answered, __ATOMIC_ACQUIRE);
	spent(&pixel->list_ns, begun_ns);
	uint64_t asked_ns = plugin_now_ns();
	ask(job, o, r);
	if (o->n_data_pages)
		crew_alert();
	wait_for(r, answered);
	spent(&pixel->answer_ns, asked_ns);
	return take_back(r, &outcome) ? finish(job, request) : outcome;
}

enum pixel_outcome pixel_run(struct pixel_job *job)
{
	job->stop = GB_PLAN_GO;
	if (__atomic_load_n(&pixel->serial[job->kernel], __ATOMIC_ACQUIRE) != job->serial)
		return PIXEL_NOT_READY;
	if (streams_meet(job->plan, job->n))
		return PIXEL_NOT_READY;
	for (unsigned i = 0; i < GB_PIXEL_REQUESTS; i++) {
		if (!change(request_at(i), GB_PIXEL_FREE, GB_PIXEL_FILLING))
			continue;
		enum pixel_outcome outcome = run_with(job, i);
		late_in_a_row = outcome == PIXEL_LATE  ? late_in_a_row + 1
				: outcome == PIXEL_RAN ? 0
						       : late_in_a_row;
		return outcome;
	}
	return PIXEL_NOT_READY; /* all are in use or abandoned */
}
