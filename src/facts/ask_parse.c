/* From words to a query. Each reader below looks for the words that make its kind of question;
 * the first that is sure builds the query. Order matters: what is more particular comes first.
 *
 *   1 what changed            2 ports and sockets      3 a path            4 an address
 *   5 a thing of a process    6 kinds of pages         7 learning          8 the machine
 *   9 kernel lists            10 processes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/own.h"
#include "facts/ask.h"
#include "facts/ask_words.h"
#include "facts/facts.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { GUEST_PAGE_BYTES = 4096 };

const char *const ask_examples[] = {
	"What processes are running?",
	"Which process uses the most memory?",
	"Show me the kernel stack of sshd",
	"Page tables of PID 42",
	"Who has /etc/passwd open?",
	"Is anything listening on port 22?",
	"What changed in the last minute?",
	"Highlight kernel memory allocations",
	"How much memory is free?",
	"Show kernel errors",
	"Where is the page cache of busybox?",
	"What is at 0xffffffff81000000?",
	NULL,
};

struct reader {
	const struct ask_context *context;
	const struct ask_words *words;
	const char *question;
	json_t *query;
};

static const struct ask_word *find(const struct reader *r, enum word_class class)
{
	return ask_words_find(r->words, class);
}

static bool has(const struct reader *r, enum word_class class)
{
	return find(r, class) != NULL;
}

static bool about(const struct reader *r, const char *object)
{
	return ask_words_has(r->words, W_OBJECT, object);
}

static void set_text(struct reader *r, const char *key, const char *text)
{
	json_object_set_new(r->query, key, json_string(text));
}

static void set_call(struct reader *r, const char *call)
{
	set_text(r, "call", call);
	if (!json_object_get(r->query, "args"))
		json_object_set_new(r->query, "args", json_object());
}

static void set_arg(struct reader *r, const char *name, json_t *value)
{
	json_object_set_new(json_object_get(r->query, "args"), name, value);
}

static void add_where(struct reader *r, const char *field, const char *op, json_t *value)
{
	json_t *where = json_object_get(r->query, "where");
	if (!where) {
		where = json_array();
		json_object_set_new(r->query, "where", where);
	}
	json_array_append_new(where, json_pack("[s,s,o]", field, op, value));
}

static void set_sort(struct reader *r, const char *field, bool descending, json_int_t limit)
{
	json_object_set_new(r->query, "sort",
			    json_pack("[s,s]", field, descending ? "desc" : "asc"));
	if (limit)
		json_object_set_new(r->query, "limit", json_integer(limit));
}

static void set_focus(struct reader *r, const char *kind, const char *what)
{
	json_object_set_new(r->query, "focus", json_sprintf("%s:%s", kind, what));
}

/* The shape that the question's verb asks for. */
static void set_shape(struct reader *r)
{
	const char *shape = has(r, W_COUNT)		       ? "count"
			    : has(r, W_ANY) && !has(r, W_SHOW) ? "any"
							       : "list";
	set_text(r, "shape", shape);
}

/* Number behind "top 5" or "5 largest"; otherwise fallback. */
static json_int_t wanted_count(const struct reader *r, json_int_t fallback)
{
	const struct ask_word *number = find(r, W_NUMBER);
	bool is_compared = has(r, W_MORE) || has(r, W_LESS);
	return number && !is_compared && number->number <= 1000 ? (json_int_t)number->number
								: fallback;
}

/* Row of ps that the question means, by pid or by name; NULL when it names none. */
static const json_t *meant_process(const struct reader *r)
{
	const struct ask_word *pid = find(r, W_PID), *name = find(r, W_PROCESS);
	size_t i;
	json_t *row;
	json_array_foreach(r->context->processes, i, row)
	{
		json_int_t row_pid = json_integer_value(json_object_get(row, "pid"));
		const char *comm = json_string_value(json_object_get(row, "comm"));
		if (pid && row_pid == (json_int_t)pid->number)
			return row;
		if (!pid && name && comm && !strcasecmp(comm, name->text))
			return row;
	}
	return NULL;
}

