/* What the calls on execution share: the plugin's file of a VM, filters, traces in memory.
 * Thread: that of the call. */
#ifndef BOX_TRACE_CALL_H
#define BOX_TRACE_CALL_H
#include <stddef.h>
#include <stdint.h>

struct call_context;
struct error;
struct trace_capture_params;
struct trace_file;
struct trace_names;
struct trace_profile;
struct trace_rows;
struct trace_source;

/* Caller owns *ret. Fails: ERR_NOT_FOUND (not started with --learn). */
struct error *trace_call_open(struct call_context *context, struct trace_source **ret);

/* What TRACE_CALL_FILTERS ask for, with the call's progress and its early end; mode is off,
 * there is no sink. Borrows context. Fails: ERR_NOT_FOUND (no such process). */
struct error *trace_call_params(struct call_context *context, const struct trace_names *names,
				struct trace_capture_params *ret);

/* A whole trace file's records into a profile. Caller owns *ret. */
struct error *trace_call_profile(const struct trace_file *file, struct trace_profile **ret);

/* Puts bytes into a file that appears whole or not at all. */
struct error *trace_call_write(const char *path, const void *bytes, size_t n);
/* The same with a trace as "folded" stacks or "drcov". */
struct error *trace_call_export(const struct trace_file *file, const char *format,
				const struct trace_rows *rows, const char *path);

#define TRACE_CALL_FILTERS                                                                  \
	{ "ms", CALL_INTEGER, .placeholder = "MS",                                          \
	  .help = "how long to watch; 1000 if not given" },                                 \
		{ "pid", CALL_INTEGER, .letter = 'p', .placeholder = "PID",                 \
		  .help = "only while this process runs (not when counting)" },             \
		{ "ring", CALL_STRING, .placeholder = "RING", .choices = "any,user,kernel", \
		  .help = "only user or only kernel code" },                                \
		{ "start", CALL_INTEGER, .placeholder = "ADDR",                             \
		  .help = "only blocks from here" },                                        \
	{                                                                                   \
		"end", CALL_INTEGER, .placeholder = "ADDR", .help = "... to before here"    \
	}
#endif
