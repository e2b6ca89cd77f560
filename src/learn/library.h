/* The kernel library: ID.json, ID.png and an SQLite index in $XDG_DATA_HOME/glassbox/kernels.
 * Files are written whole and renamed into place, the index is a transaction: several learners
 * may work at once. A file whose check does not fit, whose microcode does not assemble, or
 * whose proof is not complete is refused. Thread: a library handle belongs to one thread. */
#ifndef LEARN_LIBRARY_H
#define LEARN_LIBRARY_H
#include <jansson.h>
#include <stdbool.h>

#include "base/own.h"

#include "learn/vex.h"
struct error;
struct library;
struct mcode_kernel;

/* directory NULL: the user's own, made if missing. Caller owns *ret. */
struct error *library_open(const char *directory, struct library **ret);
void library_close(struct library *library);
OWN_DECLARE(own_library, struct library *, library_close)

/* Adds or replaces a document of learned_to_json and its picture. */
struct error *library_store(struct library *library, const json_t *doc,
			    const struct mcode_kernel *kernel);

/* Reads and checks a document. Caller owns *ret. ERR_NOT_FOUND, ERR_BAD_DATA. */
struct error *library_load(struct library *library, const char *id, json_t **ret);
/* The same from bytes: what library_load checks. */
struct error *library_check(const char *text, size_t length_bytes, const char *id,
			    json_t **ret);
/* The microcode of a checked document. Caller owns *ret. */
struct error *library_kernel(const json_t *doc, struct mcode_kernel **ret);

/* A kernel for the code at head, all of whose bytes are as they were when it was learned. id
 * has room for 33 bytes; ERR_NOT_FOUND. */
struct error *library_find(struct library *library, const struct code_source *source,
			   uint64_t head, char *id);

/* Loops that stay with QEMU, by the bytes at their head; counted, not tried again. */
struct error *library_refuse(struct library *library, const struct code_source *source,
			     uint64_t head, const char *symbol, const char *reason);
/* The reason, or NULL. Caller frees *reason_ret. */
struct error *library_refused(struct library *library, const struct code_source *source,
			      uint64_t head, char **reason_ret);

/* Templates of synthesis (synth.h). A missing one is no error; a store that fails is ignored:
 * what it would have saved is searched again. */
bool library_template_find(void *library, const char *key, char *program, size_t size);
void library_template_add(void *library, const char *key, const char *program);

/* Rows of the index, DESIGN 3.2's `kernels`, newest first; and of the refusals. New references.
 */
struct error *library_list(struct library *library, json_t **ret);
struct error *library_list_refused(struct library *library, json_t **ret);
struct error *library_remove(struct library *library, const char *id);

/* Proves every step again from its stored text. *row_ret: id, steps, proved, ms. */
struct error *library_verify(struct library *library, const char *id, json_t **row_ret);
const char *library_directory(const struct library *library);
#endif