/* Pid that the question means; -1 when it names no process. A pid is taken as written. */
static json_int_t meant_pid(const struct reader *r)
{
	const struct ask_word *pid = find(r, W_PID);
	if (pid)
		return (json_int_t)pid->number;
	const json_t *row = meant_process(r);
	return row ? json_integer_value(json_object_get(row, "pid")) : -1;
}

static bool names_process(const struct reader *r)
{
	return has(r, W_PID) || has(r, W_PROCESS);
}

static void focus_pid(struct reader *r, const char *kind, json_int_t pid)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)pid);
	set_focus(r, kind, text);
}

static void where_pid(struct reader *r)
{
	const struct ask_word *name = find(r, W_PROCESS);
	json_int_t pid = meant_pid(r);
	if (pid >= 0)
		add_where(r, "pid", "=", json_integer(pid));
	else if (name)
		add_where(r, "comm", "=", json_string(name->text));
}

/* 1 --- what changed
 * ----------------------------------------------------------------------------- */

/* The text behind "since" or "in the last", up to the end. */
static bool read_since(struct reader *r, uint64_t *ret)
{
	static const char *const marks[] = { "in the last ",	 "in the past ",
					     "during the last ", "within the last ",
					     "over the last ",	 "since ",
					     "within ",		 "after " };
	uint64_t parsed;
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		const char *at = strcasestr(r->question, marks[i]);
		if (!at)
			continue;
		char text[64];
		at += strlen(marks[i]);
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, "?"), at);
		struct error *err = facts_parse_time(text, r->context->now_ns, &parsed);
		if (!err) {
			*ret = parsed;
			return true;
		}
		error_destroy(err);
	}
	return false;
}

static const char *changed_table(const struct reader *r)
{
	static const char *const tables[][2] = {
		{ "modules", "modules" },     { "mounts", "mounts" },
		{ "files", "files" },	      { "sockets", "sockets" },
		{ "listening", "sockets" },   { "threads", "threads" },
		{ "processes", "processes" }, { "kernels", "kernels" }
	};
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (about(r, tables[i][0]))
			return tables[i][1];
	return has(r, W_WHO) ? "processes" : NULL;
}

static bool read_change(struct reader *r)
{
	const struct ask_word *change = find(r, W_CHANGE);
	uint64_t since =
		r->context->now_ns > 60000000000u ? r->context->now_ns - 60000000000u : 0;
	bool has_time = read_since(r, &since);
	if (!change || (!has_time && *change->value && !strcmp(change->text, "new") &&
			!about(r, "processes")))
		return false;
	const char *table = changed_table(r);
	set_call(r, "diff");
	json_object_set_new(r->query, "since", json_integer((json_int_t)since));
	if (table)
		add_where(r, "table", "=", json_string(table));
	if (*change->value)
		add_where(r, "change", "=", json_string(change->value));
	set_shape(r);
	return true;
}

/* 2 --- sockets
 * ----------------------------------------------------------------------------------- */

static bool read_sockets(struct reader *r)
{
	const struct ask_word *port = find(r, W_PORT), *protocol = find(r, W_PROTOCOL),
			      *state = find(r, W_STATE);
	bool listens = ask_words_has(r->words, W_STATE, "LISTEN") || about(r, "listening");
	bool is_socket_state = state && strlen(state->value) > 1;
	if (!port && !protocol && !is_socket_state && !about(r, "sockets") &&
	    !about(r, "listening"))
		return false;
	set_call(r, "sockets");
	if (port) {
		char end[16];
		snprintf(end, sizeof(end), ":%llu", (unsigned long long)port->number);
		add_where(r, "local", "ends", json_string(end));
	}
	if (listens)
		add_where(r, "state", "=", json_string("LISTEN"));
	else if (is_socket_state)
		add_where(r, "state", "=", json_string(state->value));
	if (protocol)
		add_where(r,
			  strcmp(protocol->value, "tcp") && strcmp(protocol->value, "udp")
				  ? "family"
				  : "proto",
			  "has", json_string(protocol->value));
	if (names_process(r))
		where_pid(r);
	set_shape(r);
	return true;
}

