/* Loops for the learner's tests. tests/tools/make_learn_code.py compiles this file (and
 * learn_sample_serial.h) several ways and keeps the machine code in learn_code.c, so that the
 * tests see the same loops whatever compiles them. */

#include "learn_sample_serial.h"

static KEEP void k_xor(uint32_t *R c, const uint32_t *R a, const uint32_t *R b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		c[i] = a[i] ^ b[i];
}

static KEEP void k_xorkey(uint8_t *p, uint8_t key, int n)
{
	for (int i = 0; i < n; i++)
		p[i] ^= key;
}

static KEEP void k_saxpy(int32_t *R y, const int32_t *R x, int32_t a, int n)
{
	for (int i = 0; i < n; i++)
		y[i] += a * x[i];
}

static KEEP uint64_t k_sum8(const uint8_t *p, size_t n)
{
	uint64_t s = 0;
	for (size_t i = 0; i < n; i++)
		s += p[i];
	return s;
}

static KEEP uint32_t k_sum32(const uint32_t *p, unsigned n)
{
	uint32_t s = 0;
	for (unsigned i = 0; i < n; i++)
		s += p[i];
	return s;
}

static KEEP int32_t k_max(const int32_t *p, size_t n)
{
	int32_t m = p[0];
	for (size_t i = 1; i < n; i++)
		if (p[i] > m)
			m = p[i];
	return m;
}

static KEEP void k_fill(uint32_t *p, uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = v + (uint32_t)i;
}

static KEEP void k_copy(uint8_t *R d, const uint8_t *R s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d[i] = s[i];
		__asm__ volatile("");
	}
}

static KEEP void k_grey(uint8_t *R o, const uint8_t *R rgb, size_t n)
{
	for (size_t i = 0; i < n; i++)
		o[i] = (uint8_t)((rgb[3 * i] * 77 + rgb[3 * i + 1] * 150 +
				  rgb[3 * i + 2] * 29) >>
				 8);
}

static KEEP size_t k_count(const char *p, size_t n, char c)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += p[i] == c;
	return k;
}

static KEEP void k_lut(uint8_t *R d, const uint8_t *R s, const uint8_t *R t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		d[i] = t[s[i]];
}

static KEEP size_t k_strlen(const char *s)
{
	size_t n = 0;
	while (s[n]) {
		n++;
		__asm__ volatile("");
	}
	return n;
}

static KEEP void k_upper(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'a' && p[i] <= 'z')
			p[i] = (char)(p[i] - 32);
}

static KEEP uint32_t k_condsum(const int32_t *p, size_t n)
{
	uint32_t s = 0;
	for (size_t i = 0; i < n; i++)
		if (p[i] > 100)
			s += (uint32_t)p[i];
	return s;
}

static KEEP void k_reverse(uint32_t *R d, const uint32_t *R s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		d[i] = s[n - 1 - i];
}

static KEEP int64_t k_find(const uint32_t *p, size_t n, uint32_t v)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] == v)
			return (int64_t)i;
	return -1;
}

static KEEP void k_modulo(uint32_t *R d, const uint32_t *R s, size_t n, uint32_t by)
{
	for (size_t i = 0; i < n; i++)
		d[i] = s[i] % by;
}

/* What must be refused, or kept apart by the guard. */

static KEEP void bad_narrow_divide(uint16_t *R d, const uint16_t *R s, size_t n, uint16_t by)
{
	for (size_t i = 0; i < n; i++) /* faults where the quotient needs more than 16 bits */
		__asm__ volatile("mov $1, %%edx\n"
				 "movzwl %1, %%eax\n"
				 "divw %w2\n"
				 "movw %%ax, %0"
				 : "=m"(d[i])
				 : "m"(s[i]), "r"(by)
				 : "rax", "rdx", "cc");
}

static KEEP void bad_scatter(uint32_t *R d, const uint32_t *R where, size_t n)
{
	for (size_t i = 0; i < n; i++)
		d[where[i]] += 3;
}

static KEEP void bad_float(float *R y, const float *R x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * 2.5f;
}

static KEEP uint64_t bad_chase(const uint64_t *p)
{
	uint64_t n = 0;
	while (p) {
		p = (const uint64_t *)(uintptr_t)*p;
		n++;
	}
	return n;
}

static KEEP void may_overlap(uint32_t *d, const uint32_t *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d[i] = s[i] + 1;
		__asm__ volatile("");
	}
}

static KEEP void narrow_index(uint8_t *p, unsigned from, unsigned to) /* the index may wrap */
{
	for (unsigned i = from; i != to; i += 3) {
		p[i] = 7;
		__asm__ volatile("");
	}
}

static KEEP void signed_trip(uint8_t *p, int from, int to)
{
	for (int i = from; i < to; i += 2) {
		p[i] = 9;
		__asm__ volatile("");
	}
}

/* Registers that hold what the pass before left, and who reads them. */

