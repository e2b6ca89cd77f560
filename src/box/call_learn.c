/* Calls about learned kernels: kernels (list, show, verify), learn. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/learner_run.h"
#include "box/target.h"
#include "box/trace_names.h"
#include "guest/guest.h"
#include "guest/space.h"
#include "learn/library.h"
#include "offload/report.h"
#include "offload/slots.h"
#include "trace/source.h"

/* kernels */

/* What the slots of a VM say about a kernel goes into its row. */
static void merge_slot(json_t *row, const struct gb_kernel *slot)
{
	char id[17];
	const char *have = json_string_value(json_object_get(row, "id"));
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)slot->id);
	if (!have || strncmp(have, id, 16) != 0)
		return;
	offload_slot_fields(row, slot);
}

static struct error *merge_vm(const char *vm, json_t *rows)
{
	char path[256];
	AUTO(own_trace_source) struct trace_source *source = NULL;
	trace_source_path(vm, path, sizeof(path));
	TRY(trace_source_open(path, &source));
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel slot;
		bool used;
		size_t at;
		json_t *row;
		TRY(offload_slot(source, i, &slot, &used));
		json_array_foreach(rows, at, row) if (used) merge_slot(row, &slot);
	}
	return NULL;
}

static void add_lines(FILE *to, const json_t *lines)
{
	size_t i;
	json_t *line;
	json_array_foreach((json_t *)(uintptr_t)lines, i, line)
		fprintf(to, "  %s\n", json_string_value(line));
}

/* Documents from before there was synthesis have none. */
static void describe_synthesis(FILE *to, const json_t *synthesis)
{
	if (synthesis)
		fprintf(to,
			"\nThe body as translated: %lld instructions, cost %lld; after "
			"synthesis "
			"%lld, cost %lld\n",
			(long long)json_integer_value(
				json_object_get(synthesis, "instructions_before")),
			(long long)json_integer_value(
				json_object_get(synthesis, "cost_before")),
			(long long)json_integer_value(
				json_object_get(synthesis, "instructions_after")),
			(long long)json_integer_value(
				json_object_get(synthesis, "cost_after")));
}

static void describe(FILE *to, const json_t *doc)
{
	size_t i;
	json_t *item;
	const json_t *proof = json_object_get(doc, "proof");
	const json_t *tests = json_object_get(doc, "tests");
	const json_t *steps = json_object_get(proof, "steps");
	fprintf(to, "kernel %s\n%s of %s at %s\n\nThe loop\n",
		json_string_value(json_object_get(doc, "id")),
		json_string_value(json_object_get(doc, "pattern")),
		json_string_value(json_object_get(doc, "symbol")),
		json_string_value(json_object_get(doc, "address")));
	add_lines(to, json_object_get(doc, "disassembly"));
	fprintf(to, "\nThe guard\n");
	json_array_foreach(json_object_get(doc, "guard"), i, item)
		fprintf(to, "  %s  (otherwise: %s)\n",
			json_string_value(json_object_get(item, "holds")),
			json_string_value(json_object_get(item, "otherwise")));
	fprintf(to, "\nThe microcode\n%s\nThe proof: %s in %.1f ms\n",
		json_string_value(json_object_get(doc, "microcode")),
		json_string_value(json_object_get(proof, "status")),
		json_number_value(json_object_get(proof, "ms")));
	json_array_foreach((json_t *)(uintptr_t)steps, i, item)
		fprintf(to, "  %-8s %8.2f ms  %s\n",
			json_string_value(json_object_get(item, "verdict")),
			json_number_value(json_object_get(item, "ms")),
			json_string_value(json_object_get(item, "name")));
	describe_synthesis(to, json_object_get(doc, "synthesis"));
	fprintf(to, "\nThe tests: %lld cases from %lld entry states, %lld mismatches\n",
		(long long)json_integer_value(json_object_get(tests, "cases")),
		(long long)json_integer_value(json_object_get(tests, "states")),
		(long long)json_integer_value(json_object_get(tests, "mismatches")));
}

static struct error *show(struct library *library, const char *id, json_t **ret)
{
	AUTO(own_free) char *text = NULL;
	size_t size;
	AUTO(own_json) json_t *doc = NULL;
	TRY(library_load(library, id, &doc));
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return error_create(ERR_MEMORY, "out of memory");
	describe(to, doc);
	fclose(to);
	json_object_set_new(doc, "text", json_string(text));
	*ret = TAKE(doc);
	return NULL;
}

