#include "guest/symbols_file.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/btf.h"
#include "guest/elf_symbols.h"
#include "guest/isf_read.h"
#include "guest/symtab.h"

/* A JSON of a kernel is tens of megabytes; more than this is not one. */
#define UNPACKED_MAX (1ull << 30)

/* The file's bytes: mapped, or unpacked into memory. */
struct file_bytes {
	const char *bytes;
	size_t length;
	void *mapped; /* NULL: nothing to unmap */
	size_t mapped_bytes;
	char *unpacked; /* owned, or NULL */
};

static void file_bytes_deinit(struct file_bytes *file)
{
	if (file->mapped)
		munmap(file->mapped, file->mapped_bytes);
	free(file->unpacked);
}

/* A private copy: somebody may cut the file short while it is read. */
static struct error *load_file(const char *path, struct file_bytes *ret)
{
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return error_system(errno, "cannot open %s", path);
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return error_create(ERR_BAD_DATA, "%s is not a file with symbols", path);
	void *mapped = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mapped == MAP_FAILED)
		return error_system(errno, "cannot map %s", path);
	ret->mapped = mapped;
	ret->mapped_bytes = ret->length = (size_t)st.st_size;
	ret->bytes = mapped;
	return NULL;
}

static bool is_xz(const struct file_bytes *file)
{
	return file->length > 6 && !memcmp(file->bytes,
					   "\xfd"
					   "7zXZ",
					   6);
}

static struct error *unpack_all(struct file_bytes *file, lzma_stream *stream)
{
	size_t room = 16 << 20, length = 0;
	lzma_ret status = LZMA_OK;
	stream->next_in = (const uint8_t *)file->bytes;
	stream->avail_in = file->length;
	while (status == LZMA_OK) {
		char *grown = room <= UNPACKED_MAX ? realloc(file->unpacked, room) : NULL;
		if (!grown)
			return error_create(ERR_LIMIT, "unpacks to more than %llu bytes",
					    (unsigned long long)room / 2);
		file->unpacked = grown;
		stream->next_out = (uint8_t *)grown + length;
		stream->avail_out = room - length;
		status = lzma_code(stream, LZMA_FINISH);
		length = room - stream->avail_out;
		room *= 2;
	}
	if (status != LZMA_STREAM_END)
		return error_create(ERR_BAD_DATA, "the .xz data is damaged");
	file->bytes = file->unpacked;
	file->length = length;
	return NULL;
}

static struct error *unpack(struct file_bytes *file)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	if (lzma_stream_decoder(&stream, 512 << 20, LZMA_CONCATENATED) != LZMA_OK)
		return error_create(ERR_MEMORY, "no memory for unpacking");
	struct error *err = unpack_all(file, &stream);
	lzma_end(&stream);
	return err;
}

/* "ffffffff81000000 T _stext" lines. */
static bool read_map_line(const char **at, const char *end, uint64_t *address, char *type,
			  const char **name, size_t *length)
{
	char *after;
	char line[1024];
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));
	size_t n = (size_t)((stop ? stop : end) - *at);
	if (n >= sizeof(line))
		return false;
	memcpy(line, *at, n);
	line[n] = 0;
	*address = strtoull(line, &after, 16);
	if (after == line || *after != ' ' || !after[1] || after[2] != ' ' || !after[3])
		return false;
	*type = after[1];
	*name = *at + (after + 3 - line);
	*length = strcspn(after + 3, " \t\r");
	*at = stop ? stop + 1 : end;
	return true;
}

static struct error *read_map(const struct file_bytes *file, struct symbols_file *ret)
{
	const char *at = file->bytes, *end = at + file->length, *name;
	uint64_t address;
	char type;
	size_t length;
	TRY(symtab_create(&ret->symbols));
	while (at < end) {
		if (!read_map_line(&at, end, &address, &type, &name, &length))
			return error_create(ERR_BAD_DATA,
					    "line %zu is not \"ADDRESS TYPE NAME\"",
					    symtab_count(ret->symbols) + 1);
		TRY(symtab_add(ret->symbols, address, type, name, length));
	}
	return NULL;
}

static struct error *read_btf(const struct file_bytes *file, struct symbols_file *ret)
{
	uint8_t *copy = NULL;
	size_t length = btf_blob_bytes((const uint8_t *)file->bytes, file->length);
	if (!length || length > file->length)
		return error_create(ERR_BAD_DATA, "the BTF header makes no sense");
	TRY(error_alloc(length, 1, &copy));
	memcpy(copy, file->bytes, length);
	return btf_create(copy, length, NULL, 8, &ret->types);
}

static struct error *read_bytes(const char *path, struct file_bytes *file,
				struct symbols_file *ret, const char **what)
{
	if (is_xz(file))
		TRY(unpack(file));
	const char *bytes = file->bytes;
	if (file->length >= 4 && !memcmp(bytes, "\177ELF", 4)) {
		*what = "vmlinux";
		return elf_symbols_read(path, &ret->symbols, &ret->types);
	}
	if (file->length >= 2 && load_u16(bytes) == BTF_MAGIC) {
		*what = "BTF";
		return read_btf(file, ret);
	}
	size_t blank = 0;
	while (blank < file->length && strchr(" \t\r\n", bytes[blank]) && bytes[blank])
		blank++;
	if (blank < file->length && bytes[blank] == '{') {
		*what = "ISF";
		return isf_read(bytes, file->length, &ret->symbols, &ret->types);
	}
	*what = "System.map";
	return read_map(file, ret);
}

struct error *symbols_file_read(const char *path, struct symbols_file *ret)
{
	struct file_bytes file = { 0 };
	const char *what = "?";
	memset(ret, 0, sizeof(*ret));
	struct error *err = load_file(path, &file);
	if (!err)
		err = read_bytes(path, &file, ret, &what);
	file_bytes_deinit(&file);
	const char *slash = strrchr(path, '/');
	if (!err && asprintf(&ret->source, "%s file %s", what, slash ? slash + 1 : path) < 0)
		err = error_create(ERR_MEMORY, "no memory for a name");
	if (!err)
		return NULL;
	symbols_file_deinit(ret);
	return error_hint(error_wrap(err, "%s as %s", path, what),
			  "--symbols takes ISF, vmlinux, System.map and BTF files");
}

void symbols_file_deinit(struct symbols_file *file)
{
	symtab_destroy(file->symbols);
	btf_destroy(file->types);
	free(file->source);
	memset(file, 0, sizeof(*file));
}
