/* What the plugin's files share. One instance per QEMU process. Thread: a struct vcpu belongs
 * to its vCPU's thread; everything else says who may touch it. */
#ifndef PLUGIN_INTERNAL_H
#define PLUGIN_INTERNAL_H
#include <time.h>

#include "control.h"
#include "kernel_abi.h"
#include "qemu_api.h"
#include "record.h"

#define PLUGIN_MAX_BLOCK_INSNS 512u
#define PLUGIN_MAX_BLOCK_BYTES (PLUGIN_MAX_BLOCK_INSNS * 15u)

#define PLUGIN_IDLE_HEADS 4096u

struct vcpu {
	/* Ring writer. */
	uint64_t head; /* words written; the helper thread reads it to publish */
	uint64_t limit; /* words up to here need no look at the reader's tail */
	uint64_t *words;
	uint64_t mask;
	struct gb_ring_head *shared;
	uint64_t dropped;
	uint64_t unreported; /* drops since the last DROP record */
	bool muted; /* another page table than the filter's is loaded */
	bool repeating; /* passes of the block entered last are being counted: watch.c */
	uint64_t kept_limit; /* while it is */
	struct turn *turn; /* watch.c; NULL: ask QEMU */
	uint64_t cr3; /* as loaded last, 0 unknown */
	uint32_t sample_left; /* blocks to the next register sample */
	/* Registers; handles are valid on this vCPU only. */
	struct glib_bytes *buffer;
	struct qemu_plugin_register *gpr[16];
	struct qemu_plugin_register *xmm[16];
	struct qemu_plugin_register *cr2_reg, *cr3_reg, *cr4_reg, *cs_reg, *eflags_reg,
		*efer_reg;
	bool present;
	bool half_translated; /* its thread's last translation may have been cut short */
	uint64_t looked_ns; /* doze.c */
	clockid_t clock; /* of the vCPU's thread; vCPUs that share a thread share it */
	/* Offload. */
	struct {
		const void *head; /* NULL: none under way */
		uint64_t start_ns, iterations; /* when it began, and the trip count then */
		uint64_t place; /* of the first moving stream at its end */
		uint64_t passes; /* iterations until the next call */
		const void *last; /* head of the last one, and the kernel's executions then */
		uint64_t at;
	} probe; /* one measurement of TCG: cost.c */
	uint8_t *tables; /* room for gathered tables, GB_KERNEL_MAX_TABLE per stream */
	uint8_t idle_entries[PLUGIN_IDLE_HEADS]; /* entries in a row that came to nothing */
} __attribute__((aligned(128)));

struct ram {
	uint8_t *host; /* QEMU's own mapping of the RAM file; NULL: not found */
	uint64_t bytes;
};

struct plugin {
	qemu_plugin_id_t id;
	uint8_t *file; /* the shared file */
	struct gb_control *control; /* its first page */
	struct gb_request
		active; /* request in force; changed only while all vCPUs stand still */
	unsigned n_vcpus;
	int resetting; /* atomic: a reset is under way */
	bool translating; /* QEMU's translator tells us of blocks */
	bool asleep; /* offload is on but does not listen: doze.c. Changed as `active` is */
	uint64_t seen_seq; /* request_seq in force */
	struct ram ram;
	/* Copied from the request: where RAM lies. */
	unsigned n_segments;
	struct gb_ram_segment segment[GB_MAX_RAM_SEGMENTS];
	struct vcpu vcpu[GB_MAX_VCPUS];
};
extern struct plugin plugin;

uint64_t plugin_now_ns(void); /* since the epoch */

/* The block's instruction bytes, at most PLUGIN_MAX_BLOCK_BYTES; returns how many. */
unsigned plugin_block_bytes(struct qemu_plugin_tb *tb, unsigned n_insns, uint8_t *to);

/* Asks for a reset when glassbox wants something else than what is in force. Any vCPU thread.
 */
void plugin_poll(void);

/* ring.c: makes room for n words, or counts a drop and returns false. */
bool ring_refill(struct vcpu *v, unsigned n);
void ring_publish(struct vcpu *v);

/* The same puts without room below the limit. They are calls in last place, so that the way
 * through every executed block needs no stack frame. */
void ring_put_slow(struct vcpu *v, uint64_t word);
void ring_put2_slow(struct vcpu *v, uint64_t word0, uint64_t word1);

static inline void ring_put(struct vcpu *v, uint64_t word)
{
	uint64_t head = v->head;
	if (__builtin_expect(head >= v->limit, 0)) {
		ring_put_slow(v, word);
		return;
	}
	v->words[head & v->mask] = word;
	__atomic_store_n(&v->head, head + 1, __ATOMIC_RELEASE); /* pairs: ring_publish */
}

