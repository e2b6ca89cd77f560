/* Unwinding, best way first: ORC tables; frame pointers when the kernel keeps them; else every
 * word of the stack that points into text, which may be stale and is called a guess. */
#include "guest/stack.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/internal.h"
#include "guest/orc.h"
#include "guest/task.h"

enum {
	STACK_BYTES_MAX = 32 << 10,
	FRAMES_MAX = 256,
};

struct unwinder {
	struct guest *guest;
	guest_frame_fn *visit;
	void *user;
	uint64_t base, size_bytes; /* of the stack */
	uint8_t *copy; /* owned */
	uint64_t ip, sp, bp;
	uint64_t text_start, text_end, modules_start, modules_end;
	unsigned frames;
};

static void unwinder_deinit(struct unwinder *u)
{
	free(u->copy);
}

/* A word of the stack copy; false outside of it. */
static bool stack_word(const struct unwinder *u, uint64_t gva, uint64_t *ret)
{
	unsigned word = u->guest->word_bytes;
	if (gva < u->base || !range_fits(gva - u->base, word, u->size_bytes))
		return false;
	const uint8_t *at = u->copy + (gva - u->base);
	*ret = word == 8 ? load_u64(at) : load_u32(at);
	return true;
}

static bool is_text(const struct unwinder *u, uint64_t gva)
{
	return (gva >= u->text_start && gva < u->text_end) ||
	       (gva >= u->modules_start && gva < u->modules_end);
}

static bool show(struct unwinder *u, uint64_t address, const char *how)
{
	struct guest_frame frame = { .address = address, .how = how };
	return ++u->frames < FRAMES_MAX && u->visit(u->user, &frame);
}

/* --- ORC ------------------------------------------------------------------------------------
 */

static bool previous_sp(const struct unwinder *u, const struct orc_entry *orc, uint64_t *ret)
{
	uint64_t offset = (uint64_t)(int64_t)orc->sp_offset;
	switch (orc->sp_register) {
	case ORC_REG_SP:
		*ret = u->sp + offset;
		return true;
	case ORC_REG_BP:
		*ret = u->bp + offset;
		return true;
	case ORC_REG_SP_INDIRECT:
		if (!stack_word(u, u->sp, ret))
			return false;
		*ret += offset;
		return true;
	case ORC_REG_BP_INDIRECT:
		return stack_word(u, u->bp + offset, ret);
	default:
		return false;
	}
}

static void previous_bp(struct unwinder *u, const struct orc_entry *orc, uint64_t sp)
{
	uint64_t offset = (uint64_t)(int64_t)orc->bp_offset, value;
	uint64_t at = orc->bp_register == ORC_REG_PREV_SP ? sp + offset
		      : orc->bp_register == ORC_REG_BP	  ? u->bp + offset
							  : 0;
	if (at && stack_word(u, at, &value))
		u->bp = value;
}

/* One step outwards. False at the end, *ok_ret tells whether it was a proper one. */
static bool orc_step(struct unwinder *u, bool first, bool *ok_ret)
{
	struct orc_entry orc;
	uint64_t sp, ip;
	*ok_ret = false;
	/* A return address may lie past the end of a function that never returns. */
	if (!guest_orc_find(u->guest, first ? u->ip : u->ip - 1, &orc))
		return false;
	if (orc.type == ORC_END) {
		*ok_ret = true;
		return false;
	}
	if (orc.type == ORC_UNDEFINED || !previous_sp(u, &orc, &sp))
		return false;
	if (orc.type != ORC_CALL) {
		/* An exception or the system call entry: beyond it lies user mode. */
		*ok_ret = true;
		return false;
	}
	if (sp <= u->sp || !stack_word(u, sp - u->guest->word_bytes, &ip))
		return false;
	previous_bp(u, &orc, sp);
	u->ip = ip;
	u->sp = sp;
	*ok_ret = is_text(u, ip);
	return *ok_ret;
}

/* True when the whole stack was unwound by its tables. */
static bool unwind_orc(struct unwinder *u)
{
	struct orc_entry probe;
	bool ok = true;
	if (u->guest->word_bytes != 8 || !guest_orc_find(u->guest, u->ip - 1, &probe))
		return false;
	if (!show(u, u->ip, "orc"))
		return true;
	while (guest_step(u->guest) && orc_step(u, false, &ok))
		if (!show(u, u->ip, "orc"))
			return true;
	if (!ok)
		guest_add_note(u->guest, "the stack could be unwound only in part");
	return true;
}

