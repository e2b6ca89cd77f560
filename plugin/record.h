/* Records in a vCPU's ring: 64-bit words, the kind in bits 56..63 of the first word. A record
 * of several words is written whole or not at all; its words follow each other modulo the ring.
 *
 *   63    56 55    52 51    48 47            32 31                             0
 *   +-------+--------+--------+----------------+--------------------------------+
 *   | kind  |  flags | log2 n |  insn in block |  block id                      |
 *   +-------+--------+--------+----------------+--------------------------------+
 *
 * Thread: any. */
#ifndef PLUGIN_RECORD_H
#define PLUGIN_RECORD_H
#include <stdint.h>

/* ORDER records: kind, number, words in all, what the low 56 bits and further words hold. */
#define GB_RECORDS(X)                                                               \
	X(BLOCK, 1, 1) /* block id: this block was entered */                       \
	X(LOAD, 2, 2) /* block id, insn, log2 bytes; word 1: virtual address */     \
	X(STORE, 3, 2) /* the same */                                               \
	X(REGS, 4, 17) /* block id; words 1..16: rax rcx rdx rbx rsp rbp rsi rdi */ \
	/*                r8..r15 at its entry */                                   \
	X(CR3, 5, 1) /* page table now loaded, shifted right by 12 */               \
	X(TIME, 6, 1) /* ns since the epoch */                                      \
	X(DROP, 7, 1) /* so many records are missing here */                        \
	X(BREAK, 8, 2) /* interrupt or exception (type); word 1: handler address */ \
	X(MODE, 9, 1) /* low 8 bits: mode now; bits 8..55: generation of tables */  \
	X(HOT, 10, 2) /* block id reached the threshold; word 1: its count */       \
	X(REPEAT, 11, 1) /* the block entered last ran so many times more, in a row */

enum gb_record_kind {
#define GB_RECORD_ENUM(name, number, words) GB_REC_##name = number,
	GB_RECORDS(GB_RECORD_ENUM)
#undef GB_RECORD_ENUM
};

#define GB_REC_MAX_WORDS 17u
#define GB_REC_KERNEL (1ull << 52) /* flag of BLOCK: its address has bit 63 set */
#define GB_REC_PAYLOAD 0x00ffffffffffffffull

static inline uint64_t gb_record(enum gb_record_kind kind, uint64_t payload)
{
	return ((uint64_t)kind << 56) | (payload & GB_REC_PAYLOAD);
}

static inline uint64_t gb_record_access(enum gb_record_kind kind, unsigned insn,
					unsigned log2_bytes, uint32_t block)
{
	return ((uint64_t)kind << 56) | ((uint64_t)(log2_bytes & 15) << 48) |
	       ((uint64_t)(insn & 0xffff) << 32) | block;
}

static inline unsigned gb_record_kind(uint64_t word)
{
	return (unsigned)(word >> 56);
}

static inline uint64_t gb_record_payload(uint64_t word)
{
	return word & GB_REC_PAYLOAD;
}

static inline uint32_t gb_record_block(uint64_t word)
{
	return (uint32_t)word;
}

static inline unsigned gb_record_insn(uint64_t word)
{
	return (unsigned)(word >> 32) & 0xffff;
}

static inline unsigned gb_record_log2(uint64_t word)
{
	return (unsigned)(word >> 48) & 15;
}

/* Words of the record that starts with this word; 0: no such kind. */
static inline unsigned gb_record_words(uint64_t word)
{
	switch (gb_record_kind(word)) {
#define GB_RECORD_CASE(name, number, words) \
	case number:                        \
		return words;
		GB_RECORDS(GB_RECORD_CASE)
#undef GB_RECORD_CASE
	default:
		return 0;
	}
}
#endif
