/* The plugin's life: arguments, the shared file, vCPUs, and changes of mode.
 *
 *   -plugin
 * glassbox-plugin-7.so,control=/dev/shm/glassbox-VM-trace,ram=/dev/shm/glassbox-VM-ram
 *   [,pixel=/dev/shm/glassbox-VM-pixel][,ring=16M][,blocks=131072][,mode=off|count|block|full]
 *
 * A change of mode goes through qemu_plugin_reset: QEMU stops all vCPUs, drops every
 * translation and every callback, and calls on_reset, which registers what the new mode needs.
 * In mode off nothing is registered but interrupts and halts, so the guest runs at full speed.
 */
#include "internal.h"
#if GB_API >= 7
#include "doze.h"
#include "pixel_run.h"
#endif

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

QEMU_EXPORT int qemu_plugin_version = GB_API;
QEMU_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
				    char **argv);

struct plugin plugin;
static char ram_path[4096];

uint64_t plugin_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec -
	       plugin.control->epoch_ns;
}

static void start_reset(void);

static bool block_wanted(uint64_t gva)
{
	const struct gb_request *r = &plugin.active;
	if (r->rings == GB_RING_USER && gva >> 63)
		return false;
	if (r->rings == GB_RING_KERNEL && !(gva >> 63))
		return false;
	return !r->range_end || (gva >= r->range_start && gva < r->range_end);
}

unsigned plugin_block_bytes(struct qemu_plugin_tb *tb, unsigned n_insns, uint8_t *to)
{
	unsigned n = 0;
	for (unsigned i = 0; i < n_insns; i++)
		n += (unsigned)qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i), to + n,
						     15);
	return n;
}

static void watch_block(struct qemu_plugin_tb *tb, unsigned n_insns)
{
	uint64_t gva = qemu_plugin_tb_vaddr(tb);
	uint8_t bytes[PLUGIN_MAX_BLOCK_BYTES];
	unsigned n_bytes = plugin_block_bytes(tb, n_insns, bytes);
	uint64_t gpa = ram_gpa(qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0)));
	uint32_t block =
		blocks_add(gva, gpa, bytes, n_bytes, n_insns, gva >> 63 ? 0 : registers_cr3());
	if (block == BLOCK_NONE)
		return;
	if (plugin.active.mode == GB_MODE_COUNT)
		count_instrument(tb, block);
	else
		watch_instrument(tb, block, n_insns);
}

/* --- when QEMU's translator may be left alone
 *
 * A translation that a page fault cuts short leaves QEMU 11.1's translator with marks for
 * plugins in its state. If nobody listens to the thread's next one, these get into its code,
 * and QEMU dies of an operation that no host has. A fault that may have done this is one at an
 * address in the page of the code to be run, or the next. The next translation that comes to
 * its end, in the same thread, clears it. */

static __thread struct vcpu *translator; /* stands for this thread */

static void note_fault(struct vcpu *v, uint64_t gva)
{
	uint64_t fault = registers_read(v, v->cr2_reg) / GB_PAGE, page = gva / GB_PAGE;
	if (translator && (fault == page || fault == page + 1))
		translator->half_translated = true;
}

/* All vCPUs stand still. */
static bool may_stop_listening(void)
{
	for (unsigned i = 0; i < plugin.n_vcpus; i++)
		if (plugin.vcpu[i].present && plugin.vcpu[i].half_translated)
			return false;
	return qemu_plugin_register_vcpu_discon_cb != NULL;
}

static bool must_listen(void)
{
	return plugin.active.mode != GB_MODE_OFF || (plugin.active.offload && !plugin.asleep);
}

/* Nobody wants to listen, but a vCPU was in the way when that began: another try, which drops
 * all translations, now and then. */
static void wash_out(void)
{
	static uint64_t tried_ns;
	uint64_t now = plugin_now_ns(), last = __atomic_load_n(&tried_ns, __ATOMIC_RELAXED);
	if (now - last < 200 * 1000 * 1000 || !may_stop_listening())
		return;
	__atomic_store_n(&tried_ns, now, __ATOMIC_RELAXED);
	start_reset();
}

