/* Members of task_struct, signal_struct, cred and nsproxy, by rules that must hold for every
 * task of the sample or for the three first tasks:
 *
 * - stack: a page address at whose lowest word the end-of-stack mark lies; the state is in
 * front of it.
 * - flags: the first number behind it whose bit 21 is set in exactly the kernel threads.
 * - real_cred, cred: the same address twice, in front of comm.
 * - fs, files, [io_uring], nsproxy, signal, sighand: behind comm, all in the kernel's image for
 *   the first task.
 * - thread_node: a list entry whose only neighbour lies near the start of signal.
 * - start_time, start_boottime: two times of which the second is hardly later, growing along
 *   the ring.
 * - exit_signal: SIGCHLD for process 1; exit_state lies two numbers before.
 * - cred: the three full sets of capabilities of process 1 tell where the ids end.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/shape.h"

enum {
	STACK_END_MARK = 0x57ac6e9d,
	PF_KTHREAD = 0x00200000,
	SIGNAL_CHILD = 17,
	HEAD_REACH = 96, /* thread_head in signal_struct */
	CRED_BYTES = 160,
	SHARED_WORDS = 24, /* from comm to sighand */
	CLOCK_NEAR_NS = 1000000000,
	NS_WORDS = 12,
};

/* Small helpers: a number of a task's copy. */
static uint32_t u32_of(const struct shape_task *task, size_t offset)
{
	return offset + 4 <= SHAPE_TASK_BYTES ? load_u32(task->bytes + offset) : 0;
}

static uint64_t u64_of(const struct shape_task *task, size_t offset)
{
	return offset + 8 <= SHAPE_TASK_BYTES ? load_u64(task->bytes + offset) : 0;
}

static const struct shape_task *task_at(const struct shape_sample *sample, uint64_t gva)
{
	for (size_t i = 0; i < sample->count; i++)
		if (sample->tasks[i].gva == gva)
			return &sample->tasks[i];
	return NULL;
}

static bool stack_here(const struct shape *s, const struct shape_task *task, uint32_t offset)
{
	uint64_t stack = shape_of(s, task, offset);
	return stack && stack % 4096 == 0 && shape_u32(s, stack) == STACK_END_MARK;
}

/* True if the rule holds at this offset for all tasks of the sample that still live. */
static uint32_t find_stack(const struct shape *s, const struct shape_sample *sample)
{
	for (uint32_t at = 0; at < s->tasks; at += s->word) {
		size_t good = 0;
		for (size_t i = 0; i < sample->count; i++)
			good += stack_here(s, &sample->tasks[i], at);
		/* The dead have given their stack back. */
		if (good && good + 4 >= sample->count)
			return at;
	}
	return 0;
}

static void infer_state(const struct shape *s, uint32_t stack)
{
	/* A kernel with PREEMPT_RT keeps a second state between the two. */
	bool real_time = strstr(s->guest->banner, "PREEMPT_RT") != NULL;
	uint32_t back = s->word == 8 ? 8 : real_time ? 8 : 4;
	inferred_add(s->guest, "task_struct.stack", stack, s->word);
	if (stack >= back)
		inferred_add(s->guest, "task_struct.__state", stack - back, 4);
}

static bool is_kernel_thread(const struct shape *s, const struct shape_task *task)
{
	return task->gva != s->init && !task->mm &&
	       (task->gva == s->kthreadd || shape_of(s, task, s->parent) == s->kthreadd);
}

static void infer_flags(const struct shape *s, const struct shape_sample *sample, uint32_t from)
{
	for (uint32_t at = from; at < s->tasks; at += 4) {
		size_t wrong = 0, threads = 0;
		for (size_t i = 0; i < sample->count && !wrong; i++) {
			const struct shape_task *task = &sample->tasks[i];
			bool is_thread = is_kernel_thread(s, task);
			bool marked = u32_of(task, at) & PF_KTHREAD;
			threads += is_thread;
			wrong += is_thread ? !marked : task->mm && marked;
		}
		if (wrong || threads < 3)
			continue;
		inferred_add(s->guest, "task_struct.flags", at, 4);
		return;
	}
}

