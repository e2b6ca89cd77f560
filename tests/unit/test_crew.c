#include "test.h"

#include <string.h>
#include <time.h>

#include "plugin/crew.h"

uint64_t plugin_now_ns(void);
uint64_t plugin_now_ns(void) /* the crew's clock, in the plugin its own */
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

enum { MOST = 300 };

struct job {
	uint32_t round, seen[MOST];
};

static void note(void *arg, uint32_t i)
{
	struct job *job = arg;
	job->seen[i] += job->round;
}

/* Jobs follow one another at once; each lives on the caller's stack only as long as it runs. */
static void every_piece_is_done_once(void **state)
{
	crew_start(3);
	for (uint32_t round = 1; round <= 2000; round++) {
		struct job job = { .round = round };
		uint32_t n = round % MOST;
		if (round % 7 == 0)
			crew_alert();
		crew_do(note, &job, n);
		for (uint32_t i = 0; i < MOST; i++)
			assert_int_equal(job.seen[i], i < n ? round : 0);
		memset(&job, 0xff, sizeof(job));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_piece_is_done_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
