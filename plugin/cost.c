/* What a kernel costs and saves, measured where it runs, and what follows from it.
 *
 *   TCG's price    now and then a head is left alone for some hundred iterations and the time
 *                  until the next call is taken: `tcg_ps`, the least of the last four.
 *                  Where iterations are uneven, nearly all of a run of the loop is timed, and
 *                  the kernel's next run of such a length: neighbours cost alike, as the rows
 * of a picture do, so that the ratio of the two holds where the prices do not. A loop that
 * never runs on for so long (short strings) has no such price; after a window of executions one
 * is presumed, by its number of instructions. our price of a call before its first iteration
 * (`entry_ns`), of an iteration with its share of page walks
 * (`native_ps`), both smoothed. threshold      entry_ns / (tcg_ps - native_ps) iterations are
 * where both are even; a kernel runs from half as many more on. A slot with a minimum of its
 * own keeps it. retirement     calls are added up in windows; LOSING windows in a row whose
 * calls cost more than their iterations would have cost under TCG end the kernel here.
 *
 *   GPU            a request's price and an iteration's, the same way; used where its sum is a
 *                  tenth below native code's, in requests that fit into a slice of time.
 *
 * Thread: vCPU threads. Fields are read and written one by one, relaxed: two vCPUs that update
 * one at a time may lose an update, which changes an average by a sample. */
#include "cost.h"

enum {
	PROBE_LEAST = 256, /* trip count that is worth a measurement */
	PROBE_PASSES = 1024,
	PROBE_EVERY = 256, /* executions, after the first samples */
	PROBE_UNEVEN = 64, /* the same of uneven loops */
	PROBE_MOST = 1 << 14, /* passes of uneven loops */
	WINDOW = 256, /* calls */
	UNEVEN_SHORT =
		16, /* calls of an uneven loop below its threshold, which is forgotten then */
	LOSING = 4, /* windows */
	OWN_LEAST = 64, /* before anything is measured */
	LEAST_LEAST = 16,
	MOST_LEAST = 4096,
	PRESUMED_PS = 400, /* of an instruction under TCG */
	CALL_NS = 60, /* of a call, outside our own clock readings */
	GPU_LEAST = 1 << 14, /* iterations worth a request, or fewer that take ... */
	GPU_LEAST_NS = 100 * 1000, /* ... native code as long, but no fewer than ... */
	GPU_FEWEST = 256,
	GPU_SMALL = 4, /* requests of so many at first */
	GPU_FIRST = 1 << 19, /* of the first large request */
	GPU_AGAIN = 1024, /* times it was not the better choice, then it is tried again */
	GPU_PAUSE = 64, /* calls after a request that came to nothing */
	REFUSALS = 4, /* in a row, then this kernel is not for the service */
	ODD = 8, /* times what was expected, and ODD_NS more: the host did something else */
	ODD_NS = 100 * 1000,
	ODDS = 3, /* in a row, then it is believed */
};

static void set(uint32_t *to, uint64_t value)
{
	__atomic_store_n(to, value < UINT32_MAX ? (uint32_t)value : UINT32_MAX,
			 __ATOMIC_RELAXED);
}

/* The first sample as it is, then an eighth of each. */
static void smooth(uint32_t *average, uint64_t sample)
{
	uint64_t old = *average;
	set(average, old ? (7 * old + sample + 4) / 8 : sample ? sample : 1);
}

static void choose_least(struct cost *c)
{
	if (!c->tcg_ps || !c->native_ps)
		return;
	uint64_t least = MOST_LEAST;
	if (c->tcg_ps > c->native_ps)
		least = 1500ull * (c->entry_ns + CALL_NS) / (c->tcg_ps - c->native_ps);
	least = least < LEAST_LEAST ? LEAST_LEAST : least;
	set(&c->least, least > MOST_LEAST ? MOST_LEAST : least);
}

