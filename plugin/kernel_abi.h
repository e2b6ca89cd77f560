/* What a native kernel is: the learner's compiled form of one proved guest loop, run by the
 * plugin in the vCPU's thread on the guest's own memory.
 *
 * The method. The plugin stops at the loop head (first instruction of the loop, entered from
 * outside or from the back edge) and asks plan() how many iterations are still to come from
 * these registers and which bytes of memory iteration i touches. It then does all iterations
 * but the last, in chunks in which every stream is contiguous in host memory, and returns: the
 * guest runs the last iteration itself, so flags, the exit edge, faults and interrupts are
 * natural.
 *
 * Rules a kernel must keep (the learner proves them, the plugin relies on them):
 *  1. plan() and run() are position-independent machine code in one flat image, call nothing
 *     outside it, keep no state, need no relocation, use at most 16 KiB of stack, and follow
 * the System V calling convention. SIMD up to what `features` names may be used.
 *  2. For 0 <= i < iterations, iteration i reads and writes only bytes in
 *     [gva_s + i * stride_s, + width_s) of the streams s, and writes only streams with write=1.
 *  3. Under the guard (plan() returned GB_PLAN_GO) every iteration but the last goes back to
 *     the head: no other exit is taken before.
 *  4. run(state, host, n) with 1 <= n <= iterations does exactly what n iterations do: it
 * updates every register in `out` and memory through host[s] + i * stride_s, and nothing else,
 * and returns n. The same state can then be given to plan() again. A search kernel may return
 *     fewer: so many iterations are done, the next one leaves the loop and is the guest's.
 *  5. Flags are dead at the head, or rewritten by every iteration before they are read.
 *  6. Two streams may name the same bytes only if run() is right for that; plan() refuses the
 *     rest. Streams of one kernel that overlap partly are refused.
 *
 * Thread: plain structs; kernels run in vCPU threads, several at once. */
#ifndef PLUGIN_KERNEL_ABI_H
#define PLUGIN_KERNEL_ABI_H
#include <stdint.h>

#define GB_KERNEL_SLOTS 256u
#define GB_KERNEL_CODE_BYTES (8u << 20) /* all images together */
#define GB_KERNEL_MAX_STREAMS 32u
#define GB_KERNEL_MAX_WIDTH 4096u /* of a stream with a stride */
#define GB_KERNEL_MAX_TABLE 65536u /* of a stream with stride 0 that is only read */
#define GB_KERNEL_MAX_LOOP_BYTES 1024u

/* Registers in x86 encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8..r15. Only registers
 * named in the kernel's masks hold values; only those in `out` are written back. EFLAGS is not
 * here: QEMU shows a plugin neither the arithmetic flags nor the direction flag. */
struct gb_regs {
	uint64_t gpr[16];
	uint64_t xmm[16][2]; /* low half first */
};
_Static_assert(sizeof(struct gb_regs) == 384, "gb_regs is part of the kernel interface");

struct gb_stream {
	uint64_t gva; /* first byte touched by iteration 0 */
	int64_t stride; /* bytes from one iteration to the next; may be 0 or negative */
	uint32_t width; /* bytes touched by one iteration; bounded by the two limits above */
	uint32_t write; /* 1: may be written */
};
_Static_assert(sizeof(struct gb_stream) == 24, "gb_stream is part of the kernel interface");

struct gb_plan {
	uint64_t iterations; /* from here to the loop's end, the last one included */
	uint32_t n_streams;
	uint32_t reserved;
	struct gb_stream stream[GB_KERNEL_MAX_STREAMS];
};
_Static_assert(sizeof(struct gb_plan) == 784, "gb_plan is part of the kernel interface");

/* ORDER plan results: what plan() returns, and why a guard failed. The plugin counts each. */
#define GB_PLAN_RESULTS(X)                                         \
	X(GO, 0, "go")                                             \
	X(SHORT, 1, "too few iterations")                          \
	X(OVERLAP, 2, "streams overlap")                           \
	X(WRAP, 3, "address or counter would wrap")                \
	X(SHAPE, 4, "registers do not fit the loop's closed form") \
	X(ALIGN, 5, "misaligned for this kernel")                  \
	/* the plugin's own reasons */                             \
	X(PAGE, 8, "page not present, not writable or not dirty")  \
	X(CODE, 9, "page holds translated code")                   \
	X(DEVICE, 10, "not ordinary memory")                       \
	X(STEP, 11, "single-stepping")                             \
	X(CR3, 12, "another process")                              \
	X(BYTES, 13, "code bytes changed")                         \
	X(BAD, 14, "plan breaks the rules")                        \
	X(PRIVILEGE, 15, "wrong privilege for these pages")

enum gb_plan_result {
#define GB_PLAN_ENUM(name, number, text) GB_PLAN_##name = number,
	GB_PLAN_RESULTS(GB_PLAN_ENUM)
#undef GB_PLAN_ENUM
};
#define GB_PLAN_REASONS 16u

