#include "learn/elf_loops.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/vec.h"

struct section {
	uint64_t gva;
	size_t bytes;
	uint8_t *data;
};

struct function {
	uint64_t gva, bytes;
	char *name;
};

struct elf_code {
	VEC(struct section) sections;
	VEC(struct function) functions;
};

static void own_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static struct error *add_code(struct elf_code *code, Elf_Scn *scn, const GElf_Shdr *header)
{
	const Elf_Data *data = elf_getdata(scn, NULL);
	if (!data || !data->d_buf || data->d_size == 0)
		return NULL;
	struct section section = { .gva = header->sh_addr, .bytes = data->d_size };
	TRY(error_alloc(data->d_size, 1, &section.data));
	memcpy(section.data, data->d_buf, data->d_size);
	if (VEC_PUSH(&code->sections, section))
		return NULL;
	free(section.data);
	return error_create(ERR_MEMORY, "out of memory");
}

static struct error *add_symbols(struct elf_code *code, Elf *elf, Elf_Scn *scn,
				 const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	if (!data || header->sh_entsize == 0)
		return NULL;
	for (int i = 0; i < (int)(header->sh_size / header->sh_entsize); i++) {
		GElf_Sym symbol;
		if (!gelf_getsym(data, i, &symbol))
			break;
		if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_value == 0)
			continue;
		const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
		struct function function = { symbol.st_value, symbol.st_size,
					     name ? strdup(name) : NULL };
		if (!function.name || !VEC_PUSH(&code->functions, function)) {
			free(function.name);
			return error_create(ERR_MEMORY, "out of memory");
		}
	}
	return NULL;
}

static struct error *read_sections(struct elf_code *code, Elf *elf)
{
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr header;
		if (!gelf_getshdr(scn, &header))
			continue;
		if (header.sh_type == SHT_PROGBITS && (header.sh_flags & SHF_EXECINSTR))
			TRY(add_code(code, scn, &header));
		else if (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM)
			TRY(add_symbols(code, elf, scn, &header));
	}
	return NULL;
}

struct error *elf_code_open(const char *path, struct elf_code **ret)
{
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, "cannot open %s", path);
	elf_version(EV_CURRENT);
	AUTO(own_elf) Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	GElf_Ehdr header;
	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) ||
	    header.e_machine != EM_X86_64)
		return error_create(ERR_BAD_DATA, "%s is no x86-64 program", path);
	AUTO(own_elf_code) struct elf_code *code = NULL;
	TRY(error_alloc(1, sizeof(*code), &code));
	TRY(read_sections(code, elf));
	*ret = TAKE(code);
	return NULL;
}

void elf_code_destroy(struct elf_code *code)
{
	if (!code)
		return;
	for (size_t i = 0; i < code->sections.count; i++)
		free(code->sections.items[i].data);
	for (size_t i = 0; i < code->functions.count; i++)
		free(code->functions.items[i].name);
	VEC_FREE(&code->sections);
	VEC_FREE(&code->functions);
	free(code);
}

static size_t read_code(void *user, uint64_t gva, uint8_t *to, size_t bytes)
{
	const struct elf_code *code = user;
	for (size_t i = 0; i < code->sections.count; i++) {
		const struct section *section = &code->sections.items[i];
		if (gva < section->gva || gva - section->gva >= section->bytes)
			continue;
		size_t at = gva - section->gva, have = section->bytes - at;
		have = have < bytes ? have : bytes;
		memcpy(to, section->data + at, have);
		return have;
	}
	return 0;
}

struct code_source elf_code_source(const struct elf_code *code)
{
	return (struct code_source){ .read = read_code, .user = (void *)(uintptr_t)code };
}

struct heads {
	VEC(uint64_t) list;
};

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = load_u64(a), y = load_u64(b);
	return x < y ? -1 : x > y;
}

static bool is_backward_jump(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op)
{
	bool jump = insn->meta.category == ZYDIS_CATEGORY_COND_BR ||
		    insn->meta.category == ZYDIS_CATEGORY_UNCOND_BR;
	return jump && insn->operand_count > 0 && op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       op[0].imm.is_relative && op[0].imm.value.s < 0;
}

static bool sweep(const struct section *section, struct heads *heads)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t at = 0; at < section->bytes;) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, section->data + at,
							 section->bytes - at, &insn,
							 operands))) {
			at++;
			continue;
		}
		uint64_t gva = section->gva + at, target = gva;
		at += insn.length;
		bool repeats = insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPZ |
						  ZYDIS_ATTRIB_HAS_REPNZ);
		if (is_backward_jump(&insn, operands))
			target = gva + insn.length + (uint64_t)operands[0].imm.value.s;
		else if (!repeats || insn.meta.category != ZYDIS_CATEGORY_STRINGOP)
			continue;
		if (target >= section->gva && !VEC_PUSH(&heads->list, target))
			return false;
	}
	return true;
}

struct error *elf_code_heads(const struct elf_code *code, uint64_t **heads_ret,
			     size_t *count_ret)
{
	struct heads heads = { 0 };
	for (size_t i = 0; i < code->sections.count; i++) {
		if (sweep(&code->sections.items[i], &heads))
			continue;
		VEC_FREE(&heads.list);
		return error_create(ERR_MEMORY, "out of memory");
	}
	size_t count = 0;
	if (heads.list.count)
		qsort(heads.list.items, heads.list.count, sizeof(uint64_t), compare_u64);
	for (size_t i = 0; i < heads.list.count; i++)
		if (count == 0 || heads.list.items[count - 1] != heads.list.items[i])
			heads.list.items[count++] = heads.list.items[i];
	*heads_ret = heads.list.items;
	*count_ret = count;
	return NULL;
}

const char *elf_code_symbol(const struct elf_code *code, uint64_t gva)
{
	for (size_t i = 0; i < code->functions.count; i++) {
		const struct function *f = &code->functions.items[i];
		if (gva >= f->gva && gva - f->gva < f->bytes)
			return f->name;
	}
	return NULL;
}

uint64_t elf_code_find(const struct elf_code *code, const char *name, uint64_t *bytes_ret)
{
	for (size_t i = 0; i < code->functions.count; i++) {
		const struct function *f = &code->functions.items[i];
		if (strcmp(f->name, name) != 0)
			continue;
		*bytes_ret = f->bytes;
		return f->gva;
	}
	return 0;
}
