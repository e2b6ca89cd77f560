/* Results of a discovery, kept in a text file beside the VM's other state, so that the next run
 * of the command line needs no search:
 *
 *   1. It is used only if it is ours (owner, not writable by others) and if what it names is
 *      still in RAM: VMCOREINFO, banner, token index and a sample of BTF have the same bytes,
 *      and the page tables lead to the banner.
 *   2. It holds places and numbers, never pointers or lengths that are trusted: a wrong one
 *      gives a wrong offset for a bounds-checked read, not a crash.
 *   3. A kernel with doubts is not kept: they must show again next time.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/error.h"
#include "guest/btf.h"
#include "guest/internal.h"

static const char first_line[] = "glassbox guest cache 1\n";

enum { CACHE_BYTES_MAX = 4 << 20, SAMPLES = 64, SAMPLE_BYTES = 64 };

/* Hash of bytes spread evenly over a range of RAM. */
static uint64_t sample_hash(struct guest *guest, uint64_t gpa, uint64_t length)
{
	uint8_t samples[SAMPLES * SAMPLE_BYTES] = { 0 };
	if (!length)
		return 0;
	uint64_t step = length > SAMPLE_BYTES ? (length - SAMPLE_BYTES) / SAMPLES : 0;
	for (unsigned i = 0; i < SAMPLES; i++)
		phys_mem_read(guest->mem, gpa + i * step, samples + i * SAMPLE_BYTES,
			      length < SAMPLE_BYTES ? (size_t)length : SAMPLE_BYTES);
	return XXH3_64bits(samples, sizeof(samples));
}

static uint64_t info_hash(const struct guest *guest)
{
	return guest->has_info ? XXH3_64bits(guest->info.text, guest->info.length_bytes) : 0;
}

static uint64_t index_gpa(const struct guest *guest)
{
	return guest->kallsyms_gpa + guest->kallsyms.token_index;
}

/* --- writing ---------------------------------------------------------------------------- */

static void write_memo(const struct memo *memo, FILE *to)
{
	const struct field *f = &memo->field;
	fprintf(to, "%c %d %" PRIx64 " %u %u %u %u %d %s\n", (int)memo->kind, memo->found,
		memo->value, f->offset, f->size_bytes, f->bit_shift, f->bit_size, f->is_signed,
		memo->name);
}

static void write_all(struct guest *guest, FILE *to)
{
	const struct kallsyms *k = &guest->kallsyms;
	fputs(first_line, to);
	fprintf(to, "info %d %" PRIx64 " %" PRIx64 "\n", guest->has_info, guest->info.gpa,
		info_hash(guest));
	fprintf(to, "place %" PRIx64 " %" PRIx64 " %d %" PRIx64 " %u\n", guest->banner_gpa,
		guest->image_delta, (int)guest->paging, guest->kernel.root_gpa,
		guest->word_bytes);
	fprintf(to, "kallsyms %d %" PRIx64 " %zx %zx %" PRIx64 "\n", guest->has_kallsyms,
		guest->kallsyms_gpa, guest->kallsyms_window_bytes, k->token_index,
		sample_hash(guest, index_gpa(guest), KALLSYMS_INDEX_BYTES));
	fprintf(to, "btf %" PRIx64 " %zx %" PRIx64 "\n", guest->btf_gpa, guest->btf_bytes,
		sample_hash(guest, guest->btf_gpa, guest->btf_bytes));
	fprintf(to, "%s\n%s\n%s\n%s\n", guest->banner, guest->symbol_source, guest->type_source,
		guest->kaslr_source);
	for (size_t i = 0; i < guest->memos.count; i++)
		write_memo(&guest->memos.items[i], to);
}

void guest_cache_save(struct guest *guest)
{
	AUTO(own_free) char *path = NULL;
	if (guest->doubts.count || asprintf(&path, "%s.%d", guest->cache_path, getpid()) < 0)
		return;
	AUTO(own_fd)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* A cache is a convenience: without a place for it, nothing is lost. */
	FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!to)
		return;
	own_fd_take(&fd);
	write_all(guest, to);
	bool good = !ferror(to);
	good = !fclose(to) && good;
	if (!good || rename(path, guest->cache_path))
		unlink(path);
}

/* --- reading ---------------------------------------------------------------------------- */

/* The whole file as text, or NULL. */
static char *read_file(const char *path)
{
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat info;
	if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_uid != geteuid() ||
	    info.st_mode & 022 || info.st_size > CACHE_BYTES_MAX)
		return NULL;
	AUTO(own_free) char *text = malloc((size_t)info.st_size + 1);
	if (!text || read(fd, text, (size_t)info.st_size) != info.st_size)
		return NULL;
	text[info.st_size] = 0;
	return TAKE(text);
}

/* Cuts the next line off; NULL at the end. */
static char *next_line(char **at)
{
	char *line = *at, *end = line ? strchr(line, '\n') : NULL;
	if (!end)
		return NULL;
	*end = 0;
	*at = end + 1;
	return line;
}

