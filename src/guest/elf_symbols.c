#include "guest/elf_symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "guest/btf.h"
#include "guest/dwarf_types.h"
#include "guest/symtab.h"

static void own_elf(Elf **elf)
{
	elf_end(*elf);
}

static Elf_Scn *find_section(Elf *elf, const char *name, GElf_Word type)
{
	size_t names;
	Elf_Scn *section = NULL;
	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		const char *found;
		if (!gelf_getshdr(section, &header))
			continue;
		found = elf_strptr(elf, names, header.sh_name);
		if ((type && header.sh_type == type) || (name && found && !strcmp(found, name)))
			return section;
	}
	return NULL;
}

/* The letter that nm would print. */
static char letter_of(const GElf_Sym *symbol)
{
	bool is_local = GELF_ST_BIND(symbol->st_info) == STB_LOCAL;
	char letter = GELF_ST_TYPE(symbol->st_info) == STT_FUNC	    ? 't'
		      : symbol->st_shndx == SHN_ABS		    ? 'a'
		      : GELF_ST_TYPE(symbol->st_info) == STT_OBJECT ? 'd'
								    : 'r';
	return is_local ? letter : (char)(letter - 32);
}

static struct error *read_table(Elf *elf, struct symtab **ret)
{
	Elf_Scn *section = find_section(elf, NULL, SHT_SYMTAB);
	Elf_Data *data = section ? elf_getdata(section, NULL) : NULL;
	GElf_Shdr header;
	if (!data || !gelf_getshdr(section, &header) || !header.sh_entsize)
		return NULL;
	size_t count = data->d_size / header.sh_entsize;
	TRY(symtab_create(ret));
	for (size_t i = 0; i < count && i <= INT32_MAX; i++) {
		GElf_Sym symbol;
		if (!gelf_getsym(data, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF ||
		    GELF_ST_TYPE(symbol.st_info) == STT_SECTION ||
		    GELF_ST_TYPE(symbol.st_info) == STT_FILE)
			continue;
		const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
		if (name && *name)
			TRY(symtab_add(*ret, symbol.st_value, letter_of(&symbol), name,
				       strlen(name)));
	}
	return NULL;
}

static struct error *read_btf(Elf *elf, unsigned word_bytes, struct btf **ret)
{
	Elf_Scn *section = find_section(elf, ".BTF", 0);
	Elf_Data *data = section ? elf_rawdata(section, NULL) : NULL;
	uint8_t *copy = NULL;
	if (!data || !data->d_size || !data->d_buf)
		return NULL;
	size_t length = btf_blob_bytes(data->d_buf, data->d_size);
	if (!length || length > data->d_size)
		return error_create(ERR_BAD_DATA, "section .BTF makes no sense");
	TRY(error_alloc(length, 1, &copy));
	memcpy(copy, data->d_buf, length);
	return btf_create(copy, length, NULL, word_bytes, ret);
}

struct error *elf_symbols_read(const char *path, struct symtab **symbols_ret,
			       struct btf **types_ret)
{
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, "cannot open");
	elf_version(EV_CURRENT);
	AUTO(own_elf) Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return error_create(ERR_BAD_DATA, "damaged ELF file: %s", elf_errmsg(-1));
	unsigned word_bytes = gelf_getclass(elf) == ELFCLASS32 ? 4 : 8;
	TRY(read_table(elf, symbols_ret));
	TRY(read_btf(elf, word_bytes, types_ret));
	if (!*types_ret)
		TRY(dwarf_types_read(elf, word_bytes, types_ret));
	if (!*types_ret && !*symbols_ret)
		return error_hint(error_create(ERR_BAD_DATA,
					       "no symbol table, no BTF and no DWARF inside"),
				  "a stripped kernel image has none; take the one from the "
				  "distribution's debug package");
	return NULL;
}
