/* A second source of symbols and types: a file given with --symbols. ISF (.json, .json.xz),
 * vmlinux with BTF or DWARF, System.map, a BTF file. Thread: one. */
#ifndef GUEST_SYMBOLS_FILE_H
#define GUEST_SYMBOLS_FILE_H
struct btf;
struct error;
struct symtab;

struct symbols_file {
	struct symtab *symbols; /* NULL: the file has types only */
	struct btf *types; /* NULL: the file has symbols only */
	char *source; /* "ISF file linux.json.xz", for status */
};

/* Caller owns what is in *ret (symbols_file_deinit). Fails: ERR_SYSTEM, ERR_BAD_DATA. */
struct error *symbols_file_read(const char *path, struct symbols_file *ret);
void symbols_file_deinit(struct symbols_file *file);
#endif