static void publish(struct loaded *l)
{
	const struct cost *c = &l->cost;
	struct gb_kernel *to = l->shared;
	set(&to->tcg_now_ps, c->tcg_ps);
	set(&to->native_ps, c->native_ps);
	set(&to->entry_ns, c->entry_ns);
	set(&to->gpu_ps, c->gpu_ps);
	set(&to->gpu_entry_ns, c->gpu_entry_ns);
	set(&to->least_now, cost_least(l));
	set(&to->losing, c->losing);
}

uint64_t cost_least(const struct loaded *l)
{
	if (l->k.min_iterations)
		return l->k.min_iterations;
	return l->cost.least ? l->cost.least : OWN_LEAST;
}

void cost_short(struct loaded *l, uint64_t iterations)
{
	struct cost *c = &l->cost;
	if (l->k.uneven && iterations < OWN_LEAST)
		return; /* what was left of a run of the loop */
	if (++c->n_short % (l->k.uneven ? UNEVEN_SHORT : WINDOW))
		return;
	set(&c->least, 0); /* a threshold that was measured wrongly ends here */
	if (l->k.uneven) /* or on data that is past */
		c->n_samples = c->tcg_ps = c->native_ps = c->ratio = c->sample_ps = 0;
}

/* Where the first stream that moves will be after so many passes; 0: none moves. */
static uint64_t place_after(const struct gb_plan *plan, uint64_t passes)
{
	for (uint32_t i = 0; i < plan->n_streams; i++)
		if (plan->stream[i].stride)
			return plan->stream[i].gva + (uint64_t)plan->stream[i].stride * passes;
	return 0;
}

uint64_t cost_probe_begin(struct loaded *l, struct vcpu *v, const void *head,
			  const struct gb_plan *plan)
{
	const struct cost *c = &l->cost;
	uint64_t iterations = plan->iterations;
	unsigned every = l->k.uneven ? PROBE_UNEVEN : PROBE_EVERY;
	if (iterations < (l->k.uneven ? OWN_LEAST : PROBE_LEAST) ||
	    (c->n_samples >= 4 && c->executions % every) || c->sample_ps)
		return 0;
	if (v->probe.at == c->executions + 1 && v->probe.last == head)
		return 0; /* once per execution */
	uint64_t passes = iterations / 8 < PROBE_PASSES ? iterations / 8 : PROBE_PASSES;
	if (l->k.uneven && iterations > 2 * cost_least(l))
		passes = iterations < PROBE_MOST ? iterations - cost_least(l) : PROBE_MOST;
	v->probe.at = c->executions + 1;
	v->probe.head = v->probe.last = head;
	v->probe.iterations = iterations;
	v->probe.passes = passes;
	v->probe.place = place_after(plan, passes);
	v->probe.start_ns = plugin_now_ns();
	return passes;
}

static uint32_t least_sample(const struct cost *c)
{
	uint32_t least = UINT32_MAX;
	for (uint32_t i = 0; i < c->n_samples && i < 4; i++)
		least = c->tcg_sample_ps[i] < least ? c->tcg_sample_ps[i] : least;
	return least;
}

void cost_probe_end(struct loaded *l, struct vcpu *v, const struct gb_plan *plan,
		    uint64_t now_ns)
{
	struct cost *c = &l->cost;
	bool counted = plan->iterations + v->probe.passes == v->probe.iterations;
	/* a search that nothing bounds has always as many to come */
	bool moved = plan->iterations == v->probe.iterations && v->probe.place &&
		     place_after(plan, 0) == v->probe.place;
	v->probe.head = NULL;
	if (!counted && !moved)
		return; /* another run of the loop */
	uint64_t ns = now_ns - v->probe.start_ns;
	uint64_t sample = ns * 1000 / v->probe.passes;
	if (l->k.uneven) {
		set(&c->sample_ps, sample);
		set(&c->sample_passes, v->probe.passes);
		return;
	}
	set(&c->tcg_sample_ps[c->n_samples % 4], sample);
	c->n_samples++;
	set(&c->tcg_ps, least_sample(c));
	choose_least(c);
}

