/* Running a native kernel in place of a guest loop. See kernel_abi.h for what a kernel promises
 * and docs/hybrid.md for the argument; here is what the dispatcher does at a loop head:
 *
 *   1. Cheap test in translated code: a per-vCPU credit counts down; only below zero it calls
 * us. A head that is not worth it gets credit and costs one subtraction per pass.
 *   2. Mode, page table, single-step and code bytes are checked, registers read, plan() asked.
 *   3. All iterations but the last are done in chunks. A chunk ends where a stream leaves its
 *      page. Pages must be ready (walk.h); one that is not ends the work here, and so does an
 *      access that straddles two pages: the guest does that iteration itself, faults included.
 *   4. After a slice of time the work ends too, so that interrupts and stop requests are
 * served.
 *   5. Registers are written back and the block runs: the guest does one iteration and comes
 *      back to the head if there are more.
 *
 * Nothing here takes a lock, allocates or calls into the system, except reading the clock. */
#include "cost.h"
#include "pixel_run.h"
#include "walk.h"

#include <string.h>

enum {
	MAX_HEADS = 4096,
	CHUNK_ITERATIONS = 1 << 16,
	MAX_RUN_BYTES = 1 << 18,
	MAX_BACK_OFF = 20
};
enum {
	CS_USER = 0x33,
	CS_KERNEL = 0x10,
	FLAG_TRAP = 1 << 8,
	EFER_LONG = 1 << 10,
};
static const uint64_t CR3_ADDRESS = 0x000ffffffffff000ull;
static const uint64_t CREDIT_SPENT = 1ull << 63; /* "below zero" of the unsigned credit */

struct head { /* one place in guest code */
	struct loaded *kernel;
	uint64_t gva;
	bool verify; /* the block does not hold all of the loop's bytes */
};

static struct head heads[MAX_HEADS];
static unsigned n_heads;
static struct qemu_plugin_scoreboard *credits; /* MAX_HEADS counters per vCPU */

struct entry { /* one callback */
	struct vcpu *v;
	struct head *head;
	struct loaded *l;
	struct walk_space space;
	struct gb_regs regs;
	struct gb_plan plan;
	uint64_t todo; /* iterations still to be done here */
	uint64_t done;
	uint64_t start_ns; /* of the call */
	uint64_t run_ns; /* of the iterations with their page walks */
	enum gb_plan_result stop; /* why it ended; GO: all done, slice over or straddling */
	uint64_t skip; /* passes until it is worth asking again */
	bool probing; /* they are being timed */
	enum gb_tier tier;
};

int offload_init(void)
{
	credits = qemu_plugin_scoreboard_new(MAX_HEADS * sizeof(uint64_t));
	return credits ? 0 : -1;
}

/* All vCPUs stand still and no translation is left. */
void offload_clear(void)
{
	n_heads = 0;
	code_pages_clear();
	for (int i = 0; i < qemu_plugin_num_vcpus(); i++)
		memset(qemu_plugin_scoreboard_find(credits, (unsigned)i), 0,
		       MAX_HEADS * sizeof(uint64_t));
	for (unsigned i = 0; i < plugin.n_vcpus; i++)
		memset(plugin.vcpu[i].idle_entries, 0, sizeof(plugin.vcpu[i].idle_entries));
}

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* Step 2: what must hold whatever the registers are. */
static enum gb_plan_result check_mode(struct entry *e)
{
	struct vcpu *v = e->v;
	uint64_t cs = registers_read(v, v->cs_reg);
	uint64_t cr3 = registers_read(v, v->cr3_reg) & CR3_ADDRESS;
	if (cs != CS_USER && cs != CS_KERNEL)
		return GB_PLAN_SHAPE;
	if (!(registers_read(v, v->efer_reg) & EFER_LONG))
		return GB_PLAN_SHAPE;
	if (registers_read(v, v->eflags_reg) & FLAG_TRAP)
		return GB_PLAN_STEP;
	if (e->l->k.cr3 && e->l->k.cr3 != cr3)
		return GB_PLAN_CR3;
	memset(e->space.table, 0, sizeof(e->space.table));
	e->space.near.entries = NULL;
	e->space.root = cr3;
	e->space.levels = registers_read(v, v->cr4_reg) & WALK_CR4_LA57 ? 5 : 4;
	e->space.user = cs == CS_USER;
	return GB_PLAN_GO;
}

