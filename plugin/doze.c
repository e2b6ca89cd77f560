/* Listening to translations costs code that no kernel serves some percent of its speed. So
 * offload that may doze stops listening when kernels save less than that, and starts again
 * when the guest is seen in a known loop.
 *
 *            saved little in two windows of the vCPUs' time
 *   awake ------------------------------------------------> asleep
 *   listens, heads attached                                  nothing is instrumented
 *         <------------------------------------------------
 *            interrupts keep finding a vCPU in a known loop
 *
 * Each change drops all translations, so neither is done lightly: a time awake that came to
 * nothing makes the next one harder to get.
 *
 * The look: an interrupt tells where it cut in, which under TCG is the start of a block. A few
 * bytes of code there are searched for in all known loops, then the whole loop is compared.
 *
 * Thread: doze_weigh is the helper's, doze_look a vCPU's, doze_changed runs with all vCPUs
 * stopped. */
#include "doze.h"

#include <string.h>

#include "walk.h"

enum {
	LOOK_EVERY_NS = 500 * 1000,
	NEEDLE = 4, /* bytes of code at the place */
	HIT = 16, /* looks that one hit lasts */
	LEAST_HITS = 2,
	MOST_HITS = 64,
	LISTENING_COST = 12, /* one part in so many of QEMU's own time */
	WINDOWS = 2,
	GOOD_NS = 100 * 1000 * 1000, /* saved in a time awake that was worth it */
};
static const uint64_t WINDOW_NS = 400 * 1000 * 1000;
static const uint64_t CR3_ADDRESS = 0x000ffffffffff000ull;

static bool wanted; /* atomic: to sleep */
static unsigned score, hits_needed = LEAST_HITS; /* atomic */

/* The helper's account of the time awake. */
static struct {
	uint64_t vcpu_ns, kernel_ns;
	int64_t saved_ns, woke_saved_ns;
	unsigned idle_windows;
} account;

bool doze_pending(void)
{
	return __atomic_load_n(&wanted, __ATOMIC_RELAXED) != plugin.asleep;
}

static int64_t saved_by_all(void)
{
	int64_t sum = 0;
	const struct gb_kernel *slots =
		(const void *)(plugin.file + plugin.control->kernels.offset);
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		sum += __atomic_load_n(&slots[i].saved_ns, __ATOMIC_RELAXED);
	return sum;
}

static void begin_window(void)
{
	account.vcpu_ns = plugin.control->vcpu_ns;
	account.kernel_ns = __atomic_load_n(&plugin.control->kernel_ns, __ATOMIC_RELAXED);
	account.saved_ns = saved_by_all();
}

static void fall_asleep(void)
{
	bool was_good = account.saved_ns - account.woke_saved_ns > GOOD_NS;
	unsigned hits = was_good ? LEAST_HITS : hits_needed * 2;
	__atomic_store_n(&hits_needed, hits < MOST_HITS ? hits : MOST_HITS, __ATOMIC_RELAXED);
	__atomic_store_n(&score, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&wanted, true, __ATOMIC_RELEASE);
}

/* vcpu_ns and kernel_ns only grow; a mode that records or counts wants listening anyway. */
void doze_weigh(void)
{
	if (plugin.active.offload != GB_OFFLOAD_AUTO || plugin.active.mode != GB_MODE_OFF ||
	    __atomic_load_n(&wanted, __ATOMIC_ACQUIRE) || plugin.asleep) {
		account.idle_windows = 0;
		begin_window();
		return;
	}
	uint64_t vcpu_ns = plugin.control->vcpu_ns - account.vcpu_ns;
	if (vcpu_ns < WINDOW_NS)
		return;
	uint64_t kernel_ns = __atomic_load_n(&plugin.control->kernel_ns, __ATOMIC_RELAXED) -
			     account.kernel_ns;
	int64_t saved = saved_by_all() - account.saved_ns;
	uint64_t qemu_ns = vcpu_ns > kernel_ns ? vcpu_ns - kernel_ns : 0;
	bool idle = saved < (int64_t)(qemu_ns / LISTENING_COST);
	account.idle_windows = idle ? account.idle_windows + 1 : 0;
	begin_window();
	if (account.idle_windows >= WINDOWS)
		fall_asleep();
}

static const uint8_t *find_bytes(const struct loaded *l, const uint8_t *needle, unsigned from)
{
	if (from >= l->k.loop_bytes)
		return NULL;
	return memmem(l->k.loop + from, l->k.loop_bytes - from, needle, NEEDLE);
}

/* Whether these bytes at gva are part of the kernel's loop, which lies around them. */
static bool is_in(const struct loaded *l, struct walk_space *space, uint64_t gva,
		  const uint8_t *needle)
{
	for (const uint8_t *at = find_bytes(l, needle, 0); at;) {
		unsigned offset = (unsigned)(at - l->k.loop);
		uint64_t head = gva - offset + l->k.head_offset;
		if ((!l->k.gva || l->k.gva == head) &&
		    walk_same_bytes(space, gva - offset, l->k.loop, l->k.loop_bytes))
			return true;
		at = find_bytes(l, needle, offset + 1);
	}
	return false;
}

static bool in_known_loop(struct vcpu *v, uint64_t gva)
{
	struct walk_space space = { 0 };
	uint8_t needle[NEEDLE];
	space.root = registers_read(v, v->cr3_reg) & CR3_ADDRESS;
	space.levels = registers_read(v, v->cr4_reg) & WALK_CR4_LA57 ? 5 : 4;
	space.user = !(gva >> 63);
	if (!walk_read(&space, gva, needle, NEEDLE))
		return false;
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		const struct loaded *l = &kernels_loaded[i];
		bool fits = l->used && !__atomic_load_n(&l->cost.lost, __ATOMIC_RELAXED) &&
			    (!l->k.cr3 || l->k.cr3 == space.root);
		if (fits && is_in(l, &space, gva, needle))
			return true;
	}
	return false;
}

void doze_look(struct vcpu *v, uint64_t gva)
{
	uint64_t now = plugin_now_ns();
	if (now - v->looked_ns < LOOK_EVERY_NS)
		return;
	v->looked_ns = now;
	unsigned before = __atomic_load_n(&score, __ATOMIC_RELAXED);
	unsigned after = in_known_loop(v, gva) ? before + HIT : before ? before - 1 : 0;
	__atomic_store_n(&score, after, __ATOMIC_RELAXED);
	if (after > HIT * (__atomic_load_n(&hits_needed, __ATOMIC_RELAXED) - 1))
		__atomic_store_n(&wanted, false, __ATOMIC_RELEASE);
}

void doze_changed(bool new_request)
{
	if (new_request) {
		hits_needed = LEAST_HITS;
		score = 0;
		__atomic_store_n(&wanted, false, __ATOMIC_RELEASE);
	}
	bool asleep = __atomic_load_n(&wanted, __ATOMIC_ACQUIRE);
	if (plugin.asleep && !asleep)
		account.woke_saved_ns = saved_by_all();
	if (plugin.asleep != asleep)
		plugin.control->naps += asleep;
	plugin.asleep = asleep;
	plugin.control->asleep = asleep;
}
