/* `bench bridge`: what it costs to look at a VM's memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/bench.h"
#include "box/bench_guest.h"
#include "vm/demo_guest.h"
#include "vm/dirty.h"
#include "vm/proc.h"
#include "vm/snapshot.h"
#include "vm/snapshot_file.h"
#include "vm/start.h"
#include "vm/vm.h"
#include "vm/warm.h"

#define CHUNK_BYTES (1u << 20)
#define SCANS 60
#define SNAPSHOTS 100
#define REPEATS 5

static double seconds_now(void)
{
	return (double)clock_now_ns() / 1e9;
}

static void sleep_ms(long ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&pause, NULL);
}

/* Copies length bytes chunk by chunk into one buffer; GB/s. */
static double copy_rate(const uint8_t *from, size_t length, uint8_t *buffer)
{
	double start = seconds_now();
	for (size_t at = 0; at + CHUNK_BYTES <= length; at += CHUNK_BYTES)
		memcpy(buffer, from + at, CHUNK_BYTES);
	return (double)(length / CHUNK_BYTES * CHUNK_BYTES) / (seconds_now() - start) / 1e9;
}

/* The longest run of data in the guest's memory: reading holes would make them real. */
static const uint8_t *longest_data(struct phys_mem *mem, size_t *length_ret)
{
	uint64_t start, end, best = 0;
	const uint8_t *found = NULL;
	for (uint64_t at = 0; phys_mem_next_data(mem, at, &start, &end); at = end) {
		if (end - start <= best)
			continue;
		best = end - start;
		found = phys_mem_at(mem, start, end - start);
	}
	*length_ret = best;
	return found;
}

static struct error *bench_read(struct bench_guest *guest, json_t *rows)
{
	size_t length = 0;
	const uint8_t *data = longest_data(vm_memory(bench_guest_vm(guest)), &length);
	AUTO(own_free) uint8_t *plain = NULL;
	AUTO(own_free) uint8_t *buffer = NULL;
	TRY(error_alloc(length, 1, &plain));
	TRY(error_alloc(CHUNK_BYTES, 1, &buffer));
	memset(plain, 1, length);
	double guest_rate[REPEATS * 4], plain_rate[REPEATS * 4];
	for (int i = 0; i < REPEATS * 4; i++) {
		guest_rate[i] = copy_rate(data, length, buffer);
		plain_rate[i] = copy_rate(plain, length, buffer);
	}
	bench_add(rows, &(struct bench_row){
				.name = "read bandwidth",
				.value = bench_percentile(guest_rate, REPEATS * 4, 50),
				.unit = "GB/s",
				.baseline = "memcpy of ordinary memory",
				.baseline_value = bench_percentile(plain_rate, REPEATS * 4, 50),
				.goal = 0.9 });
	return NULL;
}

/* Makes the guest write that many pages again and again. */
static struct error *start_writing(struct bench_guest *guest, unsigned pages)
{
	char line[256];
	snprintf(line, sizeof(line),
		 "mount -t tmpfs -o size=40m x /mnt; while :; do dd if=/dev/zero of=/mnt/d "
		 "bs=4k count=%u conv=notrunc 2>/dev/null; sleep 0.1; done & echo wri''ting",
		 pages);
	return bench_guest_run(guest, line, "writing", 30000);
}

static struct error *stop_writing(struct bench_guest *guest)
{
	return bench_guest_run(guest,
			       "kill $!; sleep 0.3; rm /mnt/d; umount /mnt; echo sto''pped",
			       "stopped", 30000);
}

/* Whole comparison of the guest's data with a copy: what a scan saves. */
static struct error *compare_ms(struct bench_guest *guest, double *ret)
{
	size_t length = 0;
	const uint8_t *data = longest_data(vm_memory(bench_guest_vm(guest)), &length);
	AUTO(own_free) uint8_t *copy = NULL;
	double times[REPEATS];
	TRY(error_alloc(length, 1, &copy));
	memcpy(copy, data, length);
	__attribute__((unused)) volatile size_t differing = 0;
	for (int i = 0; i < REPEATS; i++) {
		double start = seconds_now();
		for (size_t at = 0; at + 4096 <= length; at += 4096)
			differing += memcmp(copy + at, data + at, 4096) != 0;
		times[i] = (seconds_now() - start) * 1e3;
	}
	/* Scaled to the whole RAM: holes would have to be looked at too. */
	uint64_t all = phys_mem_size(vm_memory(bench_guest_vm(guest)));
	*ret = bench_percentile(times, REPEATS, 50) * (double)all / (double)length;
	return NULL;
}