/* 3 --- paths
 * ------------------------------------------------------------------------------------- */

static bool read_path(struct reader *r)
{
	const struct ask_word *path = find(r, W_PATH);
	if (!path)
		path = find(r, W_QUOTED);
	if (!path)
		return false;
	if (ask_words_has(r->words, W_KIND, "page_cache") || has(r, W_HIGHLIGHT)) {
		set_call(r, "files");
		add_where(r, "path", "=", json_string(path->text));
		set_focus(r, "file", path->text);
		set_text(r, "shape", "show");
		return true;
	}
	if (about(r, "mounts")) {
		set_call(r, "mounts");
		add_where(r, "mountpoint", "=", json_string(path->text));
	} else if (path->class == W_QUOTED && *path->text != '/') {
		return false;
	} else {
		set_call(r, "files");
		add_where(r, "path", path->text[strlen(path->text) - 1] == '/' ? "has" : "=",
			  json_string(path->text));
	}
	set_shape(r);
	return true;
}

/* 4 --- addresses and symbols
 * --------------------------------------------------------------------- */

static bool read_address(struct reader *r)
{
	const struct ask_word *address = find(r, W_ADDRESS);
	char text[24];
	if (!address)
		return false;
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address->number);
	set_call(r, "page");
	set_arg(r, "address", json_string(text));
	set_focus(r, "address", text);
	set_text(r, "shape", "show");
	return true;
}

/* First word that is a name of nothing known: a symbol, a type. */
static const struct ask_word *unknown_name(const struct reader *r)
{
	const struct ask_word *word = find(r, W_QUOTED);
	if (!word)
		word = find(r, W_UNKNOWN);
	return word ? word : find(r, W_MODULE);
}

static bool read_symbol(struct reader *r)
{
	const struct ask_word *name = unknown_name(r);
	if (about(r, "type")) {
		set_call(r, "type");
		set_arg(r, "name", json_string(r->words->items[r->words->count - 1].text));
		set_text(r, "shape", "text");
		return true;
	}
	if (!name)
		return false;
	bool looks_like_symbol = strchr(name->text, '_') &&
				 (has(r, W_WHERE) || has(r, W_HIGHLIGHT) || has(r, W_SHOW));
	if (!about(r, "symbols") && !looks_like_symbol)
		return false;
	set_call(r, "symbols");
	set_arg(r, "pattern", json_string(name->text));
	if (has(r, W_WHERE) || has(r, W_HIGHLIGHT))
		set_focus(r, "symbol", name->text);
	set_shape(r);
	return true;
}

/* 5 --- a thing of one process
 * --------------------------------------------------------------------- */

/* Calls that take a pid: object of the question, call, shape. */
static const char *const per_process[][3] = {
	{ "stack", "stack", "list" },
	{ "env", "env", "list" },
	{ "maps", "maps", "list" },
	{ "libraries", "maps", "list" },
};

static bool read_process_call(struct reader *r, json_int_t pid)
{
	for (size_t i = 0; i < sizeof(per_process) / sizeof(*per_process); i++) {
		if (!about(r, per_process[i][0]))
			continue;
		set_call(r, per_process[i][1]);
		set_arg(r, "pid", json_integer(pid));
		set_text(r, "shape", has(r, W_COUNT) ? "count" : per_process[i][2]);
		if (about(r, "libraries"))
			add_where(r, "path", "has", json_string(".so"));
		focus_pid(r, about(r, "stack") ? "stack" : "pid", pid);
		return true;
	}
	return false;
}

