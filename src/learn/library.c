#include "learn/library.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "learn/learned.h"
#include "learn/library_internal.h"
#include "mcode/image.h"
#include "mcode/text.h"

enum { DOCUMENT_MAX = 64 << 20 };

static void own_json(json_t **json)
{
	json_decref(*json);
}

static struct error *default_directory(char **ret)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	bool own = data && *data;
	if (!own && (!home || !*home))
		return error_create(ERR_NOT_FOUND, "neither XDG_DATA_HOME nor HOME is set");
	if (asprintf(ret, "%s%s/glassbox/kernels", own ? data : home,
		     own ? "" : "/.local/share") < 0)
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static struct error *make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	if (mkdir(path, 0755) && errno != EEXIST)
		return error_system(errno, "cannot make %s", path);
	return NULL;
}

struct error *library_open(const char *directory, struct library **ret)
{
	AUTO(own_library) struct library *library = NULL;
	TRY(error_alloc(1, sizeof(*library), &library));
	if (directory)
		library->directory = strdup(directory);
	else
		TRY(default_directory(&library->directory));
	if (!library->directory)
		return error_create(ERR_MEMORY, "out of memory");
	TRY(make_directories(library->directory));
	TRY(library_index_open(library));
	*ret = TAKE(library);
	return NULL;
}

void library_close(struct library *library)
{
	if (!library)
		return;
	sqlite3_close(library->db);
	free(library->directory);
	free(library);
}

const char *library_directory(const struct library *library)
{
	return library->directory;
}

/* Hash over the document without its "check", in a form that does not depend on the writer. */
static struct error *check_of(const json_t *doc, char ret[LEARNED_ID])
{
	AUTO(own_json) json_t *copy = json_copy((json_t *)(uintptr_t)doc);
	if (!copy)
		return error_create(ERR_MEMORY, "out of memory");
	json_object_del(copy, "check");
	AUTO(own_free)
	char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
	if (!text)
		return error_create(ERR_MEMORY, "out of memory");
	XXH128_hash_t hash = XXH3_128bits(text, strlen(text));
	snprintf(ret, LEARNED_ID, "%016llx%016llx", (unsigned long long)hash.high64,
		 (unsigned long long)hash.low64);
	return NULL;
}

static bool is_id(const char *id)
{
	return strlen(id) == LEARNED_ID - 1 && strspn(id, "0123456789abcdef") == LEARNED_ID - 1;
}

static struct error *write_all(int fd, const void *bytes, size_t count, const char *path)
{
	for (size_t done = 0; done < count;) {
		ssize_t wrote = write(fd, (const char *)bytes + done, count - done);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return error_system(errno, "cannot write %s", path);
		done += (size_t)wrote;
	}
	return NULL;
}

/* Whole or not at all, also with others writing the same. */
static struct error *replace_file(const char *path, const void *bytes, size_t count)
{
	AUTO(own_free) char *temporary = NULL;
	if (asprintf(&temporary, "%s.%d.XXXXXX", path, (int)getpid()) < 0)
		return error_create(ERR_MEMORY, "out of memory");
	AUTO(own_fd) int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, "cannot make %s", temporary);
	struct error *err = write_all(fd, bytes, count, temporary);
	if (!err && fchmod(fd, 0644))
		err = error_system(errno, "cannot finish %s", temporary);
	if (!err && rename(temporary, path))
		err = error_system(errno, "cannot rename to %s", path);
	if (err)
		unlink(temporary);
	return err;
}