static struct error *bench_scan(struct bench_guest *guest, const char *load, json_t *rows)
{
	AUTO(own_dirty) struct dirty *dirty = NULL;
	struct dirty_cursor cursor = { 0 };
	struct dirty_pages pages = { 0 };
	double times[SCANS], compare = 0;
	char name[96];
	TRY(dirty_open(bench_guest_vm(guest), DIRTY_AUTO, &dirty));
	struct error *err = compare_ms(guest, &compare);
	if (!err)
		err = dirty_cursor_now(dirty, &cursor);
	for (int i = 0; i < SCANS && !err; i++) {
		sleep_ms(30);
		double start = seconds_now();
		err = dirty_take(dirty, &cursor, &pages);
		times[i] = (seconds_now() - start) * 1e3;
	}
	dirty_pages_deinit(&pages);
	TRY(err);
	snprintf(name, sizeof(name), "dirty scan, %s", load);
	bench_add(rows, &(struct bench_row){ .name = name,
					     .value = bench_percentile(times, SCANS, 50),
					     .unit = "ms",
					     .baseline = "comparing all of RAM",
					     .baseline_value = compare,
					     .smaller_is_better = true,
					     .goal = 10 });
	return NULL;
}

static double own_cpu(void)
{
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static struct error *bench_consumer(struct bench_guest *guest, json_t *rows)
{
	AUTO(own_dirty) struct dirty *dirty = NULL;
	struct dirty_cursor cursor = { 0 };
	struct dirty_pages pages = { 0 };
	TRY(dirty_open(bench_guest_vm(guest), DIRTY_AUTO, &dirty));
	TRY(dirty_cursor_now(dirty, &cursor));
	double start = seconds_now(), cpu = own_cpu();
	struct error *err = NULL;
	for (int i = 0; i < 180 && !err; i++) {
		sleep_ms(16);
		err = dirty_take(dirty, &cursor, &pages);
	}
	dirty_pages_deinit(&pages);
	TRY(err);
	bench_add(rows, &(struct bench_row){ .name = "60 Hz consumer of an idle guest",
					     .value = (own_cpu() - cpu) /
						      (seconds_now() - start) * 100,
					     .unit = "% of a core",
					     .goal = 5,
					     .goal_is_most = true });
	return NULL;
}

/* Renews the copy some time after the last one. */
static struct error *pause_once(struct snapshot *snapshot, bool by_monitor, double *ms_ret)
{
	struct snapshot_stats stats;
	sleep_ms(20);
	TRY(snapshot_take(snapshot, &(struct snapshot_params){ .needs_monitor = by_monitor },
			  &stats));
	*ms_ret = (double)stats.pause_ns / 1e6;
	return NULL;
}

static struct error *bench_pause(struct bench_guest *guest, const char *load, double goal_p50,
				 double goal_p99, json_t *rows)
{
	AUTO(own_snapshot) struct snapshot *snapshot = NULL;
	double pauses[SNAPSHOTS], by_monitor[SNAPSHOTS];
	char name[96];
	TRY(snapshot_create(bench_guest_vm(guest), &snapshot));
	TRY(pause_once(snapshot, false, &pauses[0])); /* copies everything */
	for (int i = 0; i < SNAPSHOTS; i++) {
		TRY(pause_once(snapshot, false, &pauses[i]));
		TRY(pause_once(snapshot, true, &by_monitor[i]));
	}
	uint64_t mib = phys_mem_size(vm_memory(bench_guest_vm(guest))) >> 20;
	snprintf(name, sizeof(name), "snapshot pause p50, %llu MiB, %s",
		 (unsigned long long)mib, load);
	bench_add(rows, &(struct bench_row){ .name = name,
					     .value = bench_percentile(pauses, SNAPSHOTS, 50),
					     .unit = "ms",
					     .goal = goal_p50,
					     .goal_is_most = true });
	snprintf(name, sizeof(name), "snapshot pause p99, %llu MiB, %s",
		 (unsigned long long)mib, load);
	bench_add(rows, &(struct bench_row){ .name = name,
					     .value = bench_percentile(pauses, SNAPSHOTS, 99),
					     .unit = "ms",
					     .goal = goal_p99,
					     .goal_is_most = true });
	snprintf(name, sizeof(name), "snapshot pause by threads, %llu MiB, %s",
		 (unsigned long long)mib, load);
	bench_add(rows, &(struct bench_row){
				.name = name,
				.value = bench_percentile(pauses, SNAPSHOTS, 50),
				.unit = "ms",
				.baseline = "the same by QEMU's monitor",
				.baseline_value = bench_percentile(by_monitor, SNAPSHOTS, 50),
				.smaller_is_better = true });
	return NULL;
}

/* Processor time of a fixed computation in the guest, with or without scans at 60 Hz. */
static struct error *compute_cpu(struct bench_guest *guest, struct dirty *dirty,
				 double *seconds_ret)
{
	struct dirty_cursor cursor = { 0 };
	struct dirty_pages pages = { 0 };
	double start = bench_guest_cpu(guest), last = start;
	struct error *err = bench_guest_type(guest, "workload crc 1048576 48");
	/* Done when QEMU has nothing to do for three periods. */
	for (int idle = 0; idle < 18 && !err;) {
		sleep_ms(16);
		if (dirty)
			err = dirty_take(dirty, &cursor, &pages);
		double now = bench_guest_cpu(guest);
		/* An idle guest takes some hundred microseconds of each period. */
		idle = now - last > 0.004 ? 0 : idle + 1;
		last = now;
	}
	dirty_pages_deinit(&pages);
	*seconds_ret = last - start;
	return err;
}

static struct error *bench_slowdown(struct bench_guest *guest, json_t *rows)
{
	AUTO(own_dirty) struct dirty *dirty = NULL;
	double with[REPEATS], without[REPEATS];
	TRY(dirty_open(bench_guest_vm(guest), DIRTY_AUTO, &dirty));
	for (int i = 0; i < REPEATS; i++) {
		TRY(compute_cpu(guest, NULL, &without[i]));
		TRY(compute_cpu(guest, dirty, &with[i]));
	}
	bench_add(rows,
		  &(struct bench_row){ .name = "computing guest under 60 Hz scans",
				       .value = bench_percentile(with, REPEATS, 50),
				       .unit = "s of CPU",
				       .baseline = "the same without scans",
				       .baseline_value = bench_percentile(without, REPEATS, 50),
				       .smaller_is_better = true,
				       .goal = 0.97 });
	return NULL;
}

static struct error *restore_once(const char *path, double *ms_ret)
{
	AUTO(own_snapshot_file) struct snapshot_file *file = NULL;
	AUTO(own_vm_start) struct vm_start *start = NULL;
	char name[48];
	TRY(snapshot_file_open(path, &file));
	struct vm_spec spec = *snapshot_file_spec(file);
	snprintf(name, sizeof(name), "bench-%d-warm", (int)getpid());
	spec.name = name;
	spec.restore = path;
	TRY(vm_start(&spec, &start));
	if (vm_start_poll(start, 10000) != VM_NEWS_FIRST_LINE)
		return error_create(ERR_PEER, "the restored guest does not answer");
	*ms_ret = vm_start_boot_ms(start);
	AUTO(own_vm) struct vm *vm = NULL;
	const char *how;
	TRY(vm_open(name, &vm));
	return vm_stop(vm, 0, &how);
}

/* A warm start as a user sees it: from the call to the guest's first output. */
static struct error *warm_once(double *ms_ret)
{
	AUTO(demo_guest_deinit) struct demo_guest demo = { 0 };
	AUTO(own_vm_start) struct vm_start *start = NULL;
	AUTO(own_vm) struct vm *vm = NULL;
	struct vm_spec spec = { .mem_bytes = 128u << 20, .cpus = 1, .accel = "tcg" };
	char name[48];
	const char *how;
	snprintf(name, sizeof(name), "bench-%d-copy", (int)getpid());
	spec.name = name;
	TRY(demo_guest_fill(NULL, false, &spec, &demo));
	double begin = seconds_now();
	TRY(warm_start(&spec, &start));
	if (vm_start_poll(start, 10000) != VM_NEWS_FIRST_LINE)
		return error_create(ERR_PEER, "the warm guest does not answer");
	*ms_ret = (seconds_now() - begin) * 1e3;
	TRY(vm_open(name, &vm));
	return vm_stop(vm, 0, &how);
}

static struct error *bench_warm(double cold_ms, json_t *rows)
{
	double warm[REPEATS];
	TRY(warm_once(&warm[0])); /* makes the copy */
	for (int i = 0; i < REPEATS; i++)
		TRY(warm_once(&warm[i]));
	bench_add(rows, &(struct bench_row){ .name = "run --warm, call to first output",
					     .value = bench_percentile(warm, REPEATS, 50),
					     .unit = "ms",
					     .baseline = "cold boot",
					     .baseline_value = cold_ms,
					     .smaller_is_better = true,
					     .goal = 3 });
	return NULL;
}

static struct error *bench_boot(json_t *rows)
{
	double cold[REPEATS], warm[REPEATS];
	char path[64];
	snprintf(path, sizeof(path), "/tmp/glassbox-bench-%d.gbs", (int)getpid());
	for (int i = 0; i < REPEATS; i++) {
		AUTO(own_bench_guest) struct bench_guest *guest = NULL;
		struct snapshot_stats stats;
		TRY(bench_guest_start(128u << 20, &guest));
		cold[i] = bench_guest_boot_ms(guest);
		if (!i)
			TRY(snapshot_save(bench_guest_vm(guest), path, &stats));
	}
	struct error *err = NULL;
	for (int i = 0; i < REPEATS && !err; i++)
		err = restore_once(path, &warm[i]);
	unlink(path);
	TRY(err);
	double cold_ms = bench_percentile(cold, REPEATS, 50);
	bench_add(rows, &(struct bench_row){ .name = "boot to the first userspace line",
					     .value = cold_ms,
					     .unit = "ms",
					     .goal = 1500,
					     .goal_is_most = true });
	bench_add(rows, &(struct bench_row){ .name = "restored guest's first output",
					     .value = bench_percentile(warm, REPEATS, 50),
					     .unit = "ms",
					     .goal = 250,
					     .goal_is_most = true });
	return bench_warm(cold_ms, rows);
}

/* Idle, 1 % and 10 % of the pages written again and again. */
static struct error *bench_loads(struct bench_guest *guest, json_t *rows)
{
	static const struct {
		const char *name;
		unsigned percent;
		double p50, p99;
	} loads[] = { { "idle", 0, 1, 5 },
		      { "1 % dirty", 1, 1, 5 },
		      { "10 % dirty", 10, 0, 0 } };
	uint64_t pages = phys_mem_size(vm_memory(bench_guest_vm(guest))) / PHYS_PAGE_SIZE;
	for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++) {
		if (loads[i].percent)
			TRY(start_writing(guest, (unsigned)(pages * loads[i].percent / 100)));
		TRY(bench_scan(guest, loads[i].name, rows));
		TRY(bench_pause(guest, loads[i].name, loads[i].p50, loads[i].p99, rows));
		if (loads[i].percent)
			TRY(stop_writing(guest));
	}
	return NULL;
}

static struct error *run_bridge(struct call_context *context, json_t *rows)
{
	static const unsigned sizes_mib[] = { 64, 256 };
	for (size_t i = 0; i < 2; i++) {
		AUTO(own_bench_guest) struct bench_guest *guest = NULL;
		call_progress(context, 0.4 * (double)i, "reading, scanning, pausing");
		TRY(bench_guest_start((uint64_t)sizes_mib[i] << 20, &guest));
		if (i) {
			TRY(bench_read(guest, rows));
			TRY(bench_consumer(guest, rows));
		}
		TRY(bench_loads(guest, rows));
		if (i)
			TRY(bench_slowdown(guest, rows));
	}
	call_progress(context, 0.8, "booting");
	return bench_boot(rows);
}

const struct bench bench_bridge = { "bridge", run_bridge };