static bool read_process_list(struct reader *r, json_int_t pid)
{
	static const char *const lists[][3] = { { "files", "files", "pid" },
						{ "pipes", "files", "pid" },
						{ "deleted", "files", "pid" },
						{ "threads", "threads", "tgid" },
						{ "sockets", "sockets", "pid" } };
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (!about(r, lists[i][0]))
			continue;
		set_call(r, lists[i][1]);
		add_where(r, lists[i][2], "=", json_integer(pid));
		if (about(r, "pipes"))
			add_where(r, "type", "=", json_string("pipe"));
		if (about(r, "deleted"))
			add_where(r, "path", "has", json_string("(deleted)"));
		set_shape(r);
		return true;
	}
	if (!ask_words_has(r->words, W_RELATION, "open"))
		return false;
	set_call(r, "files");
	add_where(r, "pid", "=", json_integer(pid));
	set_shape(r);
	return true;
}

static void ask_field(struct reader *r, json_int_t pid, const char *field)
{
	set_call(r, "ps");
	add_where(r, "pid", "=", json_integer(pid));
	set_text(r, "shape", "one");
	set_text(r, "field", field);
	focus_pid(r, "pid", pid);
}

static bool read_process_thing(struct reader *r)
{
	json_int_t pid = meant_pid(r);
	const struct ask_word *attribute = find(r, W_ATTRIBUTE);
	if (!names_process(r) || pid < 0)
		return false;
	if (about(r, "pagetables")) {
		ask_field(r, pid, "cr3");
		focus_pid(r, "pagetables", pid);
		set_text(r, "shape", "show");
		return true;
	}
	if (ask_words_has(r->words, W_RELATION, "child")) {
		set_call(r, "ps");
		add_where(r, "ppid", "=", json_integer(pid));
		set_shape(r);
		return true;
	}
	if (read_process_call(r, pid) || read_process_list(r, pid))
		return true;
	if (ask_words_has(r->words, W_RELATION, "parent"))
		ask_field(r, pid, "ppid");
	else if (about(r, "args"))
		ask_field(r, pid, "args");
	else if (ask_words_has(r->words, W_KIND, "heap") ||
		 ask_words_has(r->words, W_KIND, "stack")) {
		const char *kind = ask_words_has(r->words, W_KIND, "heap") ? "heap" : "stack";
		set_call(r, "maps");
		set_arg(r, "pid", json_integer(pid));
		add_where(r, "kind", "=", json_string(kind));
		set_text(r, "shape", "show");
		focus_pid(r, kind, pid);
	} else if (ask_words_has(r->words, W_KIND, "page_cache")) {
		set_call(r, "maps");
		set_arg(r, "pid", json_integer(pid));
		add_where(r, "kind", "=", json_string("file"));
		set_text(r, "shape", "show");
		set_focus(r, "file", find(r, W_PROCESS) ? find(r, W_PROCESS)->text : "");
	} else if (attribute && !has(r, W_HIGHLIGHT))
		ask_field(r, pid, attribute->value);
	else if (about(r, "boot_time") || about(r, "users"))
		ask_field(r, pid, about(r, "users") ? "uid" : "start_ns");
	else
		return false;
	return true;
}

/* 6 --- kinds of pages
 * ------------------------------------------------------------------------------ */

static bool read_kind(struct reader *r)
{
	const struct ask_word *word = find(r, W_KIND), *name = unknown_name(r);
	const char *kind = word ? word->value : NULL;
	if (!kind && about(r, "pagetables"))
		kind = "page_table";
	else if (!kind && has(r, W_HIGHLIGHT) && about(r, "stack"))
		kind = "kernel_stack";
	else if (!kind && has(r, W_HIGHLIGHT) && about(r, "modules"))
		kind = "module";
	if (!kind || about(r, "mounts"))
		return false;
	set_call(r, "kinds");
	add_where(r, "kind", "=", json_string(kind));
	if (!strcmp(kind, "page_cache") && name) {
		set_call(r, "files");
		json_object_del(r->query, "where");
		add_where(r, "path", "has", json_string(name->text));
		set_focus(r, "file", name->text);
	} else {
		set_focus(r, "kind", kind);
	}
	set_text(r, "shape", "show");
	return true;
}

/* 7 --- learning
 * ------------------------------------------------------------------------------------ */

