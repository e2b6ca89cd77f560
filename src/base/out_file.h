/* A file written as a whole or not at all: until commit nothing is visible under its name, and
 * an error, Ctrl-C or a kill leaves nothing behind. Thread: one at a time per file. */
#ifndef BASE_OUT_FILE_H
#define BASE_OUT_FILE_H
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct out_file;

/* Starts a file that replaces path at commit. A path that names a pipe or device is written
 * directly; "-" is standard output. Caller owns *ret. Fails: ERR_SYSTEM. */
struct error *out_file_create(const char *path, struct out_file **ret);

/* Gives up what was not committed; NULL is fine. */
void out_file_destroy(struct out_file *file);

/* Appends bytes. Fails: ERR_SYSTEM (disk full among others). */
struct error *out_file_write(struct out_file *file, const void *bytes, size_t length_bytes);

/* Goes forward without writing: a hole that reads as zero. */
struct error *out_file_skip(struct out_file *file, uint64_t length_bytes);

/* Bytes appended and skipped so far. */
uint64_t out_file_position(const struct out_file *file);

/* Makes the file visible under its name. Nothing may be written afterwards. */
struct error *out_file_commit(struct out_file *file);

OWN_DECLARE(own_out_file, struct out_file *, out_file_destroy)
#endif