/* The other half of a sample of an uneven loop, and the price that follows from all of them. */
static void note_ratio(struct cost *c, const struct cost_execution *x)
{
	uint64_t ps = x->run_ns * 1000 / x->iterations;
	if (c->sample_ps && x->iterations >= c->sample_passes / 2) {
		smooth(&c->ratio, c->sample_ps * 1024ull / (ps ? ps : 1));
		c->n_samples++;
		set(&c->sample_ps, 0);
	}
	set(&c->tcg_ps, (uint64_t)c->native_ps * c->ratio / 1024);
}

static uint64_t tcg_price(const struct loaded *l)
{
	const struct cost *c = &l->cost;
	if (c->tcg_ps || c->executions < WINDOW)
		return c->tcg_ps;
	return (uint64_t)l->k.n_insns * PRESUMED_PS;
}

/* Adds a call to the window; at its end the kernel has won or lost. */
static void weigh(struct loaded *l, uint64_t spent_ns, uint64_t worth_ns)
{
	struct cost *c = &l->cost;
	c->window_spent_ns += spent_ns + CALL_NS;
	c->window_worth_ns += worth_ns;
	if (++c->window_entries < WINDOW)
		return;
	bool lost = tcg_price(l) && c->window_spent_ns > c->window_worth_ns;
	set(&c->losing, lost ? c->losing + 1 : 0);
	c->window_entries = c->window_spent_ns = c->window_worth_ns = 0;
	publish(l);
	if (c->losing < LOSING || l->k.min_iterations || c->lost)
		return;
	set(&c->lost, 1);
	__atomic_fetch_add(&l->shared->retirements, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&l->shared->state, GB_KERNEL_LOST, __ATOMIC_RELEASE);
}

void cost_idle(struct loaded *l, uint64_t spent_ns)
{
	__atomic_fetch_add(&l->shared->idle_ns, spent_ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&l->shared->saved_ns, -(int64_t)spent_ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&plugin.control->kernel_ns, spent_ns, __ATOMIC_RELAXED);
	weigh(l, spent_ns, 0);
}

/* What fits into a slice of time, as far as prices are known: first small requests show what
 * one costs at least, then a large one what an iteration adds. */
static uint64_t gpu_iterations(const struct cost *c, uint64_t possible, uint64_t slice_ns)
{
	uint64_t n = possible < 8 * GPU_LEAST ? possible / 8 : GPU_LEAST;
	if (c->n_gpu >= GPU_SMALL && !c->gpu_ps)
		n = GPU_FIRST;
	else if (c->gpu_ps && slice_ns > c->gpu_entry_ns)
		n = (slice_ns - c->gpu_entry_ns) * 1000 / c->gpu_ps;
	n = n < GPU_FEWEST ? GPU_FEWEST : n;
	return n < possible ? n : possible;
}

uint64_t cost_gpu_ns(const struct loaded *l, uint64_t iterations)
{
	return l->cost.gpu_ps ? l->cost.gpu_entry_ns + iterations * l->cost.gpu_ps / 1000 : 0;
}

static bool is_worth_a_request(const struct cost *c, uint64_t possible)
{
	return possible >= GPU_LEAST ||
	       (possible >= GPU_FEWEST && possible * c->native_ps / 1000 >= GPU_LEAST_NS);
}

uint64_t cost_gpu(struct loaded *l, uint64_t possible, uint64_t slice_ns)
{
	struct cost *c = &l->cost;
	uint32_t tier = plugin.active.tier;
	if (tier == GB_TIER_NATIVE || !is_worth_a_request(c, possible) ||
	    c->gpu_refused >= REFUSALS)
		return 0;
	if (c->gpu_pause) {
		c->gpu_pause--;
		return 0;
	}
	uint64_t n = gpu_iterations(c, possible, slice_ns);
	if (tier == GB_TIER_GPU)
		return n;
	if (!c->native_ps || !c->gpu_ps)
		return c->native_ps ? n : 0; /* prices are still to be found */
	bool better = cost_gpu_ns(l, n) * 10 < n * c->native_ps / 1000 * 9;
	return better || ++c->gpu_left_out % GPU_AGAIN == 0 ? n : 0;
}