/* --- frame pointers and guessing -------------------------------------------------------------
 */

/* Counts, or shows, the frames that a chain of frame pointers leads through. */
static unsigned follow_frames(struct unwinder *u, bool really)
{
	uint64_t bp = u->bp, next, ip;
	unsigned count = 0, word = u->guest->word_bytes;
	while (count < FRAMES_MAX && stack_word(u, bp, &next) &&
	       stack_word(u, bp + word, &ip) && is_text(u, ip)) {
		count++;
		if (really && !show(u, ip, "frame pointer"))
			break;
		if (next <= bp)
			break;
		bp = next;
	}
	return count;
}

static void guess(struct unwinder *u)
{
	uint64_t value;
	unsigned word = u->guest->word_bytes;
	for (uint64_t at = u->sp; stack_word(u, at, &value); at += word)
		if (is_text(u, value) && !show(u, value, "guess"))
			return;
}

/* --- setting up
 * -------------------------------------------------------------------------------- */

static struct error *read_stack(struct unwinder *u, const struct guest_task *task)
{
	struct guest *guest = u->guest;
	u->base = guest_load(guest, task->gva, guest_need_field(guest, "task_struct.stack"));
	uint64_t sp =
		guest_load(guest, task->gva, guest_need_field(guest, "task_struct.thread.sp"));
	uint64_t above = guest->word_bytes == 8 ? 16384 : 8192;
	if (sp < u->base || sp - u->base >= STACK_BYTES_MAX)
		return error_create(ERR_BAD_DATA, "process %d has no usable kernel stack",
				    task->pid);
	/* Twice as large with KASAN. */
	u->size_bytes = sp - u->base < above ? above : STACK_BYTES_MAX;
	TRY(error_alloc(1, u->size_bytes, &u->copy));
	if (!guest_read(guest, u->base, u->copy, u->size_bytes))
		return error_create(ERR_BAD_DATA,
				    "the kernel stack of process %d is not in RAM", task->pid);
	u->sp = sp;
	return NULL;
}

/* What __switch_to_asm pushed: callee-saved registers, the frame pointer, the return address.
 */
static void read_frame(struct unwinder *u)
{
	struct guest *guest = u->guest;
	struct field bp = guest_field(guest, "inactive_task_frame.bp");
	struct field ip = guest_field(guest, "inactive_task_frame.ret_addr");
	uint64_t size = guest_sizeof(guest, "struct inactive_task_frame");
	if (!bp.found || !ip.found || !stack_word(u, u->sp + bp.offset, &u->bp) ||
	    !stack_word(u, u->sp + ip.offset, &u->ip))
		return;
	u->sp += size;
}

static void find_text(struct unwinder *u)
{
	struct guest *guest = u->guest;
	guest_symbol(guest, "_stext", &u->text_start);
	guest_symbol(guest, "_etext", &u->text_end);
	if (guest->word_bytes == 8) {
		u->modules_start = KERNEL_MAP_END_64;
		u->modules_end = 0xffffffffff000000;
	}
}

struct error *guest_stack_each(struct guest *guest, const struct guest_task *task,
			       guest_frame_fn *visit, void *user)
{
	AUTO(unwinder_deinit)
	struct unwinder u = { .guest = guest, .visit = visit, .user = user };
	struct field on_cpu = guest_field(guest, "task_struct.on_cpu");
	/* Where that is not known, one that may run counts as one that does. */
	if (on_cpu.found ? guest_load(guest, task->gva, on_cpu) != 0 : task->state == 'R')
		return error_hint(error_create(ERR_UNSUPPORTED,
					       "process %d is running: its stack is in use",
					       task->pid),
				  "pause the VM, or ask again");
	TRY(read_stack(&u, task));
	find_text(&u);
	read_frame(&u);
	if (is_text(&u, u.ip) && unwind_orc(&u))
		return NULL;
	if (is_text(&u, u.ip) && follow_frames(&u, false) >= 2) {
		if (show(&u, u.ip, "frame pointer"))
			follow_frames(&u, true);
		return NULL;
	}
	guest_add_note(guest, "no unwind tables: the frames are guesses");
	guess(&u);
	return NULL;
}
