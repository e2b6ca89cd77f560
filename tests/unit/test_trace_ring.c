/* The plugin's ring writer against glassbox's reader, through a real shared file: order, drops,
 * wrap-around, and a reader that runs while the writer writes. */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GB_API 7
#include "plugin/internal.h"
#include "trace/source.h"

struct plugin plugin;
static char path[128];
static struct trace_source *source;
enum { RING_BYTES = 8192, RING_WORDS = RING_BYTES / 8 };

uint64_t plugin_now_ns(void)
{
	return 42;
}

/* As plugin/watch.c does it, with a count of our own. */
static uint64_t passes;

void watch_settle(struct vcpu *v)
{
	v->repeating = false;
	v->limit = v->kept_limit;
	ring_put(v, gb_record(GB_REC_REPEAT, passes));
}

static int set_up(void **state)
{
	(void)state;
	struct gb_control c = { .magic = GB_MAGIC, .version = GB_VERSION, .n_vcpus = 1 };
	c.n_block_slots = 16;
	c.ring_bytes = RING_BYTES;
	c.ring_heads = (struct gb_area){ 4096, 128 };
	c.rings = (struct gb_area){ 8192, RING_BYTES };
	c.blocks = (struct gb_area){ 16384, 16 * sizeof(struct gb_block) };
	c.code = (struct gb_area){ 20480, 4096 };
	c.counts = (struct gb_area){ 24576, 128 };
	c.file_bytes = 28672;
	snprintf(path, sizeof(path), "/tmp/glassbox-test-ring-%d", (int)getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)c.file_bytes) || pwrite(fd, &c, sizeof(c), 0) < 0)
		return -1;
	uint8_t *file = mmap(NULL, c.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	plugin.file = file;
	plugin.control = (struct gb_control *)file;
	plugin.vcpu[0] = (struct vcpu){
		.shared = (struct gb_ring_head *)(file + 4096),
		.words = (uint64_t *)(file + 8192),
		.mask = RING_WORDS - 1,
	};
	assert_ok(trace_source_open(path, &source));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	trace_source_close(source);
	munmap(plugin.file, plugin.control->file_bytes);
	unlink(path);
	return 0;
}

static size_t drain(uint64_t *words, size_t capacity)
{
	size_t n;
	ring_publish(&plugin.vcpu[0]);
	assert_ok(trace_source_drain(source, 0, words, capacity, &n));
	return n;
}

static void words_come_in_order(void **state)
{
	(void)state;
	uint64_t words[RING_WORDS], next = 0;
	for (int round = 0; round < 50; round++) {
		for (uint64_t i = 0; i < 100; i++)
			ring_put2(&plugin.vcpu[0], gb_record_access(GB_REC_LOAD, 0, 0, 7),
				  round * 100 + i);
		size_t n = drain(words, RING_WORDS);
		for (size_t i = 0; i < n; i += gb_record_words(words[i])) {
			if (gb_record_kind(words[i]) == GB_REC_LOAD)
				assert_int_equal(words[i + 1], next++);
			else
				assert_int_equal(gb_record_kind(words[i]), GB_REC_TIME);
		}
	}
	assert_int_equal(next, 5000);
	assert_int_equal(plugin.vcpu[0].dropped, 0);
}

static void a_full_ring_drops_and_says_so(void **state)
{
	(void)state;
	uint64_t words[RING_WORDS], seen = 0, told = 0, dropped;
	for (uint64_t i = 0; i < 10000; i++)
		ring_put(&plugin.vcpu[0], gb_record(GB_REC_BLOCK, 1));
	assert_true(plugin.vcpu[0].dropped > 8000);
	size_t n = drain(words, RING_WORDS);
	for (size_t i = 0; i < n; i++)
		seen += gb_record_kind(words[i]) == GB_REC_BLOCK;
	ring_put(&plugin.vcpu[0], gb_record(GB_REC_BLOCK, 1));
	n = drain(words, RING_WORDS);
	for (size_t i = 0; i < n; i++) {
		seen += gb_record_kind(words[i]) == GB_REC_BLOCK;
		if (gb_record_kind(words[i]) == GB_REC_DROP)
			told += gb_record_payload(words[i]);
	}
	assert_int_equal(seen + told, 10001);
	assert_ok(trace_source_dropped(source, &dropped));
	assert_int_equal(dropped, told);
}