static void on_translate(QEMU_TB_ARGS)
{
	unsigned n_insns = (unsigned)qemu_plugin_tb_n_insns(tb);
	uint64_t gva = qemu_plugin_tb_vaddr(tb);
	if (translator)
		translator->half_translated = false;
	plugin_poll();
	if (!must_listen()) {
		wash_out();
		return;
	}
	__atomic_fetch_add(&plugin.control->translations, 1, __ATOMIC_RELAXED);
	if (!n_insns || n_insns > PLUGIN_MAX_BLOCK_INSNS)
		return;
	if (plugin.active.mode >= GB_MODE_BLOCK && gva >> 63)
		watch_cr3_writes(tb, n_insns);
#if GB_API >= 7
	if (plugin.active.offload && !plugin.asleep)
		offload_translate(tb, n_insns);
#endif
	if (plugin.active.mode != GB_MODE_OFF && block_wanted(gva))
		watch_block(tb, n_insns);
}

static void on_idle(QEMU_VCPU_ARGS)
{
	plugin_poll();
}

static void on_discon(QEMU_DISCON_ARGS)
{
	struct vcpu *v = &plugin.vcpu[vcpu];
	plugin_poll();
	if (vcpu >= plugin.n_vcpus)
		return;
	if (plugin.translating)
		note_fault(v, from);
	if (plugin.translating && !must_listen())
		wash_out();
#if GB_API >= 7
	if (plugin.asleep)
		doze_look(v, from);
#endif
	if (plugin.active.mode < GB_MODE_BLOCK)
		return;
	if (!v->cr3)
		watch_set_cr3(v, registers_read(v, v->cr3_reg));
	watch_settle(v);
	ring_put2(v, gb_record(GB_REC_BREAK, (unsigned)type), to);
}

static void on_vcpu_init(QEMU_VCPU_ARGS);

static void register_callbacks(void)
{
	qemu_plugin_register_vcpu_init_cb(plugin.id, on_vcpu_init QEMU_USER);
	bool has_discon = qemu_plugin_register_vcpu_discon_cb != NULL;
	/* QEMU 11.1 calls these two outside of what stands still during a reset, and frees its
	 * list of them there: with several vCPUs one may be reading it, so interrupts must do.
	 */
	if (plugin.n_vcpus == 1 || !has_discon) {
		qemu_plugin_register_vcpu_idle_cb(plugin.id, on_idle QEMU_USER);
		qemu_plugin_register_vcpu_resume_cb(plugin.id, on_idle QEMU_USER);
	}
	if (has_discon)
		qemu_plugin_register_vcpu_discon_cb(
			plugin.id, QEMU_DISCON_INTERRUPT | QEMU_DISCON_EXCEPTION,
			on_discon QEMU_USER);
	plugin.translating =
		must_listen() || (plugin.translating && !may_stop_listening()) || !has_discon;
	plugin.control->listening = plugin.translating;
	if (plugin.translating)
		qemu_plugin_register_vcpu_tb_trans_cb(plugin.id, on_translate QEMU_USER);
}

/* Rings get a mark where the new mode begins. All vCPUs stand still. */
static void start_records(void)
{
	uint64_t mark =
		gb_record(GB_REC_MODE, plugin.control->generation << 8 | plugin.active.mode);
	for (unsigned i = 0; i < plugin.n_vcpus; i++) {
		struct vcpu *v = &plugin.vcpu[i];
		if (!v->present)
			continue;
		watch_settle(v);
		v->muted = false;
		v->limit = v->head;
		ring_put(v, mark);
		ring_publish(v);
		v->muted = plugin.active.cr3 != 0; /* until the page table is known */
		v->cr3 = 0;
		v->limit = v->head;
		v->sample_left = plugin.active.sample_every;
	}
}

#if GB_API >= 7
/* Copied once: walks must not see the list change. */
static void take_segments(const struct gb_control *c)
{
	unsigned n = __atomic_load_n(&c->n_ram_segments, __ATOMIC_RELAXED);
	plugin.n_segments = n < GB_MAX_RAM_SEGMENTS ? n : GB_MAX_RAM_SEGMENTS;
	for (unsigned i = 0; i < plugin.n_segments; i++)
		plugin.segment[i] = c->ram_segment[i];
}
#endif

