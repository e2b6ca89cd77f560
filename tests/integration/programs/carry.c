/* One array, written by the same loop again and again until a file appears; then every element
 * is checked against what that many rounds must have made of it. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

enum { WORDS = 1 << 18 };

static uint32_t a[WORDS], sum[WORDS];

static __attribute__((noinline, noclone)) void loop_carry(uint32_t *to, const uint32_t *from,
							  uint32_t factor, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] += factor * from[i];
}

int main(int argc, char **argv)
{
	uint32_t rounds = 0, wrong = 0;
	for (uint32_t i = 0; i < WORDS; i++)
		a[i] = (i ^ i >> 7) * 2654435761u;
	while (access(argc > 1 ? argv[1] : "/", F_OK)) {
		loop_carry(sum, a, 40503, WORDS);
		rounds++;
	}
	for (uint32_t i = 0; i < WORDS; i++)
		wrong += sum[i] != rounds * 40503u * a[i];
	printf("rounds=%u wrong=%u\n", rounds, wrong);
	return wrong != 0;
}
