/* The library's index. Thread: that of the handle. */
#ifndef LEARN_LIBRARY_INTERNAL_H
#define LEARN_LIBRARY_INTERNAL_H
#include "learn/library.h"
struct sqlite3;

struct library {
	char *directory;
	struct sqlite3 *db;
};

struct error *library_index_open(struct library *library);
struct error *library_index_add(struct library *library, const json_t *doc);
struct error *library_index_remove(struct library *library, const char *id);
/* The one id that starts with prefix. Caller frees *ret. */
struct error *library_index_resolve(struct library *library, const char *prefix, char **ret);
#endif