/* Returns whether the request is another one. */
static bool apply_request(void)
{
	struct gb_control *c = plugin.control;
	uint64_t seq = __atomic_load_n(&c->request_seq, __ATOMIC_ACQUIRE);
	bool is_new = seq != plugin.seen_seq; /* else the next one may be half written */
	struct gb_request wanted = is_new ? c->request : plugin.active;
	if (wanted.mode > GB_MODE_FULL)
		wanted.mode = GB_MODE_OFF;
	if (wanted.clear != plugin.active.clear) {
		blocks_clear();
		count_clear();
	}
	if (GB_API < 7 || !plugin.ram.host || wanted.offload > GB_OFFLOAD_AUTO)
		wanted.offload = GB_OFFLOAD_OFF;
	plugin.active = wanted;
	plugin.seen_seq = seq;
	c->mode = wanted.mode;
	c->offload = wanted.offload;
#if GB_API >= 7
	take_segments(c);
	offload_clear();
	kernels_update();
	doze_changed(is_new);
#endif
	__atomic_store_n(&c->applied_seq, seq, __ATOMIC_RELEASE); /* pairs: glassbox waiting */
	return is_new;
}

/* QEMU calls this between dropping the old callbacks and the next guest instruction, with all
 * vCPUs stopped. */
static void on_reset(QEMU_SIMPLE_ARGS)
{
	if (plugin.active.mode == GB_MODE_COUNT)
		count_publish();
	if (apply_request())
		start_records();
	register_callbacks();
	plugin.control->flushes++;
	__atomic_store_n(&plugin.resetting, 0, __ATOMIC_RELEASE);
}

static void start_reset(void)
{
	if (!__atomic_exchange_n(&plugin.resetting, 1, __ATOMIC_ACQ_REL))
		qemu_plugin_reset(plugin.id, on_reset QEMU_USER);
}

void plugin_poll(void)
{
	bool change = __atomic_load_n(&plugin.control->request_seq, __ATOMIC_RELAXED) !=
		      plugin.seen_seq;
#if GB_API >= 7
	change = change || doze_pending();
#endif
	if (change)
		start_reset();
}

static void attach_ring(unsigned index)
{
	struct gb_control *c = plugin.control;
	struct vcpu *v = &plugin.vcpu[index];
	v->shared = (struct gb_ring_head *)(plugin.file + c->ring_heads.offset) + index;
	v->words = (uint64_t *)(plugin.file + c->rings.offset + index * c->ring_bytes);
	v->mask = c->ring_bytes / sizeof(uint64_t) - 1;
	v->sample_left = plugin.active.sample_every;
}

/* Address space only; pages come with the first gathered table. */
static uint8_t *reserve_tables(void)
{
	size_t bytes = (size_t)GB_KERNEL_MAX_STREAMS * GB_KERNEL_MAX_TABLE;
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

static void on_vcpu_init(QEMU_VCPU_ARGS)
{
	if (vcpu >= plugin.n_vcpus)
		return;
	if (__atomic_load_n(&plugin.control->dirty_state, __ATOMIC_ACQUIRE) ==
	    GB_DIRTY_UNTRIED) {
		ram_find(ram_path);
		ram_arm_dirty();
#if GB_API >= 7
		if (code_pages_init())
			plugin.ram.host = NULL; /* no offload without knowing where code is */
#endif
		helper_start();
	}
	registers_find(&plugin.vcpu[vcpu]);
	translator = &plugin.vcpu[vcpu];
	tally_vcpu(&plugin.vcpu[vcpu]);
	watch_vcpu(&plugin.vcpu[vcpu]);
	plugin.vcpu[vcpu].tables = reserve_tables();
	__atomic_store_n(&plugin.vcpu[vcpu].present, true, __ATOMIC_RELEASE);
}

static uint64_t place(uint64_t *end, struct gb_area *area, uint64_t bytes)
{
	area->offset = *end;
	area->bytes = bytes;
	*end = (*end + bytes + GB_PAGE - 1) & ~(uint64_t)(GB_PAGE - 1);
	return *end;
}

struct options {
	const char *control, *ram, *pixel;
	uint64_t ring_bytes, blocks;
	uint32_t mode;
};

/* Lays out the file. Returns 0, or -1 with errno set. */
static int create_file(const struct options *o)
{
	struct gb_control c = { .version = GB_VERSION, .plugin_api = GB_API };
	uint64_t end = GB_PAGE;
	c.n_vcpus = plugin.n_vcpus;
	c.n_block_slots = (uint32_t)o->blocks;
	c.can_offload = GB_API >= 7;
	c.start_mode = o->mode;
	c.ring_bytes = o->ring_bytes;
	while (c.ring_bytes > 1 << 20 && c.ring_bytes * c.n_vcpus > o->ring_bytes)
		c.ring_bytes /= 2;
	place(&end, &c.ring_heads, GB_MAX_VCPUS * sizeof(struct gb_ring_head));
	place(&end, &c.rings, c.ring_bytes * c.n_vcpus);
	place(&end, &c.blocks, o->blocks * sizeof(struct gb_block));
	place(&end, &c.code, o->blocks * 64);
	place(&end, &c.counts, o->blocks * sizeof(uint64_t));
	place(&end, &c.kernels, GB_KERNEL_SLOTS * sizeof(struct gb_kernel));
	place(&end, &c.kernel_code, GB_KERNEL_CODE_BYTES);
	c.file_bytes = end;
	int fd = open(o->control, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || ftruncate(fd, 0) || ftruncate(fd, (off_t)end))
		return -1;
	plugin.file = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (plugin.file == MAP_FAILED)
		return -1;
	plugin.control = (struct gb_control *)plugin.file;
	c.epoch_ns = plugin_now_ns(); /* epoch_ns is still 0 in the file */
	*plugin.control = c;
	return 0;
}

static uint64_t size_value(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);
	return *end == 'G'   ? value << 30
	       : *end == 'M' ? value << 20
	       : *end == 'K' ? value << 10
			     : value;
}

