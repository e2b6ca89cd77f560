#include "guest/kernel_info.h"

#include "guest/internal.h"
#include "guest/percpu.h"

static void read_names(struct guest *guest, struct guest_kernel_info *info)
{
	uint64_t uts, line;
	if (guest_symbol(guest, "init_uts_ns", &uts)) {
		guest_load_text(guest, uts, guest_field(guest, "uts_namespace.name.nodename"),
				info->hostname, sizeof(info->hostname));
		guest_load_text(guest, uts, guest_field(guest, "uts_namespace.name.domainname"),
				info->domainname, sizeof(info->domainname));
	}
	if (guest_symbol(guest, "saved_command_line", &line) &&
	    (line = guest_read_word(guest, line)))
		guest_read_text(guest, line, info->command_line, sizeof(info->command_line));
}

/* The timekeeper lies behind a sequence counter, in a struct that is unnamed until 6.13. */
static bool find_timekeeper(struct guest *guest, uint64_t *ret)
{
	struct field named = guest_field(guest, "tk_data.timekeeper");
	uint64_t base;
	if (named.found && guest_symbol(guest, "timekeeper_data", &base))
		*ret = base + named.offset;
	else if (guest_symbol(guest, "tk_core", &base))
		*ret = base + (named.found ? named.offset : 8);
	else
		return false;
	return true;
}

static void read_clock(struct guest *guest, struct guest_kernel_info *info)
{
	static const int64_t second = 1000000000;
	uint64_t tk;
	struct field real = guest_field(guest, "timekeeper.offs_real");
	struct field boot = guest_field(guest, "timekeeper.offs_boot");
	struct field seconds = guest_field(guest, "timekeeper.ktime_sec");
	if (!real.found || !boot.found || !find_timekeeper(guest, &tk))
		return;
	int64_t at =
		(int64_t)guest_load(guest, tk, real) - (int64_t)guest_load(guest, tk, boot);
	/* Between 1970 and 2200: else this is no clock. */
	info->has_boot_time = at >= 0 && at < INT64_C(7258118400) * second;
	info->boot_time = at / second;
	info->has_uptime = info->has_boot_time && seconds.found;
	info->uptime_ns = guest_load(guest, tk, seconds) * (uint64_t)second;
}

void guest_kernel_info_read(struct guest *guest, struct guest_kernel_info *ret)
{
	*ret = (struct guest_kernel_info){ 0 };
	read_names(guest, ret);
	read_clock(guest, ret);
	unsigned ids = guest_cpu_ids(guest);
	for (unsigned cpu = 0; cpu < ids; cpu++) {
		ret->cpus_possible += guest_cpu_possible(guest, cpu);
		ret->cpus_online += guest_cpu_online(guest, cpu);
	}
}
