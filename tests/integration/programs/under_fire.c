/* Runs in the guest, without a C library: the workload's xor loop, byte for byte, over memory
 * that is not ready: never touched, copy-on-write after fork, read-only with a handler, and
 * holding code that was just executed. One line each. */
typedef unsigned long u64;
typedef unsigned int u32;
enum {
	READ = 0,
	WRITE = 1,
	MMAP = 9,
	MPROTECT = 10,
	SIGACTION = 13,
	FORK = 57,
	EXIT = 60,
	WAIT4 = 61
};
enum { PAGE = 4096, N = 64 * 1024, PROT_RW = 3, PROT_RWX = 7, PROT_R = 1 };

static long call(long n, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static void loop_xor(u32 *to, const u32 *a, const u32 *b, u64 n)
{
	u64 i = 0;
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

static u32 *fresh(u64 bytes, int prot)
{
	return (u32 *)call(MMAP, 0, bytes, prot, 0x22, -1, 0);
}

static void say(const char *name, int good)
{
	char line[64] = "bad ";
	u64 n = 4;
	if (good)
		line[0] = 'o', line[1] = 'k', line[2] = ' ', n = 3;
	while (*name)
		line[n++] = *name++;
	line[n++] = '\n';
	call(WRITE, 1, (long)line, n, 0, 0, 0);
}

static int is_xor(const u32 *to, const u32 *a, const u32 *b, u64 n)
{
	for (u64 i = 0; i < n; i++)
		if (to[i] != (a[i] ^ b[i]))
			return 0;
	return 1;
}

static u32 *protected_page;

static void on_fault(int signal)
{
	(void)signal;
	call(MPROTECT, (long)protected_page, PAGE, PROT_RW, 0, 0, 0);
}

__attribute__((naked)) static void restorer(void)
{
	__asm__("mov $15,%eax; syscall");
}

static void test_copy_on_write(u32 *a, u32 *b)
{
	u32 *to = fresh(N * 4, PROT_RW);
	int status = 0;
	for (u64 i = 0; i < N; i++)
		to[i] = (u32)i;
	if (!call(FORK, 0, 0, 0, 0, 0, 0)) {
		loop_xor(to, a, b, N);
		call(EXIT, is_xor(to, a, b, N), 0, 0, 0, 0, 0);
	}
	call(WAIT4, -1, (long)&status, 0, 0, 0, 0);
	int same = status == 1 << 8;
	for (u64 i = 0; i < N; i++)
		same &= to[i] == (u32)i;
	say("copy on write", same);
}

static void test_read_only(u32 *a, u32 *b)
{
	struct {
		void (*handler)(int);
		u64 flags;
		void (*restorer)(void);
		u64 mask;
	} action = { on_fault, 0x04000000, restorer, 0 };
	u32 *to = fresh(N * 4, PROT_RW);
	loop_xor(to, b, b, N);
	protected_page = to + 17 * 1024;
	call(MPROTECT, (long)protected_page, PAGE, PROT_R, 0, 0, 0);
	call(SIGACTION, 11, (long)&action, 0, 8, 0, 0);
	loop_xor(to, a, b, N);
	say("read-only page with a handler", is_xor(to, a, b, N));
}

static void test_code(u32 *b)
{
	u32 *code = fresh(2 * PAGE, PROT_RWX), *source = fresh(2 * PAGE, PROT_RW),
	    *zero = fresh(2 * PAGE, PROT_RW);
	int good = 1;
	(void)b;
	for (u32 round = 1; round < 20; round++) {
		for (u64 i = 0; i < 2 * PAGE / 4; i += 2) /* mov $round,%eax; ret */
			source[i] = 0xb8 | round << 8, source[i + 1] = 0xc300;
		for (u64 i = 0; i < 2 * PAGE / 4; i++)
			zero[i] = 0;
		for (u64 i = 0; i < 2 * PAGE / 4; i += 2)
			source[i + 1] = 0x0000c300;
		loop_xor(code, source, zero, 2 * PAGE / 4);
		good &= ((u32(*)(void))code)() == round;
		good &= ((u32(*)(void))((char *)code + 3 * PAGE / 2))() == round;
	}
	say("code that was executed before", good);
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
	u32 *a = fresh(N * 4, PROT_RW), *b = fresh(N * 4, PROT_RW), *to;
	for (u64 i = 0; i < N; i++)
		a[i] = (u32)i * 2654435761u, b[i] = ~(u32)i;
	to = fresh(N * 4, PROT_RW);
	loop_xor(to, a, b, N);
	say("never touched", is_xor(to, a, b, N));
	to = fresh(N * 4 + PAGE, PROT_RW);
	to = (u32 *)((char *)to + 2); /* every 1024th access crosses pages */
	loop_xor(to, a, b, N);
	say("misaligned", is_xor(to, a, b, N));
	loop_xor(a + 1, a, b, N - 1); /* overlapping: each word depends on the one before */
	u32 chain = a[0];
	int good = 1;
	for (u64 i = 0; i < N - 1; i++)
		good &= (chain ^= b[i]) == a[i + 1];
	say("overlapping", good);
	test_copy_on_write(a, b);
	test_read_only(a, b);
	test_code(b);
	call(EXIT, 0, 0, 0, 0, 0, 0);
}
