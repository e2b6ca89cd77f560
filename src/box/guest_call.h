/* What calls about the guest's kernel share: getting it ready for a question, and JSON values
 * out of untrusted guest bytes. Thread: that of the call. */
#ifndef BOX_GUEST_CALL_H
#define BOX_GUEST_CALL_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "box/call.h"
struct error;
struct guest;
struct guest_space;
struct guest_task;
struct guest_tasks;
struct target;

OWN_DECLARE(own_json, json_t *, json_decref)

/* The kernel of the call's target, ready for a new question. Borrowed. */
struct error *call_guest(struct call_context *context, struct guest **ret);
/* The process named by the argument "pid". */
struct error *call_task(struct call_context *context, struct guest *guest,
			struct guest_task *ret);
/* The processes asked about: all of them, or the one that the argument "pid" names. */
struct error *call_tasks(struct call_context *context, struct guest *guest,
			 struct guest_tasks *ret);
/* That argument: a pid that may be left out. */
extern const struct call_param call_some_pid_params[];
/* Adds cgroup, container and unit of a process to its row. */
void call_add_group(struct guest *guest, const struct guest_task *task, json_t *row);

/* The address space named by the argument "pid", or the kernel's without one. */
struct error *call_space(struct call_context *context, struct guest *guest,
			 struct guest_space *ret);
/* A text argument that is a number, a symbol, or symbol+offset. ERR_USAGE. */
struct error *call_address(struct call_context *context, struct guest *guest, const char *name,
			   uint64_t *gva_ret);

/* A string from guest bytes up to a NUL: what is not UTF-8 becomes U+FFFD. New reference. */
json_t *json_guest_text(const char *bytes, size_t length_max);
/* NUL-separated parts as one string, joined by spaces; null when there are none. */
json_t *json_guest_words(const char *bytes, size_t length);
/* "0x..." or null. */
json_t *json_hex_or_null(bool known, uint64_t value);
json_t *json_number_or_null(bool known, int64_t value);
/* The names of the bits that are set, as a list. */
json_t *json_bit_names(uint64_t bits, const char *const *names, size_t n);

/* Bytes as base64 text. New reference. */
json_t *json_base64(const uint8_t *bytes, size_t size);

/* Text from the guest's side of our own structs; null when it is empty or missing. */
json_t *json_text_or_null(const char *text);

/* What the visitor of a walk fills in:
 *
 *   AUTO(call_rows_deinit) struct call_rows rows = { .guest = guest, .list = json_array() };
 *   TRY(walk(..., visitor, &rows));          visitors return call_rows_add(user, row)
 *   return call_rows_take(&rows, ret);
 */
struct call_rows {
	struct guest *guest;
	const struct guest_task *task; /* whose rows these are, where that matters */
	json_t *list; /* owned */
	struct error *err; /* owned: a row could not be made */
};

/* Adds row (taken); false: the walk must end. */
bool call_rows_add(struct call_rows *rows, json_t *row);
/* Gives the list away, or the error met while it was filled. */
struct error *call_rows_take(struct call_rows *rows, json_t **ret);
void call_rows_deinit(struct call_rows *rows);

/* Adds value (taken) to list; ERR_MEMORY when either is missing. */
struct error *json_list_add(json_t *list, json_t *value);
#endif
