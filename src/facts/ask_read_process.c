/* Questions about processes and their things, and about kinds of pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "facts/ask_reader.h"
#include "facts/facts.h"

enum { GUEST_PAGE_BYTES = 4096 };

/* Calls that take a pid: object of the question, call, shape. */
static const char *const per_process[][3] = {
	{ "stack", "stack", "list" },	 { "env", "env", "list" }, { "maps", "maps", "list" },
	{ "libraries", "maps", "list" }, { "wx", "maps", "list" },
};

static bool read_process_call(struct ask_reader *r, json_int_t pid)
{
	for (size_t i = 0; i < sizeof(per_process) / sizeof(*per_process); i++) {
		if (!ask_about(r, per_process[i][0]))
			continue;
		ask_set_call(r, per_process[i][1]);
		ask_set_arg(r, "pid", json_integer(pid));
		ask_set_text(r, "shape", ask_has(r, W_COUNT) ? "count" : per_process[i][2]);
		if (ask_about(r, "libraries"))
			ask_add_where(r, "path", "has", json_string(".so"));
		if (ask_about(r, "wx"))
			ask_add_where(r, "perms", "has", json_string("wx"));
		ask_focus_pid(r, ask_about(r, "stack") ? "stack" : "pid", pid);
		return true;
	}
	return false;
}

static bool read_process_list(struct ask_reader *r, json_int_t pid)
{
	static const char *const lists[][3] = { { "files", "files", "pid" },
						{ "pipes", "files", "pid" },
						{ "deleted", "files", "pid" },
						{ "threads", "threads", "tgid" },
						{ "sockets", "sockets", "pid" } };
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (!ask_about(r, lists[i][0]))
			continue;
		ask_set_call(r, lists[i][1]);
		ask_add_where(r, lists[i][2], "=", json_integer(pid));
		if (ask_about(r, "pipes"))
			ask_add_where(r, "type", "=", json_string("pipe"));
		if (ask_about(r, "deleted"))
			ask_add_where(r, "path", "has", json_string("(deleted)"));
		ask_set_shape(r);
		return true;
	}
	if (!ask_words_has(r->words, W_RELATION, "open"))
		return false;
	ask_set_call(r, "files");
	ask_add_where(r, "pid", "=", json_integer(pid));
	ask_set_shape(r);
	return true;
}

static void ask_field(struct ask_reader *r, json_int_t pid, const char *field)
{
	ask_set_call(r, "ps");
	ask_add_where(r, "pid", "=", json_integer(pid));
	ask_set_text(r, "shape", "one");
	ask_set_text(r, "field", field);
	ask_focus_pid(r, "pid", pid);
}

bool ask_read_process_thing(struct ask_reader *r)
{
	json_int_t pid = ask_meant_pid(r);
	const struct ask_word *attribute = ask_find(r, W_ATTRIBUTE);
	if (!ask_names_process(r) || pid < 0)
		return false;
	if (ask_about(r, "pagetables")) {
		ask_field(r, pid, "cr3");
		ask_focus_pid(r, "pagetables", pid);
		ask_set_text(r, "shape", "show");
		return true;
	}
	if (ask_words_has(r->words, W_RELATION, "child")) {
		ask_set_call(r, "ps");
		ask_add_where(r, "ppid", "=", json_integer(pid));
		ask_set_shape(r);
		return true;
	}
	if (read_process_call(r, pid) || read_process_list(r, pid))
		return true;
	if (ask_words_has(r->words, W_RELATION, "parent"))
		ask_field(r, pid, "ppid");
	else if (ask_about(r, "args") || ask_about(r, "cmdline"))
		ask_field(r, pid, "args");
	else if (ask_words_has(r->words, W_KIND, "heap") ||
		 ask_words_has(r->words, W_KIND, "stack")) {
		const char *kind = ask_words_has(r->words, W_KIND, "heap") ? "heap" : "stack";
		ask_set_call(r, "maps");
		ask_set_arg(r, "pid", json_integer(pid));
		ask_add_where(r, "kind", "=", json_string(kind));
		ask_set_text(r, "shape", "show");
		ask_focus_pid(r, kind, pid);
	} else if (ask_words_has(r->words, W_KIND, "page-cache")) {
		ask_set_call(r, "maps");
		ask_set_arg(r, "pid", json_integer(pid));
		ask_add_where(r, "kind", "=", json_string("file"));
		ask_set_text(r, "shape", "show");
		ask_set_focus(r, "file",
			      ask_find(r, W_PROCESS) ? ask_find(r, W_PROCESS)->text : "");
	} else if (attribute && !ask_has(r, W_HIGHLIGHT))
		ask_field(r, pid, attribute->value);
	else if (ask_about(r, "boot_time") || ask_about(r, "users"))
		ask_field(r, pid, ask_about(r, "users") ? "uid" : "start_ns");
	else
		return false;
	return true;
}

bool ask_read_kind(struct ask_reader *r)
{
	const struct ask_word *word = ask_find(r, W_KIND), *name = ask_unknown_name(r);
	const char *kind = word ? word->value : NULL;
	if (!kind && ask_about(r, "pagetables"))
		kind = "page-table";
	else if (!kind && ask_has(r, W_HIGHLIGHT) && ask_about(r, "stack"))
		kind = "kernel-stack";
	else if (!kind && ask_has(r, W_HIGHLIGHT) && ask_about(r, "modules"))
		kind = "module";
	if (!kind || ask_about(r, "mounts"))
		return false;
	ask_set_call(r, "regions");
	ask_set_arg(r, "totals", json_true());
	ask_add_where(r, "kind", "=", json_string(kind));
	if (!strcmp(kind, "page-cache") && name) {
		json_object_del(r->query, "args");
		json_object_del(r->query, "where");
		ask_set_call(r, "files");
		ask_add_where(r, "path", "has", json_string(name->text));
		ask_set_focus(r, "file", name->text);
	} else {
		ask_set_focus(r, "kind", kind);
	}
	ask_set_text(r, "shape", "show");
	return true;
}