static bool read_learning(struct reader *r)
{
	if (about(r, "kernels")) {
		set_call(r, "kernels");
		set_shape(r);
		return true;
	}
	if (!about(r, "hot"))
		return false;
	bool is_one = has(r, W_MOST) || (strcasestr(r->question, "function") &&
					 !strcasestr(r->question, "functions"));
	set_call(r, "hot");
	set_sort(r, "instructions", true, wanted_count(r, is_one ? 1 : 10));
	if (names_process(r))
		where_pid(r);
	set_shape(r);
	return true;
}

/* 8 --- the machine
 * --------------------------------------------------------------------------------- */

static bool read_machine(struct reader *r)
{
	static const char *const fields[][2] = {
		{ "banner", "banner" },	      { "hostname", "hostname" },
		{ "boot_time", "boot_time" }, { "cmdline", "cmdline" },
		{ "ram", "ram_bytes" },	      { "kaslr", "kaslr" },
		{ "status", "state" }
	};
	if (names_process(r))
		return false;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (!about(r, fields[i][0]))
			continue;
		set_call(r, "status");
		set_text(r, "shape", about(r, "status") ? "show" : "one");
		set_text(r, "field", fields[i][1]);
		return true;
	}
	return false;
}

/* 9 --- lists of the kernel
 * --------------------------------------------------------------------------- */

static void order_by_size(struct reader *r, const char *field)
{
	if (has(r, W_MOST) || has(r, W_LEAST))
		set_sort(r, field, has(r, W_MOST), wanted_count(r, 1));
}

static bool read_dmesg(struct reader *r)
{
	const struct ask_word *level = find(r, W_LEVEL), *name = unknown_name(r);
	if (!about(r, "dmesg") && !level)
		return false;
	set_call(r, "dmesg");
	if (level)
		add_where(r, "level", "<=", json_integer(strtol(level->value, NULL, 10)));
	if (name)
		add_where(r, "text", "has", json_string(name->text));
	if (has(r, W_NEWEST))
		set_sort(r, "time_ns", true, wanted_count(r, 10));
	set_shape(r);
	return true;
}

static bool read_modules(struct reader *r)
{
	const struct ask_word *name = unknown_name(r), *least = find(r, W_NUMBER);
	if (!about(r, "modules") && !(has(r, W_MODULE) && !has(r, W_PROCESS)))
		return false;
	set_call(r, "lsmod");
	if (name)
		add_where(r, "name", "=", json_string(name->text));
	if (least && (has(r, W_MORE) || has(r, W_LESS)))
		add_where(r, "size", has(r, W_MORE) ? ">" : "<",
			  json_integer((json_int_t)least->number));
	order_by_size(r, "size");
	set_shape(r);
	return true;
}

static bool read_lists(struct reader *r)
{
	static const char *const lists[][2] = { { "mounts", "mounts" },	  { "irqs", "irqs" },
						{ "cgroups", "cgroups" }, { "tree", "tree" },
						{ "files", "files" },	  { "pipes", "files" },
						{ "deleted", "files" } };
	if (read_dmesg(r) || read_modules(r))
		return true;
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (!about(r, lists[i][0]))
			continue;
		const struct ask_word *name = unknown_name(r);
		set_call(r, lists[i][1]);
		if (about(r, "pipes"))
			add_where(r, "type", "=", json_string("pipe"));
		if (about(r, "deleted"))
			add_where(r, "path", "has", json_string("(deleted)"));
		if (name && about(r, "files"))
			add_where(r, "path", "has", json_string(name->text));
		if (ask_words_has(r->words, W_KIND, "shmem"))
			add_where(r, "fstype", "=", json_string("tmpfs"));
		else if (name && about(r, "mounts"))
			add_where(r, "fstype", "=", json_string(name->text));
		set_shape(r);
		return true;
	}
	return false;
}

/* 10 --- processes
 * ------------------------------------------------------------------------------------- */

