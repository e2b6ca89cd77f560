#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/phys_mem.h"
#include "base/stable.h"

/* Memory that changes at given reads. */
struct script {
	uint8_t bytes[3 * 4096];
	unsigned reads, changes; /* made so far; the first so many reads change something */
	size_t limit; /* bytes that exist */
};

static size_t scripted(void *user, uint64_t at, void *to, size_t length)
{
	struct script *script = user;
	size_t left = at < script->limit ? script->limit - at : 0;
	size_t part = length < left ? length : left;
	memcpy(to, script->bytes + at, part);
	if (script->reads++ < script->changes)
		script->bytes[at]++;
	return part;
}

static enum stable_result run(struct script *script, uint8_t *to, size_t length, unsigned looks)
{
	struct stable_source source = { scripted, script };
	script->limit = script->limit ? script->limit : sizeof(script->bytes);
	return stable_read(&source, 0, to, length, looks, NULL);
}

static void what_stands_still_is_whole_at_the_first_look(void **state)
{
	struct script script = { .bytes = { 1, 2, 3 } };
	uint8_t copy[3 * 4096];
	assert_int_equal(run(&script, copy, sizeof(copy), 1), STABLE_YES);
	assert_memory_equal(copy, script.bytes, sizeof(copy));
	assert_int_equal(script.reads, 4); /* once, and three pieces */
}

static void a_change_is_taken_over_and_looked_at_again(void **state)
{
	struct script script = { .changes = 1 };
	uint8_t copy[3 * 4096];
	assert_int_equal(run(&script, copy, sizeof(copy), 1), STABLE_TORN);
	script = (struct script){ .changes = 1 };
	assert_int_equal(run(&script, copy, sizeof(copy), 2), STABLE_YES);
	assert_memory_equal(copy, script.bytes, sizeof(copy));
}

static void endless_change_is_torn(void **state)
{
	struct script script = { .changes = ~0u };
	uint8_t copy[3 * 4096];
	assert_int_equal(run(&script, copy, sizeof(copy), 20), STABLE_TORN);
	assert_int_equal(script.reads, 1 + 20 * 3);
}

static void what_is_missing_is_short(void **state)
{
	struct script script = { .limit = 5000 };
	uint8_t copy[3 * 4096];
	struct stable_source source = { scripted, &script };
	size_t done = 0;
	assert_int_equal(stable_read(&source, 0, copy, sizeof(copy), 3, &done), STABLE_SHORT);
	assert_int_equal(done, 5000);
}

/* A writer keeps two words on different pages: first >= second >= first - 1 at every moment.
 * Plain copies break that; whole ones never do. */
static struct {
	_Alignas(4096) uint8_t bytes[8 * 4096];
	atomic_bool stop;
} shared;

static _Atomic uint64_t *word(size_t at)
{
	return (_Atomic uint64_t *)(shared.bytes + at);
}

static void *write_pair(void *unused)
{
	for (uint64_t n = 1; !atomic_load(&shared.stop); n++) {
		atomic_store(word(4096 * 7), n);
		atomic_store(word(0), n);
	}
	return unused;
}

static void whole_copies_are_of_one_moment(void **state)
{
	struct phys_segment segment = { .size_bytes = sizeof(shared.bytes),
					.host = shared.bytes };
	struct phys_mem mem = { .segments = &segment, .n_segments = 1, .is_live = true };
	uint64_t copy[sizeof(shared.bytes) / 8];
	unsigned counts[3] = { 0 };
	pthread_t writer;
	assert_int_equal(pthread_create(&writer, NULL, write_pair, NULL), 0);
	for (int i = 0; i < 20000; i++) {
		enum stable_result got =
			phys_mem_read_stable(&mem, 0, copy, sizeof(copy), 1 + i % 4);
		counts[got]++;
		if (got == STABLE_YES) {
			uint64_t second = copy[0], first = copy[7 * 4096 / 8];
			assert_true(first == second || first == second + 1);
		}
	}
	atomic_store(&shared.stop, true);
	pthread_join(writer, NULL);
	assert_int_equal(counts[STABLE_SHORT], 0);
	assert_int_equal(phys_mem_read_stable(&mem, 0, copy, sizeof(copy), 1), STABLE_YES);
	assert_int_equal(phys_mem_read_stable(&mem, 4096, copy, sizeof(copy), 1), STABLE_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_stands_still_is_whole_at_the_first_look),
		cmocka_unit_test(a_change_is_taken_over_and_looked_at_again),
		cmocka_unit_test(endless_change_is_torn),
		cmocka_unit_test(what_is_missing_is_short),
		cmocka_unit_test(whole_copies_are_of_one_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
