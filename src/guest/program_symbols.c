#include "guest/program_symbols.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "guest/file_pages.h"
#include "guest/program_elf.h"
#include "guest/task.h"
#include "guest/vma.h"

enum { FILE_BYTES_MAX = 64 << 20, FILES_MAX = 256, AREAS_MAX = 4096 };

struct program_file {
	uint64_t mapping;
	struct program_elf *elf; /* NULL: not an ELF file, or not in memory */
};

/* A memory area seen before. */
struct area {
	uint64_t mm, start, end, offset, mapping;
	char file[64];
};

struct program_symbols {
	struct guest *guest;
	VEC(struct program_file) files;
	VEC(struct area) areas;
};

struct error *program_symbols_create(struct guest *guest, struct program_symbols **ret)
{
	TRY(error_alloc(1, sizeof(**ret), ret));
	(*ret)->guest = guest;
	return NULL;
}

void program_symbols_destroy(struct program_symbols *symbols)
{
	if (!symbols)
		return;
	for (size_t i = 0; i < symbols->files.count; i++)
		program_elf_destroy(symbols->files.items[i].elf);
	VEC_FREE(&symbols->files);
	VEC_FREE(&symbols->areas);
	free(symbols);
}

static struct program_elf *read_file(struct program_symbols *symbols, uint64_t mapping)
{
	AUTO(own_free) uint8_t *bytes = NULL;
	size_t n;
	struct program_elf *elf = NULL;
	struct error *err =
		guest_file_pages_read(symbols->guest, mapping, FILE_BYTES_MAX, &bytes, &n);
	if (!err)
		err = program_elf_read(bytes, n, &elf);
	error_destroy(err); /* a file without symbols gives none */
	return elf;
}

static struct program_elf *file_of(struct program_symbols *symbols, uint64_t mapping)
{
	for (size_t i = 0; i < symbols->files.count; i++)
		if (symbols->files.items[i].mapping == mapping)
			return symbols->files.items[i].elf;
	if (!mapping || symbols->files.count >= FILES_MAX)
		return NULL;
	struct program_elf *elf = read_file(symbols, mapping);
	struct program_file file = { mapping, elf };
	if (VEC_PUSH(&symbols->files, file))
		return elf;
	program_elf_destroy(elf);
	return NULL;
}

struct area_search {
	struct program_symbols *symbols;
	uint64_t mm, gva;
	const struct area *found;
};

static bool take_area(void *user, const struct guest_vma *vma)
{
	struct area_search *search = user;
	struct program_symbols *symbols = search->symbols;
	if (search->gva < vma->start || search->gva >= vma->end)
		return vma->start <= search->gva;
	struct area area = { .mm = search->mm,
			     .start = vma->start,
			     .end = vma->end,
			     .offset = vma->offset,
			     .mapping = guest_file_mapping(symbols->guest, vma->file) };
	const char *slash = strrchr(vma->path, '/');
	if (vma->file)
		snprintf(area.file, sizeof(area.file), "%.63s", slash ? slash + 1 : vma->path);
	if (symbols->areas.count < AREAS_MAX && VEC_PUSH(&symbols->areas, area))
		search->found = &symbols->areas.items[symbols->areas.count - 1];
	return false;
}

static const struct area *area_of(struct program_symbols *symbols,
				  const struct guest_task *task, uint64_t gva)
{
	for (size_t i = 0; i < symbols->areas.count; i++) {
		const struct area *area = &symbols->areas.items[i];
		if (area->mm == task->mm && gva >= area->start && gva < area->end)
			return area;
	}
	struct area_search search = { symbols, task->mm, gva, NULL };
	guest_vmas_each(symbols->guest, task, take_area, &search);
	return search.found;
}

bool program_symbols_find(struct program_symbols *symbols, const struct guest_task *task,
			  uint64_t gva, struct program_place *ret)
{
	const struct area *area = area_of(symbols, task, gva);
	struct symbol symbol;
	*ret = (struct program_place){ 0 };
	if (!area || !area->file[0])
		return false;
	memcpy(ret->file, area->file, sizeof(ret->file));
	ret->file_offset = area->offset + (gva - area->start);
	struct program_elf *elf = file_of(symbols, area->mapping);
	if (elf && program_elf_symbol(elf, ret->file_offset, &symbol, &ret->into_symbol))
		ret->symbol = symbol.name;
	return true;
}
