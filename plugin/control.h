/* The shared file between the plugin inside QEMU and glassbox: /dev/shm/glassbox-VM-trace.
 * Fixed structs, little-endian x86-64, no pointers, no dependencies. The plugin creates and
 * sizes the file (mode 0600); glassbox maps it and treats every byte as written by a hostile
 * peer.
 *
 *   0 +--------------------+
 *     | struct gb_control  |  identity, request, state, dirty tracking, where the areas are
 *  4K +--------------------+
 *     | gb_ring_head[64]   |  one per vCPU: head, tail, drops
 *     +--------------------+
 *     | rings              |  ring_bytes per vCPU, 64-bit words (records: plugin/record.h)
 *     | block table        |  struct gb_block, append-only: what a block id means
 *     | code bytes         |  instruction bytes of the blocks, append-only
 *     | counts             |  one uint64_t per block: executions, all vCPUs together
 *     | kernels, their code|  offload: plugin/kernel_abi.h
 *     +--------------------+
 *
 * Memory ordering, the same everywhere: whoever owns a counter writes the data first and then
 * stores the counter with release; the other side loads the counter with acquire and may then
 * read everything below it. Pairs: magic, request_seq/applied_seq, ring head/tail, n_blocks,
 * counts_wanted/counts_seq, dirty_state. Fields without such a counter are statistics and may
 * be read torn by a tick.
 *
 * Thread: each field says who writes it: P plugin, G glassbox. */
#ifndef PLUGIN_CONTROL_H
#define PLUGIN_CONTROL_H
#include <stdint.h>

#define GB_MAGIC 0x786f627373616c67ull /* "glassbox" */
#define GB_VERSION 1u
#define GB_PAGE 4096u
#define GB_MAX_VCPUS 64u
#define GB_MAX_RAM_SEGMENTS 8u

/* What the plugin is asked to do. A change of mode or filter drops all translations once. */
enum gb_mode {
	GB_MODE_OFF = 0, /* no block is instrumented: the guest runs at full speed */
	GB_MODE_COUNT = 1, /* executions per block, in the counts area */
	GB_MODE_BLOCK = 2, /* one 8-byte record per executed block */
	GB_MODE_FULL = 3, /* GB_MODE_BLOCK, loads and stores, sampled registers */
};

enum gb_rings {
	GB_RING_ANY = 0,
	GB_RING_USER = 1, /* addresses below 2^63 */
	GB_RING_KERNEL = 2,
};

enum gb_offload {
	GB_OFFLOAD_OFF = 0,
	GB_OFFLOAD_ON = 1, /* listens to all translations */
	GB_OFFLOAD_AUTO = 2, /* only while kernels save more than that costs */
};

enum gb_dirty_state {
	GB_DIRTY_UNTRIED = 0,
	GB_DIRTY_ARMED = 1, /* PAGEMAP_SCAN of ram_address in qemu_pid tells written pages */
	GB_DIRTY_FAILED = 2, /* dirty_errno says why */
};

/* G writes every field, then request_seq with release. P applies the whole struct at its next
 * interrupt or translation (of one vCPU: also halt), then stores applied_seq with release. */
struct gb_request {
	uint32_t mode; /* enum gb_mode */
	uint32_t rings; /* enum gb_rings: which blocks are instrumented */
	uint64_t range_start; /* only blocks starting in [start, end); end 0: everywhere */
	uint64_t range_end;
	uint64_t cr3; /* records only while this page table is loaded (bits 12..51); 0: any */
	uint32_t sample_every; /* GB_MODE_FULL: registers at every Nth block; 0: never */
	uint32_t offload; /* enum gb_offload */
	uint64_t threshold; /* GB_MODE_COUNT: an event when a block reaches this; 0: none */
	uint32_t slice_us; /* offload: longest stall of the guest at once; 0: 1000 */
	uint32_t clear; /* another value than before: forget blocks and counts */
	uint32_t tier; /* offload: enum gb_tier to use wherever it can; 0: the better one */
	uint32_t reserved;
};
_Static_assert(sizeof(struct gb_request) == 64, "gb_request is part of the file");

/* Where guest-physical addresses lie in the RAM file. P uses them for offload only. */
struct gb_ram_segment {
	uint64_t gpa;
	uint64_t bytes;
	uint64_t file_offset;
};
_Static_assert(sizeof(struct gb_ram_segment) == 24, "gb_ram_segment is part of the file");

/* Byte range of an area inside this file. */
struct gb_area {
	uint64_t offset;
	uint64_t bytes;
};
_Static_assert(sizeof(struct gb_area) == 16, "gb_area is part of the file");

struct gb_control {
	/* 0: identity. P writes all of it once, magic last with release. */
	uint64_t magic;
	uint32_t version;
	uint32_t plugin_api; /* QEMU_PLUGIN_VERSION this plugin was built for */
	uint32_t qemu_pid;
	uint32_t n_vcpus; /* rings in use: the most vCPUs this VM can have */
	uint64_t file_bytes;
	uint64_t epoch_ns; /* CLOCK_MONOTONIC at load; time records count from here */
	uint32_t n_block_slots; /* capacity of the block table and of the counts */
	uint32_t can_offload; /* 1 when this QEMU lets a plugin write registers */
	uint32_t start_mode; /* enum gb_mode asked for when the guest was started */
	uint8_t pad0[12];

