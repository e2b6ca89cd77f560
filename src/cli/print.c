#include "cli/print.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"

/* "4.0K", "1.5G": three significant digits at most. */
static char *size_text(json_int_t bytes)
{
	static const char units[] = "BKMGTPE";
	double value = (double)bytes;
	size_t unit = 0;
	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	char *text = NULL;
	int length = unit == 0 ? asprintf(&text, "%lld", (long long)bytes)
			       : asprintf(&text, value < 10 ? "%.1f%c" : "%.0f%c", value,
					  units[unit]);
	return length < 0 ? NULL : text;
}

/* Guest strings may hold escape sequences: what is not printable becomes '?', UTF-8 stays. */
static char *safe_text(const char *from)
{
	char *text = strdup(from);
	for (char *at = text; at && *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = *at == '\n' || *at == '\t' ? ' ' : '?';
	return text;
}

static char *list_text(const json_t *list)
{
	char *joined = strdup("");
	for (size_t i = 0; joined && i < json_array_size(list); i++) {
		char *item = cli_text(json_array_get(list, i), COLUMN_LEFT);
		char *longer = NULL;
		if (!item || asprintf(&longer, "%s%s%s", joined, i ? " " : "", item) < 0)
			longer = NULL;
		free(item);
		free(joined);
		joined = longer;
	}
	return joined;
}

char *cli_text(const json_t *value, enum call_column_style style)
{
	char *text = NULL;
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return safe_text(json_string_value(value));
	case JSON_INTEGER:
		if (style == COLUMN_BYTES)
			return size_text(json_integer_value(value));
		return asprintf(&text, "%lld", (long long)json_integer_value(value)) < 0 ? NULL
											 : text;
	case JSON_REAL:
		return asprintf(&text, fabs(json_real_value(value)) < 1000 ? "%.4g" : "%.0f",
				json_real_value(value)) < 0
			       ? NULL
			       : text;
	case JSON_TRUE:
		return strdup("yes");
	case JSON_FALSE:
		return strdup("no");
	case JSON_ARRAY:
		return list_text(value);
	case JSON_OBJECT:
		text = json_dumps(value, JSON_COMPACT);
		return text;
	case JSON_NULL:
		break;
	}
	return strdup("-");
}

/* Columns a person sees: text counted in code points, which is right for everything but wide
 * scripts. */
static size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

struct table {
	const struct call_column *columns;
	size_t n_columns, n_rows;
	char **cells; /* n_rows * n_columns, owned */
	size_t *widths; /* owned */
};

static void table_deinit(struct table *table)
{
	for (size_t i = 0; table->cells && i < table->n_rows * table->n_columns; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table->widths);
}

/* A call may give different rows for different arguments: a column that none of these rows has
 * gets width 0 and is left out. */
static bool column_exists(const json_t *rows, const char *key)
{
	for (size_t r = 0; r < json_array_size(rows); r++)
		if (json_object_get(json_array_get(rows, r), key))
			return true;
	return json_array_size(rows) == 0;
}

static struct error *table_fill(struct table *table, const json_t *rows)
{
	TRY(error_alloc(table->n_columns, sizeof(size_t), &table->widths));
	TRY(error_alloc(table->n_rows * table->n_columns, sizeof(char *), &table->cells));
	for (size_t c = 0; c < table->n_columns; c++)
		table->widths[c] = column_exists(rows, table->columns[c].key)
					   ? text_width(table->columns[c].title)
					   : 0;
	for (size_t r = 0; r < table->n_rows; r++) {
		const json_t *row = json_array_get(rows, r);
		for (size_t c = 0; c < table->n_columns; c++) {
			const struct call_column *column = &table->columns[c];
			char *text = cli_text(json_object_get(row, column->key), column->style);
			if (!text)
				return error_create(ERR_MEMORY, "no memory for a table");
			table->cells[r * table->n_columns + c] = text;
			size_t width = text_width(text);
			if (table->widths[c] && width > table->widths[c])
				table->widths[c] = width;
		}
	}
	return NULL;
}

/* One line; the last left-aligned cell is not padded and is cut at the terminal's edge (limit).
 */
static void print_line(const struct table *table, char *const *cells, FILE *to, size_t limit)
{
	size_t used = 0;
	for (size_t c = 0; c < table->n_columns; c++) {
		const struct call_column *column = &table->columns[c];
		if (column->style == COLUMN_HIDDEN || !table->widths[c])
			continue;
		const char *text = cells ? cells[c] : column->title;
		bool is_last = c + 1 == table->n_columns;
		size_t width = text_width(text), pad = table->widths[c] - width;
		bool right = column->style == COLUMN_RIGHT || column->style == COLUMN_BYTES;
		int bytes = (int)strlen(text);
		if (is_last && limit && used + width > limit)
			bytes = limit > used ? (int)(limit - used) : 0;
		fprintf(to, "%*s%.*s%*s%s", right ? (int)pad : 0, "", bytes, text,
			right || is_last ? 0 : (int)pad, "", is_last ? "" : "  ");
		used += table->widths[c] + 2;
	}
	fputc('\n', to);
}

static size_t terminal_width(FILE *to)
{
	struct winsize size;
	if (!isatty(fileno(to)) || ioctl(fileno(to), TIOCGWINSZ, &size))
		return 0;
	return size.ws_col;
}

static struct error *print_table(const struct call *call, const json_t *rows, FILE *to)
{
	AUTO(table_deinit)
	struct table table = { .columns = call->columns, .n_rows = json_array_size(rows) };
	while (call->columns[table.n_columns].key)
		table.n_columns++;
	TRY(table_fill(&table, rows));
	size_t limit = terminal_width(to);
	bool bold = limit != 0;
	fputs(bold ? "\033[1m" : "", to);
	print_line(&table, NULL, to, limit);
	fputs(bold ? "\033[0m" : "", to);
	for (size_t r = 0; r < table.n_rows; r++)
		print_line(&table, table.cells + r * table.n_columns, to, limit);
	return NULL;
}

static struct error *print_object(const json_t *object, FILE *to)
{
	const char *key;
	const json_t *value;
	int width = 0;
	json_object_foreach((json_t *)object, key, value) width =
		(int)strlen(key) > width ? (int)strlen(key) : width;
	json_object_foreach((json_t *)object, key, value)
	{
		AUTO(own_free) char *text = cli_text(value, COLUMN_LEFT);
		if (!text)
			return error_create(ERR_MEMORY, "no memory to print");
		fprintf(to, "%-*s  %s\n", width, key, text);
	}
	return NULL;
}

static struct error *print_for_people(const struct call *call, const json_t *document, FILE *to)
{
	const json_t *text = json_object_get(document, "text");
	if ((call->flags & CALL_TEXT) && json_is_string(text)) {
		fputs(json_string_value(text), to);
		return NULL;
	}
	if (json_is_array(document) && call->columns)
		return print_table(call, document, to);
	if (json_is_object(document))
		return print_object(document, to);
	json_dumpf(document, to, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', to);
	return NULL;
}

struct error *cli_print(const struct call *call, const json_t *document, bool as_json, FILE *to)
{
	if (as_json) {
		json_dumpf(document, to, JSON_INDENT(2) | JSON_ENCODE_ANY);
		fputc('\n', to);
	} else {
		TRY(print_for_people(call, document, to));
	}
	bool failed = fflush(to) || ferror(to);
	if (failed && errno != EPIPE) /* whoever reads a pipe may stop reading: `| head` */
		return error_system(errno, "cannot write the answer");
	return NULL;
}
