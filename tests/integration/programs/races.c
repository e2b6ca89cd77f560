/* Runs in the guest: the workload's xor loop, byte for byte, while other threads and processes
 * do what they may: map and unmap, protect, fork, page out, single-step. One line each. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, N = 64 * 1024, ROUNDS = 60 };

static atomic_int stop;

__attribute__((noinline)) static void loop_xor(uint32_t *to, const uint32_t *a,
					       const uint32_t *b, uint64_t n)
{
	uint64_t i = 0;
	__asm__ volatile("1: movl (%%rsi,%%rax,4),%%r8d\n"
			 "xorl (%%rdx,%%rax,4),%%r8d\n"
			 "movl %%r8d,(%%rdi,%%rax,4)\n"
			 "addq $1,%%rax\n"
			 "cmpq %%rax,%%rcx\n"
			 "jne 1b\n"
			 : "+a"(i)
			 : "D"(to), "S"(a), "d"(b), "c"(n)
			 : "r8", "memory", "cc");
}

static uint32_t *fresh(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void fill(uint32_t *to, uint32_t seed)
{
	for (size_t i = 0; i < N; i++)
		to[i] = seed = seed * 1664525 + 1013904223;
}

static int is_xor(const uint32_t *to, const uint32_t *a, const uint32_t *b)
{
	for (size_t i = 0; i < N; i++)
		if (to[i] != (a[i] ^ b[i]))
			return 0;
	return 1;
}

static void say(const char *name, int good)
{
	printf("%s %s\n", good ? "ok" : "bad", name);
	fflush(stdout);
}

/* Rounds of the loop into memory that is new each time, beside whatever `other` does. */
static int rounds_beside(void *(*other)(void *), void *what)
{
	uint32_t *a = fresh(N * 4), *b = fresh(N * 4);
	pthread_t thread;
	int good = 1;
	fill(a, 1);
	fill(b, 2);
	stop = 0;
	pthread_create(&thread, NULL, other, what);
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t *to = fresh(N * 4);
		if (i & 1)
			memset(to, 0x5a, N * 4);
		loop_xor(to, a, b, N);
		good &= is_xor(to, a, b);
		munmap(to, N * 4);
	}
	stop = 1;
	pthread_join(thread, NULL);
	return good;
}

/* Shoots down this address space's translations all the time, and takes pages that were just
 * given back. */
static void *map_and_unmap(void *unused)
{
	while (!stop) {
		uint32_t *p = fresh(64 * PAGE);
		memset(p, 0xa5, 64 * PAGE);
		mprotect(p, 32 * PAGE, PROT_READ);
		munmap(p, 64 * PAGE);
	}
	return NULL;
}