static enum gb_plan_result check_bytes(struct entry *e)
{
	const struct gb_kernel *k = &e->l->k;
	return walk_same_bytes(&e->space, e->head->gva - k->head_offset, k->loop, k->loop_bytes)
		       ? GB_PLAN_GO
		       : GB_PLAN_BYTES;
}

static void read_inputs(struct entry *e)
{
	const struct gb_kernel *k = &e->l->k;
	for (uint64_t left = k->in_gpr | k->out_gpr; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		e->regs.gpr[i] = registers_read(e->v, e->v->gpr[i]);
	}
	for (uint64_t left = k->in_xmm | k->out_xmm; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		registers_read_xmm(e->v, (unsigned)i, e->regs.xmm[i]);
	}
}

static void write_outputs(struct entry *e)
{
	const struct gb_kernel *k = &e->l->k;
	for (uint64_t left = k->out_gpr; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		registers_write(e->v, e->v->gpr[i], &e->regs.gpr[i], 8);
	}
	for (uint64_t left = k->out_xmm; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		registers_write(e->v, e->v->xmm[i], e->regs.xmm[i], 16);
	}
}

static bool stream_is_sane(const struct gb_stream *s)
{
	uint32_t limit = !s->stride && !s->write ? GB_KERNEL_MAX_TABLE : GB_KERNEL_MAX_WIDTH;
	return s->width && s->width <= limit && s->stride > -(1 << 30) && s->stride < 1 << 30;
}

static enum gb_plan_result make_plan(struct entry *e)
{
	e->plan.n_streams = 0;
	e->plan.iterations = 0;
	enum gb_plan_result result = (enum gb_plan_result)e->l->plan(&e->regs, &e->plan);
	if (result >= GB_PLAN_REASONS)
		return GB_PLAN_BAD;
	if (result != GB_PLAN_GO)
		return result;
	if (e->plan.iterations < cost_least(e->l) || e->plan.iterations < 2) {
		cost_short(e->l, e->plan.iterations);
		e->skip = e->plan.iterations;
		return GB_PLAN_SHORT;
	}
	if (e->plan.n_streams > GB_KERNEL_MAX_STREAMS)
		return GB_PLAN_BAD;
	for (uint32_t i = 0; i < e->plan.n_streams; i++)
		if (!stream_is_sane(&e->plan.stream[i]))
			return GB_PLAN_BAD;
	e->todo = e->plan.iterations - 1;
	return GB_PLAN_GO;
}

/* Bytes from gva on that lie one after the other in the host, at most MAX_RUN_BYTES; `below` is
 * how many lie before it in the same page. Pages that hold code end a run that writes. */
struct run {
	uint8_t *host;
	uint64_t above, below;
};

static enum gb_plan_result find_run(struct entry *e, uint64_t gva, bool write, struct run *ret)
{
	struct walk_page page;
	enum gb_plan_result result = walk(&e->space, gva, write, &page);
	if (result != GB_PLAN_GO)
		return result;
	uint64_t inside = gva - page.gva;
	if (page.bytes > GB_PAGE && write) { /* code is known per 4 KiB */
		inside &= GB_PAGE - 1;
		page.offset += (gva - page.gva) & ~(uint64_t)(GB_PAGE - 1);
		page.bytes = GB_PAGE;
	}
	if (write && code_pages_hold(page.offset))
		return GB_PLAN_CODE;
	ret->host = plugin.ram.host + page.offset + inside;
	ret->below = inside;
	ret->above = page.bytes - inside;
	if (ret->above > MAX_RUN_BYTES)
		ret->above = MAX_RUN_BYTES;
	if (ret->below > MAX_RUN_BYTES)
		ret->below = MAX_RUN_BYTES;
	return GB_PLAN_GO;
}

