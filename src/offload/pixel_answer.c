/* Requests of the plugin, from its asking to our answer. What is started on the device waits in
 * a queue, so that the device has the next request when it ends one. */
#include "offload/internal.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "mcode/interp.h"
#include "mcode/spirv.h"
#include "offload/gpu_run.h"
#include "offload/pixel_request.h"

enum { FLIGHT_SPIN_NS = 2 * 1000 * 1000 }; /* then sleeping costs little beside it */

struct gb_pixel_request *service_request_at(struct service *s, unsigned area)
{
	return (void *)((uint8_t *)s->shared + GB_PAGE + (size_t)area * GB_PIXEL_SLOT_BYTES);
}

bool service_change(struct gb_pixel_request *r, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&r->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static uint8_t *data_of(struct service *s, unsigned area)
{
	return s->memory + s->ram_bytes + area * GB_PIXEL_DATA_BYTES;
}

static void to_guest(const struct gb_regs *regs, uint64_t *guest)
{
	memset(guest, 0, MCODE_GUEST_REGS * sizeof(*guest));
	memcpy(guest, regs->gpr, sizeof(regs->gpr));
	memcpy(guest + MCODE_XMM, regs->xmm, sizeof(regs->xmm));
}

static void from_guest(const uint64_t *guest, struct gb_regs *regs)
{
	memcpy(regs->gpr, guest, sizeof(regs->gpr));
	memcpy(regs->xmm, guest + MCODE_XMM, sizeof(regs->xmm));
}

/* --- pages */

/* Loads read guest RAM where it is, stores go to the copies: nothing need be copied first. */
static void place_imported(struct service *s, const struct flying *f, uint32_t i)
{
	const struct gb_pixel_stream *st = &f->request.stream[i];
	bool reads = f->p->kernel->streams[i].flags & MCODE_STREAM_READ;
	bool split = st->write && reads && f->p->loads_first;
	uint64_t data = (uint64_t)(data_of(s, f->area) - s->memory) + st->data_page * GB_PAGE;
	s->first_stored[i] = split ? s->n_offsets : st->first;
	for (uint32_t k = 0; k < st->n_pages; k++) {
		uint64_t ram = s->pages[st->first + k] * (uint64_t)GB_PAGE;
		uint64_t copy = data + k * GB_PAGE;
		if (st->write && reads && !split)
			memcpy(s->memory + copy, s->memory + ram, GB_PAGE);
		s->offsets[st->first + k] = st->write && !split ? copy : ram;
		if (split)
			s->offsets[s->n_offsets++] = copy;
	}
}

static void place_staged(struct service *s, const struct flying *f, uint32_t i, uint64_t *at)
{
	const struct gb_pixel_stream *st = &f->request.stream[i];
	uint8_t *staged = gpu_buffer_map(s->buffer);
	s->first_stored[i] = st->first;
	for (uint32_t k = 0; k < st->n_pages; k++, *at += GB_PAGE) {
		memcpy(staged + *at, s->memory + s->pages[st->first + k] * (uint64_t)GB_PAGE,
		       GB_PAGE);
		s->offsets[st->first + k] = *at;
	}
}

/* Where each listed page is in the device's buffer; pages that the device is to find there are
 * copied to it. */
static void place_pages(struct service *s, const struct flying *f)
{
	uint64_t at = 0;
	s->n_offsets = f->request.n_pages;
	for (uint32_t i = 0; i < f->p->kernel->n_streams; i++)
		if (s->imported)
			place_imported(s, f, i);
		else
			place_staged(s, f, i, &at);
}

static void fetch_written(struct service *s, const struct flying *f)
{
	const uint8_t *staged = s->imported ? NULL : gpu_buffer_map(s->buffer);
	for (uint32_t i = 0; staged && i < f->request.n_streams; i++) {
		const struct gb_pixel_stream *st = &f->request.stream[i];
		for (uint32_t k = 0; st->write && k < st->n_pages; k++)
			memcpy(data_of(s, f->area) + (st->data_page + k) * GB_PAGE,
			       staged + s->offsets[st->first + k], GB_PAGE);
	}
}

/* Pages of overlapping streams in a request may add up to more than there is room for. */
static bool room_is_enough(const struct gb_pixel_request *r)
{
	uint64_t pages = 0, written = 0;
	for (uint32_t i = 0; i < r->n_streams; i++) {
		pages += r->stream[i].n_pages;
		written += r->stream[i].write ? r->stream[i].n_pages : 0;
	}
	return pages <= GB_PIXEL_PAGES && written <= GB_PIXEL_DATA_PAGES;
}

/* --- starting */

/* Copied once: the request cannot change underneath. */
static void take_copy(struct service *s, const struct gb_pixel_request *r, struct flying *f)
{
	memcpy(&f->request, r, sizeof(f->request));
	if (f->request.n_pages <= GB_PIXEL_PAGES) /* else it will be refused */
		memcpy(s->pages, (const uint8_t *)r + GB_PAGE,
		       f->request.n_pages * sizeof(*s->pages));
}

/* Judges the copy; all that was written into f is then sound. */
static bool is_good(struct service *s, struct flying *f)
{
	const struct gb_pixel_request *r = &f->request;
	f->p = &s->prepared[r->kernel % GB_KERNEL_SLOTS];
	if (r->kernel >= GB_KERNEL_SLOTS || !f->p->gpu || f->p->serial != r->serial)
		return false;
	to_guest(&r->regs, f->guest);
	if (!mcode_interp_guard(f->p->interp, f->guest, NULL))
		return false;
	mcode_interp_setup(f->p->interp, f->guest, f->slots);
	return !pixel_request_refusal(f->p->kernel, r, s->pages, f->slots,
				      s->ram_bytes / GB_PAGE) &&
	       mcode_spirv_aligned(f->p->kernel, f->slots) && room_is_enough(r);
}

static struct error *start_on_device(struct service *s, const struct flying *f)
{
	uint64_t address[MCODE_MAX_STREAMS], n = f->request.n;
	uint32_t first[MCODE_MAX_STREAMS];
	for (uint32_t i = 0; i < f->p->kernel->n_streams; i++) {
		address[i] = f->request.stream[i].gva;
		first[i] = f->request.stream[i].first;
	}
	struct offload_gpu_memory memory = { .buffer = s->buffer,
					     .address = address,
					     .page = s->offsets,
					     .first = first,
					     .first_stored = s->first_stored,
					     .n_pages = s->n_offsets };
	if (n > offload_gpu_most(f->p->gpu)) /* the answer will say how many were done */
		n = offload_gpu_most(f->p->gpu);
	return offload_gpu_start(f->p->gpu, f->flight, &memory, f->slots, f->request.first, n);
}

/* A flight of the kernel; one staging buffer serves one request at a time. */
static struct error *find_flight(struct service *s, struct flying *f)
{
	while (s->n_flying && !s->imported)
		TRY(service_end_oldest(s));
	for (;;) {
		for (f->flight = 0; f->flight < OFFLOAD_GPU_FLIGHTS; f->flight++)
			if (offload_gpu_is_free(f->p->gpu, f->flight))
				return NULL;
		TRY(service_end_oldest(s));
	}
}

/* Ends a request's life on our side. */
static void give_answer(struct service *s, unsigned area, bool good)
{
	struct gb_pixel_request *r = service_request_at(s, area);
	s->answered[area].good = good;
	if (service_change(r, GB_PIXEL_RUNNING, good ? GB_PIXEL_DONE : GB_PIXEL_REFUSED)) {
		s->shared->done += good;
		s->shared->refused += !good;
	} else { /* given up meanwhile; nothing of it runs any more */
		service_change(r, GB_PIXEL_ABANDONED, GB_PIXEL_FREE);
		s->shared->abandoned++;
	}
	__atomic_fetch_add(&r->answered, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &r->answered, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static struct error *start(struct service *s, unsigned area)
{
	struct flying *f = &s->flying[(s->oldest + s->n_flying) % GB_PIXEL_REQUESTS];
	f->area = area;
	f->taken_ns = service_now_ns();
	s->shared->requests++;
	take_copy(s, service_request_at(s, area), f);
	if (!is_good(s, f)) {
		give_answer(s, area, false);
		return NULL;
	}
	struct error *err = find_flight(s, f);
	if (!err) {
		place_pages(s, f);
		s->shared->place_ns += service_now_ns() - f->taken_ns;
		err = start_on_device(s, f);
	}
	if (err)
		give_answer(s, area, false);
	else
		s->n_flying++;
	return err;
}

static bool is_asked(struct service *s, unsigned area)
{
	for (unsigned i = 0; i < s->n_flying; i++) /* whatever its state says */
		if (s->flying[(s->oldest + i) % GB_PIXEL_REQUESTS].area == area)
			return false;
	return __atomic_load_n(&service_request_at(s, area)->state, __ATOMIC_SEQ_CST) ==
	       GB_PIXEL_ASKED;
}

bool service_anything_asked(struct service *s)
{
	for (unsigned i = 0; i < GB_PIXEL_REQUESTS; i++)
		if (is_asked(s, i))
			return true;
	return false;
}

struct error *service_start_next(struct service *s, bool *did_ret)
{
	unsigned next = GB_PIXEL_REQUESTS;
	uint64_t least = UINT64_MAX;
	*did_ret = false;
	for (unsigned i = 0; i < GB_PIXEL_REQUESTS; i++) {
		if (!is_asked(s, i))
			continue;
		uint64_t ticket =
			__atomic_load_n(&service_request_at(s, i)->ticket, __ATOMIC_RELAXED);
		if (next == GB_PIXEL_REQUESTS || ticket < least) {
			least = ticket;
			next = i;
		}
	}
	if (next == GB_PIXEL_REQUESTS ||
	    !service_change(service_request_at(s, next), GB_PIXEL_ASKED, GB_PIXEL_RUNNING))
		return NULL;
	*did_ret = true;
	return start(s, next);
}

/* --- ending */

/* The slots that the iterations before this request's left. False: there was no good answer. */
static bool slots_before(const struct service *s, const struct flying *f, uint64_t *slots)
{
	const struct gb_pixel_request *r = &f->request;
	const struct answered *last = &s->answered[r->previous % GB_PIXEL_REQUESTS];
	if (r->first && (!last->good || last->serial != r->serial || last->run != r->run ||
			 last->next != r->first))
		return false;
	memcpy(slots, r->first ? last->slots : f->slots, sizeof(f->slots));
	return true;
}

/* Takes over what the device has done. */
static void end_good(struct service *s, struct flying *f, uint64_t *slots,
		     const struct offload_gpu_result *result)
{
	struct gb_pixel_request *r = service_request_at(s, f->area);
	struct answered *a = &s->answered[f->area];
	a->serial = f->request.serial;
	a->run = f->request.run;
	a->next = f->request.first + result->done;
	memcpy(a->slots, slots, sizeof(a->slots));
	fetch_written(s, f);
	mcode_interp_finish(f->p->interp, slots, a->next, f->guest);
	from_guest(f->guest, &r->regs_after);
	r->done = result->done;
	r->busy_ns = result->ns;
	s->shared->iterations += result->done;
	s->shared->busy_ns += result->ns;
	s->shared->bytes += (uint64_t)f->request.n_pages * GB_PAGE;
}

struct error *service_end_oldest(struct service *s)
{
	struct flying *f = &s->flying[s->oldest];
	struct offload_gpu_result result = { .done = 0 };
	uint64_t slots[MCODE_SLOTS];
	bool known = slots_before(s, f, slots);
	if (!known)
		memcpy(slots, f->slots, sizeof(slots)); /* for nothing */
	struct error *err = offload_gpu_end(f->p->gpu, f->flight, slots, &result);
	bool good = !err && known && !result.fault;
	if (good)
		end_good(s, f, slots, &result);
	s->shared->record_ns += result.record_ns;
	s->shared->wait_ns += result.wait_ns;
	s->oldest = (s->oldest + 1) % GB_PIXEL_REQUESTS;
	s->n_flying--;
	give_answer(s, f->area, good);
	return err;
}

bool service_is_due(struct service *s)
{
	const struct flying *f = &s->flying[s->oldest];
	return s->n_flying && (gpu_info(s->gpu)->is_software || gpu_is_lost(s->gpu) ||
			       offload_gpu_is_done(f->p->gpu, f->flight) ||
			       service_now_ns() - f->taken_ns > FLIGHT_SPIN_NS);
}

void service_end_all(struct service *s)
{
	while (s->n_flying)
		error_destroy(service_end_oldest(s));
}
