#include "guest/program_elf.h"

#include <gelf.h>
#include <string.h>

#include "base/error.h"

enum { LOADS_MAX = 16, DYNAMIC_MAX = 4096 };

struct load {
	uint64_t offset, bytes, address;
};

struct program_elf {
	struct symtab *symbols;
	struct load loads[LOADS_MAX];
	unsigned n_loads;
};

static void own_elf(Elf **elf)
{
	elf_end(*elf);
}

static void read_loads(struct program_elf *program, Elf *elf)
{
	size_t n = 0;
	if (elf_getphdrnum(elf, &n))
		return;
	for (size_t i = 0; i < n && program->n_loads < LOADS_MAX; i++) {
		GElf_Phdr header;
		if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_LOAD)
			continue;
		program->loads[program->n_loads++] =
			(struct load){ header.p_offset, header.p_filesz, header.p_vaddr };
	}
}

static bool is_code(Elf *elf, const GElf_Sym *symbol)
{
	GElf_Shdr header;
	unsigned type = GELF_ST_TYPE(symbol->st_info);
	if (symbol->st_shndx == SHN_UNDEF)
		return false;
	if (type == STT_FUNC || type == STT_GNU_IFUNC)
		return true;
	/* Labels of assembly have no type: those in code only. */
	Elf_Scn *section = type == STT_NOTYPE && symbol->st_shndx < SHN_LORESERVE
				   ? elf_getscn(elf, symbol->st_shndx)
				   : NULL;
	return section && gelf_getshdr(section, &header) && header.sh_flags & SHF_EXECINSTR;
}

static struct error *add_symbol(struct program_elf *program, const GElf_Sym *symbol,
				const char *name)
{
	bool is_local = GELF_ST_BIND(symbol->st_info) == STB_LOCAL;
	if (!name || !*name)
		return NULL;
	return symtab_add(program->symbols, symbol->st_value, is_local ? 't' : 'T', name,
			  strlen(name));
}

static struct error *read_section(struct program_elf *program, Elf *elf, GElf_Word type)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header = { 0 };
	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && header.sh_type == type)
			break;
	Elf_Data *data = section ? elf_getdata(section, NULL) : NULL;
	if (!data || !header.sh_entsize)
		return NULL;
	size_t count = data->d_size / header.sh_entsize;
	for (size_t i = 0; i < count && i <= INT32_MAX; i++) {
		GElf_Sym symbol;
		if (gelf_getsym(data, (int)i, &symbol) && is_code(elf, &symbol))
			TRY(add_symbol(program, &symbol,
				       elf_strptr(elf, header.sh_link, symbol.st_name)));
	}
	return NULL;
}

/* Where an address of the program lies in its file. */
static bool file_place(const struct program_elf *program, uint64_t address, uint64_t *ret)
{
	for (unsigned i = 0; i < program->n_loads; i++) {
		const struct load *load = &program->loads[i];
		if (address < load->address || address - load->address >= load->bytes)
			continue;
		*ret = load->offset + (address - load->address);
		return true;
	}
	return false;
}

struct dynamic {
	uint64_t symbols, strings, strings_bytes;
};

static void read_dynamic_entries(Elf *elf, const GElf_Phdr *header, struct dynamic *ret)
{
	Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)header->p_offset, header->p_filesz,
					      ELF_T_DYN);
	GElf_Dyn entry;
	for (int i = 0; data && i < DYNAMIC_MAX && gelf_getdyn(data, i, &entry); i++) {
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_SYMTAB)
			ret->symbols = entry.d_un.d_ptr;
		if (entry.d_tag == DT_STRTAB)
			ret->strings = entry.d_un.d_ptr;
		if (entry.d_tag == DT_STRSZ)
			ret->strings_bytes = entry.d_un.d_val;
	}
}

/* The table has no length of its own; linkers put the strings right behind it. */
static struct error *read_dynamic_table(struct program_elf *program, Elf *elf,
					const struct dynamic *dynamic)
{
	uint64_t symbols_at, strings_at;
	if (dynamic->strings <= dynamic->symbols ||
	    !file_place(program, dynamic->symbols, &symbols_at) ||
	    !file_place(program, dynamic->strings, &strings_at))
		return NULL;
	Elf_Data *table = elf_getdata_rawchunk(elf, (int64_t)symbols_at,
					       dynamic->strings - dynamic->symbols, ELF_T_SYM);
	Elf_Data *strings = elf_getdata_rawchunk(elf, (int64_t)strings_at,
						 dynamic->strings_bytes, ELF_T_BYTE);
	if (!table || !strings)
		return NULL;
	GElf_Sym symbol;
	for (int i = 0; i < INT32_MAX && gelf_getsym(table, i, &symbol); i++) {
		const char *name = (const char *)strings->d_buf + symbol.st_name;
		if (symbol.st_name < strings->d_size && is_code(elf, &symbol) &&
		    memchr(name, 0, strings->d_size - symbol.st_name))
			TRY(add_symbol(program, &symbol, name));
	}
	return NULL;
}

static struct error *read_dynamic(struct program_elf *program, Elf *elf)
{
	size_t n = 0;
	if (elf_getphdrnum(elf, &n))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr header;
		struct dynamic dynamic = { 0 };
		if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_DYNAMIC)
			continue;
		read_dynamic_entries(elf, &header, &dynamic);
		return read_dynamic_table(program, elf, &dynamic);
	}
	return NULL;
}

struct error *program_elf_read(uint8_t *bytes, size_t n, struct program_elf **ret)
{
	AUTO(own_program_elf) struct program_elf *program = NULL;
	elf_version(EV_CURRENT);
	AUTO(own_elf) Elf *elf = elf_memory((char *)bytes, n);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return error_create(ERR_BAD_DATA, "no ELF file");
	TRY(error_alloc(1, sizeof(*program), &program));
	TRY(symtab_create(&program->symbols));
	read_loads(program, elf);
	TRY(read_section(program, elf, SHT_SYMTAB));
	if (!symtab_count(program->symbols))
		TRY(read_section(program, elf, SHT_DYNSYM));
	if (!symtab_count(program->symbols))
		TRY(read_dynamic(program, elf));
	*ret = TAKE(program);
	return NULL;
}

void program_elf_destroy(struct program_elf *program)
{
	if (!program)
		return;
	symtab_destroy(program->symbols);
	free(program);
}

bool program_elf_symbol(struct program_elf *program, uint64_t file_offset, struct symbol *ret,
			uint64_t *into_ret)
{
	for (unsigned i = 0; i < program->n_loads; i++) {
		const struct load *load = &program->loads[i];
		if (file_offset >= load->offset && file_offset - load->offset < load->bytes)
			return symtab_at(program->symbols,
					 load->address + (file_offset - load->offset), ret,
					 into_ret);
	}
	return false;
}