/* A read-only table that spans pages is gathered into the vCPU's buffer. */
static enum gb_plan_result gather(struct entry *e, const struct gb_stream *s, uint8_t *to)
{
	uint64_t gva = s->gva, left = s->width;
	while (left) {
		struct run run;
		enum gb_plan_result result = find_run(e, gva, false, &run);
		if (result != GB_PLAN_GO)
			return result;
		uint64_t n = run.above < left ? run.above : left;
		memcpy(to, run.host, n);
		to += n;
		gva += n;
		left -= n;
	}
	return GB_PLAN_GO;
}

/* How many iterations of this stream lie in one run; 0: the access straddles pages. */
static uint64_t iterations_in(const struct gb_stream *s, const struct run *run)
{
	if (s->width > run->above)
		return 0;
	if (!s->stride)
		return UINT64_MAX;
	if (s->stride > 0)
		return (run->above - s->width) / (uint64_t)s->stride + 1;
	return run->below / (uint64_t)-s->stride + 1;
}

static enum gb_plan_result place_stream(struct entry *e, unsigned i, uint8_t **host,
					uint64_t *n)
{
	const struct gb_stream *s = &e->plan.stream[i];
	struct run run;
	enum gb_plan_result result = find_run(e, s->gva, s->write, &run);
	if (result != GB_PLAN_GO)
		return result;
	uint64_t possible = iterations_in(s, &run);
	host[i] = run.host;
	if (!possible && !s->stride && !s->write) {
		host[i] = e->v->tables + (size_t)i * GB_KERNEL_MAX_TABLE;
		return gather(e, s, host[i]);
	}
	if (possible < *n)
		*n = possible;
	return GB_PLAN_GO;
}

/* Proofs speak of guest addresses: two addresses of one physical page, one of them written,
 * are not theirs. Streams that lie to each other in the host as in the guest are no such case.
 */
static bool aliased(const struct entry *e, uint8_t *const *host, uint64_t n)
{
	for (uint32_t i = 0; i < e->plan.n_streams; i++) {
		const struct gb_stream *w = &e->plan.stream[i];
		if (!w->write)
			continue;
		for (uint32_t j = 0; j < e->plan.n_streams; j++) {
			const struct gb_stream *s = &e->plan.stream[j];
			int64_t apart = host[j] - host[i];
			if (i == j || apart == (int64_t)(s->gva - w->gva))
				continue;
			int64_t way_w = w->stride * (int64_t)(n - 1);
			int64_t way_s = s->stride * (int64_t)(n - 1);
			int64_t low_s = apart + (way_s < 0 ? way_s : 0);
			int64_t high_s = apart + (way_s > 0 ? way_s : 0) + s->width;
			int64_t low_w = way_w < 0 ? way_w : 0;
			int64_t high_w = (way_w > 0 ? way_w : 0) + w->width;
			if (low_s < high_w && low_w < high_s)
				return true;
		}
	}
	return false;
}

/* Step 3, one chunk. False: the work ends here. */
static bool run_chunk(struct entry *e)
{
	uint8_t *host[GB_KERNEL_MAX_STREAMS];
	uint64_t n = e->todo < CHUNK_ITERATIONS ? e->todo : CHUNK_ITERATIONS;
	for (uint32_t i = 0; i < e->plan.n_streams; i++) {
		e->stop = place_stream(e, i, host, &n);
		if (e->stop != GB_PLAN_GO)
			return false;
	}
	if (!n)
		return false;
	if (aliased(e, host, n)) {
		e->stop = GB_PLAN_OVERLAP;
		return false;
	}
	uint64_t ran = e->l->run(&e->regs, host, n);
	if (ran > n)
		ran = n; /* a kernel that lies; proofs forbid it */
	e->done += ran;
	e->todo -= ran;
	for (uint32_t i = 0; i < e->plan.n_streams; i++)
		e->plan.stream[i].gva += (uint64_t)(e->plan.stream[i].stride * (int64_t)ran);
	return ran == n && e->todo;
}

/* Passes until the stream that met a code page has left it: the guest does them. */
static uint64_t passes_to_next_page(const struct entry *e)
{
	uint64_t least = 1;
	for (uint32_t i = 0; i < e->plan.n_streams; i++) {
		const struct gb_stream *s = &e->plan.stream[i];
		if (s->write && s->stride)
			least = GB_PAGE / (uint64_t)(s->stride < 0 ? -s->stride : s->stride);
	}
	return least < 1 ? 1 : least;
}

