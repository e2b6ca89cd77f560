/*
 * Loops that programs really spend their time in, one function each, for watching, learning and
 * offloading.
 *
 *     workload list                       names the loops
 *     workload NAME [SIZE [REPS [PLACE]]] runs one (SIZE in bytes, default 1 MiB; REPS, default
 * 1) workload all [SIZE [REPS [PLACE]]]  runs all of them workload threads N                  N
 * sleeping threads with names, until killed
 *
 * PLACE: `apart` (the default), or `colliding`: arrays a power of two from each other, which
 * fight for the same slots of an emulator's table of translations.
 *
 * For each loop one line: `workload NAME size=S reps=R checksum=HHHHHHHH ns=T`. Inputs come
 * from a fixed generator, so a checksum depends on NAME, SIZE and REPS only. Built without
 * vectorisation and without the recognition of memset and memcpy: the machine code is the plain
 * loop that is written here.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "workload_heavy.h"

/* Three arrays of n 32-bit words. */
struct arrays {
	uint32_t *a;
	uint32_t *b;
	uint32_t *c;
	size_t n;
	size_t each; /* bytes from one to the next */
};

static LOOP void loop_xor(uint32_t *to, const uint32_t *a, const uint32_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = a[i] ^ b[i];
}

static LOOP uint32_t loop_sum(const uint32_t *a, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i];
	return sum;
}

static LOOP uint32_t loop_sum_bytes(const uint8_t *a, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i];
	return sum;
}

static LOOP void loop_saxpy(uint32_t *to, const uint32_t *a, uint32_t factor, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] += factor * a[i];
}

static LOOP void loop_fill(uint32_t *to, uint32_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = value;
}

static LOOP void loop_copy(uint32_t *restrict to, const uint32_t *restrict from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from[i];
}

static LOOP void loop_bswap(uint32_t *to, const uint32_t *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = __builtin_bswap32(a[i]);
}

static LOOP void loop_grey(uint8_t *to, const uint32_t *rgb, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t p = rgb[i];
		to[i] = (uint8_t)(((p & 255) * 77 + (p >> 8 & 255) * 150 +
				   (p >> 16 & 255) * 29) >>
				  8);
	}
}

static LOOP uint32_t loop_threshold(const uint32_t *a, uint32_t limit, size_t n)
{
	uint32_t above = 0;

	for (size_t i = 0; i < n; i++)
		above += a[i] > limit;
	return above;
}

static LOOP uint32_t loop_max(const uint32_t *a, size_t n)
{
	uint32_t best = 0;

	for (size_t i = 0; i < n; i++)
		best = a[i] > best ? a[i] : best;
	return best;
}

static LOOP uint32_t loop_min(const uint32_t *a, size_t n)
{
	uint32_t best = UINT32_MAX;

	for (size_t i = 0; i < n; i++)
		best = a[i] < best ? a[i] : best;
	return best;
}

static LOOP uint32_t loop_adler(const uint8_t *p, size_t n)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < n; i++) {
		a += p[i];
		a -= a >= 65521 ? 65521 : 0;
		b += a;
		b -= b >= 65521 ? 65521 : 0;
	}
	return b << 16 | a;
}

static LOOP uint32_t loop_crc(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
	}
	return ~crc;
}

#define QUARTER(a, b, c, d)          \
	do {                         \
		a += b;              \
		d = rotl(d ^ a, 16); \
		c += d;              \
		b = rotl(b ^ c, 12); \
		a += b;              \
		d = rotl(d ^ a, 8);  \
		c += d;              \
		b = rotl(b ^ c, 7);  \
	} while (0)

