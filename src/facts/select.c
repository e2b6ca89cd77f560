#include "facts/select.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* -1, 0, 1; numbers by value, "0x" texts by value, other texts by letters; null is smallest. */
static int compare(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b)) {
		double left = json_number_value(a), right = json_number_value(b);
		return left < right ? -1 : left > right;
	}
	const char *left = json_string_value(a), *right = json_string_value(b);
	if (left && right) {
		if (!strncmp(left, "0x", 2) && !strncmp(right, "0x", 2)) {
			unsigned long long l = strtoull(left, NULL, 16),
					   r = strtoull(right, NULL, 16);
			return l < r ? -1 : l > r;
		}
		return strcasecmp(left, right);
	}
	return (int)json_typeof(a) - (int)json_typeof(b) < 0 ? 1 : -1;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), wanted = strlen(end);
	return length >= wanted && !strcmp(text + length - wanted, end);
}

/* True when both are of kinds that can be put in order. */
static bool comparable(const json_t *a, const json_t *b)
{
	return (json_is_number(a) && json_is_number(b)) ||
	       (json_is_string(a) && json_is_string(b));
}

static bool holds(const json_t *value, const char *op, const json_t *wanted)
{
	const char *text = json_string_value(value), *part = json_string_value(wanted);
	if (!strcmp(op, "has"))
		return text && part && strcasestr(text, part);
	if (!strcmp(op, "ends"))
		return text && part && ends_with(text, part);
	if (json_is_boolean(value) || json_is_null(value) || !value) {
		bool same = json_equal(value ? value : json_null(), wanted);
		return !strcmp(op, "=") ? same : !strcmp(op, "!=") && !same;
	}
	if (!comparable(value, wanted))
		return !strcmp(op, "!=");
	int order = compare(value, wanted);
	switch (*op) {
	case '=':
		return order == 0;
	case '!':
		return order != 0;
	case '>':
		return op[1] ? order >= 0 : order > 0;
	case '<':
		return op[1] ? order <= 0 : order < 0;
	}
	return false;
}

static bool fits(const json_t *row, const json_t *where)
{
	size_t i;
	json_t *condition;
	json_array_foreach(where, i, condition)
	{
		const char *field = json_string_value(json_array_get(condition, 0));
		const char *op = json_string_value(json_array_get(condition, 1));
		if (!field || !op ||
		    !holds(json_object_get(row, field), op, json_array_get(condition, 2)))
			return false;
	}
	return true;
}

struct order {
	const char *field;
	bool descending;
};

static int by_field(const void *a, const void *b, void *user)
{
	const struct order *order = user;
	const json_t *left = json_object_get(*(json_t *const *)a, order->field);
	const json_t *right = json_object_get(*(json_t *const *)b, order->field);
	bool left_null = !left || json_is_null(left),
	     right_null = !right || json_is_null(right);
	if (left_null || right_null)
		return (int)left_null - (int)right_null;
	return order->descending ? compare(right, left) : compare(left, right);
}

json_t *select_rows(const json_t *rows, const json_t *query)
{
	size_t count = 0, total = json_array_size(rows), i;
	json_t *row, **kept = calloc(total + 1, sizeof(*kept));
	json_t *selected = json_array();
	if (!kept)
		return selected;
	json_array_foreach(rows, i, row) if (fits(row, json_object_get(query, "where")))
		kept[count++] = row;
	const json_t *sort = json_object_get(query, "sort");
	struct order order = { .field = json_string_value(json_array_get(sort, 0)) };
	const char *direction = json_string_value(json_array_get(sort, 1));
	order.descending = direction && !strcmp(direction, "desc");
	if (order.field)
		qsort_r(kept, count, sizeof(*kept), by_field, &order);
	const json_t *limit = json_object_get(query, "limit");
	if (json_is_integer(limit) && (size_t)json_integer_value(limit) < count)
		count = (size_t)json_integer_value(limit);
	for (i = 0; i < count; i++)
		json_array_append(selected, kept[i]);
	free(kept);
	return selected;
}