static uint32_t mode_value(const char *text)
{
	static const char *const names[] = { "off", "count", "block", "full" };
	for (uint32_t i = 0; i < 4; i++)
		if (!strcmp(text, names[i]))
			return i;
	return GB_MODE_OFF;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		size_t n = value ? (size_t)(value++ - argv[i]) : strlen(argv[i]);
		if (!value)
			return -1;
		if (n == 7 && !memcmp(argv[i], "control", n))
			o->control = value;
		else if (n == 3 && !memcmp(argv[i], "ram", n))
			o->ram = value;
		else if (n == 5 && !memcmp(argv[i], "pixel", n))
			o->pixel = value;
		else if (n == 4 && !memcmp(argv[i], "ring", n))
			o->ring_bytes = size_value(value);
		else if (n == 6 && !memcmp(argv[i], "blocks", n))
			o->blocks = size_value(value);
		else if (n == 4 && !memcmp(argv[i], "mode", n))
			o->mode = mode_value(value);
		else
			return -1;
	}
	bool power = o->ring_bytes && !(o->ring_bytes & (o->ring_bytes - 1));
	return o->control && power && o->ring_bytes >= 65536 && o->ring_bytes <= 1ull << 32 &&
			       o->blocks >= 1024 && o->blocks <= 1 << 24
		       ? 0
		       : -1;
}

/* Without ram=: the control file's name with -ram for -trace. */
static void choose_ram_path(const struct options *o)
{
	if (o->ram) {
		snprintf(ram_path, sizeof(ram_path), "%s", o->ram);
		return;
	}
	size_t n = strlen(o->control);
	size_t stem = n > 6 && !strcmp(o->control + n - 6, "-trace") ? n - 6 : n;
	snprintf(ram_path, sizeof(ram_path), "%.*s-ram", (int)stem, o->control);
}

static int offload_init_if_possible(const struct options *o)
{
#if GB_API >= 7
	if (o->pixel)
		pixel_open(o->pixel);
	return offload_init();
#else
	return 0;
#endif
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
			char **argv)
{
	struct options o = { .ring_bytes = 16 << 20, .blocks = 128 << 10 };
	if (!info->system_emulation || strcmp(info->target_name, "x86_64")) {
		fprintf(stderr, "glassbox plugin: only for qemu-system-x86_64\n");
		return -1;
	}
	if (parse_options(argc, argv, &o)) {
		fprintf(stderr, "glassbox plugin: bad arguments; see docs/plugin.md\n");
		return -1;
	}
	plugin.id = id;
	plugin.n_vcpus = info->max_vcpus > 0 ? (unsigned)info->max_vcpus : 1;
	if (plugin.n_vcpus > GB_MAX_VCPUS)
		plugin.n_vcpus = GB_MAX_VCPUS;
	choose_ram_path(&o);
	if (create_file(&o) || blocks_init() || count_init() || watch_init() ||
	    offload_init_if_possible(&o)) {
		fprintf(stderr, "glassbox plugin: cannot set up %s: %m\n", o.control);
		return -1;
	}
	for (unsigned i = 0; i < plugin.n_vcpus; i++)
		attach_ring(i);
	plugin.active.mode = plugin.control->mode = plugin.control->request.mode = o.mode;
	__atomic_store_n(&plugin.control->magic, GB_MAGIC, __ATOMIC_RELEASE);
	register_callbacks();
	return 0;
}