static inline void ring_put2(struct vcpu *v, uint64_t word0, uint64_t word1)
{
	uint64_t head = v->head;
	if (__builtin_expect(head + 2 > v->limit, 0)) {
		ring_put2_slow(v, word0, word1);
		return;
	}
	v->words[head & v->mask] = word0;
	v->words[(head + 1) & v->mask] = word1;
	__atomic_store_n(&v->head, head + 2, __ATOMIC_RELEASE); /* pairs: ring_publish */
}

void ring_put_many(struct vcpu *v, const uint64_t *words, unsigned n);

/* blocks.c: the block table. */
#define BLOCK_NONE UINT32_MAX
int blocks_init(void);
void blocks_clear(void);
uint32_t blocks_add(uint64_t gva, uint64_t gpa, const uint8_t *bytes, unsigned n_bytes,
		    unsigned n_insns, uint64_t cr3);

/* count.c: executions per block in QEMU's per-vCPU scoreboard. */
int count_init(void);
void count_instrument(struct qemu_plugin_tb *tb, uint32_t block);
void count_publish(void); /* helper thread */
void count_clear(void);

/* registers.c: a vCPU's registers, inside callbacks that may read them. */
void registers_find(struct vcpu *v);
uint64_t registers_cr3(void); /* page table loaded now; 0 unknown */
uint64_t registers_read(struct vcpu *v, struct qemu_plugin_register *handle);

/* watch.c: block and full trace. */
int watch_init(void);
void watch_vcpu(struct vcpu *v); /* the vCPU's own thread */
void watch_settle(struct vcpu *v); /* the vCPU's thread, or all stand still */
void watch_instrument(struct qemu_plugin_tb *tb, uint32_t block, unsigned n_insns);
void watch_cr3_writes(struct qemu_plugin_tb *tb, unsigned n_insns);
void watch_set_cr3(struct vcpu *v, uint64_t cr3);

/* ram.c: QEMU's mapping of guest memory. */
void ram_find(const char *path);
void ram_arm_dirty(void);
uint64_t ram_gpa(const void *host); /* ~0: not RAM */

void registers_read_xmm(struct vcpu *v, unsigned index, uint64_t ret[2]);
void registers_write(struct vcpu *v, struct qemu_plugin_register *handle, const void *value,
		     unsigned bytes);

/* code_pages.c: pages with translated code. */
int code_pages_init(void);
void code_pages_clear(void);
void code_pages_mark(const void *host);
bool code_pages_hold(uint64_t offset); /* in the RAM file */

/* cost.c: what a kernel costs and saves; several vCPUs may touch it, each field atomically. */
struct cost {
	uint32_t tcg_sample_ps[4]; /* the last ones */
	uint32_t n_samples;
	uint32_t tcg_ps, native_ps, entry_ns; /* as in struct gb_kernel */
	uint32_t gpu_ps, gpu_entry_ns;
	/* uneven loops: TCG's price in 1024ths of ours; a sample of it that waits for ours */
	uint32_t ratio, sample_ps, sample_passes;
	uint32_t gpu_small; /* iterations of the first requests */
	uint32_t n_gpu, gpu_pause, gpu_left_out, gpu_refused;
	uint32_t least; /* trip count from which it is worth while */
	uint32_t tier;
	uint32_t n_short;
	uint64_t executions;
	uint64_t window_entries, window_spent_ns, window_worth_ns;
	uint32_t n_odd; /* calls in a row that took far longer than expected */
	uint32_t losing;
	uint32_t lost; /* retired: never entered again */
};

/* doze.c: what it takes for a kernel to wake offload. Relaxed: a lost update is one look. */
struct wake {
	uint32_t needs, needed; /* hits, 0: the least; and what it was before it woke it */
	uint32_t score, look; /* as of its last hit, and the number of that look */
	int64_t saved_ns; /* by the kernel, when offload woke last */
	uint64_t entries; /* then */
	bool tried; /* it has been through a time awake */
};

/* kernels.c: native kernels in use. */
struct loaded {
	struct gb_kernel k; /* our copy; its statistics are not used */
	struct gb_kernel *shared; /* where statistics go */
	struct cost cost;
	struct wake wake;
	bool used;
	uint8_t *image;
	uint64_t image_bytes;
	gb_kernel_plan *plan;
	gb_kernel_run *run;
};
extern struct loaded kernels_loaded[GB_KERNEL_SLOTS];
void kernels_update(void);
struct loaded *kernels_find(uint64_t gva, const uint8_t *bytes, unsigned n);
bool kernels_may_begin(const uint8_t *bytes, unsigned n); /* false: kernels_find is NULL */

/* offload.c: running them. */
int offload_init(void);
void offload_clear(void);
void offload_translate(struct qemu_plugin_tb *tb, unsigned n_insns);
void offload_mark_gva(uint64_t gva);

/* tally.c: who does the guest's work. Helper thread, but for tally_vcpu. */
void tally_vcpu(struct vcpu *v); /* the vCPU's own thread */
void tally_publish(void);
void tally_counted(uint64_t insns); /* guest instructions since the last call */

/* helper.c: the thread that publishes. */
int helper_start(void);
#endif