static uint64_t slice_ns(void)
{
	return (plugin.active.slice_us ? plugin.active.slice_us : 1000) * 1000ull;
}

static void run_slice(struct entry *e)
{
	uint64_t before_ns = plugin_now_ns();
	e->tier = GB_TIER_NATIVE;
	while (run_chunk(e))
		if (plugin_now_ns() - e->start_ns >= slice_ns())
			break;
	if (e->stop == GB_PLAN_CODE)
		e->skip = passes_to_next_page(e);
	e->run_ns = plugin_now_ns() - before_ns;
}

/* The Pixel CPU service, where that is worth while. False: nothing was done. */
static bool run_on_gpu(struct entry *e)
{
	if (!pixel_suits(&e->plan))
		return false;
	struct pixel_job job = { .plan = &e->plan,
				 .space = &e->space,
				 .regs = &e->regs,
				 .kernel = (uint32_t)(e->l - kernels_loaded),
				 .serial = e->l->k.serial,
				 .until_ns = e->start_ns + slice_ns(),
				 .n = cost_gpu(e->l, pixel_most(&e->plan), slice_ns()) };
	if (!job.n)
		return false;
	job.expected_ns = cost_gpu_ns(e->l, job.n);
	uint64_t before_ns = plugin_now_ns();
	enum pixel_outcome outcome = pixel_run(&job);
	e->run_ns = plugin_now_ns() - before_ns;
	if (job.done) {
		e->tier = GB_TIER_GPU;
		e->done = job.done;
		e->todo -= job.done;
	}
	if (outcome == PIXEL_RAN || (outcome == PIXEL_NOT_READY && job.done))
		return true;
	cost_gpu_failed(e->l, outcome == PIXEL_REFUSED);
	if (outcome != PIXEL_NOT_READY)
		add(outcome == PIXEL_LATE ? &e->l->shared->gpu_late : &e->l->shared->gpu_failed,
		    1);
	return job.done;
}

static void count_work(struct entry *e)
{
	struct gb_kernel *shared = e->l->shared;
	uint64_t bytes = 0, ns = plugin_now_ns() - e->start_ns;
	for (uint32_t i = 0; i < e->plan.n_streams; i++)
		if (e->plan.stream[i].stride)
			bytes += e->done * e->plan.stream[i].width;
	add(&shared->executions, 1);
	add(&shared->iterations, e->done);
	add(&shared->bytes, bytes);
	add(&shared->ns, ns);
	add(&plugin.control->kernel_ns, ns);
	add(&plugin.control->kernel_insns, e->done * e->l->k.n_insns);
	if (e->tier == GB_TIER_GPU) {
		add(&shared->gpu_executions, 1);
		add(&shared->gpu_iterations, e->done);
		add(&shared->gpu_ns, ns);
		add(&plugin.control->kernel_gpu_insns, e->done * e->l->k.n_insns);
	}
	cost_executed(e->l, &(struct cost_execution){ .tier = e->tier,
						      .iterations = e->done,
						      .entry_ns = ns - e->run_ns,
						      .run_ns = e->run_ns });
}

/* A head that keeps coming to nothing is asked ever more rarely. */
static uint64_t back_off(struct entry *e)
{
	uint8_t *idle = &e->v->idle_entries[(e->head - heads) % PLUGIN_IDLE_HEADS];
	if (e->done) {
		*idle = 0;
		return e->skip;
	}
	if (*idle < 8 + MAX_BACK_OFF)
		++*idle;
	uint64_t pause = *idle > 8 ? 1ull << (*idle - 8) : 0;
	return e->skip > pause ? e->skip : pause;
}

/* A measurement of TCG ends, or begins: then the guest goes on alone for a while. */
static bool measure_tcg(struct entry *e)
{
	if (e->v->probe.head == e->head)
		cost_probe_end(e->l, e->v, &e->plan, e->start_ns);
	e->skip = cost_probe_begin(e->l, e->v, e->head, &e->plan);
	e->probing = e->skip;
	return e->probing;
}