typedef uint32_t gb_kernel_plan(const struct gb_regs *in, struct gb_plan *out);
typedef uint64_t gb_kernel_run(struct gb_regs *state, uint8_t *const host[], uint64_t n);

/* CPU features an image may use beyond x86-64 (SSE2). */
enum gb_kernel_features {
	GB_FEATURE_AVX2 = 1, /* with BMI1, BMI2, LZCNT, MOVBE, FMA: x86-64-v3 */
	GB_FEATURE_AVX512 = 2, /* x86-64-v4 */
};

enum gb_kernel_state {
	GB_KERNEL_EMPTY = 0,
	GB_KERNEL_READY = 1, /* G filled it in; release after every other field */
	GB_KERNEL_LOADED = 2, /* P copied the image; in use */
	GB_KERNEL_REFUSED = 3, /* P: image or fields are not acceptable, reason in `refusal` */
	GB_KERNEL_RETIRED = 4, /* G: stop using it; P stops at its next request */
	GB_KERNEL_LOST = 5, /* P: it lost against TCG again and again; stays with QEMU */
};

/* One slot of the kernels area. Fields down to `refusal` are G's, the rest P's. */
struct gb_kernel {
	uint32_t state; /* enum gb_kernel_state; release/acquire */
	uint32_t serial; /* G: bumped whenever the slot gets another kernel */
	uint64_t id; /* first 8 bytes of the kernel's hash, for people */
	uint64_t cr3; /* only under this page table (bits 12..51); 0: any */
	uint64_t gva; /* only at this address of the head; 0: anywhere */
	uint64_t in_gpr, in_xmm; /* masks: registers that plan() and run() look at */
	uint64_t out_gpr, out_xmm; /* masks: registers that run() changes; never rsp */
	uint64_t code_offset; /* image inside the kernel code area */
	uint64_t code_bytes;
	uint32_t plan_offset, run_offset; /* entries inside the image */
	uint32_t features; /* enum gb_kernel_features */
	uint32_t min_iterations; /* runs from this trip count on; 0: the plugin measures */
	uint32_t loop_bytes; /* exact code bytes of the loop, contiguous in address */
	uint32_t head_offset; /* of the head inside them */
	uint32_t n_insns; /* guest instructions of one iteration, for the statistics */
	uint32_t tcg_ps; /* picoseconds per iteration under TCG, measured; 0 unknown */
	uint32_t uneven; /* iterations cost what their data makes them cost */
	uint32_t reserved[3];
	uint8_t loop[GB_KERNEL_MAX_LOOP_BYTES];
	/* 1152: written by P */
	uint32_t refusal; /* enum gb_kernel_refusal */
	uint32_t loaded_serial;
	uint64_t executions; /* entries that did at least one iteration */
	uint64_t iterations; /* done here instead of under TCG */
	uint64_t bytes; /* of all streams, iterations * width */
	uint64_t ns; /* spent in callbacks that did work */
	uint64_t entries; /* callbacks */
	uint64_t heads; /* places in guest code where it is attached now */
	uint64_t failures[GB_PLAN_REASONS]; /* by enum gb_plan_result */
	/* 1336: the cost model (plugin/cost.c) */
	uint64_t idle_ns; /* spent in callbacks that did nothing */
	int64_t saved_ns; /* iterations at TCG's measured price, less ns and idle_ns */
	uint32_t tcg_now_ps; /* measured: one iteration under TCG, countdown included; 0: not
				yet */
	uint32_t native_ps; /* measured: one iteration here, page walks included */
	uint32_t entry_ns; /* measured: what a call costs before the first iteration */
	uint32_t least_now; /* trip count from which it runs here */
	uint64_t gpu_executions, gpu_iterations, gpu_ns; /* the part done by the service */
	uint64_t gpu_late,
		gpu_failed; /* requests given up at their deadline; refused or lost */
	uint32_t gpu_ps, gpu_entry_ns; /* measured: iteration, and request without iterations */
	uint32_t tier; /* enum gb_tier of the last execution */
	uint32_t tier_switches;
	uint32_t losing; /* windows in a row that cost more than they saved */
	uint32_t retirements;
	uint8_t pad[616];
};
_Static_assert(sizeof(struct gb_kernel) == 2048, "gb_kernel is part of the file");
_Static_assert(__builtin_offsetof(struct gb_kernel, refusal) == 1152, "statistics at 1152");

enum gb_tier { GB_TIER_NONE = 0, GB_TIER_NATIVE = 1, GB_TIER_GPU = 2 };

enum gb_kernel_refusal {
	GB_REFUSAL_NONE = 0,
	GB_REFUSAL_IMAGE = 1, /* offsets outside the area or the image */
	GB_REFUSAL_LOOP = 2, /* no bytes, or head outside them */
	GB_REFUSAL_FEATURES = 3, /* this host's CPU lacks them */
	GB_REFUSAL_MEMORY = 4, /* no executable memory to be had */
	GB_REFUSAL_REGISTERS = 5, /* asks for a register the plugin cannot give or write */
};
#endif
