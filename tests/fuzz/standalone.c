/* Runs a fuzz target without libFuzzer: `fuzz_x ROUNDS FILE...` runs each file as it is, then
 * ROUNDS deterministic mutations of the files (of random bytes if there is none). So every
 * build exercises the decoders of outside bytes a little. */
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

static size_t load(const char *path, uint8_t *bytes)
{
	FILE *file = path ? fopen(path, "rb") : NULL;
	if (!file) {
		for (size_t i = 0; i < 4096; i++)
			bytes[i] = (uint8_t)next_random();
		return 4096;
	}
	size_t size = fread(bytes, 1, MAX_BYTES, file);
	fclose(file);
	return size;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;
	int n_files = argc > 2 ? argc - 2 : 1;
	uint8_t *original = malloc(MAX_BYTES), *mutant = malloc(MAX_BYTES);
	if (!original || !mutant)
		return 1;
	for (int i = 0; i < n_files; i++) {
		size_t size = load(argc > 2 ? argv[2 + i] : NULL, original);
		LLVMFuzzerTestOneInput(original, size);
		for (long round = 0; round < rounds / n_files; round++) {
			memcpy(mutant, original, size);
			LLVMFuzzerTestOneInput(mutant, mutate(mutant, size));
		}
	}
	printf("%ld rounds\n", rounds);
	free(original);
	free(mutant);
	return 0;
}