static struct error *path_of(const struct library *library, const char *id, const char *suffix,
			     char **ret)
{
	if (asprintf(ret, "%s/%s%s", library->directory, id, suffix) < 0)
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

struct error *library_store(struct library *library, const json_t *doc,
			    const struct mcode_kernel *kernel)
{
	const char *id = json_string_value(json_object_get(doc, "id"));
	char check[LEARNED_ID];
	AUTO(own_free) char *path = NULL;
	AUTO(own_free) char *picture = NULL;
	AUTO(own_free) uint8_t *png = NULL;
	size_t png_bytes;
	if (!id || !is_id(id))
		return error_create(ERR_BAD_DATA, "a kernel without an id");
	TRY(check_of(doc, check));
	AUTO(own_json) json_t *signed_doc = json_copy((json_t *)(uintptr_t)doc);
	json_object_set_new(signed_doc, "check", json_string(check));
	AUTO(own_free)
	char *text = json_dumps(signed_doc, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
	if (!text)
		return error_create(ERR_MEMORY, "out of memory");
	TRY(mcode_png_encode(kernel, &png, &png_bytes));
	TRY(path_of(library, id, ".json", &path));
	TRY(path_of(library, id, ".png", &picture));
	TRY(replace_file(picture, png, png_bytes));
	TRY(replace_file(path, text, strlen(text)));
	return library_index_add(library, doc);
}

static struct error *check_proof(const json_t *doc)
{
	const json_t *proof = json_object_get(doc, "proof");
	const json_t *steps = json_object_get(proof, "steps");
	const char *status = json_string_value(json_object_get(proof, "status"));
	if (!status || strcmp(status, "proved") != 0 || json_array_size(steps) == 0)
		return error_create(ERR_BAD_DATA, "its proof is not complete");
	size_t i;
	const json_t *step;
	json_array_foreach((json_t *)(uintptr_t)steps, i, step)
	{
		const char *verdict = json_string_value(json_object_get(step, "verdict"));
		if (!verdict || strcmp(verdict, "proved") != 0)
			return error_create(ERR_BAD_DATA, "a step of its proof is missing");
	}
	const json_t *tests = json_object_get(doc, "tests");
	if (json_integer_value(json_object_get(tests, "mismatches")) != 0 ||
	    json_integer_value(json_object_get(tests, "cases")) < 1)
		return error_create(ERR_BAD_DATA, "its tests did not pass");
	return NULL;
}

struct error *library_kernel(const json_t *doc, struct mcode_kernel **ret)
{
	const char *text = json_string_value(json_object_get(doc, "microcode"));
	if (!text)
		return error_create(ERR_BAD_DATA, "it has no microcode");
	return mcode_assemble(text, strlen(text), ret);
}

struct error *library_check(const char *text, size_t length_bytes, const char *id, json_t **ret)
{
	json_error_t where;
	char check[LEARNED_ID];
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	AUTO(own_json)
	json_t *doc = json_loadb(text, length_bytes, JSON_REJECT_DUPLICATES, &where);
	if (!json_is_object(doc))
		return error_create(ERR_BAD_DATA, "no JSON document: %s", where.text);
	const char *format = json_string_value(json_object_get(doc, "format"));
	const char *have_id = json_string_value(json_object_get(doc, "id"));
	const char *have_check = json_string_value(json_object_get(doc, "check"));
	if (!format || strcmp(format, "glassbox-kernel-1") != 0)
		return error_create(ERR_BAD_DATA, "not a kernel of this version");
	if (!have_id || !is_id(have_id) || (id && strcmp(id, have_id) != 0))
		return error_create(ERR_BAD_DATA, "its id is another one");
	TRY(check_of(doc, check));
	if (!have_check || strcmp(check, have_check) != 0)
		return error_create(ERR_BAD_DATA, "its check does not fit its content");
	TRY(check_proof(doc));
	TRY(library_kernel(doc, &kernel));
	if (strcmp(kernel->name, have_id) != 0)
		return error_create(ERR_BAD_DATA, "its microcode belongs to another kernel");
	*ret = TAKE(doc);
	return NULL;
}

static struct error *read_file(const char *path, char **ret, size_t *count_ret)
{
	struct stat info;
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return error_create(ERR_NOT_FOUND, "no kernel %s", path);
	if (fd < 0 || fstat(fd, &info))
		return error_system(errno, "cannot open %s", path);
	if (!S_ISREG(info.st_mode) || info.st_size > DOCUMENT_MAX)
		return error_create(ERR_BAD_DATA, "%s is no kernel file", path);
	AUTO(own_free) char *text = NULL;
	TRY(error_alloc((size_t)info.st_size + 1, 1, &text));
	size_t have = 0;
	while (have < (size_t)info.st_size) {
		ssize_t got = read(fd, text + have, (size_t)info.st_size - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		have += (size_t)got;
	}
	*count_ret = have;
	*ret = TAKE(text);
	return NULL;
}

struct error *library_load(struct library *library, const char *id, json_t **ret)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_free) char *text = NULL;
	AUTO(own_free) char *full = NULL;
	size_t length = 0;
	TRY(library_index_resolve(library, id, &full));
	TRY(path_of(library, full, ".json", &path));
	TRY(read_file(path, &text, &length));
	return error_wrap(library_check(text, length, full, ret), "%s", path);
}

struct error *library_remove(struct library *library, const char *id)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_free) char *picture = NULL;
	if (!is_id(id))
		return error_create(ERR_NOT_FOUND, "no kernel %s", id);
	TRY(path_of(library, id, ".json", &path));
	TRY(path_of(library, id, ".png", &picture));
	unlink(path);
	unlink(picture);
	return library_index_remove(library, id);
}
