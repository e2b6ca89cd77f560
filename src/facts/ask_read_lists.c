/* Questions about changes, sockets, paths, addresses, the machine and the kernel's lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "facts/ask_reader.h"
#include "facts/facts.h"

/* The text behind "since" or "in the last", up to the end. */
static bool read_since(struct ask_reader *r, uint64_t *ret)
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

static const char *changed_table(const struct ask_reader *r)
{
	static const char *const tables[][2] = {
		{ "modules", "modules" },     { "mounts", "mounts" },
		{ "files", "files" },	      { "sockets", "sockets" },
		{ "listening", "sockets" },   { "threads", "threads" },
		{ "processes", "processes" }, { "kernels", "kernels" }
	};
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (ask_about(r, tables[i][0]))
			return tables[i][1];
	return ask_has(r, W_WHO) ? "processes" : NULL;
}

bool ask_read_change(struct ask_reader *r)
{
	const struct ask_word *change = ask_find(r, W_CHANGE);
	uint64_t since =
		r->context->now_ns > 60000000000u ? r->context->now_ns - 60000000000u : 0;
	bool has_time = read_since(r, &since);
	if (!change || (!has_time && *change->value && !strcmp(change->text, "new") &&
			!ask_about(r, "processes")))
		return false;
	const char *table = changed_table(r);
	ask_set_call(r, "diff");
	json_object_set_new(r->query, "since", json_integer((json_int_t)since));
	if (table)
		ask_add_where(r, "table", "=", json_string(table));
	if (*change->value)
		ask_add_where(r, "change", "=", json_string(change->value));
	ask_set_shape(r);
	return true;
}

bool ask_read_sockets(struct ask_reader *r)
{
	const struct ask_word *port = ask_find(r, W_PORT), *protocol = ask_find(r, W_PROTOCOL),
			      *state = ask_find(r, W_STATE);
	bool listens = ask_words_has(r->words, W_STATE, "LISTEN") || ask_about(r, "listening");
	bool is_socket_state = state && strlen(state->value) > 1;
	if (!port && !protocol && !is_socket_state && !ask_about(r, "sockets") &&
	    !ask_about(r, "listening"))
		return false;
	ask_set_call(r, "sockets");
	if (port) {
		char end[16];
		snprintf(end, sizeof(end), ":%llu", (unsigned long long)port->number);
		ask_add_where(r, "local", "ends", json_string(end));
	}
	if (listens)
		ask_add_where(r, "state", "=", json_string("LISTEN"));
	else if (is_socket_state)
		ask_add_where(r, "state", "=", json_string(state->value));
	if (protocol)
		ask_add_where(r,
			      strcmp(protocol->value, "tcp") && strcmp(protocol->value, "udp")
				      ? "family"
				      : "proto",
			      "has", json_string(protocol->value));
	if (ask_names_process(r))
		ask_where_pid(r);
	ask_set_shape(r);
	return true;
}

bool ask_read_path(struct ask_reader *r)
{
	const struct ask_word *path = ask_find(r, W_PATH);
	if (!path)
		path = ask_find(r, W_QUOTED);
	if (!path)
		return false;
	if (ask_words_has(r->words, W_KIND, "page-cache") || ask_has(r, W_HIGHLIGHT)) {
		ask_set_call(r, "files");
		ask_add_where(r, "path", "=", json_string(path->text));
		ask_set_focus(r, "file", path->text);
		ask_set_text(r, "shape", "show");
		return true;
	}
	bool is_tmpfs = ask_words_has(r->words, W_KIND, "shmem");
	bool is_folder = strcasestr(r->question, "under /") ||
			 strcasestr(r->question, "below /") ||
			 strcasestr(r->question, "inside /");
	if (ask_about(r, "mounts") || is_tmpfs) {
		ask_set_call(r, "mounts");
		ask_add_where(r, "mountpoint", "=", json_string(path->text));
		if (is_tmpfs)
			ask_add_where(r, "fstype", "=", json_string("tmpfs"));
	} else if (is_folder) {
		ask_set_call(r, "files");
		ask_add_where(r, "path", "has", json_sprintf("%s/", path->text));
	} else if (path->class == W_QUOTED && *path->text != '/') {
		return false;
	} else {
		ask_set_call(r, "files");
		ask_add_where(r, "path",
			      path->text[strlen(path->text) - 1] == '/' ? "has" : "=",
			      json_string(path->text));
	}
	ask_set_shape(r);
	return true;
}

bool ask_read_address(struct ask_reader *r)
{
	const struct ask_word *address = ask_find(r, W_ADDRESS);
	char text[24];
	if (!address)
		return false;
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address->number);
	ask_set_call(r, "page");
	ask_set_arg(r, "address", json_string(text));
	ask_set_focus(r, "address", text);
	ask_set_text(r, "shape", "show");
	return true;
}