static KEEP void early_leaver(uint32_t *R d, const uint32_t *R s, size_t n)
{
	/* rax and the flags are set after the check; only who leaves finds the old ones */
	__asm__ volatile("xor %%ecx, %%ecx\n"
			 "1: cmp %2, %%rcx\n"
			 "jae 2f\n"
			 "mov (%1,%%rcx,4), %%eax\n"
			 "add $3, %%eax\n"
			 "mov %%eax, (%0,%%rcx,4)\n"
			 "inc %%rcx\n"
			 "jmp 1b\n"
			 "2:"
			 :
			 : "r"(d), "r"(s), "r"(n)
			 : "rax", "rcx", "memory", "cc");
}

static KEEP void bad_carry(uint64_t *R d, const uint64_t *R s, size_t n)
{
	/* the carry flag goes from one pass to the next */
	__asm__ volatile("xor %%eax, %%eax\n"
			 "1: mov (%1), %%rax\n"
			 "adc %%rax, (%0)\n"
			 "lea 8(%0), %0\n"
			 "lea 8(%1), %1\n"
			 "dec %2\n"
			 "jne 1b"
			 : "+r"(d), "+r"(s), "+r"(n)
			 :
			 : "rax", "memory", "cc");
}

static KEEP double bad_float_sum(const double *p, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += p[i];
	return sum;
}

static KEEP void aligned_vector(uint32_t *R d, const uint32_t *R s, size_t n)
{
	/* movdqa may fault in the middle of an iteration: the guard settles that */
	__asm__ volatile("xor %%ecx, %%ecx\n"
			 "1: movdqa (%1,%%rcx), %%xmm0\n"
			 "paddd %%xmm0, %%xmm0\n"
			 "movdqa %%xmm0, (%0,%%rcx)\n"
			 "add $16, %%rcx\n"
			 "cmp %2, %%rcx\n"
			 "jne 1b"
			 :
			 : "r"(d), "r"(s), "r"(n)
			 : "rcx", "xmm0", "memory", "cc");
}

static KEEP void mixed_trip(uint8_t *p, unsigned from, int to) /* signed test, unsigned step */
{
	for (unsigned i = from; (int)i < to; i++) {
		p[(int)i] = 5;
		__asm__ volatile("");
	}
}

/* Loops with loops inside, which constants end: the outer one is meant. */

#define ROTL(x, n) (((x) << (n)) | ((x) >> (32 - (n))))

static KEEP void n_mix(uint32_t *R out, const uint32_t *R in, size_t blocks)
{
	for (size_t n = 0; n < blocks; n++) {
		uint32_t a = in[16 * n], b = in[16 * n + 1], c = in[16 * n + 2],
			 d = in[16 * n + 3];
		for (int r = 0; r < 16; r++) {
			a += b ^ in[16 * n + r];
			d = ROTL(d ^ a, 16);
			c += d;
			b = ROTL(b ^ c, 12);
		}
		out[4 * n] = a;
		out[4 * n + 1] = b;
		out[4 * n + 2] = c;
		out[4 * n + 3] = d;
	}
}

static KEEP void n_bits(uint32_t *R out, const uint32_t *R in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t count = 0;
		for (int k = 0; k < 32; k++)
			count += in[i] >> k & 1;
		out[i] = count;
	}
}

static KEEP void n_matrix(int32_t *R c, const int32_t *R a, const int32_t *R m, size_t count)
{
	for (size_t n = 0; n < count; n++, c += 16, a += 16)
		for (int i = 0; i < 16; i += 4)
			for (int j = 0; j < 4; j++) {
				int32_t s = 0;
				for (int k = 0; k < 4; k++)
					s += a[i + k] * m[4 * k + j];
				c[i + j] = s;
			}
}

typedef uint32_t row __attribute__((vector_size(16)));
typedef uint32_t loose_row __attribute__((vector_size(16), aligned(4)));
#define QUARTERS                                                                          \
	a += b, d ^= a, d = ROTL(d, 16), c += d, b ^= c, b = ROTL(b, 12), a += b, d ^= a, \
			d = ROTL(d, 8), c += d, b ^= c, b = ROTL(b, 7)
#define TURN(x, i) (x = __builtin_shuffle(x, (row){ i, (i + 1) % 4, (i + 2) % 4, (i + 3) % 4 }))

static KEEP void n_chacha(uint32_t *R out, const uint32_t *R in, size_t blocks)
{
	row s0 = *(const loose_row *)in, s1 = *(const loose_row *)(in + 4),
	    s2 = *(const loose_row *)(in + 8), s3 = *(const loose_row *)(in + 12);
	for (size_t n = 0; n < blocks; n++) {
		row a = s0, b = s1, c = s2, d = s3;
		for (int i = 0; i < 10; i++) {
			QUARTERS;
			TURN(b, 1), TURN(c, 2), TURN(d, 3);
			QUARTERS;
			TURN(b, 3), TURN(c, 2), TURN(d, 1);
		}
		*(loose_row *)(out + 16 * n) = a + s0;
		*(loose_row *)(out + 16 * n + 4) = b + s1;
		*(loose_row *)(out + 16 * n + 8) = c + s2;
		*(loose_row *)(out + 16 * n + 12) = d + s3;
		s3 += (row){ 1, 0, 0, 0 };
	}
}

