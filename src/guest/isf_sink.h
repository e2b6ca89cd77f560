/* Where JSON text goes on its way to a file: buffered, compressed when the name ends in .xz.
 * The first failure is kept and reported by finish, so that callers write without testing.
 * Thread: one. */
#ifndef GUEST_ISF_SINK_H
#define GUEST_ISF_SINK_H
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct isf_sink;

/* Caller owns *ret. Fails: ERR_SYSTEM, ERR_MEMORY. */
struct error *isf_sink_create(const char *path, struct isf_sink **ret);
/* Without finish, nothing stays of the file. NULL is fine. */
void isf_sink_destroy(struct isf_sink *sink);
OWN_DECLARE(own_isf_sink, struct isf_sink *, isf_sink_destroy)

void isf_put_text(struct isf_sink *sink, const char *text);
void isf_put_format(struct isf_sink *sink, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A JSON string in quotes; bytes that are not ASCII letters are escaped. */
void isf_put_string(struct isf_sink *sink, const char *text);
void isf_put_base64(struct isf_sink *sink, const void *bytes, size_t length_bytes);

/* Writes the rest and puts the file in place. *bytes_ret counts the text before compression. */
struct error *isf_sink_finish(struct isf_sink *sink, uint64_t *bytes_ret);
#endif
