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
 * Each change drops all translations, so neither is done lightly. Offload begins awake, for a
 * short time, where there are kernels that have not been tried; else asleep. It is a kernel
 * that wakes it, and one that saved little in a time awake must be seen many times as often
 * before it may do so again: what is learned so outlives a switching off and on.
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
	CHARGE = 64,
	SMALL_CHARGE = 8, /* times as many hits */
	CALLS = 16, /* of a kernel that came to nothing, for it to be charged */
	MOST_HITS = 4096, /* 16 s without a break, at 250 interrupts a second */
	LISTENING_COST = 12, /* one part in so many of QEMU's own time */
	FIRST_WINDOWS = 1,
	WINDOWS = 2, /* without use: of what was not tried, of what woke it */
	GOOD_NS = 100 * 1000 * 1000, /* saved in a time awake that was worth it */
};
static const uint64_t WINDOW_NS = 100 * 1000 * 1000, GOOD_WINDOW_NS = 200 * 1000 * 1000;
static const uint64_t CR3_ADDRESS = 0x000ffffffffff000ull;

static bool wanted; /* atomic: to sleep */
static uint32_t looks; /* atomic */
static unsigned patience = WINDOWS; /* atomic: of this time awake */
static bool was_good; /* atomic: this time awake saved much already, and so may last */

/* The helper's account of the time awake. */
static struct {
	uint64_t vcpu_ns, kernel_ns;
	int64_t saved_ns, good_ns; /* good: in windows that paid, one after the other */
	unsigned idle_windows;
} account;

bool doze_pending(void)
{
	return __atomic_load_n(&wanted, __ATOMIC_RELAXED) != plugin.asleep;
}

static int64_t saved_by(const struct loaded *l)
{
	return l->used ? __atomic_load_n(&l->shared->saved_ns, __ATOMIC_RELAXED) : 0;
}

static uint64_t entries_of(const struct loaded *l)
{
	return l->used ? __atomic_load_n(&l->shared->entries, __ATOMIC_RELAXED) : 0;
}

static int64_t saved_by_all(void)
{
	int64_t sum = 0;
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		sum += saved_by(&kernels_loaded[i]);
	return sum;
}

static void begin_window(void)
{
	account.vcpu_ns = plugin.control->vcpu_ns;
	account.kernel_ns = __atomic_load_n(&plugin.control->kernel_ns, __ATOMIC_RELAXED);
	account.saved_ns = saved_by_all();
}

static uint32_t hits_needed(const struct loaded *l)
{
	uint32_t needs = __atomic_load_n(&l->wake.needs, __ATOMIC_RELAXED);
	return needs ? needs : LEAST_HITS;
}

static bool may_wake(const struct loaded *l)
{
	return __atomic_load_n(&l->wake.score, __ATOMIC_RELAXED) > HIT * (hits_needed(l) - 1);
}

static void need(struct loaded *l, uint32_t hits)
{
	__atomic_store_n(&l->wake.needs, hits < MOST_HITS ? hits : MOST_HITS, __ATOMIC_RELAXED);
}

/* A kernel that wakes offload must be seen far more often the next time... */
static void charge(struct loaded *l)
{
	l->wake.saved_ns = saved_by(l);
	l->wake.entries = entries_of(l);
	l->wake.needed = hits_needed(l);
	if (may_wake(l))
		need(l, l->wake.needed * CHARGE);
	__atomic_store_n(&l->wake.score, 0, __ATOMIC_RELAXED);
}

/* ...unless it proves to be worth the two changes. So must one that did not wake it, but was
 * called and came to nothing. */
static void assess(struct loaded *l)
{
	int64_t saved = saved_by(l) - l->wake.saved_ns;
	uint32_t needed = l->wake.needed, needs = hits_needed(l);
	if (saved > GOOD_NS)
		need(l, LEAST_HITS);
	else if (saved > GOOD_NS / 8)
		need(l, needs < needed * SMALL_CHARGE ? needs : needed * SMALL_CHARGE);
	else if (entries_of(l) - l->wake.entries >= CALLS && needs == needed)
		need(l, needed * CHARGE);
}

static void note_tried(struct loaded *l)
{
	__atomic_store_n(&l->wake.tried, l->used, __ATOMIC_RELAXED);
}

static void for_each(void (*what)(struct loaded *))
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		what(&kernels_loaded[i]);
}

