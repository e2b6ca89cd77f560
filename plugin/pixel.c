/* Asking the Pixel CPU service for iterations: pixel.h has the protocol and its fence. A run of
 * iterations is cut into requests, a few of which are under way at any time: while the device
 * works on one, the last one's bytes are copied into the guest and the next one's pages are
 * looked up. For each request:
 *
 *   1. Only loops whose written bytes follow one another without gaps, in streams that no other
 *      stream meets: then every byte copied back is one that the loop stored.
 *   2. Every page of every stream is looked up and must be ready; the list of pages goes into
 *      the request (pixel_pages.c).
 *   3. Wait for the oldest request, at most until the deadline.
 *   4. After a timely answer: look again that no written page holds code meanwhile, copy the
 *      written bytes (pixel_copy.c), take over the registers.
 *
 * Step 4 is taken in the order of iterations, and all of a request's bytes are copied or none.
 * So the guest's state is at any time that after some iterations, and giving up is right at any
 * point: what was asked beyond is taken back or abandoned. Nothing is under way when a run
 * returns. */
#include "pixel.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crew.h"
#include "pixel_copy.h"
#include "pixel_pages.h"
#include "pixel_run.h"

enum {
	MOST_ITERATIONS = 1 << 30,
	MOST_AHEAD = 3, /* requests under way: copied back, on the device, next */
	/* Of a request, about: in smaller ones the 50 us that each costs would show, and lanes
	 * would be too few to fill a device. */
	REQUEST_NS = 600 * 1000,
	REQUEST_ITERATIONS = 1 << 18,
	SPIN_NS = 30 * 1000, /* of waiting for an answer, before naps */
	LONG_SPIN_NS = 2000 * 1000, /* the same where processors are many */
	MANY_PROCESSORS = 4,
	NAP_NS = 200 * 1000,
	HEARTBEAT_NS = 1000 * 1000 * 1000,
	LATE_IN_A_ROW = 3, /* then not again until another service has come */
};

static struct gb_pixel *pixel; /* NULL: no file */
static uint32_t late_in_a_row, late_epoch;
static uint64_t spin_ns;
static uint64_t n_runs, n_tickets;
static pthread_once_t crew_once = PTHREAD_ONCE_INIT;
static struct pixel_own owns[GB_PIXEL_REQUESTS];
static struct pixel_uses uses[GB_PIXEL_REQUESTS]; /* of the run whose first area this is */

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

/* One run; areas are used in turn. */
struct run {
	struct pixel_job *job;
	struct gb_regs regs; /* at its start */
	uint64_t number, chunk;
	unsigned area[MOST_AHEAD], n_areas;
	uint64_t n_asked, n_ended; /* requests */
	uint64_t asked; /* iterations */
	bool enough; /* nothing more is to be asked */
	enum pixel_outcome outcome;
};

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
	return plan->iterations > 1 && pixel && service_is_there();
}

uint64_t pixel_most(const struct gb_plan *plan)
{
	uint64_t most = plan->iterations - 1;
	return most < MOST_ITERATIONS ? most : MOST_ITERATIONS;
}

/* --- areas */

/* Each vCPU may have its share of the requests. False: none is free. */
static bool take_areas(struct run *run)
{
	unsigned share = GB_PIXEL_REQUESTS / (plugin.n_vcpus ? plugin.n_vcpus : 1);
	share = share < 1 ? 1 : share > MOST_AHEAD ? MOST_AHEAD : share;
	for (unsigned i = 0; i < GB_PIXEL_REQUESTS && run->n_areas < share; i++)
		if (change(request_at(i), GB_PIXEL_FREE, GB_PIXEL_FILLING))
			run->area[run->n_areas++] = i;
	return run->n_areas;
}

/* Takes a request back, whatever has become of it by now. True: the area is ours again; else
 * the service frees it when nothing of the request runs any more. */
static bool take_back(struct gb_pixel_request *r)
{
	return change(r, GB_PIXEL_ASKED, GB_PIXEL_FILLING) ||
	       (!change(r, GB_PIXEL_RUNNING, GB_PIXEL_ABANDONED) &&
		(change(r, GB_PIXEL_DONE, GB_PIXEL_FILLING) ||
		 change(r, GB_PIXEL_REFUSED, GB_PIXEL_FILLING)));
}

static void leave_areas(struct run *run)
{
	for (; run->n_ended < run->n_asked; run->n_ended++)
		take_back(request_at(run->area[run->n_ended % run->n_areas]));
	for (unsigned i = 0; i < run->n_areas; i++)
		change(request_at(run->area[i]), GB_PIXEL_FILLING, GB_PIXEL_FREE);
}

/* --- asking */

static void spent(uint64_t *on, uint64_t since_ns)
{
	__atomic_fetch_add(on, plugin_now_ns() - since_ns, __ATOMIC_RELAXED);
}