/* "over 10 MB" on memory is in bytes, rss_pages in pages. */
static void compare_attribute(struct reader *r)
{
	const struct ask_word *attribute = find(r, W_ATTRIBUTE), *number = find(r, W_NUMBER);
	if (!number || (!has(r, W_MORE) && !has(r, W_LESS)))
		return;
	const char *field = attribute ? attribute->value : "rss_pages";
	uint64_t limit = number->number;
	if (!strcmp(field, "rss_pages"))
		limit /= GUEST_PAGE_BYTES;
	add_where(r, field, has(r, W_MORE) ? ">" : "<", json_integer((json_int_t)limit));
}

static void order_processes(struct reader *r)
{
	const struct ask_word *attribute = find(r, W_ATTRIBUTE);
	bool is_one = !about(r, "processes") || has(r, W_WHO) ||
		      !strcasestr(r->question, "processes");
	json_int_t count = wanted_count(r, is_one ? 1 : 10);
	if (has(r, W_MOST) || has(r, W_LEAST))
		set_sort(r, attribute ? attribute->value : "rss_pages", has(r, W_MOST), count);
	else if (has(r, W_OLDEST) || has(r, W_NEWEST))
		set_sort(r, "start_ns", has(r, W_NEWEST), count);
	else if (attribute && !has(r, W_MORE) && !has(r, W_LESS) && !has(r, W_USER))
		set_sort(r, attribute->value, true, 0);
}

/* Asks for the most, the least, the oldest, ... of something. */
static bool compares(const struct reader *r)
{
	return has(r, W_MOST) || has(r, W_LEAST) || has(r, W_OLDEST) || has(r, W_NEWEST) ||
	       has(r, W_MORE) || has(r, W_LESS);
}

static bool read_processes(struct reader *r)
{
	const struct ask_word *state = find(r, W_STATE), *user = find(r, W_USER);
	bool is_about =
		about(r, "processes") || about(r, "kthreads") || about(r, "user_processes") ||
		about(r, "threads") || about(r, "users") || about(r, "hidden") ||
		(has(r, W_WHO) && compares(r)) || names_process(r) || state || user ||
		((has(r, W_MOST) || has(r, W_MORE)) && has(r, W_ATTRIBUTE)) ||
		(has(r, W_ANY) && unknown_name(r) && strcasestr(r->question, "running"));
	if (!is_about)
		return false;
	set_call(r, about(r, "threads") ? "threads" : "ps");
	if (about(r, "hidden"))
		set_arg(r, "hidden", json_true());
	if (about(r, "kthreads") || about(r, "user_processes"))
		add_where(r, "kthread", "=", json_boolean(about(r, "kthreads")));
	if (state && strlen(state->value) == 1)
		add_where(r, "state", "=", json_string(state->value));
	if (user)
		add_where(r, "uid", "=", json_integer((json_int_t)user->number));
	if (names_process(r)) {
		where_pid(r);
		if (meant_pid(r) >= 0)
			focus_pid(r, "pid", meant_pid(r));
	} else if (unknown_name(r)) {
		add_where(r, "comm", "has", json_string(unknown_name(r)->text));
	}
	compare_attribute(r);
	order_processes(r);
	set_shape(r);
	if (has(r, W_HIGHLIGHT) || has(r, W_WHERE))
		set_text(r, "shape", "show");
	return true;
}

/* -------------------------------------------------------------------------------------------------------
 */

/* " since 10:02:03" of a diff, in the host's time zone. */
static void describe_since(const struct reader *r, FILE *to)
{
	char text[32];
	struct tm moment;
	const json_t *since = json_object_get(r->query, "since");
	time_t seconds = (time_t)((uint64_t)json_integer_value(since) / 1000000000u);
	if (since && localtime_r(&seconds, &moment) &&
	    strftime(text, sizeof(text), "%F %T", &moment))
		fprintf(to, " since %s", text);
}