/* "over 10 MB" on memory is in bytes, rss_pages in pages. */
static void compare_attribute(struct ask_reader *r)
{
	const struct ask_word *attribute = ask_find(r, W_ATTRIBUTE),
			      *number = ask_find(r, W_NUMBER);
	if (!number || (!ask_has(r, W_MORE) && !ask_has(r, W_LESS)))
		return;
	const char *field = attribute ? attribute->value : "rss_pages";
	uint64_t limit = number->number;
	if (!strcmp(field, "rss_pages"))
		limit /= GUEST_PAGE_BYTES;
	ask_add_where(r, field, ask_has(r, W_MORE) ? ">" : "<",
		      json_integer((json_int_t)limit));
}

static void order_processes(struct ask_reader *r)
{
	const struct ask_word *attribute = ask_find(r, W_ATTRIBUTE);
	bool is_many = strcasestr(r->question, "processes") ||
		       strcasestr(r->question, "consumers") || strcasestr(r->question, "hogs");
	bool is_one = !is_many || (ask_has(r, W_WHO) && ask_about(r, "processes"));
	json_int_t count = ask_wanted_count(r, is_one ? 1 : 10);
	if (ask_has(r, W_MOST) || ask_has(r, W_LEAST))
		ask_set_sort(r, attribute ? attribute->value : "rss_pages", ask_has(r, W_MOST),
			     count);
	else if (ask_has(r, W_OLDEST) || ask_has(r, W_NEWEST))
		ask_set_sort(r, "start_ns", ask_has(r, W_NEWEST), count);
	else if (attribute && !ask_has(r, W_MORE) && !ask_has(r, W_LESS) && !ask_has(r, W_USER))
		ask_set_sort(r, attribute->value, true, 0);
}

/* Asks for the most, the least, the oldest, ... of something. */
static bool compares(const struct ask_reader *r)
{
	return ask_has(r, W_MOST) || ask_has(r, W_LEAST) || ask_has(r, W_OLDEST) ||
	       ask_has(r, W_NEWEST) || ask_has(r, W_MORE) || ask_has(r, W_LESS);
}

/* True when an unknown word can only be a process's name: beside "process", or after "called".
 */
static bool is_name(const struct ask_reader *r, const struct ask_word *word)
{
	const struct ask_word *first = r->words->items, *last = first + r->words->count - 1;
	if (word->class == W_QUOTED)
		return true;
	const struct ask_word *before = word > first ? word - 1 : NULL;
	const struct ask_word *after = word < last ? word + 1 : NULL;
	return (before && (before->class == W_OBJECT || !strcmp(before->text, "called") ||
			   !strcmp(before->text, "named"))) ||
	       (after && after->class == W_OBJECT);
}

bool ask_read_processes(struct ask_reader *r)
{
	const struct ask_word *state = ask_find(r, W_STATE), *user = ask_find(r, W_USER);
	bool asks_alive = strcasestr(r->question, "running") ||
			  strcasestr(r->question, " up") || strcasestr(r->question, "alive");
	bool is_about =
		ask_about(r, "processes") || ask_about(r, "kthreads") ||
		ask_about(r, "user_processes") || ask_about(r, "threads") ||
		ask_about(r, "users") || ask_about(r, "hidden") ||
		(ask_has(r, W_WHO) && compares(r)) || ask_names_process(r) || state || user ||
		((ask_has(r, W_MOST) || ask_has(r, W_MORE)) && ask_has(r, W_ATTRIBUTE)) ||
		(ask_unknown_name(r) && asks_alive);
	if (!is_about)
		return false;
	ask_set_call(r, ask_about(r, "threads") ? "threads" : "ps");
	if (ask_about(r, "hidden"))
		ask_set_arg(r, "hidden", json_true());
	if (ask_about(r, "kthreads") || ask_about(r, "user_processes"))
		ask_add_where(r, "kthread", "=", json_boolean(ask_about(r, "kthreads")));
	if (state && strlen(state->value) == 1)
		ask_add_where(r, "state", "=", json_string(state->value));
	if (user)
		ask_add_where(r, "uid", "=", json_integer((json_int_t)user->number));
	if (ask_names_process(r)) {
		ask_where_pid(r);
		if (ask_meant_pid(r) >= 0)
			ask_focus_pid(r, "pid", ask_meant_pid(r));
	} else if (ask_unknown_name(r) && (asks_alive || is_name(r, ask_unknown_name(r)))) {
		ask_add_where(r, "comm", "has", json_string(ask_unknown_name(r)->text));
	}
	compare_attribute(r);
	order_processes(r);
	if (ask_unknown_name(r) && !ask_names_process(r) &&
	    !json_object_get(r->query, "where") && !json_object_get(r->query, "sort") &&
	    !ask_about(r, "hidden"))
		return false; /* what the unknown word says would be lost */
	ask_set_shape(r);
	if (ask_has(r, W_HIGHLIGHT) || ask_has(r, W_WHERE))
		ask_set_text(r, "shape", "show");
	return true;
}
