#include "guest/percpu.h"

#include "guest/internal.h"

static bool mask_bit(struct guest *guest, const char *symbol, unsigned cpu)
{
	uint64_t mask;
	unsigned bits = guest->word_bytes * 8;
	/* A kernel for one CPU has no masks. */
	if (!guest_symbol(guest, symbol, &mask))
		return cpu == 0;
	return guest_read_word(guest, mask + cpu / bits * guest->word_bytes) >> cpu % bits & 1;
}

unsigned guest_cpu_ids(struct guest *guest)
{
	uint64_t gva;
	unsigned ids = 1;
	if (guest_symbol(guest, "nr_cpu_ids", &gva))
		ids = guest_read_u32(guest, gva);
	else if (guest_symbol(guest, "__per_cpu_offset", &gva))
		ids = guest->word_bytes * 8;
	return ids < 1 ? 1 : ids > GUEST_CPUS_MAX ? GUEST_CPUS_MAX : ids;
}

bool guest_cpu_possible(struct guest *guest, unsigned cpu)
{
	return mask_bit(guest, "__cpu_possible_mask", cpu);
}

bool guest_cpu_online(struct guest *guest, unsigned cpu)
{
	return mask_bit(guest, "__cpu_online_mask", cpu);
}

bool guest_has_cpus(struct guest *guest)
{
	unsigned ids = guest_cpu_ids(guest);
	for (unsigned cpu = 0; cpu < ids; cpu++)
		if (guest_cpu_online(guest, cpu))
			return true;
	guest_add_note(guest, "this kernel's mask of CPUs says that none is online");
	return false;
}

uint64_t guest_percpu(struct guest *guest, uint64_t variable, unsigned cpu)
{
	uint64_t offsets;
	if (!guest_symbol(guest, "__per_cpu_offset", &offsets))
		return variable;
	uint64_t gva = variable + guest_read_word(guest, offsets + cpu * guest->word_bytes);
	return guest->word_bytes == 4 ? gva & UINT32_MAX : gva;
}

int64_t guest_percpu_counter(struct guest *guest, uint64_t gva)
{
	int64_t sum =
		(int64_t)guest_load(guest, gva, guest_field(guest, "percpu_counter.count"));
	uint64_t shares = guest_load(guest, gva, guest_field(guest, "percpu_counter.counters"));
	unsigned ids = guest_cpu_ids(guest);
	if (shares && !guest_is_kernel_pointer(guest, guest_percpu(guest, shares, 0))) {
		guest_add_note(guest, "where this kernel keeps per-CPU data is not known: sums "
				      "over CPUs are rough");
		return sum;
	}
	for (unsigned cpu = 0; shares && cpu < ids && guest_step(guest); cpu++)
		if (guest_cpu_possible(guest, cpu))
			sum += (int32_t)guest_read_u32(guest, guest_percpu(guest, shares, cpu));
	return sum;
}