	/* 64: areas. P. */
	struct gb_area ring_heads, rings, blocks, code, counts, kernels, kernel_code,
		reserved_area;
	uint64_t ring_bytes; /* of each vCPU's ring, a power of two */
	uint8_t pad1[56];

	/* 256: dirty-page tracking. P writes once at the first vCPU, dirty_state last with
	 * release. */
	uint32_t dirty_state; /* enum gb_dirty_state */
	int32_t dirty_errno;
	uint64_t ram_address; /* start of the RAM mapping in QEMU's address space */
	uint64_t ram_bytes;
	uint64_t ram_dev, ram_ino; /* of the RAM file, to be compared with one's own fstat */
	uint8_t pad2[24];

	/* 320: request. G. */
	struct gb_request request;
	uint64_t request_seq;
	uint32_t n_ram_segments; /* 0: the plugin trusts only [0, 2 GiB) = file offset */
	uint32_t counts_wanted; /* G changes it to have the counts copied now */
	struct gb_ram_segment ram_segment[GB_MAX_RAM_SEGMENTS];
	uint8_t pad4[48];

	/* 640: state. P. */
	uint64_t applied_seq;
	uint32_t mode; /* enum gb_mode in force */
	uint32_t offload; /* enum gb_offload in force */
	uint64_t n_blocks; /* entries of the block table; release */
	uint64_t code_used; /* bytes used of the code area */
	uint64_t blocks_lost; /* blocks not described because a table was full */
	uint64_t translations; /* blocks translated, repetitions included */
	uint64_t flushes; /* times all translations were dropped on request */
	uint64_t counts_seq; /* bumped after each copy of the counts */
	uint64_t counts_ns; /* when that was, from the epoch */
	uint64_t generation; /* bumped when block table and counts were cleared */
	uint64_t heartbeat_ns; /* last pass of the plugin's helper thread, from the epoch */

	/* 728: who does the guest's work. P, twenty times a second. */
	uint64_t vcpu_ns; /* processor time of all vCPU threads */
	uint64_t offload_vcpu_ns; /* the part of it while offload was on */
	uint64_t counted_vcpu_ns; /* the part of it while everything was counted... */
	uint64_t counted_insns; /* ... and the guest instructions of that time */
	uint64_t kernel_insns; /* guest instructions done by kernels, retired ones included */
	uint64_t kernel_gpu_insns; /* the part of them done by the Pixel CPU service */
	uint64_t kernel_ns; /* spent in kernels' callbacks */
	uint32_t asleep; /* offload that may doze does: no kernel is attached */
	uint32_t listening; /* QEMU tells the plugin of translations, which costs speed */
	uint64_t naps; /* times it fell asleep */
	uint8_t pad5[3296];
};
_Static_assert(sizeof(struct gb_control) == GB_PAGE, "gb_control is one page");
_Static_assert(__builtin_offsetof(struct gb_control, ring_heads) == 64, "areas at 64");
_Static_assert(__builtin_offsetof(struct gb_control, dirty_state) == 256, "dirty at 256");
_Static_assert(__builtin_offsetof(struct gb_control, request) == 320, "request at 320");
_Static_assert(__builtin_offsetof(struct gb_control, applied_seq) == 640, "state at 640");

/* One vCPU's ring of 64-bit words. Positions count words since the start and never wrap; the
 * word at position p is words[p % (ring_bytes / 8)]. Head and tail have cache lines of their
 * own. The writer never waits: without room it counts and goes on. */
struct gb_ring_head {
	uint64_t head; /* P: words written, release; pairs with G's acquire before reading */
	uint64_t dropped; /* P: records not written for want of room */
	uint8_t pad0[48];
	uint64_t tail; /* G: words consumed, release; pairs with P's acquire before writing */
	uint8_t pad1[56];
};
_Static_assert(sizeof(struct gb_ring_head) == 128, "gb_ring_head is part of the file");

/* What a block id means. A block that is translated again keeps its id as long as address,
 * physical page and bytes are the same. */
struct gb_block {
	uint64_t gva;
	uint64_t gpa; /* ~0 when not in RAM */
	uint64_t cr3; /* page table loaded at the latest translation; 0 unknown */
	uint32_t code_offset; /* into the code area */
	uint16_t n_bytes;
	uint16_t n_insns;
	uint32_t hash; /* of the bytes */
	uint32_t flags; /* enum gb_block_flags */
};
_Static_assert(sizeof(struct gb_block) == 40, "gb_block is part of the file");

enum gb_block_flags {
	GB_BLOCK_KERNEL = 1, /* address has bit 63 set */
	GB_BLOCK_CUT = 2, /* bytes are not all here: the code area is full */
};
#endif
