/* Errors as values: NULL is success, the caller owns what it gets. Each level adds its own
 * words with error_wrap; the top prints one line. Thread: an error belongs to one thread at a
 * time. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H
#include <stdbool.h>
#include <stdint.h>

#include "base/own.h"

/* ORDER error kinds: the one table of kinds and their short names. */
#define ERROR_KINDS(X)                                                       \
	X(ERR_MEMORY, "out of memory") /* our own allocation failed */       \
	X(ERR_SYSTEM, "system") /* a system call failed */                   \
	X(ERR_FAULT, "fault") /* a guest address is not mapped */            \
	X(ERR_NOT_FOUND, "not found") /* the named thing does not exist */   \
	X(ERR_BAD_DATA, "bad data") /* bytes from outside make no sense */   \
	X(ERR_PEER, "peer") /* QEMU, the solver, a server misbehaved */      \
	X(ERR_GPU, "gpu") /* Vulkan said no */                               \
	X(ERR_LIMIT, "limit") /* a bounded walk or budget ended */           \
	X(ERR_UNSUPPORTED, "unsupported") /* known, and not possible here */ \
	X(ERR_USAGE, "usage") /* the person asked for something malformed */

enum error_kind {
#define ERROR_KIND_ENUM(kind, name) kind,
	ERROR_KINDS(ERROR_KIND_ENUM)
#undef ERROR_KIND_ENUM
};

struct error;

void error_destroy(struct error *err);

/* gcc's analyzer pairs creators with their destroy function; clang has no such attribute. */
#ifdef __clang__
#define ERROR_OWNED
#else
#define ERROR_OWNED __attribute__((malloc(error_destroy, 1)))
#endif

/* Creates an error. Never fails: without memory a static one is returned. */
struct error *error_create(enum error_kind kind, const char *format, ...)
	__attribute__((format(printf, 2, 3))) ERROR_OWNED;

/* ERR_SYSTEM with the text of errno_value added: "cannot open /x: No such file or directory".
 */
struct error *error_system(int errno_value, const char *format, ...)
	__attribute__((format(printf, 2, 3))) ERROR_OWNED;

/* Puts "words: " in front of the message. Takes err and returns it; NULL stays NULL. */
struct error *error_wrap(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Adds advice for the person ("try `glassbox ls`"), printed on the same line. Takes and returns
 * err. */
struct error *error_hint(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

enum error_kind error_kind(const struct error *err);
const char *error_kind_name(enum error_kind kind);
const char *error_message(const struct error *err); /* borrowed */
const char *error_hint_text(const struct error *err); /* borrowed, or NULL */

/* If *err is of this kind: destroys it, sets *err to NULL, returns true. */
bool error_catch(struct error **err, enum error_kind kind);

OWN_DECLARE(own_error, struct error *, error_destroy)

/* Returns the error of a call from the current function. Only where every local is AUTO. */
#define TRY(call)                                  \
	do {                                       \
		struct error *try_error_ = (call); \
		if (try_error_)                    \
			return try_error_;         \
	} while (0)

/* Our own bugs only; never for data from outside. Stays on in release. */
#define CHECK(x)                                                    \
	do {                                                        \
		if (__builtin_expect(!(x), 0))                      \
			error_check_failed(__FILE__, __LINE__, #x); \
	} while (0)
_Noreturn void error_check_failed(const char *file, int line, const char *what);

/* Allocation that reports: zeroed, count * size checked for overflow. */
struct error *error_alloc(size_t count, size_t size, void *pointer_ret);
#endif
