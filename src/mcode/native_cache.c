/* A file: the length of the key as a 64-bit number, the key, the image. */
#include "mcode/native_cache.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/bytes.h"
#include "base/cache_path.h"
#include "base/error.h"
#include "base/out_file.h"
#include "base/own.h"

enum { LENGTH_BYTES = 8 };

static struct error *path_of(const char *key, char **ret)
{
	AUTO(own_free) char *folder = NULL;
	XXH128_hash_t hash = XXH3_128bits(key, strlen(key));
	TRY(cache_folder("native", &folder));
	if (asprintf(ret, "%s/%016" PRIx64 "%016" PRIx64, folder, hash.high64, hash.low64) < 0)
		return error_create(ERR_MEMORY, "no memory for a path");
	return NULL;
}

static bool is_ours(int fd, struct stat *info)
{
	return fd >= 0 && !fstat(fd, info) && S_ISREG(info->st_mode) &&
	       info->st_uid == geteuid() && !(info->st_mode & 022);
}

/* The file, if it holds this very key. */
static uint8_t *read_file(const char *path, const char *key, size_t most_bytes,
			  size_t *bytes_ret)
{
	struct stat info;
	size_t key_bytes = strlen(key), head = LENGTH_BYTES + key_bytes;
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (!is_ours(fd, &info) || (uint64_t)info.st_size <= head ||
	    (uint64_t)info.st_size - head > most_bytes)
		return NULL;
	AUTO(own_free) uint8_t *all = malloc((size_t)info.st_size);
	if (!all || pread(fd, all, (size_t)info.st_size, 0) != info.st_size ||
	    load_u64(all) != key_bytes || memcmp(all + LENGTH_BYTES, key, key_bytes) != 0)
		return NULL;
	*bytes_ret = (size_t)info.st_size - head;
	memmove(all, all + head, *bytes_ret);
	return TAKE(all);
}

uint8_t *native_cache_find(const char *key, size_t most_bytes, size_t *bytes_ret)
{
	AUTO(own_free) char *path = NULL;
	struct error *err = path_of(key, &path);
	if (!err)
		return read_file(path, key, most_bytes, bytes_ret);
	error_destroy(err);
	return NULL;
}

static struct error *keep(const char *key, const uint8_t *image, size_t bytes)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_out_file) struct out_file *file = NULL;
	uint64_t length = strlen(key);
	TRY(path_of(key, &path));
	TRY(out_file_create(path, &file));
	TRY(out_file_write(file, &length, LENGTH_BYTES));
	TRY(out_file_write(file, key, length));
	TRY(out_file_write(file, image, bytes));
	return out_file_commit(file);
}

void native_cache_keep(const char *key, const uint8_t *image, size_t bytes)
{
	error_destroy(keep(key, image, bytes));
}