bool ask_read_symbol(struct ask_reader *r)
{
	const struct ask_word *name = ask_unknown_name(r);
	if (ask_about(r, "type")) {
		ask_set_call(r, "type");
		ask_set_arg(r, "name", json_string(r->words->items[r->words->count - 1].text));
		ask_set_text(r, "shape", "text");
		return true;
	}
	if (!name)
		return false;
	bool looks_like_symbol =
		strchr(name->text, '_') &&
		(ask_has(r, W_WHERE) || ask_has(r, W_HIGHLIGHT) || ask_has(r, W_SHOW));
	if (!ask_about(r, "symbols") && !looks_like_symbol)
		return false;
	ask_set_call(r, "symbols");
	ask_set_arg(r, "pattern", json_string(name->text));
	if (ask_has(r, W_WHERE) || ask_has(r, W_HIGHLIGHT))
		ask_set_focus(r, "symbol", name->text);
	ask_set_shape(r);
	return true;
}

bool ask_read_learning(struct ask_reader *r)
{
	if (ask_about(r, "kernels")) {
		ask_set_call(r, "kernels");
		ask_set_shape(r);
		return true;
	}
	if (!ask_about(r, "hot"))
		return false;
	bool is_one = ask_has(r, W_MOST) || (strcasestr(r->question, "function") &&
					     !strcasestr(r->question, "functions"));
	ask_set_call(r, "hot");
	ask_set_sort(r, "instructions", true, ask_wanted_count(r, is_one ? 1 : 10));
	if (ask_names_process(r))
		ask_where_pid(r);
	ask_set_shape(r);
	return true;
}

bool ask_read_machine(struct ask_reader *r)
{
	static const char *const fields[][2] = {
		{ "banner", "kernel_banner" }, { "hostname", "hostname" },
		{ "boot_time", "boot_time" },  { "cmdline", "cmdline" },
		{ "ram", "ram_bytes" },	       { "kaslr", "kernel_offset" },
		{ "status", "state" }
	};
	if (ask_names_process(r) || ask_about(r, "dmesg"))
		return false;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (!ask_about(r, fields[i][0]))
			continue;
		ask_set_call(r, "status");
		ask_set_text(r, "shape", ask_about(r, "status") ? "show" : "one");
		ask_set_text(r, "field", fields[i][1]);
		return true;
	}
	return false;
}

static void order_by_size(struct ask_reader *r, const char *field)
{
	if (ask_has(r, W_MOST) || ask_has(r, W_LEAST))
		ask_set_sort(r, field, ask_has(r, W_MOST), ask_wanted_count(r, 1));
}

static bool read_dmesg(struct ask_reader *r)
{
	const struct ask_word *level = ask_find(r, W_LEVEL), *name = ask_unknown_name(r);
	if (!ask_about(r, "dmesg") && !level)
		return false;
	ask_set_call(r, "dmesg");
	if (level)
		ask_add_where(r, "level", "<=", json_integer(strtol(level->value, NULL, 10)));
	if (name)
		ask_add_where(r, "text", "has", json_string(name->text));
	if (ask_has(r, W_NEWEST))
		ask_set_sort(r, "time_ns", true, ask_wanted_count(r, 10));
	ask_set_shape(r);
	return true;
}

static bool read_modules(struct ask_reader *r)
{
	const struct ask_word *name = ask_unknown_name(r), *least = ask_find(r, W_NUMBER);
	if (!ask_about(r, "modules") && !(ask_has(r, W_MODULE) && !ask_has(r, W_PROCESS)))
		return false;
	ask_set_call(r, "lsmod");
	if (ask_about(r, "hidden"))
		ask_set_arg(r, "hidden", json_true());
	if (name)
		ask_add_where(r, "name", "=", json_string(name->text));
	if (least && (ask_has(r, W_MORE) || ask_has(r, W_LESS)))
		ask_add_where(r, "size", ask_has(r, W_MORE) ? ">" : "<",
			      json_integer((json_int_t)least->number));
	order_by_size(r, "size");
	ask_set_shape(r);
	return true;
}

bool ask_read_lists(struct ask_reader *r)
{
	static const char *const lists[][2] = { { "mounts", "mounts" },
						{ "irqs", "irqs" },
						{ "cgroups", "cgroups" },
						{ "tree", "tree" },
						{ "cpus", "cpus" },
						{ "timers", "timers" },
						{ "namespaces", "namespaces" },
						{ "files", "files" },
						{ "pipes", "files" },
						{ "deleted", "files" } };
	if (read_dmesg(r) || read_modules(r))
		return true;
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (!ask_about(r, lists[i][0]))
			continue;
		const struct ask_word *name = ask_unknown_name(r);
		ask_set_call(r, lists[i][1]);
		if (ask_about(r, "pipes"))
			ask_add_where(r, "type", "=", json_string("pipe"));
		if (ask_about(r, "deleted"))
			ask_add_where(r, "path", "has", json_string("(deleted)"));
		if (name && ask_about(r, "files"))
			ask_add_where(r, "path", "has", json_string(name->text));
		if (ask_words_has(r->words, W_KIND, "shmem"))
			ask_add_where(r, "fstype", "=", json_string("tmpfs"));
		else if (name && ask_about(r, "mounts"))
			ask_add_where(r, "fstype", "=", json_string(name->text));
		ask_set_shape(r);
		return true;
	}
	return false;
}
