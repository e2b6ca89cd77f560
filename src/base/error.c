#include "base/error.h"

#include <stdarg.h>
#include <string.h>

struct error {
	enum error_kind kind;
	bool is_static;
	char *message;
	char *hint;
};

static struct error out_of_memory = { .kind = ERR_MEMORY,
				      .is_static = true,
				      .message = (char *)"out of memory" };

void error_destroy(struct error *err)
{
	if (!err || err->is_static)
		return;
	free(err->message);
	free(err->hint);
	free(err);
}

/* Takes message; a NULL message means that there was no memory for it. */
static struct error *error_from(enum error_kind kind, char *message)
{
	struct error *err = message ? calloc(1, sizeof(*err)) : NULL;
	if (!err) {
		free(message);
		return &out_of_memory;
	}
	err->kind = kind;
	err->message = message;
	return err;
}

__attribute__((format(printf, 1, 0))) static char *format_text(const char *format, va_list args)
{
	char *text = NULL;
	if (vasprintf(&text, format, args) < 0)
		return NULL;
	return text;
}

struct error *error_create(enum error_kind kind, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *message = format_text(format, args);
	va_end(args);
	return error_from(kind, message);
}

struct error *error_system(int errno_value, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	AUTO(own_free) char *words = format_text(format, args);
	va_end(args);
	char *message = NULL;
	if (!words || asprintf(&message, "%s: %s", words, strerror(errno_value)) < 0)
		return &out_of_memory;
	return error_from(ERR_SYSTEM, message);
}

struct error *error_wrap(struct error *err, const char *format, ...)
{
	if (!err || err->is_static)
		return err;
	va_list args;
	va_start(args, format);
	AUTO(own_free) char *words = format_text(format, args);
	va_end(args);
	char *message = NULL;
	if (!words || asprintf(&message, "%s: %s", words, err->message) < 0)
		return err;
	free(err->message);
	err->message = message;
	return err;
}

struct error *error_hint(struct error *err, const char *format, ...)
{
	if (!err || err->is_static)
		return err;
	va_list args;
	va_start(args, format);
	char *hint = format_text(format, args);
	va_end(args);
	free(err->hint);
	err->hint = hint;
	return err;
}

enum error_kind error_kind(const struct error *err)
{
	return err->kind;
}

const char *error_kind_name(enum error_kind kind)
{
	static const char *const names[] = {
#define ERROR_KIND_NAME(kind, name) [kind] = name,
		ERROR_KINDS(ERROR_KIND_NAME)
#undef ERROR_KIND_NAME
	};
	return names[kind];
}

const char *error_message(const struct error *err)
{
	return err->message;
}

const char *error_hint_text(const struct error *err)
{
	return err->hint;
}

bool error_catch(struct error **err, enum error_kind kind)
{
	if (!*err || (*err)->kind != kind)
		return false;
	error_destroy(*err);
	*err = NULL;
	return true;
}

void error_check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "glassbox: bug at %s:%d: %s does not hold\n", file, line, what);
	abort();
}

struct error *error_alloc(size_t count, size_t size, void *pointer_ret)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);
	if (!memory)
		return &out_of_memory;
	*(void **)pointer_ret = memory;
	return NULL;
}
