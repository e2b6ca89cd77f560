/* Where a thread that does not run has left its stack pointer, for a kernel without types. What
 * __switch_to_asm pushed lies there:
 *
 *   64 bits   r15 r14 r13 r12 bx bp return-address
 *   32 bits   flags si di bx bp return-address
 *
 * All that slept once were left at the same place of the scheduler, so the right offset in
 * task_struct is the one whose word points into each task's own stack, at a frame whose return
 * address is text: for all but those that run.
 *
 * An entry of the unwind tables has six bytes since 4.14: two offsets; a byte with two
 * registers; a byte with type and end. At its start every function is of the type CALL and no
 * end, which is 0 (type : 2) until 6.3, 2 (type : 3, in which the end is one) since. The older
 * bit for the end has moved once; ret_from_fork, behind which there is nothing, tells where it
 * is. */
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/orc.h"
#include "guest/shape.h"

enum { STACK_BYTES = 32 << 10, RUNNING_MAX = 2, ORC_BYTES = 6, ORC_TYPE_AT = 5 };

struct frame_form {
	uint32_t bp, address, bytes;
};

static struct frame_form form_of(const struct shape *s)
{
	return s->word == 8 ? (struct frame_form){ 40, 48, 56 }
			    : (struct frame_form){ 16, 20, 24 };
}

static bool is_text(struct guest *guest, uint64_t gva)
{
	uint64_t start, end;
	return guest_symbol(guest, "_stext", &start) && guest_symbol(guest, "_etext", &end) &&
	       gva >= start && gva < end;
}

static bool frame_here(const struct shape *s, const struct shape_task *task, uint64_t stack,
		       uint32_t at)
{
	struct frame_form form = form_of(s);
	uint64_t sp = shape_of(s, task, at);
	return sp > stack && sp - stack < STACK_BYTES - form.bytes && sp % s->word == 0 &&
	       is_text(s->guest, shape_word(s, sp + form.address));
}

void shape_infer_stack(const struct shape *s, const struct shape_sample *sample)
{
	struct guest *guest = s->guest;
	struct frame_form form = form_of(s);
	struct field stack;
	if (!inferred_find(guest, "task_struct.stack", 17, &stack))
		return;
	for (uint32_t at = s->comm; at < SHAPE_TASK_BYTES; at += s->word) {
		size_t good = 0, living = 0;
		for (size_t i = 0; i < sample->count && good + RUNNING_MAX >= living; i++) {
			uint64_t gva = shape_of(s, &sample->tasks[i], stack.offset);
			living += gva != 0;
			good += gva && frame_here(s, &sample->tasks[i], gva, at);
		}
		if (living < 4 || good + RUNNING_MAX < living)
			continue;
		inferred_add(guest, "task_struct.thread.sp", at, s->word);
		inferred_add(guest, "inactive_task_frame.bp", form.bp, s->word);
		inferred_add(guest, "inactive_task_frame.ret_addr", form.address, s->word);
		inferred_add_size(guest, "struct inactive_task_frame", form.bytes);
		return;
	}
}

/* The byte with the type, of the entry for a function's start. */
static bool type_byte(const struct shape *s, const char *function, uint8_t *ret)
{
	uint64_t gva, entry;
	return guest_symbol(s->guest, function, &gva) &&
	       guest_orc_place(s->guest, gva, ORC_BYTES, &entry) &&
	       shape_read(s, entry + ORC_TYPE_AT, ret, 1);
}

static bool tables_fit(struct guest *guest)
{
	uint64_t ips, ips_end, entries, entries_end;
	return guest_symbol(guest, "__start_orc_unwind_ip", &ips) &&
	       guest_symbol(guest, "__stop_orc_unwind_ip", &ips_end) &&
	       guest_symbol(guest, "__start_orc_unwind", &entries) &&
	       guest_symbol(guest, "__stop_orc_unwind", &entries_end) && ips_end > ips &&
	       (ips_end - ips) / 4 * ORC_BYTES == entries_end - entries;
}

void shape_infer_orc(const struct shape *s)
{
	struct guest *guest = s->guest;
	uint8_t call, end;
	if (!tables_fit(guest) || !type_byte(s, "schedule", &call))
		return;
	call &= 7;
	if (call != 0 && call != 2)
		return;
	if (call == 0) {
		if (!type_byte(s, "ret_from_fork", &end) || !(end & 4) == !(end & 8))
			return;
		inferred_add_bits(guest, "orc_entry.end", ORC_TYPE_AT, end & 4 ? 2 : 3, 1);
	}
	inferred_add_bits(guest, "orc_entry.type", ORC_TYPE_AT, 0, call == 2 ? 3 : 2);
	inferred_add_bits(guest, "orc_entry.sp_reg", 4, 0, 4);
	inferred_add_bits(guest, "orc_entry.bp_reg", 4, 4, 4);
	inferred_add(guest, "orc_entry.sp_offset", 0, 2);
	inferred_add(guest, "orc_entry.bp_offset", 2, 2);
	inferred_add_size(guest, "struct orc_entry", ORC_BYTES);
}