static void ask(struct run *run, const struct pixel_own *o, struct gb_pixel_request *r)
{
	const struct pixel_job *job = run->job;
	r->kernel = job->kernel;
	r->serial = job->serial;
	r->n = o->n;
	r->first = o->first;
	r->run = run->number;
	r->previous =
		run->n_asked ? run->area[(run->n_asked - 1) % run->n_areas] : GB_PIXEL_REQUESTS;
	r->ticket = __atomic_fetch_add(&n_tickets, 1, __ATOMIC_RELAXED);
	r->n_streams = job->plan->n_streams;
	r->n_pages = o->n_pages;
	r->regs = run->regs;
	memcpy(r->stream, o->stream, sizeof(r->stream));
	memcpy((uint8_t *)r + GB_PAGE, o->pages, o->n_pages * sizeof(*o->pages));
	change(r, GB_PIXEL_FILLING, GB_PIXEL_ASKED);
	__atomic_fetch_add(&pixel->doorbell, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&pixel->sleeping, __ATOMIC_SEQ_CST)) /* pairs: the service's wait */
		syscall(SYS_futex, &pixel->doorbell, FUTEX_WAKE, 1, NULL, NULL, 0);
	if (o->n_pages > PIXEL_FEW_PAGES) /* there will be something to copy, more to look up */
		crew_alert();
}

/* Iterations of a request. */
static uint64_t choose_chunk(const struct run *run)
{
	const struct pixel_job *job = run->job;
	uint64_t most = pixel_most_at_once(job->plan);
	uint64_t requests = (job->expected_ns + REQUEST_NS / 2) / REQUEST_NS;
	uint64_t n = run->n_areas > 1 && requests > 1 ? job->n / requests + 1 : job->n;
	n = n < REQUEST_ITERATIONS ? REQUEST_ITERATIONS : n;
	return n < most ? n : most;
}

/* Steps 2 and the asking. False: no more is to be asked for. */
static bool ask_next(struct run *run)
{
	unsigned area = run->area[run->n_asked % run->n_areas];
	struct gb_pixel_request *r = request_at(area);
	struct pixel_own *o = &owns[area];
	uint64_t left = run->job->n - run->asked, begun_ns = plugin_now_ns();
	if (!left || (run->asked && begun_ns >= run->job->until_ns))
		return false;
	o->first = run->asked;
	o->n = left < run->chunk ? left : run->chunk;
	enum gb_plan_result ready = pixel_list_pages(run->job, &uses[run->area[0]], o);
	spent(&pixel->list_ns, begun_ns);
	if (ready != GB_PLAN_GO) {
		run->outcome = PIXEL_NOT_READY;
		return false;
	}
	o->answered = __atomic_load_n(&r->answered, __ATOMIC_ACQUIRE);
	ask(run, o, r);
	run->n_asked++;
	run->asked += o->n;
	return true;
}

/* --- the answer */

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

/* Steps 3 and 4 for the oldest request. False: the run ends here. */
static bool end_oldest(struct run *run)
{
	unsigned area = run->area[run->n_ended % run->n_areas];
	struct gb_pixel_request *r = request_at(area);
	const struct pixel_own *o = &owns[area];
	uint64_t begun_ns = plugin_now_ns();
	wait_for(r, o->answered);
	spent(&pixel->answer_ns, begun_ns);
	uint32_t state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
	if (state != GB_PIXEL_DONE) {
		run->outcome = state == GB_PIXEL_REFUSED ? PIXEL_REFUSED : PIXEL_LATE;
		return false;
	}
	uint64_t done = r->done, before_ns = plugin_now_ns();
	struct gb_regs after = r->regs_after;
	bool good = done && done <= o->n && pixel_copy(run->job->plan, o, data_of(area), done);
	spent(&pixel->copy_ns, before_ns);
	if (!good) {
		run->outcome = PIXEL_REFUSED;
		return false;
	}
	*run->job->regs = after;
	run->job->done = o->first + done;
	change(r, GB_PIXEL_DONE, GB_PIXEL_FILLING);
	run->n_ended++;
	return done == o->n;
}

/* --- a run */

static void do_run(struct run *run)
{
	run->chunk = choose_chunk(run);
	for (;;) {
		while (!run->enough && run->n_asked - run->n_ended < run->n_areas)
			run->enough = !ask_next(run);
		if (run->n_asked == run->n_ended || !end_oldest(run))
			return;
	}
}

enum pixel_outcome pixel_run(struct pixel_job *job)
{
	struct run run = { .job = job, .regs = *job->regs, .outcome = PIXEL_RAN };
	job->done = 0;
	if (__atomic_load_n(&pixel->serial[job->kernel], __ATOMIC_ACQUIRE) != job->serial ||
	    pixel_streams_meet(job->plan, job->n) || !take_areas(&run))
		return PIXEL_NOT_READY;
	pthread_once(&crew_once, pixel_copy_open); /* not before: QEMU may fork first */
	run.number = __atomic_add_fetch(&n_runs, 1, __ATOMIC_RELAXED);
	if (pixel_uses_begin(&uses[run.area[0]]))
		do_run(&run);
	else
		run.outcome = PIXEL_NOT_READY;
	leave_areas(&run);
	if (run.outcome == PIXEL_LATE)
		late_in_a_row++;
	else if (job->done)
		late_in_a_row = 0;
	return run.outcome;
}
