/* Doubts about the kernel, notes about the answer, and the budget that bounds every question.
 */
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "guest/internal.h"
#include "guest/module_symbols.h"

enum {
	NOTES_MAX = 64,
	STEPS_MAX = 50 << 20,
	STEPS_PER_CLOCK = 1024,
};
static const int64_t budget_ns = 900000000; /* of processor time, for a question */

int64_t guest_clock_ns(void)
{
	struct timespec now;
	/* Time in which other programs had the processor is not the guest's fault. */
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool already(char *const *items, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(items[i], text))
			return true;
	return false;
}

void guest_add_note(struct guest *guest, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		return;
	if (guest->notes.count >= NOTES_MAX ||
	    already(guest->notes.items, guest->notes.count, text) ||
	    !VEC_PUSH(&guest->notes, text))
		free(text);
}

void guest_add_doubt(struct guest *guest, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		return;
	if (guest->doubts.count >= NOTES_MAX ||
	    already(guest->doubts.items, guest->doubts.count, text) ||
	    !VEC_PUSH(&guest->doubts, text))
		free(text);
}

const char *guest_doubt(const struct guest *guest, size_t n)
{
	return n < guest->doubts.count ? guest->doubts.items[n] : NULL;
}

const char *guest_note(const struct guest *guest, size_t n)
{
	return n < guest->notes.count ? guest->notes.items[n] : NULL;
}

void guest_forget_notes(struct guest *guest)
{
	for (size_t i = 0; i < guest->notes.count; i++)
		free(guest->notes.items[i]);
	guest->notes.count = 0;
}

void guest_renew(struct guest *guest)
{
	guest->steps = 0;
	guest->out_of_budget = false;
	guest->deadline_ns = guest_clock_ns() + budget_ns;
}

void guest_begin(struct guest *guest)
{
	guest_forget_notes(guest);
	guest_space_flush(&guest->kernel);
	module_symbols_destroy(guest->module_symbols);
	guest->module_symbols = NULL;
	guest->faults = guest->torn = 0;
	guest_renew(guest);
}

bool guest_step(struct guest *guest)
{
	if (guest->out_of_budget)
		return false;
	guest->steps++;
	bool late =
		guest->steps % STEPS_PER_CLOCK == 0 && guest_clock_ns() > guest->deadline_ns;
	if (!late && guest->steps < STEPS_MAX)
		return true;
	guest->out_of_budget = true;
	guest_add_note(guest, "ended after %llu steps: guest data leads on without end",
		       (unsigned long long)guest->steps);
	return false;
}
