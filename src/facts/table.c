#include "facts/table.h"

#include <string.h>

/* ORDER fact tables. Columns a query wants by name; everything else stays in the call's own
 * answer. */
static const struct fact_column processes[] = {
	{ "pid", FACT_INTEGER, FACT_KEY },
	{ "start_ns", FACT_INTEGER, FACT_KEY },
	{ "tgid", FACT_INTEGER, FACT_VALUE },
	{ "ppid", FACT_INTEGER, FACT_VALUE },
	{ "comm", FACT_TEXT, FACT_VALUE },
	{ "uid", FACT_INTEGER, FACT_VALUE },
	{ "gid", FACT_INTEGER, FACT_VALUE },
	{ "kthread", FACT_INTEGER, FACT_VALUE },
	{ "task", FACT_TEXT, FACT_VALUE },
	{ "args", FACT_TEXT, FACT_VALUE },
	{ "state", FACT_TEXT, FACT_SAMPLE },
	{ "rss_pages", FACT_INTEGER, FACT_SAMPLE },
	{ 0 },
};
static const struct fact_column threads[] = {
	{ "pid", FACT_INTEGER, FACT_KEY },    { "start_ns", FACT_INTEGER, FACT_KEY },
	{ "tgid", FACT_INTEGER, FACT_VALUE }, { "comm", FACT_TEXT, FACT_VALUE },
	{ "state", FACT_TEXT, FACT_SAMPLE },  { 0 },
};
static const struct fact_column modules[] = {
	{ "name", FACT_TEXT, FACT_KEY },	   { "address", FACT_TEXT, FACT_KEY },
	{ "size", FACT_INTEGER, FACT_VALUE },	   { "state", FACT_TEXT, FACT_VALUE },
	{ "refcount", FACT_INTEGER, FACT_SAMPLE }, { 0 },
};
static const struct fact_column mounts[] = {
	{ "id", FACT_INTEGER, FACT_KEY },	{ "mountpoint", FACT_TEXT, FACT_KEY },
	{ "parent", FACT_INTEGER, FACT_VALUE }, { "device", FACT_TEXT, FACT_VALUE },
	{ "fstype", FACT_TEXT, FACT_VALUE },	{ "options", FACT_TEXT, FACT_VALUE },
	{ "ns", FACT_INTEGER, FACT_VALUE },	{ 0 },
};
static const struct fact_column files[] = {
	{ "pid", FACT_INTEGER, FACT_KEY },
	{ "fd", FACT_INTEGER, FACT_KEY },
	{ "path", FACT_TEXT, FACT_VALUE },
	{ "type", FACT_TEXT, FACT_VALUE },
	{ 0 },
};
/* Sockets that no process holds are told apart by their addresses. */
static const struct fact_column sockets[] = {
	{ "pid", FACT_INTEGER, FACT_KEY },
	{ "fd", FACT_INTEGER, FACT_KEY },
	{ "family", FACT_TEXT, FACT_KEY },
	{ "type", FACT_TEXT, FACT_VALUE },
	{ "proto", FACT_TEXT, FACT_KEY },
	{ "local", FACT_TEXT, FACT_KEY },
	{ "remote", FACT_TEXT, FACT_KEY },
	{ "state", FACT_TEXT, FACT_VALUE },
	{ 0 },
};
static const struct fact_column regions[] = {
	{ "start", FACT_TEXT, FACT_KEY },
	{ "end", FACT_TEXT, FACT_VALUE },
	{ "kind", FACT_TEXT, FACT_VALUE },
	{ "owner_pid", FACT_INTEGER, FACT_VALUE },
	{ 0 },
};
static const struct fact_column page_kinds[] = {
	{ "kind", FACT_TEXT, FACT_KEY },
	{ "pages", FACT_INTEGER, FACT_VALUE },
	{ 0 },
};
static const struct fact_column hot_paths[] = {
	{ "address", FACT_TEXT, FACT_KEY },
	{ "symbol", FACT_TEXT, FACT_VALUE },
	{ "class", FACT_TEXT, FACT_VALUE },
	{ "executions", FACT_INTEGER, FACT_SAMPLE },
	{ "instructions", FACT_INTEGER, FACT_SAMPLE },
	{ 0 },
};
static const struct fact_column kernels[] = {
	{ "id", FACT_TEXT, FACT_KEY },
	{ "x86_hash", FACT_TEXT, FACT_VALUE },
	{ "symbol", FACT_TEXT, FACT_VALUE },
	{ "pattern", FACT_TEXT, FACT_VALUE },
	{ "tier", FACT_TEXT, FACT_VALUE },
	{ "state", FACT_TEXT, FACT_VALUE },
	{ "executions", FACT_INTEGER, FACT_SAMPLE },
	{ 0 },
};
static const struct fact_column symbols[] = {
	{ "name", FACT_TEXT, FACT_KEY },
	{ "address", FACT_TEXT, FACT_KEY },
	{ "type", FACT_TEXT, FACT_VALUE },
	{ 0 },
};
static const struct fact_column events[] = {
	{ "event", FACT_TEXT, FACT_KEY },
	{ "time_ns", FACT_INTEGER, FACT_KEY },
	{ "detail", FACT_TEXT, FACT_VALUE },
	{ 0 },
};

const struct fact_table fact_tables[] = {
	{ "processes", "ps", NULL, 1, processes },
	{ "threads", "threads", NULL, 5, threads },
	{ "modules", "lsmod", NULL, 1, modules },
	{ "mounts", "mounts", NULL, 1, mounts },
	{ "files", "files", NULL, 2, files },
	{ "sockets", "sockets", NULL, 1, sockets },
	{ "regions", "regions", NULL, 10, regions },
	{ "page_kinds", "regions", "{\"totals\": true}", 5, page_kinds },
	{ "hot_paths", "hot", "{\"ms\": 50}", 60, hot_paths },
	{ "kernels", "kernels", "{\"what\": \"@\"}", 10, kernels },
	{ "symbols", "symbols", NULL, 60, symbols, .is_bulk = true },
	{ "events", NULL, NULL, 1, events },
	{ 0 },
};

const struct fact_table *fact_table_find(const char *name)
{
	for (const struct fact_table *table = fact_tables; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}