static void *write_many(void *count)
{
	for (uint64_t i = 1; i <= (uint64_t)(uintptr_t)count; i++)
		ring_put2(&plugin.vcpu[0], gb_record_access(GB_REC_STORE, 0, 0, 1), i);
	return NULL;
}

/* Whatever the interleaving: what arrives is in order, and what does not arrive is counted. */
static void a_running_reader_loses_nothing_silently(void **state)
{
	(void)state;
	enum { MANY = 2000000 };
	static uint64_t words[RING_WORDS];
	pthread_t writer;
	uint64_t last = 0, seen = 0, told = 0;
	pthread_create(&writer, NULL, write_many, (void *)(uintptr_t)MANY);
	bool joined = false;
	for (;;) {
		size_t n = drain(words, RING_WORDS);
		if (!n && joined)
			break;
		for (size_t i = 0; i < n; i += gb_record_words(words[i])) {
			assert_int_not_equal(gb_record_words(words[i]), 0);
			if (gb_record_kind(words[i]) == GB_REC_DROP)
				told += gb_record_payload(words[i]);
			if (gb_record_kind(words[i]) != GB_REC_STORE)
				continue;
			assert_true(words[i + 1] > last);
			last = words[i + 1];
			seen++;
		}
		if (!n && !joined && !pthread_tryjoin_np(writer, NULL))
			joined = true;
	}
	assert_int_equal(seen + told + plugin.vcpu[0].unreported, MANY);
}

/* The count of a loop's passes comes before whatever ended the loop, and costs no room twice.
 */
static void repeats_are_settled_first(void **state)
{
	(void)state;
	uint64_t words[RING_WORDS];
	struct vcpu *v = &plugin.vcpu[0];
	ring_put(v, gb_record(GB_REC_BLOCK, 5));
	v->repeating = true;
	v->kept_limit = v->limit;
	v->limit = v->head;
	passes = 41;
	ring_put2(v, gb_record(GB_REC_BREAK, 1), 77);
	assert_int_equal(drain(words, RING_WORDS), 5);
	assert_int_equal(gb_record_kind(words[0]), GB_REC_TIME);
	assert_int_equal(words[2], gb_record(GB_REC_REPEAT, 41));
	assert_int_equal(gb_record_kind(words[3]), GB_REC_BREAK);
	assert_int_equal(words[4], 77);
}

static void muted_writes_nothing(void **state)
{
	(void)state;
	uint64_t words[RING_WORDS];
	plugin.vcpu[0].muted = true;
	plugin.vcpu[0].limit = plugin.vcpu[0].head;
	for (int i = 0; i < 100; i++)
		ring_put(&plugin.vcpu[0], gb_record(GB_REC_BLOCK, 1));
	assert_int_equal(drain(words, RING_WORDS), 0);
	assert_int_equal(plugin.vcpu[0].dropped, 0);
}

static void a_cut_file_is_an_error(void **state)
{
	(void)state;
	uint64_t words[8];
	size_t n;
	struct trace_source *other;
	assert_int_equal(truncate(path, 4096), 0);
	assert_error(trace_source_drain(source, 0, words, 8, &n), ERR_BAD_DATA);
	assert_error(trace_source_open(path, &other), ERR_BAD_DATA);
	assert_int_equal(truncate(path, 28672), 0);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	struct trace_source *other;
	struct gb_control *c = plugin.control;
	c->rings.offset = UINT64_MAX - 100;
	assert_error(trace_source_open(path, &other), ERR_BAD_DATA);
	c->rings.offset = 8192;
	c->ring_bytes = 12345;
	assert_error(trace_source_open(path, &other), ERR_BAD_DATA);
	c->ring_bytes = RING_BYTES;
	c->n_vcpus = 65;
	assert_error(trace_source_open(path, &other), ERR_BAD_DATA);
	c->n_vcpus = 1;
	assert_error(trace_source_open("/dev/shm/glassbox-none-trace", &other), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(words_come_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_ring_drops_and_says_so, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_running_reader_loses_nothing_silently, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(repeats_are_settled_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(muted_writes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cut_file_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_is_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
