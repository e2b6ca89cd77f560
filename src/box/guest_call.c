#include "box/guest_call.h"

#include <string.h>

#include "base/error.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/task.h"

struct error *call_guest(struct call_context *context, struct guest **ret)
{
	TRY(target_guest(context->target, ret));
	guest_begin(*ret);
	return NULL;
}

/* An empty list that lacks something is no answer. */
static struct error *refuse_undecided(const struct call *call, struct target *target,
				      const json_t *document)
{
	struct guest *guest = target ? target_guest_open(target) : NULL;
	const char *note = guest ? guest_note(guest, 0) : NULL;
	if (!note || !json_is_array(document) || json_array_size(document) ||
	    strcmp(call->group, "introspection"))
		return NULL;
	return error_create(ERR_BAD_DATA, "%s cannot tell: %s", call->name, note);
}

struct error *call_do(const struct call *call, struct call_context *context, json_t **ret)
{
	AUTO(own_json) json_t *document = NULL;
	if (context->target && target_guest_open(context->target))
		guest_begin(target_guest_open(context->target));
	TRY(call->run(context, &document));
	TRY(refuse_undecided(call, context->target, document));
	*ret = TAKE(document);
	return NULL;
}

struct error *call_tasks(struct call_context *context, struct guest *guest,
			 struct guest_tasks *ret)
{
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(guest_tasks_read(guest, false, &tasks));
	if (call_has(context, "pid")) {
		int64_t pid = (int64_t)call_integer(context, "pid", 0);
		size_t kept = 0;
		for (size_t i = 0; i < tasks.count; i++)
			if (tasks.items[i].pid == pid)
				tasks.items[kept++] = tasks.items[i];
		if (!kept)
			return error_hint(
				error_create(ERR_NOT_FOUND, "no process %lld", (long long)pid),
				"see `glassbox ps`");
		tasks.count = kept;
	}
	*ret = tasks;
	tasks = (struct guest_tasks){ 0 };
	return NULL;
}

const struct call_param call_some_pid_params[] = {
	{ "pid", CALL_INTEGER, .letter = 'p', .positional = true, .placeholder = "PID",
	  .help = "only of this process; all if not given" },
	{ 0 },
};

struct error *call_task(struct call_context *context, struct guest *guest,
			struct guest_task *ret)
{
	return guest_task_find(guest, (int64_t)call_integer(context, "pid", 0), ret);
}

/* Length of the valid UTF-8 sequence at text, 0 if there is none in the bytes left. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
	size_t length = *text < 0x80			? 1
			: *text >= 0xc2 && *text < 0xe0 ? 2
			: *text >= 0xe0 && *text < 0xf0 ? 3
			: *text >= 0xf0 && *text < 0xf5 ? 4
							: 0;
	if (!length || length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates and what lies beyond Unicode. */
	if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] >= 0xa0) ||
	    (*text == 0xf0 && text[1] < 0x90) || (*text == 0xf4 && text[1] >= 0x90))
		return 0;
	return length;
}

static json_t *clean_text(const char *bytes, size_t length)
{
	static const char replacement[] = "\xef\xbf\xbd";
	AUTO(own_free) char *clean = malloc(length * 3 + 1);
	size_t out = 0;
	if (!clean)
		return NULL;
	for (size_t at = 0; at < length;) {
		size_t part = utf8_length((const unsigned char *)bytes + at, length - at);
		memcpy(clean + out, part ? bytes + at : replacement, part ? part : 3);
		out += part ? part : 3;
		at += part ? part : 1;
	}
	return json_stringn(clean, out);
}

json_t *json_guest_text(const char *bytes, size_t length_max)
{
	return clean_text(bytes, strnlen(bytes, length_max));
}

json_t *json_guest_words(const char *bytes, size_t length)
{
	while (length && !bytes[length - 1])
		length--;
	if (!bytes || !length)
		return json_null();
	AUTO(own_free) char *words = malloc(length);
	if (!words)
		return NULL;
	for (size_t i = 0; i < length; i++)
		words[i] = bytes[i] ? bytes[i] : ' ';
	return clean_text(words, length);
}

json_t *json_hex_or_null(bool known, uint64_t value)
{
	return known ? call_hex(value) : json_null();
}

json_t *json_number_or_null(bool known, int64_t value)
{
	return known ? json_integer(value) : json_null();
}

json_t *json_bit_names(uint64_t bits, const char *const *names, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		if (bits >> i & 1)
			json_array_append_new(list, json_string(names[i]));
	return list;
}

json_t *json_base64(const uint8_t *bytes, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	AUTO(own_free) char *text = malloc(size / 3 * 4 + 5);
	size_t length = 0;
	for (size_t i = 0; text && i < size; i += 3) {
		size_t have = size - i < 3 ? size - i : 3;
		uint32_t bits = (uint32_t)bytes[i] << 16 |
				(have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
				(have > 2 ? bytes[i + 2] : 0);
		for (size_t k = 0; k < 4; k++)
			text[length++] = k <= have ? digits[bits >> (18 - 6 * k) & 63] : '=';
	}
	return text ? json_stringn(text, length) : NULL;
}

struct error *json_list_add(json_t *list, json_t *value)
{
	if (!value || json_array_append_new(list, value))
		return error_create(ERR_MEMORY, "no memory for an answer");
	return NULL;
}

json_t *json_text_or_null(const char *text)
{
	return text && *text ? json_guest_text(text, SIZE_MAX) : json_null();
}

bool call_rows_add(struct call_rows *rows, json_t *row)
{
	rows->err = json_list_add(rows->list, row);
	return !rows->err;
}

struct error *call_rows_take(struct call_rows *rows, json_t **ret)
{
	if (rows->err)
		return TAKE(rows->err);
	*ret = TAKE(rows->list);
	return NULL;
}

void call_rows_deinit(struct call_rows *rows)
{
	json_decref(rows->list);
	error_destroy(rows->err);
}
