/* Runs in the guest as a 32-bit program: the bytes of the workload's 64-bit xor loop, which
 * mean something else here. `inc %esp; mov (%esi,%eax,4),%eax; inc %esp; xor
 * (%edx,%eax,4),%eax; inc %esp; mov %eax,(%edi,%eax,4); dec %eax; add $1,%eax; dec %eax; cmp
 * %eax,%ecx; jne`. With a[k] = k + 2 and b = 0 it goes through k = 0, 1, 2 ... and stores k + 2
 * at place k + 2. */
enum { N = 6000 };
static unsigned a[N + 8], b[N + 8], to[N + 8];

static int call3(int n, int x, const void *y, int z)
{
	int ret;
	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(n), "b"(x), "c"(y), "d"(z) : "memory");
	return ret;
}

static void loop(void)
{
	unsigned start = 0;
	__asm__ volatile("movl %%esp,%%ebx\n"
			 "subl $65536,%%esp\n"
			 "1: .byte 0x44,0x8b,0x04,0x86\n"
			 ".byte 0x44,0x33,0x04,0x82\n"
			 ".byte 0x44,0x89,0x04,0x87\n"
			 ".byte 0x48,0x83,0xc0,0x01\n"
			 ".byte 0x48,0x39,0xc1\n"
			 ".byte 0x75,0xeb\n"
			 "movl %%ebx,%%esp\n"
			 : "+a"(start)
			 : "S"(a), "d"(b), "D"(to), "c"(N)
			 : "ebx", "memory", "cc");
}

void _start(void)
{
	int good = 1;
	for (unsigned i = 0; i < N + 8; i++)
		a[i] = i + 2;
	for (int round = 0; round < 20; round++) {
		for (unsigned i = 0; i < N + 8; i++)
			to[i] = 0;
		loop();
		for (unsigned k = 2; k < N + 1; k++)
			good &= to[k] == k;
	}
	if (good)
		call3(4, 1, "ok 32-bit program\n", 18);
	else
		call3(4, 1, "bad 32-bit program\n", 19);
	call3(1, 0, 0, 0);
}