/* The inner loops end when data says so, but never go round more often than a constant. */
static KEEP void n_escape(uint32_t *R out, const int32_t *R in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t cr = in[i], zr = 0, zi = 0;
		uint32_t count = 0;
		while (count < 32 && zr * zr + zi * zi < 4ll << 56) {
			int64_t next = ((zr * zr - zi * zi) >> 28) + cr;
			zi = ((2 * zr * zi) >> 28) + (1 << 27);
			zr = next;
			count++;
		}
		out[i] = count;
	}
}

static KEEP void n_rounds(uint32_t *R out, const uint32_t *R in, size_t n)
{
	/* two results; the rounds differ by what they find */
	for (size_t i = 0; i < n; i++) {
		uint32_t x = in[i], count = 0;
		do {
			x = x * x + (x >> 9);
			x ^= x << 5;
		} while (++count < 24 && (x & 0xff000));
		out[2 * i] = count;
		out[2 * i + 1] = x;
	}
}

static KEEP void n_unbounded(uint32_t *R out, const uint32_t *R in, size_t n)
{
	/* as n_rounds, but nothing bounds the rounds */
	for (size_t i = 0; i < n; i++) {
		uint32_t x = in[i], count = 0;
		do
			x = x * x + 12345 + ++count;
		while (x & 0xff000);
		out[i] = x;
	}
}

static KEEP void n_chains(uint32_t *R out, const uint64_t *R in, size_t n)
{
	/* how often the inner loop goes round is data */
	for (size_t i = 0; i < n; i++) {
		uint32_t length = 0;
		const uint64_t *p = in + i;
		do {
			length++;
			p = (const uint64_t *)(uintptr_t)*p;
		} while (*p);
		out[i] = length;
	}
}

/* Name, function, pattern of the scalar build; NULL: must be refused. Read by the generator. */
#define SAMPLES(X)                                      \
	X(xor, k_xor, "doall")                          \
	X(xorkey, k_xorkey, "doall")                    \
	X(saxpy, k_saxpy, "doall")                      \
	X(sum8, k_sum8, "reduction")                    \
	X(sum32, k_sum32, "reduction")                  \
	X(max, k_max, "reduction")                      \
	X(fill, k_fill, "doall")                        \
	X(copy, k_copy, "copy")                         \
	X(grey, k_grey, "doall")                        \
	X(count, k_count, "reduction")                  \
	X(lut, k_lut, "copy")                           \
	X(strlen, k_strlen, "search")                   \
	X(upper, k_upper, "doall")                      \
	X(condsum, k_condsum, "reduction")              \
	X(reverse, k_reverse, "copy")                   \
	X(find, k_find, "search")                       \
	X(prefix, s_prefix, "serial")                   \
	X(next, s_next, "serial")                       \
	X(hash, s_hash, "serial")                       \
	X(delay, s_delay, "serial")                     \
	X(adler, s_adler, "serial")                     \
	X(crc, s_crc, "serial")                         \
	X(crc_sliced, s_crc_sliced, "serial")           \
	X(lcg, s_lcg, "serial")                         \
	X(xorshift, s_xorshift, "serial")               \
	X(filter, s_filter, "serial")                   \
	X(words, s_words, "serial search")              \
	X(mandelbrot, s_mandelbrot, "serial search")    \
	X(copy_until, s_copy_until, "serial search")    \
	X(copy_zero, s_copy_zero, "serial search")      \
	X(cell, s_cell, "serial")                       \
	X(fibonacci, s_fibonacci, "serial")             \
	X(lag, s_lag, "serial")                         \
	X(helper, s_helper, "serial")                   \
	X(carry, bad_carry, NULL)                       \
	X(table, s_table, "serial")                     \
	X(histogram, s_histogram, "serial")             \
	X(hex, s_hex, "serial search")                  \
	X(modulo, k_modulo, "doall")                    \
	X(digits, s_digits, "serial search")            \
	X(narrow_divide, bad_narrow_divide, NULL)       \
	X(scatter, bad_scatter, NULL)                   \
	X(float, bad_float, NULL)                       \
	X(chase, bad_chase, NULL)                       \
	X(overlap, may_overlap, "doall")                \
	X(narrow, narrow_index, "fill")                 \
	X(signed, signed_trip, "fill")                  \
	X(mixed, mixed_trip, "fill")                    \
	X(leaver, early_leaver, "doall")                \
	X(float_sum, bad_float_sum, NULL)               \
	X(aligned, aligned_vector, "doall")             \
	X(nest_mix, n_mix, "doall")                     \
	X(nest_bits, n_bits, "doall")                   \
	X(nest_matrix, n_matrix, "doall")               \
	X(nest_chacha, n_chacha, "doall")               \
	X(nest_escape, n_escape, "doall")               \
	X(nest_rounds, n_rounds, "doall")               \
	X(nest_unbounded, n_unbounded, "serial search") \
	X(nest_chains, n_chains, NULL)