/* --- behind and in front of the name --------------------------------------------------------
 */

static void infer_credentials(const struct shape *s)
{
	for (uint32_t back = 2; back <= 5; back++) {
		uint32_t at = (s->comm & ~(s->word - 1)) - back * s->word;
		uint64_t cred = shape_word(s, s->first + at);
		if (!shape_is_image(s, cred) ||
		    cred != shape_word(s, s->first + at + s->word) || cred == s->first)
			continue;
		inferred_add(s->guest, "task_struct.real_cred", at, s->word);
		inferred_add(s->guest, "task_struct.cred", at + s->word, s->word);
		return;
	}
}

/* The head of an empty list. */
static bool points_to_itself(const struct shape *s, uint64_t gva, uint64_t value)
{
	return value == gva || value == gva - s->word;
}

/* fs, files, nsproxy, signal, sighand; returns the offset of signal, 0 when they differ. */
static uint32_t infer_shared(const struct shape *s)
{
	static const char *const names[] = { "task_struct.fs", "task_struct.files",
					     "task_struct.nsproxy", "task_struct.signal",
					     "task_struct.sighand" };
	uint32_t places[5], found = 0;
	uint32_t at = (s->comm + 16 + s->word - 1) & ~(s->word - 1);
	for (unsigned i = 0; i < SHARED_WORDS && found < 5; i++, at += s->word) {
		uint64_t value = shape_word(s, s->first + at);
		if (shape_is_image(s, value) && !points_to_itself(s, s->first + at, value) &&
		    (found || shape_is_pointer(s, shape_word(s, s->init + at))))
			places[found++] = at;
		else if (found && value)
			found = 0;
	}
	if (found < 5 || places[4] - places[0] > 6 * s->word)
		return 0;
	/* All processes that never left it share the first namespaces. */
	if (shape_word(s, s->kthreadd + places[2]) != shape_word(s, s->first + places[2]) ||
	    shape_word(s, s->init + places[3]) == shape_word(s, s->first + places[3]))
		return 0;
	for (unsigned i = 0; i < 5; i++)
		inferred_add(s->guest, names[i], places[i], s->word);
	return places[3];
}

/* --- threads -------------------------------------------------------------------------------
 */

static bool thread_node_here(const struct shape *s, const struct shape_task *task, uint32_t at,
			     uint64_t signal, uint64_t *head_ret)
{
	uint64_t next = shape_of(s, task, at);
	if (next != shape_of(s, task, at + s->word) || next <= signal ||
	    next >= signal + HEAD_REACH || shape_word(s, next) != task->gva + at)
		return false;
	*head_ret = next - signal;
	return true;
}

static void infer_threads(const struct shape *s, const struct shape_sample *sample,
			  uint32_t signal_at)
{
	/* Kernel threads have one thread each. */
	const struct shape_task *task = task_at(sample, s->kthreadd);
	uint64_t signal = task ? shape_of(s, task, signal_at) : 0, head;
	for (uint32_t at = s->parent; signal && at < s->comm; at += s->word) {
		if (!thread_node_here(s, task, at, signal, &head))
			continue;
		inferred_add(s->guest, "task_struct.thread_node", at, 2 * s->word);
		inferred_add(s->guest, "signal_struct.thread_head", head, 2 * s->word);
		return;
	}
}

/* --- times and the end ----------------------------------------------------------------------
 */

static bool times_here(const struct shape_sample *sample, uint32_t at)
{
	uint64_t last = 0;
	for (size_t i = 0; i < sample->count; i++) {
		uint64_t start = u64_of(&sample->tasks[i], at);
		uint64_t boot = u64_of(&sample->tasks[i], at + 8);
		if (start < 1000 || start < last || boot < start ||
		    boot - start > CLOCK_NEAR_NS || boot >> 56)
			return false;
		last = start;
	}
	return last > u64_of(&sample->tasks[0], at);
}

