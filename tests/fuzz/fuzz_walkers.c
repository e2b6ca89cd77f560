/* Every question about a whole kernel, while its memory lies. The memory is a real dump, named
 * by GLASSBOX_FUZZ_DUMP, or without one the make-believe kernel. The input is a list of
 * { u16 for how many reads pass, u8 kind of lie }: the word that the next read wants then has
 * another value, and keeps it until the end of the input. So lies are told exactly where the
 * walkers look, page tables included. The first byte says which question is asked;
 * GLASSBOX_FUZZ_ASK names one for all inputs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"
#include "fake_kernel.h"
#include "guest/cgroup.h"
#include "guest/cpu.h"
#include "guest/dmesg.h"
#include "guest/file.h"
#include "guest/fingerprint.h"
#include "guest/guest.h"
#include "guest/hidden.h"
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/irq.h"
#include "guest/kernel_info.h"
#include "guest/module.h"
#include "guest/mount.h"
#include "guest/namespace.h"
#include "guest/page_cache.h"
#include "guest/page_detail.h"
#include "guest/page_kind.h"
#include "guest/shape.h"
#include "guest/slab.h"
#include "guest/socket.h"
#include "guest/stack.h"
#include "guest/task.h"
#include "guest/timer.h"
#include "guest/vma.h"
#include "vm/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { LIES_MAX = 48, POINTERS = 64, TASKS_ASKED = 12, ROWS_MAX = 200000 };

/* --- memory that lies ----------------------------------------------------------------------
 */

struct liar {
	struct phys_mem mem;
	struct phys_mem *truth;
	struct phys_segment segments[16];
	const uint8_t *input; /* what is left of it */
	size_t input_size;
	uint32_t reads_left;
	struct {
		uint64_t gpa, value;
	} lies[LIES_MAX];
	size_t n_lies;
	uint64_t pointers[POINTERS]; /* seen lately */
	size_t n_pointers;
	bool hides_types; /* as if the kernel carried none */
};
static struct liar liar;

/* The header of BTF: magic, version 1, no flags, 24 bytes. */
static void hide_types(uint8_t *bytes, size_t length)
{
	static const uint8_t header[] = { 0x9f, 0xeb, 1, 0, 24, 0, 0, 0 };
	uint8_t *at = bytes;
	while ((at = memmem(at, (size_t)(bytes + length - at), header, sizeof(header))))
		memset(at, 0, sizeof(header));
}

static uint64_t a_pointer(uint8_t kind)
{
	size_t n = liar.n_pointers < POINTERS ? liar.n_pointers : POINTERS;
	return n ? liar.pointers[(kind >> 3) % n] : 0;
}

static uint64_t lie_about(uint64_t value, uint8_t kind)
{
	switch (kind & 7) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
	case 3:
		return a_pointer(kind);
	case 4:
		return value ^ 1ull << (kind >> 3 & 31) << (kind & 32);
	case 5:
		return value + 8 * (kind >> 3);
	case 6:
		return 0x7fffffff7fffffff;
	default:
		return 0x4141414141414141u * (kind >> 3);
	}
}

/* Starts the next lie of the input at this read. */
static void begin_lie(uint64_t gpa, const uint8_t *bytes, size_t length)
{
	uint64_t value = 0;
	if (!liar.input_size || liar.n_lies == LIES_MAX || length < 4)
		return;
	uint8_t kind = *liar.input++;
	liar.input_size--;
	size_t at = length > 8 ? (kind * 8u) % (length & ~7u) : 0;
	memcpy(&value, bytes + at, length - at < 8 ? length - at : 8);
	liar.lies[liar.n_lies].gpa = gpa + at;
	liar.lies[liar.n_lies++].value = lie_about(value, kind);
}

static void next_lie(void)
{
	liar.reads_left = UINT32_MAX;
	if (liar.input_size < 3)
		return;
	/* Small steps as likely as large ones. */
	liar.reads_left = load_u16(liar.input) >> (liar.input[0] & 15);
	liar.input += 2;
	liar.input_size -= 2;
}

static void tell(uint64_t gpa, uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < liar.n_lies; i++)
		for (size_t k = 0; k < 8; k++) {
			uint64_t at = liar.lies[i].gpa + k - gpa;
			if (at < length)
				bytes[at] = (uint8_t)(liar.lies[i].value >> 8 * k);
		}
}

static bool read_lies(struct phys_mem *mem, uint64_t gpa, void *to, size_t length)
{
	if (!phys_mem_read(liar.truth, gpa, to, length))
		return false;
	uint64_t word = length == 8 ? load_u64(to) : 0;
	if (word >> 56 == 0xff)
		liar.pointers[liar.n_pointers++ % POINTERS] = word;
	if (liar.reads_left != UINT32_MAX && !liar.reads_left--) {
		begin_lie(gpa, to, length);
		next_lie();
	}
	tell(gpa, to, length);
	if (liar.hides_types)
		hide_types(to, length);
	return true;
}