static bool read_places(struct guest *guest, char **at)
{
	int has_info = 0, has_kallsyms = 0, paging = 0;
	uint64_t info_gpa, hash, root, kallsyms_hash, btf_hash;
	char *line = next_line(at);
	if (!line ||
	    sscanf(line, "info %d %" SCNx64 " %" SCNx64, &has_info, &info_gpa, &hash) != 3)
		return false;
	if (has_info) {
		guest->has_info = vmcoreinfo_read(guest->mem, info_gpa, &guest->info);
		if (!guest->has_info || info_hash(guest) != hash)
			return false;
	}
	line = next_line(at);
	if (!line ||
	    sscanf(line, "place %" SCNx64 " %" SCNx64 " %d %" SCNx64 " %u", &guest->banner_gpa,
		   &guest->image_delta, &paging, &root, &guest->word_bytes) != 5 ||
	    paging < GUEST_PAGING_2LEVEL || paging > GUEST_PAGING_5LEVEL ||
	    (guest->word_bytes != 8 && guest->word_bytes != 4))
		return false;
	guest->paging = (enum guest_paging)paging;
	guest_space_init(&guest->kernel, guest->mem, root, guest->paging);
	guest->has_delta = guest->has_kernel_space = true;
	line = next_line(at);
	if (!line || sscanf(line, "kallsyms %d %" SCNx64 " %zx %zx %" SCNx64, &has_kallsyms,
			    &guest->kallsyms_gpa, &guest->kallsyms_window_bytes,
			    &guest->kallsyms.token_index, &kallsyms_hash) != 5)
		return false;
	guest->has_kallsyms = has_kallsyms;
	if (has_kallsyms &&
	    (guest->kallsyms_window_bytes > KALLSYMS_BEFORE_BYTES + KALLSYMS_AFTER_BYTES ||
	     sample_hash(guest, index_gpa(guest), KALLSYMS_INDEX_BYTES) != kallsyms_hash))
		return false;
	line = next_line(at);
	if (!line ||
	    sscanf(line, "btf %" SCNx64 " %zx %" SCNx64, &guest->btf_gpa, &guest->btf_bytes,
		   &btf_hash) != 3 ||
	    guest->btf_bytes > BTF_BYTES_MAX)
		return false;
	return sample_hash(guest, guest->btf_gpa, guest->btf_bytes) == btf_hash;
}

static bool read_texts(struct guest *guest, char **at)
{
	char *banner = next_line(at), *symbols = next_line(at), *types = next_line(at),
	     *kaslr = next_line(at);
	if (!kaslr)
		return false;
	snprintf(guest->symbol_source, sizeof(guest->symbol_source), "%s", symbols);
	snprintf(guest->type_source, sizeof(guest->type_source), "%s", types);
	snprintf(guest->kaslr_source, sizeof(guest->kaslr_source), "%s", kaslr);
	return guest_read_banner(guest, guest->banner_gpa) && !strcmp(guest->banner, banner);
}

static bool banner_is_mapped(struct guest *guest)
{
	struct guest_mapping mapping;
	uint64_t gva = guest->banner_gpa - guest->image_delta;
	if (guest->word_bytes == 4)
		gva &= UINT32_MAX;
	return guest_space_walk(&guest->kernel, gva, &mapping) == GUEST_WALK_OK &&
	       mapping.gpa == guest->banner_gpa;
}

static void read_memo(struct guest *guest, const char *line)
{
	char kind;
	int found, is_signed, name_at = 0;
	unsigned shift, bits;
	uint64_t value;
	struct field field = { 0 };
	if (sscanf(line, "%c %d %" SCNx64 " %u %u %u %u %d %n", &kind, &found, &value,
		   &field.offset, &field.size_bytes, &shift, &bits, &is_signed,
		   &name_at) != 8 ||
	    !name_at || !strchr("sfze", kind) || shift > 7 || bits > 64)
		return;
	field.found = found;
	field.bit_shift = (uint8_t)shift;
	field.bit_size = (uint8_t)bits;
	field.is_signed = is_signed;
	bool is_new = false;
	struct memo *memo = guest_memo(guest, (enum memo_kind)kind, line + name_at, &is_new);
	if (!memo || !is_new)
		return;
	memo->found = found;
	memo->value = value;
	memo->field = kind == MEMO_FIELD ? field : (struct field){ 0 };
}

static bool load_text(struct guest *guest, char *text)
{
	size_t skip = sizeof(first_line) - 1;
	if (strncmp(text, first_line, skip))
		return false;
	char *at = text + skip;
	if (!read_places(guest, &at) || !read_texts(guest, &at) || !banner_is_mapped(guest))
		return false;
	for (char *line = next_line(&at); line; line = next_line(&at))
		read_memo(guest, line);
	return true;
}

/* Undoes a load that failed half-way. */
static void forget_load(struct guest *guest)
{
	guest_forget_memos(guest);
	guest->has_info = guest->has_kallsyms = guest->has_delta = false;
	guest->has_kernel_space = false;
	guest->btf_gpa = guest->btf_bytes = 0;
	guest->word_bytes = 8;
	*guest->banner = *guest->release = *guest->symbol_source = *guest->type_source = 0;
	*guest->kaslr_source = 0;
	memset(&guest->kallsyms, 0, sizeof(guest->kallsyms));
}

bool guest_cache_load(struct guest *guest)
{
	AUTO(own_free) char *text = read_file(guest->cache_path);
	if (!text)
		return false;
	guest->from_cache = load_text(guest, text);
	if (!guest->from_cache)
		forget_load(guest);
	guest->memos_changed = false;
	return guest->from_cache;
}
