#include "vm/dump.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"

/* ELF cores of a whole machine: `dump-guest-memory`, /proc/vmcore, `virsh dump --memory-only`.
 * Each PT_LOAD gives a run of physical addresses. In a vmcore the kernel image appears twice,
 * once as part of RAM and once by its own mapping: where runs overlap, the first stays. */

/* The fields of both classes of header that matter here. */
struct core_header {
	bool is_64;
	uint64_t segments, sections; /* file offsets of the tables */
	uint64_t n_segments, segment_bytes;
};

/* A guest started by PVH may carry its kernel's ELF header at physical address 0, so raw RAM
 * can look like an executable; what is no core and whole MiB long is taken for RAM. */
static bool probe(const uint8_t *bytes, uint64_t size_bytes)
{
	return size_bytes >= sizeof(Elf32_Ehdr) && !memcmp(bytes, ELFMAG, SELFMAG) &&
	       (load_u16(bytes + EI_NIDENT) == ET_CORE || size_bytes % (1u << 20));
}

static void read_header(const uint8_t *bytes, uint64_t size_bytes, struct core_header *header,
			uint16_t *type_ret)
{
	Elf64_Ehdr wide = { 0 };
	Elf32_Ehdr narrow = { 0 };
	header->is_64 = bytes[EI_CLASS] == ELFCLASS64 && size_bytes >= sizeof(wide);
	if (header->is_64)
		memcpy(&wide, bytes, sizeof(wide));
	else
		memcpy(&narrow, bytes, sizeof(narrow));
	*type_ret = header->is_64 ? wide.e_type : narrow.e_type;
	header->segments = header->is_64 ? wide.e_phoff : narrow.e_phoff;
	header->sections = header->is_64 ? wide.e_shoff : narrow.e_shoff;
	header->n_segments = header->is_64 ? wide.e_phnum : narrow.e_phnum;
	header->segment_bytes = header->is_64 ? wide.e_phentsize : narrow.e_phentsize;
}

/* With 65535 segments or more the count is in the first section header. */
static struct error *read_long_count(const uint8_t *bytes, uint64_t size_bytes,
				     struct core_header *header)
{
	uint64_t info =
		header->is_64 ? offsetof(Elf64_Shdr, sh_info) : offsetof(Elf32_Shdr, sh_info);
	uint64_t at = 0;
	if (!header->sections || __builtin_add_overflow(header->sections, info, &at) ||
	    !range_fits(at, 4, size_bytes))
		return error_create(ERR_BAD_DATA, "the ELF file hides its number of segments");
	header->n_segments = load_u32(bytes + at);
	return NULL;
}

static struct error *check_header(const uint8_t *bytes, uint64_t size_bytes,
				  struct core_header *header)
{
	uint16_t type = 0;
	if (bytes[EI_DATA] != ELFDATA2LSB)
		return error_create(ERR_UNSUPPORTED, "a big-endian ELF file");
	read_header(bytes, size_bytes, header, &type);
	if (type != ET_CORE)
		return error_hint(error_create(ERR_BAD_DATA, "an ELF file, but not a core"),
				  "to use a vmlinux for its symbols give it with --symbols");
	if (header->n_segments == PN_XNUM)
		TRY(read_long_count(bytes, size_bytes, header));
	uint64_t wanted = header->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t table = 0;
	if (header->segment_bytes != wanted ||
	    __builtin_mul_overflow(header->n_segments, wanted, &table) ||
	    !range_fits(header->segments, table, size_bytes))
		return error_create(ERR_BAD_DATA, "the ELF segment table is outside the file");
	return NULL;
}

static Elf64_Phdr read_segment(const uint8_t *bytes, const struct core_header *header,
			       uint64_t index)
{
	const uint8_t *at = bytes + header->segments + index * header->segment_bytes;
	Elf64_Phdr wide;
	Elf32_Phdr narrow;
	if (header->is_64) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return (Elf64_Phdr){ .p_type = narrow.p_type,
			     .p_offset = narrow.p_offset,
			     .p_paddr = narrow.p_paddr,
			     .p_filesz = narrow.p_filesz,
			     .p_memsz = narrow.p_memsz };
}

/* Bytes in the file, then zeros up to the size in memory. A core cut short keeps what is there.
 */
static struct error *add_segment(const Elf64_Phdr *segment, uint64_t size_bytes,
				 struct dump_layout *layout)
{
	uint64_t end = 0, in_memory = segment->p_memsz, in_file = segment->p_filesz;
	if (segment->p_paddr == UINT64_MAX || (!in_file && !in_memory))
		return NULL; /* virtual only, as in /proc/kcore; or empty */
	if (in_memory < in_file)
		in_memory = in_file;
	if (__builtin_add_overflow(segment->p_paddr, in_memory, &end) || end > (1ull << 52))
		return error_create(ERR_BAD_DATA, "an ELF segment of %llu bytes at %#llx",
				    (unsigned long long)in_memory,
				    (unsigned long long)segment->p_paddr);
	uint64_t left = segment->p_offset < size_bytes ? size_bytes - segment->p_offset : 0;
	bool cut = in_file > left;
	if (cut)
		in_file = left;
	if (in_file)
		TRY(dump_layout_add(layout, segment->p_paddr, in_file, segment->p_offset));
	if (cut || in_memory == in_file)
		return NULL;
	return dump_layout_add(layout, segment->p_paddr + in_file, in_memory - in_file,
			       DUMP_ZERO);
}

static int by_address(const void *a, const void *b)
{
	const struct dump_piece *left = a, *right = b;
	if (left->gpa != right->gpa)
		return left->gpa < right->gpa ? -1 : 1;
	return left->size_bytes > right->size_bytes ? -1 : left->size_bytes < right->size_bytes;
}

/* Sorts and cuts off what an earlier piece already covers. */
static void remove_overlap(struct dump_layout *layout)
{
	struct dump_piece *pieces = layout->pieces.items;
	size_t kept = 0;
	uint64_t covered = 0;
	qsort(pieces, layout->pieces.count, sizeof(*pieces), by_address);
	for (size_t i = 0; i < layout->pieces.count; i++) {
		struct dump_piece piece = pieces[i];
		uint64_t cut = piece.gpa < covered ? covered - piece.gpa : 0;
		if (cut >= piece.size_bytes)
			continue;
		piece.gpa += cut;
		piece.size_bytes -= cut;
		if (piece.file_offset != DUMP_ZERO)
			piece.file_offset += cut;
		covered = piece.gpa + piece.size_bytes;
		pieces[kept++] = piece;
	}
	layout->pieces.count = kept;
}

static struct error *layout(const uint8_t *bytes, uint64_t size_bytes,
			    struct dump_layout *layout_ret)
{
	struct core_header header = { 0 };
	TRY(check_header(bytes, size_bytes, &header));
	for (uint64_t i = 0; i < header.n_segments; i++) {
		Elf64_Phdr segment = read_segment(bytes, &header, i);
		if (segment.p_type == PT_LOAD)
			TRY(add_segment(&segment, size_bytes, layout_ret));
	}
	if (!layout_ret->pieces.count)
		return error_create(ERR_BAD_DATA, "the ELF core holds no physical memory");
	remove_overlap(layout_ret);
	return NULL;
}

const struct dump_format dump_elf = { .name = "elf", .probe = probe, .layout = layout };
