/* Runs a fuzz target without libFuzzer: `fuzz_x ROUNDS FILE...` runs each file as it is, then
 * ROUNDS deterministic mutations of the files; without files ROUNDS times other random bytes,
 * short more often than long. So every build exercises the decoders of outside bytes a little.
 * FUZZ_SEED in the environment begins elsewhere. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MAX_BYTES = 1 << 20 };
static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Changes a few runs of bytes, most near the start where headers are; returns the new size. */
static size_t mutate(uint8_t *bytes, size_t size)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0x10 };
	if (!size)
		return 0;
	for (size_t i = next_random() % 8; i < 8; i++) {
		size_t reach = next_random() & 1 && size > 256 ? 256 : size;
		size_t at = next_random() % reach, run = 1 + next_random() % 8;
		uint8_t value = edges[next_random() % sizeof(edges)];
		for (size_t k = at; k < size && k < at + run; k++)
			bytes[k] = next_random() & 1 ? value : (uint8_t)next_random();
	}
	return next_random() % 8 ? size : next_random() % size;
}

static size_t random_bytes(uint8_t *bytes)
{
	size_t size = 1 + ((next_random() & 4095) >> next_random() % 12);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)next_random();
	return size;
}

static size_t load(const char *path, uint8_t *bytes)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return 0;
	size_t size = fread(bytes, 1, MAX_BYTES, file);
	fclose(file);
	return size;
}

static void run_files(char **paths, int n, long rounds, uint8_t *original, uint8_t *mutant)
{
	for (int i = 0; i < n; i++) {
		size_t size = load(paths[i], original);
		LLVMFuzzerTestOneInput(original, size);
		for (long round = 0; round < rounds / n; round++) {
			memcpy(mutant, original, size);
			LLVMFuzzerTestOneInput(mutant, mutate(mutant, size));
		}
	}
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;
	const char *start = getenv("FUZZ_SEED");
	uint8_t *original = malloc(MAX_BYTES), *mutant = malloc(MAX_BYTES);
	if (!original || !mutant)
		return 1;
	for (long i = start ? strtol(start, NULL, 10) : 0; i > 0; i--)
		seed += next_random();
	if (argc > 2)
		run_files(argv + 2, argc - 2, rounds, original, mutant);
	for (long round = 0; argc <= 2 && round < rounds; round++)
		LLVMFuzzerTestOneInput(mutant, random_bytes(mutant));
	printf("%ld rounds\n", rounds);
	free(original);
	free(mutant);
	return 0;
}
