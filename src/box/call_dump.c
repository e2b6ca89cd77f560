/* dump, isf, btf: what the guest holds, in files that other tools read. */
#include <string.h>

#include "base/error.h"
#include "base/out_file.h"
#include "base/phys_mem.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "guest/btf.h"
#include "guest/guest.h"
#include "guest/isf_write.h"
#include "vm/dump_write.h"
#include "vm/snapshot.h"

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

/* Of a live VM a consistent copy is written: the guest stops only while what it wrote during
 * the copying is copied again. *mem_ret is what to write. */
static struct error *copy_live(struct call_context *context, struct snapshot **snapshot_ret,
			       struct snapshot_stats *stats, struct phys_mem **mem_ret)
{
	struct vm *vm = target_vm(context->target);
	AUTO(own_snapshot) struct snapshot *snapshot = NULL;
	*mem_ret = target_memory(context->target);
	if (!vm || call_bool(context, "live"))
		return NULL;
	TRY(snapshot_create(vm, &snapshot));
	TRY(snapshot_take(snapshot, NULL, stats));
	*mem_ret = snapshot_memory(snapshot);
	*snapshot_ret = TAKE(snapshot);
	return NULL;
}

/* Without --format the file's name says it: .lime, .elf, .core; all others are raw. */
static const char *format_of(struct call_context *context)
{
	static const char *const endings[][2] = { { ".lime", "lime" },
						  { ".elf", "elf" },
						  { ".core", "elf" } };
	const char *format = call_string(context, "format");
	const char *dot = strrchr(call_string(context, "output"), '.');
	for (size_t i = 0; !format && dot && i < sizeof(endings) / sizeof(*endings); i++)
		if (!strcmp(dot, endings[i][0]))
			return endings[i][1];
	return format ? format : "raw";
}

static struct error *run_dump(struct call_context *context, json_t **ret)
{
	const char *format = format_of(context);
	AUTO(own_snapshot) struct snapshot *snapshot = NULL;
	struct snapshot_stats stats = { 0 };
	struct phys_mem *mem = NULL;
	struct dump_write_params params = { .path = call_string(context, "output"),
					    .progress = show_progress,
					    .progress_user = context };
	struct dump_written written;
	TRY(dump_write_format_parse(format, &params.format));
	if (params.format == DUMP_WRITE_ELF)
		find_vmcoreinfo(context, &params);
	TRY(copy_live(context, &snapshot, &stats, &mem));
	TRY(dump_write(mem, &params, &written));
	*ret = json_pack("{s:s,s:s,s:I,s:I,s:I,s:b,s:f}", "path", params.path, "format", format,
			 "memory_bytes", (json_int_t)written.memory_bytes, "data_bytes",
			 (json_int_t)written.data_bytes, "file_bytes",
			 (json_int_t)written.file_bytes, "consistent",
			 (int)(snapshot ? stats.is_consistent : !mem->is_live), "pause_ms",
			 (double)stats.pause_ns / 1e6);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

static const struct call_param dump_params[] = {
	{ "output", CALL_PATH, 'o', .required = true, .placeholder = "FILE",
	  .help = "where to write; replaced only when all is written" },
	{ "format", CALL_STRING, .placeholder = "FORMAT", .choices = "raw,lime,elf",
	  .help = "raw, lime or elf; as the file's name ends (.lime, .elf, .core), else raw" },
	{ "live", CALL_BOOL,
	  .help = "write while the guest runs: no pause, no copy in memory, not consistent" },
	{ 0 },
};

const struct call call_dump = {
	.name = "dump",
	.group = "exchange",
	.summary = "write memory to a file",
	.details = "raw: the offset in the file is the physical address. lime and elf: what "
		   "Volatility 3, crash and drgn expect. Pages of zeros take no room.",
	.examples = "  glassbox dump demo -o demo.lime\n  glassbox dump demo -o vmcore "
		    "--format elf",
	.flags = CALL_TARGET | CALL_CHANGES | CALL_CLI_ONLY,
	.params = dump_params,
	.run = run_dump,
};

/* --- isf, btf -------------------------------------------------------------------------- */

static struct error *run_isf(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	struct isf_written written;
	const char *path = call_string(context, "output");
	TRY(call_guest(context, &guest));
	TRY(isf_write(guest, path, &written));
	*ret = json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "path", path, "symbols",
			 (json_int_t)written.symbols, "user_types",
			 (json_int_t)written.user_types, "enums", (json_int_t)written.enums,
			 "base_types", (json_int_t)written.base_types, "json_bytes",
			 (json_int_t)written.json_bytes);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

static const struct call_param isf_params[] = {
	{ "output", CALL_PATH, 'o', .required = true, .placeholder = "FILE",
	  .help = "where to write; compressed if it ends in .xz" },
	{ 0 },
};

const struct call call_isf = {
	.name = "isf",
	.group = "exchange",
	.summary = "write the kernel's symbols and types for Volatility 3",
	.details = "Everything comes out of the guest's memory. Put the file into Volatility's "
		   "symbols/linux folder; it serves every boot of the same kernel.",
	.examples = "  glassbox isf demo -o linux.json.xz",
	.flags = CALL_TARGET | CALL_CHANGES | CALL_CLI_ONLY,
	.params = isf_params,
	.run = run_isf,
};

static struct error *run_btf(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	const char *path = call_string(context, "output");
	AUTO(own_out_file) struct out_file *file = NULL;
	size_t length = 0;
	TRY(call_guest(context, &guest));
	struct btf *btf = guest_types(guest);
	if (!btf)
		return error_create(ERR_NOT_FOUND, "this kernel carries no types");
	const uint8_t *bytes = btf_bytes(btf, &length);
	TRY(out_file_create(path, &file));
	TRY(out_file_write(file, bytes, length));
	TRY(out_file_commit(file));
	*ret = json_pack("{s:s,s:I,s:I}", "path", path, "types", (json_int_t)btf_count(btf) - 1,
			 "bytes", (json_int_t)length);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

static const struct call_param btf_params[] = {
	{ "output", CALL_PATH, 'o', .required = true, .placeholder = "FILE",
	  .help = "where to write" },
	{ 0 },
};

const struct call call_btf = {
	.name = "btf",
	.group = "exchange",
	.summary = "write the kernel's BTF types as a file",
	.examples = "  glassbox btf demo -o vmlinux.btf\n  bpftool btf dump file vmlinux.btf",
	.flags = CALL_TARGET | CALL_CHANGES | CALL_CLI_ONLY,
	.params = btf_params,
	.run = run_btf,
};
