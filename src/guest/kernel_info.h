/* Small facts about the whole guest. Thread: that of the guest. */
#ifndef GUEST_KERNEL_INFO_H
#define GUEST_KERNEL_INFO_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

struct guest_kernel_info {
	char hostname[65], domainname[65], command_line[4096]; /* "" when unknown */
	bool has_boot_time, has_uptime;
	int64_t boot_time; /* seconds since 1970, by the guest's clock */
	uint64_t uptime_ns;
	unsigned cpus_online, cpus_possible;
};
void guest_kernel_info_read(struct guest *guest, struct guest_kernel_info *ret);
#endif
