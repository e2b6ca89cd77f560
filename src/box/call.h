/* The one table of everything glassbox can be asked. The command line, REST, MCP,
 * /openapi.json, man pages and completion are all made from it. A call takes JSON arguments
 * that were checked against its parameters and gives one JSON document: an object for one
 * thing, an array of objects for a list (fields: docs/contracts.md). Thread: a context belongs
 * to the thread that runs the call. */
#ifndef BOX_CALL_H
#define BOX_CALL_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct target;

enum call_type {
	CALL_STRING,
	CALL_INTEGER, /* decimal or 0x hex, 0 .. 2^64-1; stored as a JSON integer (two's
			 complement) */
	CALL_SIZE, /* bytes with K, M, G, T (powers of 1024); stored as a JSON integer */
	CALL_BOOL, /* on the command line a flag without a value */
	CALL_PATH, /* a file of the host; stored as a JSON string */
};

struct call_param {
	const char *name; /* "pid": `--pid 1` or a positional, {"pid":1} in JSON */
	enum call_type type;
	char letter; /* short option, or 0 */
	bool positional;
	bool required;
	bool repeated; /* stored as a JSON array of strings */
	bool local; /* only on the command line, where required holds: a file of the person's */
	const char *placeholder; /* "PID" in the usage line */
	const char *choices; /* "raw,lime,elf", or NULL: anything */
	const char *help; /* one line */
};

enum call_column_style {
	COLUMN_LEFT,
	COLUMN_RIGHT, /* numbers */
	COLUMN_BYTES, /* human size */
	COLUMN_HIDDEN, /* JSON only */
};

struct call_column {
	const char *key; /* field of the JSON object */
	const char *title; /* "PID" */
	enum call_column_style style;
};

enum call_flags {
	CALL_TARGET = 1 << 0, /* its first argument is a VM (name or PID), or --file DUMP */
	CALL_LIVE_ONLY = 1 << 1, /* a dump will not do */
	CALL_CHANGES = 1 << 2, /* changes a VM or writes a file: needs the token over HTTP */
	CALL_CLI_ONLY =
		1 << 3, /* needs a terminal or a local file: not served over HTTP or MCP */
	CALL_TEXT =
		1 << 4, /* for people: print the document's "text" field instead of a table */
	CALL_SLOW = 1 << 5, /* may take seconds: over the network it opens the VM for itself, so
			     * that others need not wait */
	CALL_ENDS_EARLY =
		1 << 6, /* asks call_ended: Ctrl-C ends it early instead of killing it */
};

struct call_context {
	struct target *target; /* borrowed; NULL without CALL_TARGET */
	json_t *args; /* borrowed; an object, defaults not filled in */
	/* Reports progress in 0 .. 1 for work longer than a second; NULL when nobody looks. */
	void (*progress)(void *user, double done, const char *what);
	void *progress_user;
	/* Runs work(work_user) while others may have the VM; afterwards target may be another
	 * one (the VM was opened anew). NULL: nobody else waits for the VM. See call_away. */
	struct error *(*away)(struct call_context *context, void (*work)(void *user),
			      void *work_user);
	void *away_user;
	bool (*ended)(void); /* true once the person wants it to end; NULL: never */
};

struct call {
	const char *name;
	const char *group; /* heading in the help: "lifecycle", "introspection", ... */
	const char *summary; /* one line, no full stop */
	const char *details; /* further paragraphs of the help, or NULL */
	const char *examples; /* lines of the help, or NULL */
	unsigned flags;
	const struct call_param *params; /* ends with a NULL name; VM and --file are implied */
	const struct call_column *columns; /* ends with a NULL key; NULL: key/value print-out */
	/* Caller owns *ret. NULL: the command line has a function of its own (cli/). */
	struct error *(*run)(struct call_context *context, json_t **ret);
};

/* ORDER calls: all of them, sorted by group as the help shows them; ends with NULL. */
extern const struct call *const call_table[];

/* True when the work should end now, with what it has. Takes a struct call_context. */
bool call_ended(void *context);

const struct call *call_find(const char *name); /* or NULL */

/* Checks args against the call's parameters: unknown, missing, wrong type, not a choice.
 * ERR_USAGE. */
struct error *call_check(const struct call *call, json_t *args);

/* The same for arguments from the network: those that are local are refused, and negative
 * numbers, since JSON has no hex. */
struct error *call_check_remote(const struct call *call, json_t *args);

/* The same for arguments of the command line: those that are local may be required. */
struct error *call_check_local(const struct call *call, json_t *args);

/* Runs a call that has a run(). An introspection call whose list is empty because something was
 * not understood fails with ERR_BAD_DATA: an empty list means that there is nothing. Caller
 * owns *ret. */
struct error *call_do(const struct call *call, struct call_context *context, json_t **ret);

/* Parses one command-line or URL value for a parameter. Caller owns *ret. ERR_USAGE. */
struct error *call_parse_value(const struct call_param *param, const char *text, json_t **ret);

/* Arguments inside a call's run(). */
const char *call_string(const struct call_context *context, const char *name); /* or NULL */
uint64_t call_integer(const struct call_context *context, const char *name, uint64_t otherwise);
bool call_bool(const struct call_context *context, const char *name);
bool call_has(const struct call_context *context, const char *name);
void call_progress(const struct call_context *context, double done, const char *what);

/* For work that takes long and does not need the VM: lets others have it meanwhile. Fails when
 * the VM is gone afterwards; work has run in any case. */
struct error *call_away(struct call_context *context, void (*work)(void *user), void *user);

/* Keys of the columns that people see; empty without a call. New reference. */
json_t *call_column_names(const struct call *call);

/* "0x..." string of an address or id, the form DESIGN 3.2 asks for. New reference. */
json_t *call_hex(uint64_t value);
#endif
