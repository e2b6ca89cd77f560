#include "box/status.h"

#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/call.h"
#include "box/target.h"
#include "guest/guest.h"
#include "vm/dirty.h"
#include "vm/dump.h"
#include "vm/vm.h"

OWN_DECLARE(own_json, json_t *, json_decref)

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* Where each run of guest-physical addresses lies in its backing. */
static json_t *segments_json(const struct phys_mem *mem)
{
	json_t *list = json_array();
	for (size_t i = 0; i < mem->n_segments && i < 64; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		json_array_append_new(
			list, json_pack("{s:o, s:o, s:I}", "start", call_hex(segment->gpa),
					"end", call_hex(segment->gpa + segment->size_bytes),
					"file_offset", (json_int_t)segment->file_offset));
	}
	return list;
}

/* Bytes of RAM that hold data: what is not a hole of the sparse file. */
static uint64_t data_bytes(struct phys_mem *mem)
{
	uint64_t total = 0, start, end;
	for (uint64_t at = 0; phys_mem_next_data(mem, at, &start, &end); at = end)
		total += end - start;
	return total;
}

static void add_memory(json_t *document, struct phys_mem *mem)
{
	json_object_set_new(document, "ram_bytes",
			    json_integer((json_int_t)phys_mem_size(mem)));
	json_object_set_new(document, "ram_used_bytes",
			    json_integer((json_int_t)data_bytes(mem)));
	json_object_set_new(document, "memory", segments_json(mem));
}

static void add_kernel(json_t *document, struct target *target)
{
	struct guest *guest = NULL;
	struct error *err = target_guest(target, &guest);
	struct guest_summary summary = { 0 };
	if (!err)
		guest_summary(guest, &summary);
	json_object_set_new(document, "kernel_banner", text_or_null(summary.banner));
	json_object_set_new(document, "kernel_release", text_or_null(summary.release));
	json_object_set_new(document, "symbol_source", text_or_null(summary.symbol_source));
	json_object_set_new(document, "type_source", text_or_null(summary.type_source));
	json_object_set_new(document, "kaslr_source", text_or_null(summary.kaslr_source));
	json_object_set_new(document, "kernel_offset",
			    err ? json_null() : call_hex(summary.kernel_offset));
	json_object_set_new(document, "paging_levels",
			    err ? json_null() : json_integer(summary.paging_levels));
	json_t *doubts = json_array();
	for (size_t i = 0; !err && guest_doubt(guest, i); i++)
		json_array_append_new(doubts, json_string(guest_doubt(guest, i)));
	if (err)
		json_array_append_new(doubts, json_string(error_message(err)));
	json_object_set_new(document, "doubts", doubts);
	error_destroy(err);
}

static struct error *dump_status(struct target *target, json_t *document)
{
	const char *format = NULL;
	TRY(dump_format_of(target_name(target), &format));
	json_object_set_new(document, "name", json_string(target_name(target)));
	json_object_set_new(document, "state", json_string("dump"));
	json_object_set_new(document, "format", json_string(format));
	return NULL;
}

static struct error *vm_status(struct vm *vm, json_t *document)
{
	TRY(vm_refresh(vm));
	json_object_update(document, (json_t *)vm_document(vm));
	json_object_del(document, "layout");
	json_object_del(document, "start_time");
	json_object_del(document, "spec");
	json_object_set_new(document, "ours", json_boolean(vm_is_ours(vm)));
	json_object_set_new(document, "access", json_string(vm_access(vm)));
	const char *why = NULL;
	json_object_set_new(document, "dirty_source",
			    json_string(dirty_source_name(dirty_probe(vm, &why))));
	return NULL;
}

struct error *status_document(struct target *target, json_t **ret)
{
	AUTO(own_json) json_t *document = json_object();
	struct vm *vm = target_vm(target);
	TRY(vm ? vm_status(vm, document) : dump_status(target, document));
	add_memory(document, target_memory(target));
	add_kernel(document, target);
	*ret = TAKE(document);
	return NULL;
}
