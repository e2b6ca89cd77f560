/* Stores to pages that hold code, far into an array that a loop fills: code that ran before,
 * and code that another thread runs meanwhile. All words of the code are `ret`, and so is all
 * that the loop stores, so that it may be run at any time. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WORDS = 2 << 20, CODE_FROM = WORDS / 2, PAGE_WORDS = 1024, RET = (int)0xc3c3c3c3 };

static uint32_t *a, *b, *c;
static int ended;

__attribute__((noinline)) void loop_xor(uint32_t *to, const uint32_t *x, const uint32_t *y,
					size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = x[i] ^ y[i];
}

static uint32_t *map_words(void)
{
	void *at = mmap(NULL, WORDS * 4 + 65536, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED ? exit(1), NULL : at;
}

static void run_page(uint32_t page)
{
	((void (*)(void))(void *)(c + CODE_FROM + page * PAGE_WORDS))();
}

static void *run_pages(void *unused)
{
	for (uint32_t seed = 1; !__atomic_load_n(&ended, __ATOMIC_RELAXED);) {
		seed = seed * 1664525 + 1013904223;
		run_page((seed >> 8) % ((WORDS - CODE_FROM) / PAGE_WORDS));
	}
	return unused;
}

/* Fills c; only what nobody runs is emptied first. */
static int pass(void)
{
	int bad = 0;
	memset(c, 0, CODE_FROM * 4);
	loop_xor(c, a, b, WORDS);
	for (size_t i = 0; i < WORDS; i++)
		bad |= c[i] != (uint32_t)RET;
	return bad;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int bad = 0, passes = argc > 2 ? atoi(argv[2]) : 8;
	a = map_words(), b = map_words(), c = map_words();
	for (size_t i = 0; i < WORDS; i++) {
		a[i] = (uint32_t)i * 2654435761u;
		b[i] = a[i] ^ (uint32_t)RET;
		c[i] = (uint32_t)RET;
	}
	if (argc > 1 && !strcmp(argv[1], "meanwhile") &&
	    pthread_create(&thread, NULL, run_pages, NULL))
		return 1;
	for (int i = 0; i < passes; i++) {
		if (argc > 1 && !strcmp(argv[1], "before"))
			run_page((uint32_t)i * 37 % 512);
		bad |= pass();
	}
	__atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
	printf("%s %s\n", bad ? "bad" : "good", argc > 1 ? argv[1] : "");
	return bad;
}
