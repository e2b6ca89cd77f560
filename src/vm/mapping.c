/* How a cut file is survived. Every mapping is entered in a fixed table that the SIGBUS handler
 * can search without a lock. When a fault lies inside an entry, the handler asks the file for
 * its size:
 *  1. the fault is past the end: the file was cut. Zero pages are mapped from the fault to the
 *     end of the mapping and the entry is marked cut, for good;
 *  2. it is inside: the file system had no room to give a hole its page (a read of a hole in
 *     tmpfs allocates). One zero page is mapped there and the entry is marked starved; the next
 *     search for data maps the file afresh over the whole range, so that the zero page does not
 *     hide what is written there later.
 * A fault outside every entry goes to whoever handled SIGBUS before. */
#include "vm/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/error.h"

#define PAGE_BYTES 4096u

struct mapping {
	int fd;
	uint64_t size_bytes;
	size_t slot;
	uint8_t *bytes;
};

/* One entry of the table; start == 0 means free. */
struct guard {
	_Atomic uintptr_t start, end;
	_Atomic int fd;
	atomic_bool cut, starved;
};

#define MAX_GUARDS 512
static struct guard guards[MAX_GUARDS];
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous_action;

static void zero_pages(uintptr_t start, uintptr_t end)
{
	mmap((void *)start, end - start, PROT_READ,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

/* Returns true if the fault was one of ours and the read may be tried again. */
static bool guard_fault(uintptr_t address)
{
	for (size_t i = 0; i < MAX_GUARDS; i++) {
		struct guard *guard = &guards[i];
		uintptr_t start = atomic_load(&guard->start), end = atomic_load(&guard->end);
		if (!start || address < start || address >= end)
			continue;
		uintptr_t page = address & ~(uintptr_t)(PAGE_BYTES - 1);
		struct stat info;
		if (fstat(atomic_load(&guard->fd), &info) == 0 &&
		    page - start < (uint64_t)info.st_size) {
			atomic_store(&guard->starved, true);
			zero_pages(page, page + PAGE_BYTES);
		} else {
			atomic_store(&guard->cut, true);
			zero_pages(page, end);
		}
		return true;
	}
	return false;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	bool ours = guard_fault((uintptr_t)info->si_addr);
	errno = saved_errno;
	if (ours)
		return;
	if (previous_action.sa_flags & SA_SIGINFO)
		previous_action.sa_sigaction(number, info, context);
	else
		sigaction(SIGBUS, &previous_action, NULL); /* the fault repeats and ends us */
}

/* Whoever else took SIGBUS meanwhile (a test framework, a GPU driver) comes after us again. */
static void install_handler(void)
{
	struct sigaction current,
		action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, NULL, &current) || current.sa_sigaction == on_sigbus)
		return;
	previous_action = current;
	sigaction(SIGBUS, &action, NULL);
}

/* Enters a mapping in the table. False when it is full. */
static bool guard_add(struct mapping *mapping)
{
	bool added = false;
	pthread_mutex_lock(&guards_lock);
	install_handler();
	for (size_t i = 0; i < MAX_GUARDS && !added; i++) {
		struct guard *guard = &guards[i];
		if (atomic_load(&guard->start))
			continue;
		atomic_store(&guard->cut, false);
		atomic_store(&guard->starved, false);
		atomic_store(&guard->fd, mapping->fd);
		uint64_t mapped = align_up(mapping->size_bytes, PAGE_BYTES);
		atomic_store(&guard->end, (uintptr_t)mapping->bytes + mapped);
		atomic_store(&guard->start, (uintptr_t)mapping->bytes);
		mapping->slot = i;
		added = true;
	}
	pthread_mutex_unlock(&guards_lock);
	return added;
}

static struct error *map_file(struct mapping *mapping, const char *what)
{
	struct stat info;
	if (fstat(mapping->fd, &info))
		return error_system(errno, "cannot look at %s", what);
	if (!S_ISREG(info.st_mode))
		return error_create(ERR_BAD_DATA, "%s is not a regular file", what);
	if (info.st_size <= 0)
		return error_create(ERR_BAD_DATA, "%s is empty", what);
	mapping->size_bytes = (uint64_t)info.st_size;
	void *bytes = mmap(NULL, mapping->size_bytes, PROT_READ, MAP_SHARED, mapping->fd, 0);
	if (bytes == MAP_FAILED)
		return error_system(errno, "cannot map %s", what);
	mapping->bytes = bytes;
	if (!guard_add(mapping)) {
		munmap(bytes, mapping->size_bytes);
		mapping->bytes = NULL;
		return error_create(ERR_LIMIT, "%s: too many files are mapped at once", what);
	}
	return NULL;
}

struct error *mapping_create(int fd, const char *what, struct mapping **ret)
{
	struct mapping *made = NULL;
	struct error *err = error_alloc(1, sizeof(*made), &made);
	if (err) {
		close(fd);
		return err;
	}
	made->fd = fd;
	err = map_file(made, what);
	if (err) {
		mapping_destroy(made);
		return err;
	}
	*ret = made;
	return NULL;
}

struct error *mapping_open(const char *path, struct mapping **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_system(errno, "cannot open %s", path);
	return mapping_create(fd, path, ret);
}

void mapping_destroy(struct mapping *mapping)
{
	if (!mapping)
		return;
	if (mapping->bytes) {
		/* Unmap first: a slot given away early could catch a fault of this range. */
		munmap(mapping->bytes, mapping->size_bytes);
		atomic_store(&guards[mapping->slot].start, 0);
	}
	close(mapping->fd);
	free(mapping);
}

const uint8_t *mapping_bytes(const struct mapping *mapping)
{
	return mapping->bytes;
}

uint64_t mapping_size(const struct mapping *mapping)
{
	return mapping->size_bytes;
}

int mapping_fd(const struct mapping *mapping)
{
	return mapping->fd;
}

bool mapping_alive(struct mapping *mapping)
{
	struct stat info;
	return !atomic_load(&guards[mapping->slot].cut) && !fstat(mapping->fd, &info) &&
	       (uint64_t)info.st_size >= mapping->size_bytes;
}

/* Maps the file again over pages that had to be replaced by zeros (rule 2 above). */
static void heal(struct mapping *mapping)
{
	struct guard *guard = &guards[mapping->slot];
	if (!atomic_load(&guard->starved) || atomic_load(&guard->cut))
		return;
	atomic_store(&guard->starved, false);
	mmap(mapping->bytes, mapping->size_bytes, PROT_READ, MAP_SHARED | MAP_FIXED,
	     mapping->fd, 0);
}

bool mapping_next_data(struct mapping *mapping, uint64_t offset, uint64_t *start_ret,
		       uint64_t *end_ret)
{
	heal(mapping);
	if (offset >= mapping->size_bytes)
		return false;
	off_t start = lseek(mapping->fd, (off_t)offset, SEEK_DATA);
	if (start < 0) {
		if (errno == ENXIO)
			return false;
		start = (off_t)offset; /* a file system without extents: all is data */
	}
	off_t end = lseek(mapping->fd, start, SEEK_HOLE);
	if ((uint64_t)start >= mapping->size_bytes)
		return false;
	*start_ret = (uint64_t)start;
	*end_ret = end <= start || (uint64_t)end > mapping->size_bytes ? mapping->size_bytes
								       : (uint64_t)end;
	return true;
}