/* "ps where comm has ssh, sorted by rss_pages desc, 5 rows". */
static void describe(struct reader *r)
{
	char *text = NULL;
	size_t size = 0, i;
	json_t *condition, *value;
	const char *key;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return;
	const char *shape = json_string_value(json_object_get(r->query, "shape"));
	if (!strcmp(shape, "one"))
		fprintf(to, "%s of ", json_string_value(json_object_get(r->query, "field")));
	else if (strcmp(shape, "list"))
		fprintf(to, "%s ", shape);
	fputs(json_string_value(json_object_get(r->query, "call")), to);
	describe_since(r, to);
	json_object_foreach(json_object_get(r->query, "args"), key, value)
	{
		fprintf(to, " %s ", key);
		if (json_is_string(value))
			fputs(json_string_value(value), to);
		else
			json_dumpf(value, to, JSON_ENCODE_ANY);
	}
	json_array_foreach(json_object_get(r->query, "where"), i, condition)
	{
		fprintf(to, "%s %s %s ", i ? " and" : " where",
			json_string_value(json_array_get(condition, 0)),
			json_string_value(json_array_get(condition, 1)));
		json_dumpf(json_array_get(condition, 2), to,
			   JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	}
	const json_t *sort = json_object_get(r->query, "sort"),
		     *limit = json_object_get(r->query, "limit");
	if (sort)
		fprintf(to, " by %s %s", json_string_value(json_array_get(sort, 0)),
			json_string_value(json_array_get(sort, 1)));
	if (limit)
		fprintf(to, " limit %lld", (long long)json_integer_value(limit));
	if (json_object_get(r->query, "focus"))
		fprintf(to, " focus %s", json_string_value(json_object_get(r->query, "focus")));
	fclose(to);
	set_text(r, "understood", text);
	free(text);
}

/* Examples that share words with the question, or the first ones. */
static struct error *not_understood(const char *question)
{
	const char *best = ask_examples[0], *second = ask_examples[1];
	size_t best_score = 0;
	for (const char *const *example = ask_examples; *example; example++) {
		size_t score = 0;
		for (const char *at = question; *at;
		     at += strcspn(at, " ?"), at += strspn(at, " ?")) {
			char word[32];
			snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " ?"), at);
			if (strlen(word) > 3 && strcasestr(*example, word))
				score++;
		}
		if (score > best_score) {
			second = best;
			best = *example;
			best_score = score;
		}
	}
	return error_hint(error_create(ERR_NOT_FOUND, "I do not understand '%.200s'", question),
			  "try: \"%s\" or \"%s\"", best, second);
}

static bool read_question(struct reader *r)
{
	static bool (*const readers[])(struct reader *) = {
		read_change,  read_path,  read_address,	 read_process_thing,
		read_sockets, read_kind,  read_learning, read_machine,
		read_symbol,  read_lists, read_processes
	};
	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (readers[i](r))
			return true;
	return false;
}

/* Names a process that does not run here: an answer would be about something else. */
static struct error *check_subject(const struct reader *r)
{
	static const char *const needs_process[] = { "stack", "env", "maps", "libraries",
						     "args" };
	for (size_t i = 0; i < sizeof(needs_process) / sizeof(*needs_process); i++) {
		if (!about(r, needs_process[i]) || has(r, W_HIGHLIGHT))
			continue;
		const struct ask_word *name = unknown_name(r);
		if (name)
			return error_hint(
				error_create(ERR_NOT_FOUND, "no process '%s' runs", name->text),
				"`glassbox ps` lists them");
		return error_hint(error_create(ERR_NOT_FOUND, "of which process?"),
				  "say \"%s of PID 1\"", needs_process[i]);
	}
	return NULL;
}

struct error *ask_parse(const struct ask_context *context, const char *question, json_t **ret)
{
	AUTO(ask_words_deinit) struct ask_words words = { 0 };
	AUTO(own_json) json_t *query = json_object();
	TRY(ask_words_split(context, question, &words));
	struct reader r = {
		.context = context, .words = &words, .question = question, .query = query
	};
	if (!read_question(&r)) {
		TRY(check_subject(&r));
		return not_understood(question);
	}
	describe(&r);
	*ret = TAKE(query);
	return NULL;
}
