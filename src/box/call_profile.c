/* profile: what a trace file holds, without the guest it came from. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/trace_call.h"
#include "box/trace_rows.h"
#include "trace/blocks.h"
#include "trace/file.h"
#include "trace/profile.h"

enum { MAX_FILE_BYTES = 2000 << 20 };

static struct error *read_all(const char *path, uint8_t **ret, size_t *n_ret)
{
	AUTO(own_file) FILE *file = fopen(path, "rbe");
	AUTO(own_free) uint8_t *bytes = NULL;
	struct stat status;
	if (!file || fstat(fileno(file), &status))
		return error_system(errno, "cannot open %s", path);
	if (!S_ISREG(status.st_mode) || status.st_size > MAX_FILE_BYTES)
		return error_create(ERR_BAD_DATA, "%s is not a trace file", path);
	TRY(error_alloc((size_t)status.st_size + 1, 1, &bytes));
	*n_ret = fread(bytes, 1, (size_t)status.st_size, file);
	*ret = TAKE(bytes);
	return NULL;
}

static struct error *list_rows(struct call_context *context, const struct trace_file *file,
			       const struct trace_rows *rows, json_t **ret)
{
	AUTO(own_trace_profile) struct trace_profile *profile = NULL;
	const char *show = call_string(context, "show");
	TRY(trace_call_profile(file, &profile));
	if (show && !strcmp(show, "loops"))
		return trace_rows_loops(rows, profile, ret);
	if (show && !strcmp(show, "accesses"))
		return trace_rows_accesses(rows, profile, ret);
	return trace_rows_blocks(rows, profile, ret);
}

static struct error *run_profile(struct call_context *context, json_t **ret)
{
	AUTO(own_free) uint8_t *bytes = NULL;
	AUTO(own_trace_file) struct trace_file *file = NULL;
	AUTO(own_trace_names_table) struct trace_names_table *names = NULL;
	const char *path = call_string(context, "trace");
	const char *output = call_string(context, "output");
	const char *format = call_string(context, "format");
	size_t n = 0;
	if (!output != !format)
		return error_create(ERR_USAGE, "--format and --output go together");
	TRY(read_all(path, &bytes, &n));
	struct error *err = trace_file_parse(bytes, n, &file);
	if (err)
		return error_wrap(err, "%s", path);
	TRY(trace_names_table_create(file->names, file->n_names, &names));
	struct trace_rows rows = { .blocks = file->blocks,
				   .place = trace_names_table_place,
				   .place_user = names,
				   .top = call_integer(context, "top", 20) };
	if (!output)
		return list_rows(context, file, &rows, ret);
	TRY(trace_call_export(file, format, &rows, output));
	*ret = json_pack("{s:s}", "file", output);
	return *ret ? NULL : error_create(ERR_MEMORY, "out of memory");
}

static const struct call_param params[] = {
	{ "trace", CALL_PATH, .positional = true, .required = true, .placeholder = "FILE",
	  .help = "what `glassbox trace` wrote" },
	{ "show", CALL_STRING, .letter = 's', .placeholder = "WHAT",
	  .choices = "blocks,loops,accesses",
	  .help = "hot blocks (if not given), loops, or loads and stores with their strides" },
	{ "top", CALL_INTEGER, .letter = 'n', .placeholder = "N",
	  .help = "how many rows; 20 if not given" },
	{ "format", CALL_STRING, .placeholder = "FORMAT", .choices = "folded,drcov",
	  .help = "write folded stacks or drcov coverage instead" },
	{ "output", CALL_PATH, .letter = 'o', .placeholder = "FILE", .help = "... to here" },
	{ 0 },
};

static const struct call_column columns[] = {
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "instruction", "INSN", COLUMN_RIGHT },
	{ "access", "ACCESS", COLUMN_LEFT },
	{ "bytes", "BYTES", COLUMN_RIGHT },
	{ "executions", "EXECUTIONS", COLUMN_RIGHT },
	{ "instructions", "INSTRUCTIONS", COLUMN_RIGHT },
	{ "share", "SHARE", COLUMN_RIGHT },
	{ "trips", "TRIPS", COLUMN_RIGHT },
	{ "depth", "DEPTH", COLUMN_RIGHT },
	{ "stride", "STRIDE", COLUMN_RIGHT },
	{ "low", "LOW", COLUMN_LEFT },
	{ "high", "HIGH", COLUMN_LEFT },
	{ "class", "CLASS", COLUMN_LEFT },
	{ "symbol", "SYMBOL", COLUMN_LEFT },
	{ 0 },
};

const struct call call_profile = {
	.name = "profile",
	.group = "learning",
	.summary = "show what a recorded trace holds",
	.details =
		"Reads a file that `glassbox trace` wrote: the blocks that ran most, loops "
		"with trip counts,\nor, of a trace in mode full, loads and stores with strides "
		"and address ranges. Names are in\nthe file; no VM is needed.",
	.examples =
		"  glassbox profile boot.gbtrace\n  glassbox profile boot.gbtrace --show loops "
		"--json\n  glassbox profile boot.gbtrace --format folded -o stacks.txt",
	.flags = CALL_CLI_ONLY,
	.params = params,
	.columns = columns,
	.run = run_profile,
};