static bool next_data(struct phys_mem *mem, uint64_t gpa, uint64_t *start, uint64_t *end)
{
	return phys_mem_next_data(liar.truth, gpa, start, end);
}

static void liar_init(struct phys_mem *truth)
{
	static const struct phys_mem_ops ops = { .read = read_lies, .next_data = next_data };
	size_t n = truth->n_segments < 16 ? truth->n_segments : 16;
	for (size_t i = 0; i < n; i++) {
		liar.segments[i] = truth->segments[i];
		liar.segments[i].host = NULL;
	}
	liar.truth = truth;
	liar.reads_left = UINT32_MAX;
	liar.mem = (struct phys_mem){ .ops = &ops, .segments = liar.segments, .n_segments = n };
}

/* --- the questions --------------------------------------------------------------------------
 */

static size_t rows;

static bool one_row(void)
{
	return ++rows < ROWS_MAX;
}
#define ROW(name, type)                              \
	static bool name(void *user, const type *it) \
	{                                            \
		return one_row();                    \
	}
ROW(on_vma, struct guest_vma)
ROW(on_socket, struct guest_socket)
ROW(on_mount, struct guest_mount)
ROW(on_module, struct guest_module)
ROW(on_record, struct guest_record)
ROW(on_irq, struct guest_irq)
ROW(on_cgroup, struct guest_cgroup)
ROW(on_cpu, struct guest_cpu)
ROW(on_slab, struct guest_slab_cache)
ROW(on_timer, struct guest_timer)
ROW(on_cached, struct guest_cached_file)
ROW(on_frame, struct guest_frame)
ROW(on_hidden, struct guest_hidden)
#undef ROW

static bool on_file(void *user, const struct guest_file *file)
{
	char path[4096];
	guest_file_path(user, file->gva, path, sizeof(path));
	return one_row();
}

static bool on_hidden_module(void *user, const struct guest_module *module, unsigned views)
{
	return one_row();
}

static void ask_task(struct guest *guest, const struct guest_task *task)
{
	char *words = NULL;
	guest_vmas_each(guest, task, on_vma, NULL);
	guest_files_each(guest, task, on_file, guest);
	error_destroy(guest_stack_each(guest, task, on_frame, NULL));
	for (int i = 0; i < GUEST_NS_COUNT; i++)
		guest_task_namespace(guest, task, (enum guest_namespace)i);
	guest_task_args(guest, task, &words);
	free(words);
	guest_task_environment(guest, task, &words);
	free(words);
}

static void ask_tasks(struct guest *guest)
{
	struct guest_tasks tasks = { 0 };
	error_destroy(guest_tasks_read(guest, true, &tasks));
	for (size_t i = 0; i < tasks.count; i += 1 + tasks.count / TASKS_ASKED)
		ask_task(guest, &tasks.items[i]);
	guest_begin(guest);
	error_destroy(guest_sockets_each(guest, &tasks, false, on_socket, NULL));
	guest_tasks_deinit(&tasks);
}

static void ask_pages(struct guest *guest)
{
	struct page_kinds *kinds = NULL;
	struct error *err = page_kinds_create(guest, &kinds);
	for (uint64_t frame = 17; !err && frame < 60000; frame += 9973) {
		struct page_detail detail = { 0 };
		error_destroy(page_detail_read(guest, kinds, frame << 12, &detail));
		page_detail_deinit(&detail);
	}
	error_destroy(err);
	page_kinds_destroy(kinds);
}

static void ask_lists(struct guest *guest)
{
	struct guest_kernel_info info;
	guest_kernel_info_read(guest, &info);
	guest_irqs_each(guest, on_irq, NULL);
	guest_cpus_each(guest, on_cpu, NULL);
}

static void ask_modules(struct guest *guest)
{
	guest_modules_each(guest, on_module, NULL);
}

static void ask_timers(struct guest *guest)
{
	guest_timers_each(guest, on_timer, NULL);
}

/* Every socket, those that only a table knows too. */
static void ask_sockets(struct guest *guest)
{
	struct guest_tasks none = { 0 };
	error_destroy(guest_sockets_each(guest, &none, false, on_socket, NULL));
}

static void ask_fingerprint(struct guest *guest)
{
	struct guest_fingerprints prints;
	guest_fingerprints_read(guest, &prints);
}

static void ask_mounts(struct guest *guest)
{
	error_destroy(guest_mounts_each(guest, on_mount, NULL));
}

static void ask_log(struct guest *guest)
{
	error_destroy(guest_dmesg_each(guest, on_record, NULL));
}

static void ask_cgroups(struct guest *guest)
{
	error_destroy(guest_cgroups_each(guest, on_cgroup, NULL));
}

