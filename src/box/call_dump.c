/* dump: memory into a file that other tools read. */
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "guest/guest.h"
#include "vm/dump_write.h"

static struct error *show_progress(void *user, double done)
{
	call_progress(user, done, "writing");
	return NULL;
}

/* The kernel's own description for crash and drgn; a dump without a kernel goes without. */
static void find_vmcoreinfo(struct call_context *context, struct dump_write_params *params)
{
	struct guest *guest = NULL;
	struct error *err = call_guest(context, &guest);
	if (!err)
		params->vmcoreinfo = guest_vmcoreinfo(guest, &params->vmcoreinfo_bytes);
	error_destroy(err);
}

static struct error *run_dump(struct call_context *context, json_t **ret)
{
	const char *format = call_string(context, "format");
	struct phys_mem *mem = target_memory(context->target);
	struct dump_write_params params = { .path = call_string(context, "output"),
					    .progress = show_progress,
					    .progress_user = context };
	struct dump_written written;
	format = format ? format : "raw";
	TRY(dump_write_format_parse(format, &params.format));
	if (params.format == DUMP_WRITE_ELF)
		find_vmcoreinfo(context, &params);
	TRY(dump_write(mem, &params, &written));
	*ret = json_pack("{s:s,s:s,s:I,s:I,s:I,s:b}", "path", params.path, "format", format,
			 "memory_bytes", (json_int_t)written.memory_bytes, "data_bytes",
			 (json_int_t)written.data_bytes, "file_bytes",
			 (json_int_t)written.file_bytes, "consistent", (int)!mem->is_live);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

static const struct call_param dump_params[] = {
	{ "output", CALL_PATH, 'o', .required = true, .placeholder = "FILE",
	  .help = "where to write; replaced only when all is written" },
	{ "format", CALL_STRING, .placeholder = "FORMAT", .choices = "raw,lime,elf",
	  .help = "raw (default), lime or elf" },
	{ 0 },
};

const struct call call_dump = {
	.name = "dump",
	.group = "exchange",
	.summary = "write memory to a file",
	.details = "raw: the offset in the file is the physical address. lime and elf: what "
		   "Volatility 3, crash and drgn expect. Pages of zeros take no room.",
	.examples = "  glassbox dump demo -o demo.lime --format lime",
	.flags = CALL_TARGET | CALL_CHANGES | CALL_CLI_ONLY,
	.params = dump_params,
	.run = run_dump,
};