/* vcpu_ns and kernel_ns only grow; a mode that records or counts wants listening anyway. */
void doze_weigh(void)
{
	if (plugin.active.offload != GB_OFFLOAD_AUTO || plugin.active.mode != GB_MODE_OFF ||
	    __atomic_load_n(&wanted, __ATOMIC_ACQUIRE) || plugin.asleep) {
		account.idle_windows = 0;
		account.good_ns = 0;
		begin_window();
		return;
	}
	uint64_t vcpu_ns = plugin.control->vcpu_ns - account.vcpu_ns;
	if (vcpu_ns <
	    (__atomic_load_n(&was_good, __ATOMIC_RELAXED) ? GOOD_WINDOW_NS : WINDOW_NS))
		return;
	uint64_t kernel_ns = __atomic_load_n(&plugin.control->kernel_ns, __ATOMIC_RELAXED) -
			     account.kernel_ns;
	int64_t saved = saved_by_all() - account.saved_ns;
	uint64_t qemu_ns = vcpu_ns > kernel_ns ? vcpu_ns - kernel_ns : 0;
	bool idle = saved < (int64_t)(qemu_ns / LISTENING_COST);
	account.good_ns = idle ? 0 : account.good_ns + saved;
	if (account.good_ns > GOOD_NS)
		__atomic_store_n(&was_good, true, __ATOMIC_RELAXED);
	account.idle_windows = idle ? account.idle_windows + 1 : 0;
	begin_window();
	for_each(assess);
	for_each(note_tried);
	if (account.idle_windows >= __atomic_load_n(&patience, __ATOMIC_RELAXED))
		__atomic_store_n(&wanted, true, __ATOMIC_RELEASE);
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

/* Each look that is no hit takes back a part of one. */
static void hit(struct loaded *l, uint32_t look)
{
	uint32_t since = look - l->wake.look, before = l->wake.score;
	uint32_t left = before > since ? before - since : 0;
	l->wake.look = look;
	__atomic_store_n(&l->wake.score, left + HIT, __ATOMIC_RELAXED);
	if (may_wake(l))
		__atomic_store_n(&wanted, false, __ATOMIC_RELEASE);
}

static bool can_run(const struct loaded *l, const struct walk_space *space)
{
	return l->used && !__atomic_load_n(&l->cost.lost, __ATOMIC_RELAXED) &&
	       (!l->k.cr3 || l->k.cr3 == space->root);
}

/* All kernels whose loops lie there: of two nested ones either may be of use. */
void doze_look(struct vcpu *v, uint64_t gva)
{
	struct walk_space space = { 0 };
	uint8_t needle[NEEDLE];
	uint64_t now = plugin_now_ns();
	if (now - v->looked_ns < LOOK_EVERY_NS)
		return;
	v->looked_ns = now;
	uint32_t look = __atomic_add_fetch(&looks, 1, __ATOMIC_RELAXED);
	space.root = registers_read(v, v->cr3_reg) & CR3_ADDRESS;
	space.levels = registers_read(v, v->cr4_reg) & WALK_CR4_LA57 ? 5 : 4;
	space.user = !(gva >> 63);
	if (!walk_read(&space, gva, needle, NEEDLE))
		return;
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct loaded *l = &kernels_loaded[i];
		if (can_run(l, &space) && is_in(l, &space, gva, needle))
			hit(l, look);
	}
}

static bool all_tried(void)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		if (kernels_loaded[i].used && !kernels_loaded[i].wake.tried)
			return false;
	return true;
}

void doze_changed(bool new_request)
{
	const struct gb_request *r = &plugin.active;
	bool may_doze = r->offload == GB_OFFLOAD_AUTO && r->mode == GB_MODE_OFF;
	if (new_request && !plugin.asleep)
		for_each(assess);
	if (new_request)
		__atomic_store_n(&wanted, may_doze && all_tried(), __ATOMIC_RELEASE);
	bool asleep = __atomic_load_n(&wanted, __ATOMIC_ACQUIRE);
	if (!asleep && (new_request || plugin.asleep)) {
		for_each(charge);
		__atomic_store_n(&patience, new_request ? FIRST_WINDOWS : WINDOWS,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&was_good, false, __ATOMIC_RELAXED);
	}
	if (!new_request && plugin.asleep != asleep)
		plugin.control->naps += asleep;
	plugin.asleep = asleep;
	plugin.control->asleep = asleep;
}