static void enter(struct entry *e)
{
	e->stop = check_mode(e);
	if (e->stop == GB_PLAN_GO && e->head->verify)
		e->stop = check_bytes(e);
	if (e->stop != GB_PLAN_GO)
		return;
	read_inputs(e);
	e->stop = make_plan(e);
	if (e->stop != GB_PLAN_GO || measure_tcg(e))
		return;
	if (!run_on_gpu(e))
		run_slice(e);
	if (!e->done)
		return;
	write_outputs(e);
	count_work(e);
}

static uint64_t call(struct entry *e)
{
	if (__atomic_load_n(&e->l->cost.lost, __ATOMIC_RELAXED))
		return CREDIT_SPENT / 2;
	e->start_ns = plugin_now_ns();
	enter(e);
	add(&e->l->shared->entries, 1);
	if (e->stop != GB_PLAN_GO)
		add(&e->l->shared->failures[e->stop], 1);
	if (e->probing)
		return e->skip - 1;
	if (!e->done)
		cost_idle(e->l, plugin_now_ns() - e->start_ns);
	return back_off(e);
}

static void on_head(unsigned vcpu, void *user)
{
	struct entry e;
	e.head = user;
	e.l = e.head->kernel;
	e.v = &plugin.vcpu[vcpu];
	e.done = e.todo = e.skip = e.run_ns = 0;
	e.probing = false;
	uint64_t *credit =
		(uint64_t *)qemu_plugin_scoreboard_find(credits, vcpu) + (e.head - heads);
	*credit = call(&e);
}

/* A block lies in one page or two. */
static void mark_pages(const struct qemu_plugin_tb *tb, unsigned n_insns)
{
	const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, n_insns - 1);
	void *first = qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0));
	uint64_t start = qemu_plugin_tb_vaddr(tb);
	uint64_t end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) - 1;
	if (first)
		code_pages_mark(first);
	if (start / GB_PAGE == end / GB_PAGE)
		return;
	void *second = qemu_plugin_insn_haddr(last);
	if (second && qemu_plugin_insn_vaddr(last) / GB_PAGE == end / GB_PAGE)
		code_pages_mark(second);
	else
		offload_mark_gva(end & ~(uint64_t)(GB_PAGE - 1));
}

/* Marks the pages of a block as code and, if it begins a kernel's loop, attaches to it. Most
 * blocks do not begin like any known loop: they cost no more than the look at two bytes. */
void offload_translate(struct qemu_plugin_tb *tb, unsigned n_insns)
{
	uint64_t gva = qemu_plugin_tb_vaddr(tb);
	uint8_t bytes[PLUGIN_MAX_BLOCK_BYTES];
	mark_pages(tb, n_insns);
	size_t n = qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, 0), bytes, 15);
	if (n > 1 && !kernels_may_begin(bytes, (unsigned)n))
		return;
	unsigned n_bytes = plugin_block_bytes(tb, n_insns, bytes);
	struct loaded *l = kernels_find(gva, bytes, n_bytes);
	unsigned index = l ? __atomic_fetch_add(&n_heads, 1, __ATOMIC_RELAXED) : MAX_HEADS;
	if (index >= MAX_HEADS)
		return;
	heads[index] = (struct head){ l, gva, n_bytes < l->k.loop_bytes || l->k.head_offset };
	add(&l->shared->heads, 1);
	qemu_plugin_u64 credit = { credits, index * sizeof(uint64_t) };
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_INLINE_ADD_U64, credit,
							  ~0ull);
	qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_head, QEMU_CB_RW_REGS, QEMU_COND_GE,
						  credit, CREDIT_SPENT, &heads[index]);
}

/* The second page of an instruction that crosses pages; found through the page tables. */
void offload_mark_gva(uint64_t gva)
{
	struct walk_page page;
	for (int user = 0; user < 2; user++)
		for (unsigned levels = 4; levels <= 5; levels++) {
			struct walk_space space = { registers_cr3(), levels, user };
			if (walk(&space, gva, false, &page) == GB_PLAN_GO)
				code_pages_mark(plugin.ram.host + page.offset +
						(gva - page.gva));
		}
}