static void ask_slabs(struct guest *guest)
{
	guest_slabs_each(guest, on_slab, NULL);
}

static void ask_cached(struct guest *guest)
{
	guest_page_cache_each(guest, on_cached, NULL);
}

static void ask_hidden(struct guest *guest)
{
	error_destroy(guest_hidden_each(guest, on_hidden, NULL));
}

static void ask_hidden_modules(struct guest *guest)
{
	error_destroy(guest_hidden_modules_each(guest, on_hidden_module, NULL));
}

/* Finding the kernel anew, while memory lies. */
static void ask_anew(struct guest *guest)
{
	struct guest_params params = { 0 };
	struct guest *another = NULL;
	struct error *err = guest_open(guest_memory(guest), &params, &another);
	if (!err)
		ask_tasks(another);
	error_destroy(err);
	guest_destroy(another);
}

/* The same kernel without types, opened while memory told the truth. */
static struct guest *open_blind(struct guest *guest)
{
	struct guest_params params = { 0 };
	struct guest *blind = NULL;
	const uint8_t *input = liar.input;
	uint32_t reads_left = liar.reads_left;
	liar.reads_left = UINT32_MAX;
	error_destroy(guest_open(guest_memory(guest), &params, &blind));
	liar.reads_left = reads_left;
	liar.input = input;
	return blind;
}

/* Working layouts out from memory that lies, and reading by them. */
static void ask_inferred(struct guest *guest)
{
	static struct guest *blind;
	liar.hides_types = true;
	if (!blind)
		blind = open_blind(guest);
	if (blind) {
		guest_begin(blind);
		inferred_forget(blind);
		guest_forget_memos(blind);
		shape_infer(blind);
		ask_tasks(blind);
		ask_slabs(blind);
		ask_pages(blind);
		ask_mounts(blind);
		ask_modules(blind);
	}
	liar.hides_types = false;
}

static const struct {
	const char *name;
	void (*ask)(struct guest *guest);
} questions[] = {
	{ "tasks", ask_tasks },
	{ "lists", ask_lists },
	{ "mounts", ask_mounts },
	{ "log", ask_log },
	{ "cgroups", ask_cgroups },
	{ "slabs", ask_slabs },
	{ "cached", ask_cached },
	{ "hidden", ask_hidden },
	{ "hidden modules", ask_hidden_modules },
	{ "pages", ask_pages },
	{ "modules", ask_modules },
	{ "timers", ask_timers },
	{ "sockets", ask_sockets },
	{ "fingerprint", ask_fingerprint },
	/* These are much slower than the others. */
	{ "inferred", ask_inferred },
	{ "anew", ask_anew },
};
enum { N_QUESTIONS = sizeof(questions) / sizeof(questions[0]), N_SLOW = 2 };

static size_t question_of(uint8_t byte)
{
	const char *name = getenv("GLASSBOX_FUZZ_ASK");
	for (size_t i = 0; name && i < N_QUESTIONS; i++)
		if (!strcmp(name, questions[i].name))
			return i;
	return byte < 8 ? N_QUESTIONS - 1 - byte % N_SLOW : byte % (N_QUESTIONS - N_SLOW);
}

static double slowest[N_QUESTIONS];
static size_t most_rows[N_QUESTIONS];

static double cpu_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report_slowest(void)
{
	for (size_t i = 0; i < N_QUESTIONS; i++)
		fprintf(stderr, "%s: %zu rows at most, %.0f ms at most\n", questions[i].name,
			most_rows[i], slowest[i] * 1e3);
}

static struct guest *open_guest(void)
{
	static struct fake_kernel fake;
	struct phys_mem *truth = NULL;
	struct guest *guest = NULL;
	const char *path = getenv("GLASSBOX_FUZZ_DUMP");
	if (path) {
		error_destroy(dump_open(path, &truth));
		atexit(report_slowest);
	} else {
		fake_kernel_init(&fake, &(struct fake_kernel_params){ 0 });
		truth = &fake.mem;
	}
	if (!truth)
		return NULL;
	liar_init(truth);
	struct guest_params params = { 0 };
	error_destroy(guest_open(&liar.mem, &params, &guest));
	return guest;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct guest *guest;
	if (!guest)
		guest = open_guest();
	if (!guest)
		abort();
	if (!size)
		return 0;
	size_t which = question_of(bytes[0]);
	liar.input = bytes + 1;
	liar.input_size = size - 1 < 3 * LIES_MAX ? size - 1 : 3 * LIES_MAX;
	liar.n_lies = rows = 0;
	next_lie();
	double before = cpu_seconds();
	guest_begin(guest);
	questions[which].ask(guest);
	double took = cpu_seconds() - before;
	if (took > slowest[which])
		slowest[which] = took;
	if (rows > most_rows[which])
		most_rows[which] = rows;
	return 0;
}