/* The solver lives in the learner, so that it is not loaded whenever glassbox starts. */
static struct error *verify_kernel(struct library *library, const char *id, json_t **ret)
{
	AUTO(own_json) json_t *doc = NULL, *rows = NULL;
	AUTO(own_file) FILE *nothing = tmpfile(), *results = tmpfile();
	TRY(library_load(library, id, &doc));
	if (!nothing || !results)
		return error_system(errno, "cannot make a temporary file");
	TRY(learner_run(nothing, results, "--verify", id));
	TRY(learner_rows(results, &rows));
	if (json_array_size(rows) != 1)
		return error_create(ERR_PEER, "the learner gave no answer");
	*ret = json_incref(json_array_get(rows, 0));
	return NULL;
}

static struct error *run_kernels(struct call_context *context, json_t **ret)
{
	AUTO(own_library) struct library *library = NULL;
	AUTO(own_json) json_t *rows = NULL;
	const char *what = call_string(context, "what"), *id = call_string(context, "id");
	TRY(library_open(NULL, &library));
	bool one = what && (!strcmp(what, "show") || !strcmp(what, "verify"));
	if (one && !id)
		return error_create(ERR_USAGE, "kernels %s needs an ID", what);
	if (!one && id)
		return error_create(ERR_USAGE, "before an ID comes show or verify, not '%s'",
				    what ? what : "");
	if (one && !strcmp(what, "show"))
		return show(library, id, ret);
	if (one)
		return verify_kernel(library, id, ret);
	if (call_bool(context, "refused"))
		return library_list_refused(library, ret);
	TRY(library_list(library, &rows));
	if (what)
		TRY(merge_vm(what, rows));
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_param kernels_params[] = {
	{ "what", CALL_STRING, .positional = true, .placeholder = "VM|show|verify",
	  .help = "a VM whose counts to show too; or what to do with a kernel" },
	{ "id", CALL_STRING, .positional = true, .placeholder = "ID",
	  .help = "a kernel's id, or its first digits" },
	{ "refused", CALL_BOOL, .help = "list the loops that stay with QEMU, and why" },
	{ 0 },
};

static const struct call_column kernels_columns[] = {
	{ "id", "ID", COLUMN_LEFT },
	{ "pattern", "PATTERN", COLUMN_LEFT },
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "symbol", "SYMBOL", COLUMN_LEFT },
	{ "tests", "TESTS", COLUMN_RIGHT },
	{ "tier", "TIER", COLUMN_LEFT },
	{ "executions", "EXECUTIONS", COLUMN_RIGHT },
	{ "speedup", "SPEEDUP", COLUMN_RIGHT },
	{ "state", "STATE", COLUMN_LEFT },
	{ "reason", "REASON", COLUMN_LEFT },
	{ "seen", "SEEN", COLUMN_RIGHT },
	{ 0 },
};

const struct call call_kernels = {
	.name = "kernels",
	.group = "learning",
	.summary = "the library of proved kernels",
	.details =
		"`kernels show ID` tells all about one: code, guard, microcode, proof, tests.\n"
		"`kernels verify ID` proves it again from its stored proof with a fresh "
		"solver.",
	.examples = "  glassbox kernels\n  glassbox kernels show 7ee6\n  glassbox kernels "
		    "verify 7ee6",
	.flags = CALL_TEXT,
	.params = kernels_params,
	.columns = kernels_columns,
	.run = run_kernels,
};

/* learn */

enum { CODE_AROUND = 4096 };

/* The guest's bytes around a loop, through the page table it ran under. */
static size_t read_code(struct guest *guest, struct phys_mem *mem, uint64_t cr3, uint64_t gva,
			uint8_t *to, size_t bytes)
{
	const struct guest_space *kernel = guest_kernel_space(guest);
	struct guest_space *space = calloc(1, sizeof(*space));
	if (!space)
		return 0;
	guest_space_init(space, mem, cr3 & 0x000ffffffffff000ull, kernel->paging);
	size_t have = guest_space_read_some(space, gva, to, bytes);
	free(space);
	return have;
}

static uint64_t hex_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));
	return text ? strtoull(text, NULL, 0) : 0;
}

/* A loop around others is learned if constants end these: such loops are short. */
static bool may_be_learned(const json_t *loop)
{
	enum { NEST_BYTES = 1024 };
	return json_is_true(json_object_get(loop, "innermost")) ||
	       hex_of(loop, "high") - hex_of(loop, "low") <= NEST_BYTES;
}

