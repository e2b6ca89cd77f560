#include "vm/dump_write.h"

#include <elf.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/out_file.h"
#include "base/phys_mem.h"

/* Layout of what is written:
 *
 *   raw   segment bytes at file offset = address; gaps are holes
 *   lime  for each segment a header of 32 bytes, then its bytes
 *   elf   header, PT_NOTE, one PT_LOAD per segment; note; segments on page borders
 *
 * The bytes of a segment are copied extent by extent, and in an extent chunk by chunk, so that
 * neither holes of the source nor pages of zeros take room. */
#define CHUNK_BYTES (1u << 20)

struct dump_writer {
	struct phys_mem *mem;
	const struct dump_write_params *params;
	struct out_file *file;
	uint8_t *chunk; /* for segments without a mapping */
	uint64_t total_bytes, done_bytes, data_bytes;
};

static bool is_zero(const uint8_t *bytes, size_t length_bytes)
{
	return !length_bytes || (!bytes[0] && !memcmp(bytes, bytes + 1, length_bytes - 1));
}

static struct error *report(struct dump_writer *writer)
{
	const struct dump_write_params *params = writer->params;
	if (!params->progress || !writer->total_bytes)
		return NULL;
	return params->progress(params->progress_user,
				(double)writer->done_bytes / (double)writer->total_bytes);
}

/* Writes runs of non-zero pages and skips the others. The bytes may change meanwhile; each is
 * read for the test and again for the copy, and either value is a true one. */
static struct error *write_pages(struct dump_writer *writer, const uint8_t *bytes,
				 size_t length)
{
	size_t at = 0;
	while (at < length) {
		size_t start = at, page = PHYS_PAGE_SIZE;
		bool zero = is_zero(bytes + at, length - at < page ? length - at : page);
		while (at < length &&
		       is_zero(bytes + at, length - at < page ? length - at : page) == zero)
			at += length - at < page ? length - at : page;
		if (zero) {
			TRY(out_file_skip(writer->file, at - start));
			continue;
		}
		TRY(out_file_write(writer->file, bytes + start, at - start));
		writer->data_bytes += at - start;
	}
	return NULL;
}

static struct error *copy_data(struct dump_writer *writer, uint64_t start, uint64_t end)
{
	for (uint64_t gpa = start; gpa < end;) {
		size_t part = end - gpa < CHUNK_BYTES ? (size_t)(end - gpa) : CHUNK_BYTES;
		const uint8_t *bytes = phys_mem_at(writer->mem, gpa, part);
		if (!bytes) {
			if (!phys_mem_read(writer->mem, gpa, writer->chunk, part))
				return error_create(ERR_FAULT, "memory at %#llx cannot be read",
						    (unsigned long long)gpa);
			bytes = writer->chunk;
		}
		TRY(write_pages(writer, bytes, part));
		gpa += part;
		writer->done_bytes += part;
		TRY(report(writer));
	}
	return NULL;
}

static struct error *skip_hole(struct dump_writer *writer, uint64_t length)
{
	writer->done_bytes += length;
	return out_file_skip(writer->file, length);
}

static struct error *copy_segment(struct dump_writer *writer,
				  const struct phys_segment *segment)
{
	uint64_t at = segment->gpa, end = segment->gpa + segment->size_bytes, start, stop;
	while (at < end && phys_mem_next_data(writer->mem, at, &start, &stop) && start < end) {
		TRY(skip_hole(writer, start - at));
		at = stop < end ? stop : end;
		TRY(copy_data(writer, start, at));
	}
	return skip_hole(writer, end - at);
}

static struct error *write_raw(struct dump_writer *writer)
{
	for (size_t i = 0; i < writer->mem->n_segments; i++) {
		const struct phys_segment *segment = &writer->mem->segments[i];
		TRY(out_file_skip(writer->file,
				  segment->gpa - out_file_position(writer->file)));
		TRY(copy_segment(writer, segment));
	}
	return NULL;
}

static struct error *write_lime(struct dump_writer *writer)
{
	for (size_t i = 0; i < writer->mem->n_segments; i++) {
		const struct phys_segment *segment = &writer->mem->segments[i];
		struct {
			uint32_t magic, version;
			uint64_t first, last, zero;
		} header = { 0x4c694d45, 1, segment->gpa,
			     segment->gpa + segment->size_bytes - 1, 0 };
		TRY(out_file_write(writer->file, &header, sizeof(header)));
		TRY(copy_segment(writer, segment));
	}
	return NULL;
}

/* Bytes of the note section with its padding; 0 without VMCOREINFO. */
static uint64_t note_bytes(const struct dump_write_params *params)
{
	if (!params->vmcoreinfo)
		return 0;
	return sizeof(Elf64_Nhdr) + 12 + align_up(params->vmcoreinfo_bytes, 4);
}