static void infer_times(const struct shape *s, const struct shape_sample *sample)
{
	for (uint32_t at = s->parent; at < s->comm && sample->count > 2; at += 4) {
		if (!times_here(sample, at))
			continue;
		inferred_add(s->guest, "task_struct.start_time", at, 8);
		inferred_add(s->guest, "task_struct.start_boottime", at + 8, 8);
		return;
	}
}

static void infer_end(const struct shape *s, const struct shape_sample *sample)
{
	const struct shape_task *init = task_at(sample, s->init);
	uint32_t from = s->mm + 2 * s->word;
	for (uint32_t at = from + 8; init && s->mm && at < s->pid && at < from + 160; at += 4) {
		if (u32_of(init, at) != SIGNAL_CHILD || u32_of(init, at - 8))
			continue;
		inferred_add(s->guest, "task_struct.exit_state", at - 8, 4);
		inferred_add(s->guest, "task_struct.exit_code", at - 4, 4);
		inferred_add(s->guest, "task_struct.exit_signal", at, 4);
		return;
	}
}

/* --- cred ----------------------------------------------------------------------------------
 */

static uint64_t cred_of(const struct shape *s, uint64_t task)
{
	struct field cred;
	return inferred_find(s->guest, "task_struct.real_cred", 21, &cred)
		       ? shape_word(s, task + cred.offset)
		       : 0;
}

/* inheritable is empty; permitted, effective and bounding are full. */
static bool capabilities_here(const uint8_t *bytes)
{
	uint64_t full = load_u64(bytes + 8);
	return !load_u64(bytes) && full >= UINT32_MAX && !(full & (full + 1)) &&
	       load_u64(bytes + 16) == full && load_u64(bytes + 24) == full;
}

static void infer_ids(const struct shape *s, uint64_t uid, uint64_t capabilities)
{
	static const char *const names[] = { "uid",  "gid",  "suid",  "sgid",
					     "euid", "egid", "fsuid", "fsgid" };
	static const char *const sets[] = { "cap_inheritable", "cap_permitted", "cap_effective",
					    "cap_bset", "cap_ambient" };
	char path[32];
	for (unsigned i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "cred.%s", names[i]);
		inferred_add(s->guest, path, uid + 4 * i, 4);
	}
	for (unsigned i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "cred.%s", sets[i]);
		inferred_add(s->guest, path, capabilities + 8 * i, 8);
	}
}

/* usage; uid, gid, suid, sgid, euid, egid, fsuid, fsgid; securebits; capabilities. The count is
 * an int or (since 6.7, and in later releases of older series) a long; capabilities are pairs
 * of u32 or (since 6.3) a u64 with its alignment; debugging adds members behind the count. */
static void infer_cred(const struct shape *s)
{
	static const struct {
		uint8_t word, capabilities, uid;
	} forms[] = { { 8, 40, 4 },  { 8, 44, 8 }, { 8, 48, 8 }, { 8, 56, 20 },
		      { 8, 64, 28 }, { 4, 40, 4 }, { 4, 52, 16 } };
	uint8_t bytes[CRED_BYTES];
	uint64_t cred = cred_of(s, s->first);
	if (!cred || !shape_read(s, cred, bytes, sizeof(bytes)))
		return;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (forms[i].word != s->word ||
		    !capabilities_here(bytes + forms[i].capabilities))
			continue;
		infer_ids(s, forms[i].uid, forms[i].capabilities);
		return;
	}
}

void shape_infer_task(const struct shape *s, const struct shape_sample *sample)
{
	uint32_t stack = find_stack(s, sample);
	if (stack)
		infer_state(s, stack);
	infer_flags(s, sample, stack ? stack + s->word : 0);
	infer_end(s, sample);
	infer_times(s, sample);
	infer_credentials(s);
	infer_cred(s);
	uint32_t signal = infer_shared(s);
	if (signal)
		infer_threads(s, sample, signal);
}
