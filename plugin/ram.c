/* QEMU's own mapping of guest memory: where it is, and the write-protect tracking that lets
 * another process ask the kernel which of its pages were written.
 *
 * userfaultfd with WP_ASYNC: the kernel itself clears the protection of a page at its first
 * write; nobody handles faults. Whoever may read /proc/QEMU/pagemap asks for written pages and
 * protects them again with one PAGEMAP_SCAN. The descriptor stays open as long as QEMU lives.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

/* Newer than some distributions' kernel headers. */
static const uint64_t FEATURE_WP_HUGETLBFS_SHMEM = 1 << 12;
static const uint64_t FEATURE_WP_UNPOPULATED = 1 << 13;
static const uint64_t FEATURE_WP_ASYNC = 1 << 15;
static const int USER_MODE_ONLY = 1;

/* Takes the largest mapping of the file: QEMU maps RAM once, at offset 0. */
void ram_find(const char *path)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[8192];
	if (!maps)
		return;
	while (fgets(line, sizeof(line), maps)) {
		uint64_t start, end, offset;
		int at = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &start,
			   &end, &offset, &at) != 3 ||
		    !at)
			continue;
		line[strcspn(line, "\n")] = 0;
		if (strcmp(line + at, path) || offset || end - start <= plugin.ram.bytes)
			continue;
		plugin.ram.host = (uint8_t *)(uintptr_t)start;
		plugin.ram.bytes = end - start;
	}
	fclose(maps);
}

static int open_userfaultfd(void)
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int fd = (int)syscall(SYS_userfaultfd, flags | USER_MODE_ONLY);
	return fd >= 0 ? fd : (int)syscall(SYS_userfaultfd, flags);
}

/* 0, or an errno. The descriptor is kept on success. */
static int arm(void)
{
	int fd = open_userfaultfd();
	if (fd < 0)
		return errno;
	struct uffdio_api api = { .api = UFFD_API,
				  .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED |
					      FEATURE_WP_HUGETLBFS_SHMEM };
	struct uffdio_register range = {
		.range = { (uintptr_t)plugin.ram.host, plugin.ram.bytes },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range)) {
		int failed = errno;
		close(fd);
		return failed;
	}
	return 0;
}

void ram_arm_dirty(void)
{
	struct gb_control *c = plugin.control;
	c->dirty_errno = plugin.ram.host ? arm() : ENOENT;
	c->ram_address = (uintptr_t)plugin.ram.host;
	c->ram_bytes = plugin.ram.bytes;
	c->qemu_pid = (uint32_t)getpid();
	__atomic_store_n(&c->dirty_state, c->dirty_errno ? GB_DIRTY_FAILED : GB_DIRTY_ARMED,
			 __ATOMIC_RELEASE);
}

uint64_t ram_gpa(const void *host)
{
	const struct gb_control *c = plugin.control;
	uint64_t offset = (uintptr_t)host - (uintptr_t)plugin.ram.host;
	if (!plugin.ram.host || offset >= plugin.ram.bytes)
		return ~0ull;
	for (unsigned i = 0; i < c->n_ram_segments && i < GB_MAX_RAM_SEGMENTS; i++) {
		const struct gb_ram_segment *s = &c->ram_segment[i];
		if (offset - s->file_offset < s->bytes)
			return s->gpa + (offset - s->file_offset);
	}
	return c->n_ram_segments ? ~0ull : offset;
}
