/* Loops with much arithmetic for each element and little memory: what a GPU is good at. Prints
 * as the guest's workload program does: heavy NAME BYTES REPETITIONS. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../../guest/workload_heavy.h" /* hash, orbit */

/* A picture of escape times in 4.28 fixed point, row after row in one loop: a pixel costs what
 * its place makes it cost. */
static LOOP void loop_picture(uint32_t *to, uint32_t side, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int64_t cr = ((int64_t)(i % side) * 3 << 28) / side - (2ll << 28);
		int64_t ci = ((int64_t)(i / side) * 2 << 28) / side - (1ll << 28);
		int64_t zr = 0, zi = 0;
		uint32_t count = 0;
		while (count < 64 && zr * zr + zi * zi < 4ll << 56) {
			int64_t next = ((zr * zr - zi * zi) >> 28) + cr;
			zi = ((2 * zr * zi) >> 28) + ci;
			zr = next;
			count++;
		}
		to[i] = count;
	}
}

static uint32_t side_of(size_t n)
{
	uint32_t side = 1;
	while ((size_t)(side + 1) * (side + 1) <= n)
		side++;
	return side;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 2 ? strtoull(argv[2], NULL, 0) : 1 << 20, n = bytes / 4;
	int reps = argc > 3 ? atoi(argv[3]) : 1;
	const char *name = argc > 1 ? argv[1] : "hash";
	/* Apart by a few pages, so that they do not meet in QEMU's table of translations. */
	uint32_t *a = malloc(2 * bytes + (1 << 17)), *b = a + n + (1 << 14);
	uint32_t seed = 1, sum = 0;
	for (size_t i = 0; i < n; i++)
		a[i] = b[i] = seed = seed * 1664525 + 1013904223;
	uint64_t start = now_ns();
	for (int r = 0; r < reps; r++) {
		if (!strcmp(name, "hash"))
			loop_hash(b, a, n);
		else if (!strcmp(name, "picture"))
			loop_picture(b, side_of(n), (uint32_t)n);
		else
			loop_orbit(b, (uint32_t)r, n);
	}
	uint64_t ns = now_ns() - start;
	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + b[i];
	printf("heavy %s size=%zu reps=%d checksum=%08x ns=%llu\n", name, bytes, reps, sum,
	       (unsigned long long)ns);
	return 0;
}