void cost_gpu_failed(struct loaded *l, bool refused)
{
	l->cost.gpu_refused += refused;
	l->cost.gpu_pause = GPU_PAUSE;
}

/* The first requests find the device asleep: less is believed at once, more only slowly. */
static void settle(uint32_t *price, uint64_t sample)
{
	if (!*price || sample < *price)
		set(price, sample ? sample : 1);
	else
		smooth(price, sample);
}

/* Iterations that data makes cost much may follow cheap ones: a request of too many would stall
 * the guest, so that more is believed at once. */
static void settle_uneven(uint32_t *price, uint64_t sample)
{
	if (sample > *price)
		set(price, sample);
	else
		smooth(price, sample);
}

static void note_gpu(struct loaded *l, const struct cost_execution *x)
{
	struct cost *c = &l->cost;
	uint64_t ns = x->entry_ns + x->run_ns, each_ps = 1;
	c->gpu_refused = 0;
	if (c->n_gpu < GPU_SMALL)
		set(&c->gpu_small, x->iterations);
	if (ns > c->gpu_entry_ns)
		each_ps = (ns - c->gpu_entry_ns) * 1000 / x->iterations;
	if (x->iterations <= 2 * c->gpu_small)
		settle(&c->gpu_entry_ns, ns);
	else if (l->k.uneven)
		settle_uneven(&c->gpu_ps, each_ps);
	else
		settle(&c->gpu_ps, each_ps);
	c->n_gpu++;
}

static void note_tier(struct loaded *l, uint32_t tier)
{
	if (l->cost.tier && l->cost.tier != tier)
		__atomic_fetch_add(&l->shared->tier_switches, 1, __ATOMIC_RELAXED);
	set(&l->cost.tier, tier);
	set(&l->shared->tier, tier);
}

/* On a busy host a vCPU loses its processor in the middle of a call, now and then: that is not
 * the kernel's price, and TCG's is the least of several samples. */
static bool is_odd(struct cost *c, uint64_t spent_ns, uint64_t expected_ns)
{
	bool odd = c->native_ps && spent_ns > ODD * expected_ns + ODD_NS;
	set(&c->n_odd, odd ? c->n_odd + 1 : 0);
	return odd && c->n_odd < ODDS;
}

void cost_executed(struct loaded *l, const struct cost_execution *x)
{
	struct cost *c = &l->cost;
	uint64_t spent_ns = x->entry_ns + x->run_ns;
	uint64_t expected_ns = c->entry_ns + x->iterations * c->native_ps / 1000;
	bool odd = x->tier == GB_TIER_NATIVE && is_odd(c, spent_ns, expected_ns);
	uint64_t price = tcg_price(l), worth_ns = x->iterations * price / 1000;
	c->executions++;
	if (x->tier == GB_TIER_NATIVE && !odd) {
		smooth(&c->entry_ns, x->entry_ns);
		if (x->iterations >= OWN_LEAST)
			smooth(&c->native_ps, x->run_ns * 1000 / x->iterations);
		if (l->k.uneven)
			note_ratio(c, x);
		if (c->ratio)
			worth_ns = x->run_ns * c->ratio / 1024;
	} else if (!odd) {
		note_gpu(l, x);
	}
	choose_least(c);
	note_tier(l, x->tier);
	if (price)
		__atomic_fetch_add(&l->shared->saved_ns, (int64_t)(worth_ns - spent_ns),
				   __ATOMIC_RELAXED);
	/* A GPU that loses is left by its own price; what it gains makes up for calls that come
	 * to nothing in between. */
	if (x->tier == GB_TIER_NATIVE || spent_ns < worth_ns)
		weigh(l, price ? spent_ns : 0, worth_ns);
	if (c->executions < 64 || c->executions % 16 == 0)
		publish(l);
}