static struct error *write_note(struct dump_writer *writer)
{
	const struct dump_write_params *params = writer->params;
	if (!params->vmcoreinfo)
		return NULL;
	Elf64_Nhdr note = { .n_namesz = 11, .n_descsz = (Elf64_Word)params->vmcoreinfo_bytes };
	static const char name[12] = "VMCOREINFO";
	TRY(out_file_write(writer->file, &note, sizeof(note)));
	TRY(out_file_write(writer->file, name, sizeof(name)));
	TRY(out_file_write(writer->file, params->vmcoreinfo, params->vmcoreinfo_bytes));
	return out_file_skip(writer->file,
			     align_up(params->vmcoreinfo_bytes, 4) - params->vmcoreinfo_bytes);
}

static struct error *write_elf_headers(struct dump_writer *writer)
{
	size_t n = writer->mem->n_segments;
	if (n + 1 >= PN_XNUM)
		return error_create(ERR_LIMIT, "too many pieces of memory for an ELF core");
	uint64_t notes_at = sizeof(Elf64_Ehdr) + (n + 1) * sizeof(Elf64_Phdr);
	Elf64_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB,
					   EV_CURRENT },
			      .e_type = ET_CORE,
			      .e_machine = EM_X86_64,
			      .e_version = EV_CURRENT,
			      .e_phoff = sizeof(header),
			      .e_ehsize = sizeof(header),
			      .e_phentsize = sizeof(Elf64_Phdr),
			      .e_phnum = (Elf64_Half)(n + 1) };
	TRY(out_file_write(writer->file, &header, sizeof(header)));
	Elf64_Phdr note = { .p_type = PT_NOTE,
			    .p_offset = notes_at,
			    .p_filesz = note_bytes(writer->params),
			    .p_memsz = note_bytes(writer->params) };
	TRY(out_file_write(writer->file, &note, sizeof(note)));
	uint64_t at = align_up(notes_at + note.p_filesz, PHYS_PAGE_SIZE);
	for (size_t i = 0; i < n; i++) {
		const struct phys_segment *segment = &writer->mem->segments[i];
		Elf64_Phdr load = { .p_type = PT_LOAD,
				    .p_offset = at,
				    .p_paddr = segment->gpa,
				    .p_filesz = segment->size_bytes,
				    .p_memsz = segment->size_bytes };
		TRY(out_file_write(writer->file, &load, sizeof(load)));
		at = align_up(at + segment->size_bytes, PHYS_PAGE_SIZE);
	}
	return write_note(writer);
}

static struct error *write_elf(struct dump_writer *writer)
{
	TRY(write_elf_headers(writer));
	for (size_t i = 0; i < writer->mem->n_segments; i++) {
		uint64_t at = out_file_position(writer->file);
		TRY(out_file_skip(writer->file, align_up(at, PHYS_PAGE_SIZE) - at));
		TRY(copy_segment(writer, &writer->mem->segments[i]));
	}
	return NULL;
}

struct error *dump_write(struct phys_mem *mem, const struct dump_write_params *params,
			 struct dump_written *ret)
{
	static struct error *(*const writers[])(struct dump_writer *) = {
		[DUMP_WRITE_RAW] = write_raw,
		[DUMP_WRITE_LIME] = write_lime,
		[DUMP_WRITE_ELF] = write_elf,
	};
	AUTO(own_out_file) struct out_file *file = NULL;
	AUTO(own_free) uint8_t *chunk = NULL;
	TRY(error_alloc(CHUNK_BYTES, 1, &chunk));
	TRY(out_file_create(params->path, &file));
	struct dump_writer writer = { .mem = mem,
				      .params = params,
				      .file = file,
				      .chunk = chunk,
				      .total_bytes = phys_mem_size(mem) };
	TRY(writers[params->format](&writer));
	if (!phys_mem_alive(mem))
		return error_create(ERR_FAULT, "the memory went away while it was copied");
	TRY(out_file_commit(file));
	*ret = (struct dump_written){ .memory_bytes = writer.total_bytes,
				      .data_bytes = writer.data_bytes,
				      .file_bytes = out_file_position(file) };
	return NULL;
}

struct error *dump_write_format_parse(const char *name, enum dump_write_format *ret)
{
	static const char *const names[] = { "raw", "lime",
					     "elf" }; /* ORDER dump write formats */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]))
			continue;
		*ret = (enum dump_write_format)i;
		return NULL;
	}
	return error_create(ERR_USAGE, "no dump format '%s': use raw, lime or elf", name);
}