/* The ChaCha20 block function on consecutive 64-byte blocks, xored into the data. */
static LOOP void loop_chacha(uint32_t *data, const uint32_t *key, size_t blocks)
{
	for (size_t block = 0; block < blocks; block++) {
		uint32_t x[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
		uint32_t start[16];
		memcpy(x + 4, key, 32);
		x[12] = (uint32_t)block;
		memcpy(start, x, sizeof(x));
		for (int round = 0; round < 10; round++) {
			QUARTER(x[0], x[4], x[8], x[12]);
			QUARTER(x[1], x[5], x[9], x[13]);
			QUARTER(x[2], x[6], x[10], x[14]);
			QUARTER(x[3], x[7], x[11], x[15]);
			QUARTER(x[0], x[5], x[10], x[15]);
			QUARTER(x[1], x[6], x[11], x[12]);
			QUARTER(x[2], x[7], x[8], x[13]);
			QUARTER(x[3], x[4], x[9], x[14]);
		}
		for (int i = 0; i < 16; i++)
			data[block * 16 + i] ^= x[i] + start[i];
	}
}

static LOOP void loop_matmul(uint32_t *to, const uint32_t *a, const uint32_t *b, size_t side)
{
	for (size_t i = 0; i < side; i++) {
		for (size_t j = 0; j < side; j++) {
			uint32_t sum = 0;
			for (size_t k = 0; k < side; k++)
				sum += a[i * side + k] * b[k * side + j];
			to[i * side + j] = sum;
		}
	}
}

/* Sixteen rounds over each block of 64 bytes. */
static LOOP void loop_blocks(uint32_t *to, const uint32_t *from, size_t blocks)
{
	for (size_t n = 0; n < blocks; n++) {
		const uint32_t *in = from + 16 * n;
		uint32_t a = in[0], b = in[1], c = in[2], d = in[3];
		for (int round = 0; round < 16; round++) {
			a += b ^ in[round];
			d = rotl(d ^ a, 16);
			c += d;
			b = rotl(b ^ c, 12);
		}
		to[4 * n] = a;
		to[4 * n + 1] = b;
		to[4 * n + 2] = c;
		to[4 * n + 3] = d;
	}
}

/* Many products of a matrix of 4 by 4 with the same one. */
static LOOP void loop_matrices(uint32_t *to, const uint32_t *a, const uint32_t *m, size_t count)
{
	for (size_t n = 0; n < count; n++, to += 16, a += 16)
		for (int i = 0; i < 16; i += 4)
			for (int j = 0; j < 4; j++)
				to[i + j] = a[i] * m[j] + a[i + 1] * m[4 + j] +
					    a[i + 2] * m[8 + j] + a[i + 3] * m[12 + j];
}

typedef uint32_t row __attribute__((vector_size(16)));

#define QUARTERS(a, b, c, d)                           \
	do {                                           \
		a += b, d ^= a, d = d << 16 | d >> 16; \
		c += d, b ^= c, b = b << 12 | b >> 20; \
		a += b, d ^= a, d = d << 8 | d >> 24;  \
		c += d, b ^= c, b = b << 7 | b >> 25;  \
	} while (0)

static inline row turn(row x, row order)
{
	return __builtin_shuffle(x, order);
}

/* The same key stream as loop_chacha's, the state as four rows. */
static LOOP void loop_chacha_rows(row *data, const row *key, size_t blocks)
{
	const row by1 = { 1, 2, 3, 0 }, by2 = { 2, 3, 0, 1 }, by3 = { 3, 0, 1, 2 };
	row first = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	row one = { 1, 0, 0, 0 }, second = key[0], third = key[1], last = { 0 };

	for (size_t block = 0; block < blocks; block++) {
		row a = first, b = second, c = third, d = last;
		for (int round = 0; round < 10; round++) {
			QUARTERS(a, b, c, d);
			b = turn(b, by1), c = turn(c, by2), d = turn(d, by3);
			QUARTERS(a, b, c, d);
			b = turn(b, by3), c = turn(c, by2), d = turn(d, by1);
		}
		data[4 * block] ^= a + first;
		data[4 * block + 1] ^= b + second;
		data[4 * block + 2] ^= c + third;
		data[4 * block + 3] ^= d + last;
		last += one;
	}
}

/* The largest s with s * s <= n. */
static size_t side_of(size_t n)
{
	size_t side = 0;

	while ((side + 1) * (side + 1) <= n)
		side++;
	return side;
}

/* One run of each loop; what it returns is mixed into the checksum. */
static uint32_t run_xor(struct arrays *m)
{
	loop_xor(m->c, m->a, m->b, m->n);
	return 0;
}
static uint32_t run_sum(struct arrays *m)
{
	return loop_sum(m->a, m->n);
}
static uint32_t run_sum_bytes(struct arrays *m)
{
	return loop_sum_bytes((const uint8_t *)m->a, m->n * 4);
}
static uint32_t run_saxpy(struct arrays *m)
{
	loop_saxpy(m->c, m->a, 2654435761u, m->n);
	return 0;
}
static uint32_t run_memset(struct arrays *m)
{
	loop_fill(m->c, m->a[0], m->n);
	return 0;
}
static uint32_t run_memcpy(struct arrays *m)
{
	loop_copy(m->c, m->a, m->n);
	return 0;
}
static uint32_t run_bswap(struct arrays *m)
{
	loop_bswap(m->c, m->a, m->n);
	return 0;
}
static uint32_t run_grey(struct arrays *m)
{
	loop_grey((uint8_t *)m->c, m->a, m->n);
	return 0;
}
static uint32_t run_threshold(struct arrays *m)
{
	return loop_threshold(m->a, 1u << 31, m->n);
}
static uint32_t run_max(struct arrays *m)
{
	return loop_max(m->a, m->n);
}
static uint32_t run_min(struct arrays *m)
{
	return loop_min(m->a, m->n);
}
static uint32_t run_adler(struct arrays *m)
{
	return loop_adler((const uint8_t *)m->a, m->n * 4);
}
static uint32_t run_crc(struct arrays *m)
{
	return loop_crc((const uint8_t *)m->a, m->n * 4);
}
static uint32_t run_mandelbrot(struct arrays *m)
{
	int side = (int)side_of(m->n);

	loop_mandelbrot(m->c, side, side);
	return 0;
}
/* The same picture, four long rows of it. */
static uint32_t run_mandelrows(struct arrays *m)
{
	loop_mandelbrot(m->c, (int)(m->n / 4), 4);
	return 0;
}
static uint32_t run_chacha(struct arrays *m)
{
	loop_chacha(m->c, m->a, m->n / 16);
	return 0;
}
/* A product of n words costs n^1.5 steps: at most 128 x 128, so that it ends soon on any size.
 */
static uint32_t run_matmul(struct arrays *m)
{
	size_t side = side_of(m->n);

	loop_matmul(m->c, m->a, m->b, side < 128 ? side : 128);
	return 0;
}

static uint32_t run_bits(struct arrays *m)
{
	loop_bits(m->c, m->a, m->n);
	return 0;
}
static uint32_t run_blocks(struct arrays *m)
{
	loop_blocks(m->c, m->a, m->n / 16);
	return 0;
}
static uint32_t run_matrices(struct arrays *m)
{
	loop_matrices(m->c, m->a, m->b, m->n / 16);
	return 0;
}
static uint32_t run_chacha_rows(struct arrays *m)
{
	loop_chacha_rows((row *)(void *)m->c, (const row *)(const void *)m->a, m->n / 16);
	return 0;
}
static uint32_t run_fir(struct arrays *m)
{
	loop_fir((int32_t *)m->c, (const int16_t *)m->a, m->n);
	return 0;
}
static uint32_t run_dct(struct arrays *m)
{
	loop_dct((int32_t *)m->c, (const int16_t *)m->a, m->n / 8);
	return 0;
}

static uint32_t run_hash(struct arrays *m)
{
	loop_hash(m->c, m->a, m->n);
	return 0;
}
static uint32_t run_orbit(struct arrays *m)
{
	loop_orbit(m->c, m->a[0], m->n);
	return 0;
}
static uint32_t run_siphash(struct arrays *m)
{
	loop_siphash((uint64_t *)(void *)m->c, (const uint64_t *)(const void *)m->a,
		     (const uint64_t *)(const void *)m->b, m->n / 16);
	return 0;
}
static uint32_t run_chaskey(struct arrays *m)
{
	uint32_t key[8];

	memcpy(key, m->b, 16);
	chaskey_double(key + 4, key);
	loop_chaskey(m->c, m->a, key, m->n / 16);
	return 0;
}

static const struct workload {
	const char *name;
	uint32_t (*run)(struct arrays *m);
	const char *what;
} workloads[] = {
	{ "xor", run_xor, "c[i] = a[i] ^ b[i]" },
	{ "sum", run_sum, "sum of 32-bit words" },
	{ "sumbytes", run_sum_bytes, "sum of bytes" },
	{ "saxpy", run_saxpy, "c[i] += k * a[i], 32-bit integers" },
	{ "memset", run_memset, "c[i] = k" },
	{ "memcpy", run_memcpy, "c[i] = a[i]" },
	{ "bswap", run_bswap, "byte order of 32-bit words" },
	{ "grey", run_grey, "RGB pixels to grey bytes" },
	{ "threshold", run_threshold, "how many words are above a limit" },
	{ "max", run_max, "largest word" },
	{ "min", run_min, "smallest word" },
	{ "adler", run_adler, "Adler-32 of the bytes (a serial chain)" },
	{ "crc", run_crc, "CRC-32 of the bytes, bit by bit" },
	{ "mandelbrot", run_mandelbrot, "escape times in fixed point" },
	{ "mandelrows", run_mandelrows, "the same, four rows of a wide picture" },
	{ "chacha", run_chacha, "ChaCha20 key stream" },
	{ "matmul", run_matmul, "product of two integer matrices" },
	{ "bits", run_bits, "ones of each word, bit by bit" },
	{ "blocks", run_blocks, "sixteen rounds over each block of 64 bytes" },
	{ "matrices", run_matrices, "many 4 by 4 matrices times another" },
	{ "chacharows", run_chacha_rows, "ChaCha20 key stream, the state as vectors" },
	{ "fir", run_fir, "a filter of sixteen constant taps" },
	{ "dct", run_dct, "rows of a fixed-point cosine transform" },
	{ "hash", run_hash, "a finaliser of hashes, 28 times over each word" },
	{ "orbit", run_orbit, "24 steps of z * z + c for each point, in fixed point" },
	{ "siphash", run_siphash, "SipHash-1-3 of each block of 64 bytes" },
	{ "chaskey", run_chaskey, "Chaskey-12 of each block of 64 bytes" },
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void generate(uint32_t *to, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 17;
		seed ^= seed << 5;
		to[i] = seed;
	}
}

static uint32_t mix(uint32_t sum, const uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum = (sum ^ words[i]) * 16777619u;
	return sum;
}

/* Apart: by a few pages more than they are long. */
static size_t distance(size_t bytes, int colliding)
{
	size_t power = 16u << 20;

	if (!colliding)
		return (bytes + 4095) / 4096 * 4096 + 16 * 4096;
	while (power < bytes)
		power *= 2;
	return power;
}

static int arrays_init(struct arrays *m, size_t bytes, int colliding)
{
	size_t each = distance(bytes, colliding);
	uint8_t *all = mmap(NULL, 3 * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (all == MAP_FAILED)
		return -1;
	m->a = (uint32_t *)(void *)all;
	m->b = (uint32_t *)(void *)(all + each);
	m->c = (uint32_t *)(void *)(all + 2 * each);
	m->n = bytes / 4;
	m->each = each;
	generate(m->a, m->n, 0x12345678);
	generate(m->b, m->n, 0x9abcdef1);
	generate(m->c, m->n, 0x2545f491);
	return 0;
}

static int measure(const struct workload *w, size_t bytes, unsigned long reps, int colliding)
{
	struct arrays m;
	uint32_t sum = 2166136261u;

	if (arrays_init(&m, bytes, colliding)) {
		fprintf(stderr, "workload: no memory for %zu bytes\n", bytes);
		return 1;
	}
	uint64_t start = now_ns();
	for (unsigned long i = 0; i < reps; i++) {
		uint32_t result = w->run(&m);
		sum = mix(sum, &result, 1);
	}
	uint64_t took = now_ns() - start;
	sum = mix(sum, m.c, m.n);
	printf("workload %s size=%zu reps=%lu checksum=%08x ns=%llu\n", w->name, bytes, reps,
	       sum, (unsigned long long)took);
	fflush(stdout);
	munmap(m.a, 3 * m.each);
	return 0;
}

static void *sleeper(void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "sleeper-%d", (int)(intptr_t)arg);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	for (;;)
		pause();
	return NULL;
}

static int run_threads(int count)
{
	for (int i = 1; i <= count; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, sleeper, (void *)(intptr_t)i)) {
			fprintf(stderr, "workload: cannot make thread %d\n", i);
			return 1;
		}
	}
	sleeper((void *)(intptr_t)0);
	return 0;
}

static int list(void)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		printf("%-12s %s\n", workloads[i].name, workloads[i].what);
	return 0;
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 2 ? strtoul(argv[2], NULL, 0) : 1u << 20;
	unsigned long reps = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	int ran = 0, bad = 0, colliding = argc > 4 && !strcmp(argv[4], "colliding");

	if (argc == 2 && !strcmp(argv[1], "list"))
		return list();
	if (argc == 3 && !strcmp(argv[1], "threads"))
		return run_threads(atoi(argv[2]));
	for (size_t i = 0; argc > 1 && i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (strcmp(argv[1], "all") && strcmp(argv[1], workloads[i].name))
			continue;
		bad |= measure(&workloads[i], bytes < 64 ? 64 : bytes & ~(size_t)63, reps,
			       colliding);
		ran++;
	}
	if (!ran)
		fprintf(stderr,
			"usage: workload list | NAME|all [SIZE [REPS [apart|colliding]]] | "
			"threads N\n");
	return ran ? bad : 2;
}