static void *fork_often(void *unused)
{
	while (!stop) {
		pid_t child = fork();
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return NULL;
}

/* Two threads, one loop each over their own halves. */
static uint32_t *shared_a, *shared_b, *shared_to;

static void *second_half(void *unused)
{
	while (!stop)
		loop_xor(shared_to + N / 2, shared_a + N / 2, shared_b + N / 2, N / 2);
	return NULL;
}

static void test_halves(void)
{
	pthread_t thread;
	int good = 1;
	shared_a = fresh(N * 4), shared_b = fresh(N * 4), shared_to = fresh(N * 4);
	fill(shared_a, 3);
	fill(shared_b, 4);
	loop_xor(shared_to, shared_a, shared_b, N);
	stop = 0;
	pthread_create(&thread, NULL, second_half, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		memset(shared_to, 0, N * 2);
		loop_xor(shared_to, shared_a, shared_b, N / 2);
		good &= is_xor(shared_to, shared_a, shared_b);
	}
	stop = 1;
	pthread_join(thread, NULL);
	say("two threads, halves of one array", good);
}

/* A child forked in the middle sees each element as it was or as it becomes. */
static void test_fork_in_the_middle(void)
{
	uint32_t *a = fresh(N * 4), *b = fresh(N * 4), *to = fresh(N * 4);
	int good = 1;
	fill(a, 5);
	fill(b, 6);
	pthread_t thread;
	shared_a = a, shared_b = b, shared_to = to;
	loop_xor(to, a, b, N);
	stop = 0;
	pthread_create(&thread, NULL, second_half, NULL);
	for (int i = 0; i < 20; i++) {
		int status = 0;
		pid_t child = fork();
		if (!child) {
			int fine = is_xor(to, a, b);
			loop_xor(to, b, b, N); /* zeros, in the child alone */
			for (size_t k = 0; k < N; k++)
				fine &= !to[k];
			_exit(fine);
		}
		waitpid(child, &status, 0);
		good &= WIFEXITED(status) && WEXITSTATUS(status) == 1;
	}
	stop = 1;
	pthread_join(thread, NULL);
	say("fork while a thread loops", good && is_xor(to, a, b));
}

/* One physical page at two addresses: what the loop writes through one it reads through the
 * other. */
static void test_aliases(void)
{
	int fd = memfd_create("alias", 0), good = 1;
	uint32_t *expected = malloc(N * 4), *zero = fresh(N * 4);
	good &= !ftruncate(fd, N * 4);
	uint32_t *x = mmap(NULL, N * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t *y = mmap(NULL, N * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (int apart = 1; apart <= 2048; apart *= 4) {
		fill(x, 9);
		memcpy(expected, x, N * 4);
		for (size_t i = 0; i + (size_t)apart < N; i++)
			expected[i + (size_t)apart] = expected[i];
		fill(y, 9);
		memset(zero, 0, N * 4);
		loop_xor(y + apart, x, zero, N - (uint64_t)apart);
		good &= !memcmp(x, expected, N * 4);
	}
	close(fd);
	say("one page under two addresses", good);
}

/* Clears the accessed bits of pages that are in use, or drops clean ones. */
static void test_page_aging(void)
{
	uint32_t *a = fresh(N * 4), *b = fresh(N * 4), *to = fresh(N * 4);
	int good = 1;
	fill(a, 7);
	fill(b, 8);
	for (int i = 0; i < ROUNDS / 2; i++) {
		madvise(a, N * 4, 20 /* MADV_COLD */);
		madvise(b, N * 4, 21 /* MADV_PAGEOUT */);
		madvise((char *)to + N, N, MADV_DONTNEED);
		loop_xor(to, a, b, N);
		good &= is_xor(to, a, b);
	}
	say("pages aged, paged out and dropped", good);
}

/* Every instruction of the loop is one step for the tracer. */
static void test_single_step(void)
{
	enum { SHORT = 3000 };
	uint32_t *a = fresh(N * 4), *b = fresh(N * 4);
	uint32_t *to =
		mmap(NULL, N * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long steps = 0, in_loop = 0;
	int status, good = 1;
	fill(a, 11);
	fill(b, 12);
	memset(to, 1, N * 4);
	pid_t child = fork();
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		loop_xor(to, a, b, SHORT);
		_exit(0);
	}
	waitpid(child, &status, 0);
	uint64_t last_index = 0;
	while (WIFSTOPPED(status) && steps < 200000) {
		struct user_regs_struct regs;
		ptrace(PTRACE_GETREGS, child, 0, &regs);
		if (regs.rip >= (uint64_t)loop_xor && regs.rip < (uint64_t)loop_xor + 64) {
			in_loop++;
			good &= regs.rax <= last_index + 1 || regs.rax > SHORT;
			last_index = regs.rax <= SHORT ? regs.rax : last_index;
		}
		ptrace(PTRACE_SINGLESTEP, child, 0, 0);
		waitpid(child, &status, 0);
		steps++;
	}
	for (size_t i = 0; i < SHORT; i++)
		good &= to[i] == (a[i] ^ b[i]);
	say("single-stepped by a tracer", good && in_loop >= 6 * SHORT && WIFEXITED(status));
}

/* Just-in-time compilers: each thread writes a function with the loop, into pages that held
 * code before, has another thread run it and runs it itself. */
enum { JITS = 3, FUNCTIONS = 256 };

struct jit {
	uint32_t *code, *plain, *zero; /* code: two words a function */
	atomic_int ready, ran; /* rounds */
	int good;
};

static uint32_t answer_of(int round, int i)
{
	return (uint32_t)round * 1000003u + (uint32_t)i * 7919u;
}

static int functions_are_of(const struct jit *j, int round)
{
	int good = 1;
	for (int i = 0; i < FUNCTIONS; i++)
		good &= ((uint32_t(*)(void))(j->code + 2 * i))() == answer_of(round, i);
	return good;
}

/* A processor that runs what another wrote must serialise first. */
static void *run_what_comes(void *what)
{
	struct jit *j = what;
	for (int round = 1; round <= ROUNDS; round++) {
		uint32_t a = 0, b, c = 0, d;
		while (j->ready < round)
			sched_yield();
		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
		j->good &= functions_are_of(j, round);
		j->ran = round;
	}
	return NULL;
}

static void *compile_and_run(void *what)
{
	struct jit *j = what;
	pthread_t other;
	pthread_create(&other, NULL, run_what_comes, j);
	for (int round = 1; round <= ROUNDS; round++) {
		for (int i = 0; i < FUNCTIONS; i++) { /* mov eax, answer; ret */
			uint8_t insns[8] = { 0xb8, 0, 0, 0, 0, 0xc3, 0xcc, 0xcc };
			uint32_t answer = answer_of(round, i);
			memcpy(insns + 1, &answer, 4);
			memcpy(j->plain + 2 * i, insns, 8);
		}
		loop_xor(j->code, j->plain, j->zero, 2 * FUNCTIONS);
		int mine = functions_are_of(j, round);
		j->ready = round;
		while (j->ran < round)
			sched_yield();
		j->good &= mine;
	}
	pthread_join(other, NULL);
	return NULL;
}

static void test_jit(void)
{
	static struct jit jits[JITS];
	pthread_t threads[JITS];
	int good = 1;
	for (int i = 0; i < JITS; i++) {
		struct jit *j = &jits[i];
		j->code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		j->plain = fresh(PAGE);
		j->zero = fresh(PAGE);
		memset(j->zero, 0, PAGE);
		j->good = 1;
		pthread_create(&threads[i], NULL, compile_and_run, j);
	}
	for (int i = 0; i < JITS; i++) {
		pthread_join(threads[i], NULL);
		good &= jits[i].good;
	}
	say("code that threads write and run", good);
}

int main(void)
{
	say("beside mmap and munmap", rounds_beside(map_and_unmap, NULL));
	say("beside fork", rounds_beside(fork_often, NULL));
	test_halves();
	test_fork_in_the_middle();
	test_aliases();
	test_page_aging();
	test_single_step();
	test_jit();
	return 0;
}