static struct error *add_candidate(struct call_context *context, struct guest *guest,
				   struct trace_names *names, const json_t *loop, FILE *to)
{
	uint8_t code[2 * CODE_AROUND];
	char text[4 * CODE_AROUND + 1], program[128];
	uint64_t head = hex_of(loop, "address"), cr3 = hex_of(loop, "cr3");
	uint64_t base = head & ~0xfffull;
	if (!may_be_learned(loop) || head >> 47 || !cr3)
		return NULL; /* kernel code is privileged and stays with QEMU */
	size_t have =
		read_code(guest, target_memory(context->target), cr3, base, code, sizeof(code));
	if (have <= head - base)
		return NULL;
	for (size_t i = 0; i < have; i++)
		snprintf(text + 2 * i, 3, "%02x", code[i]);
	trace_names_process(names, cr3, program, sizeof(program));
	AUTO(own_json)
	json_t *line = json_pack(
		"{s:O, s:o, s:s, s:O, s:s}", "head", json_object_get(loop, "address"), "base",
		call_hex(base), "bytes", text, "symbol", json_object_get(loop, "symbol"),
		"program", program[0] ? program : target_name(context->target));
	if (!line || json_dumpf(line, to, JSON_COMPACT) || fputc('\n', to) == EOF)
		return error_create(ERR_SYSTEM, "cannot write a candidate");
	return NULL;
}

static struct error *hot_loops(struct call_context *context, json_t **ret)
{
	AUTO(own_json)
	json_t *args = json_pack("{s:b, s:s, s:I, s:I}", "loops", 1, "ring", "user", "ms",
				 (json_int_t)call_integer(context, "ms", 1000), "top",
				 (json_int_t)call_integer(context, "top", 30));
	struct call_context hot = { .target = context->target,
				    .args = args,
				    .progress = context->progress,
				    .progress_user = context->progress_user,
				    .ended = context->ended };
	return call_hot.run(&hot, ret);
}

/* Loops that are hot again get another chance, should their kernels have lost here before. */
static struct error *forgive(struct call_context *context, const json_t *rows)
{
	char path[256];
	AUTO(own_trace_source) struct trace_source *source = NULL;
	size_t i;
	json_t *row;
	trace_source_path(target_name(context->target), path, sizeof(path));
	TRY(trace_source_open(path, &source));
	json_array_foreach((json_t *)(uintptr_t)rows, i, row)
	{
		const char *id = json_string_value(json_object_get(row, "id"));
		if (id)
			TRY(offload_forgive(source, offload_short_id(id)));
	}
	return NULL;
}

static struct error *run_learn(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	AUTO(own_trace_names) struct trace_names *names = NULL;
	AUTO(own_json) json_t *loops = NULL;
	AUTO(own_file) FILE *candidates = tmpfile();
	AUTO(own_file) FILE *results = tmpfile();
	size_t i;
	json_t *loop;
	char cases[24];
	if (!candidates || !results)
		return error_system(errno, "cannot make a temporary file");
	snprintf(cases, sizeof(cases), "%" PRIu64, call_integer(context, "cases", 0));
	TRY(call_guest(context, &guest));
	TRY(hot_loops(context, &loops));
	if (call_ended(context))
		return error_create(ERR_LIMIT, "ended before anything was learned");
	TRY(trace_names_create(context->target, &names));
	json_array_foreach(loops, i, loop)
		TRY(add_candidate(context, guest, names, loop, candidates));
	TRY(learner_run(candidates, results, "--cases", cases));
	TRY(learner_rows(results, ret));
	error_destroy(forgive(context, *ret)); /* a VM that cannot offload has none */
	return NULL;
}

static const struct call_param learn_params[] = {
	{ "ms", CALL_INTEGER, .placeholder = "MS",
	  .help = "how long to watch for hot loops; 1000 if not given" },
	{ "top", CALL_INTEGER, .letter = 'n', .placeholder = "N",
	  .help = "how many loops to take at most; 30 if not given" },
	{ "cases", CALL_INTEGER, .placeholder = "N",
	  .help = "random tests of each kernel; 10 000 if not given" },
	{ 0 },
};

static const struct call_column learn_columns[] = {
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "symbol", "SYMBOL", COLUMN_LEFT },
	{ "outcome", "OUTCOME", COLUMN_LEFT },
	{ "pattern", "PATTERN", COLUMN_LEFT },
	{ "id", "ID", COLUMN_LEFT },
	{ "reason", "REASON", COLUMN_LEFT },
	{ 0 },
};

const struct call call_learn = {
	.name = "learn",
	.group = "learning",
	.summary = "turn the hottest loops of user programs into proved kernels",
	.details =
		"Watches for a while, then lifts, proves and tests the loops that ran most, in "
		"a process\nof its own with limits. What cannot be learned is remembered with "
		"its reason and not\ntried again. Needs a VM started with --learn.",
	.examples = "  glassbox learn demo\n  glassbox learn demo --ms 3000 --top 50 --json",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES | CALL_SLOW | CALL_ENDS_EARLY,
	.params = learn_params,
	.columns = learn_columns,
	.run = run_learn,
};
