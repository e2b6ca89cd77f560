#include "box/bench.h"

#include <stdlib.h>

static double rounded(double value)
{
	/* Four significant digits are more than a shared machine can tell. */
	double scale = 1;
	while (value * scale < 1000 && scale < 1e9)
		scale *= 10;
	return (double)(long long)(value * scale + 0.5) / scale;
}

void bench_add(json_t *rows, const struct bench_row *row)
{
	json_t *document = json_pack("{s:s, s:f, s:s}", "name", row->name, "value",
				     rounded(row->value), "unit", row->unit);
	double judged = row->value;
	json_t *baseline = json_null(), *ratio = json_null();
	if (row->baseline) {
		double above = row->smaller_is_better ? row->baseline_value : row->value;
		double below = row->smaller_is_better ? row->value : row->baseline_value;
		double times = below > 0 ? above / below : 0;
		baseline = json_pack("{s:s, s:f}", "name", row->baseline, "value",
				     rounded(row->baseline_value));
		ratio = json_real(rounded(times));
		judged = row->goal_is_for_value ? row->value : times;
	}
	bool pass = row->goal_is_most ? judged <= row->goal : judged >= row->goal;
	json_object_set_new(document, "baseline", baseline);
	json_object_set_new(document, "ratio", ratio);
	json_object_set_new(document, "goal",
			    row->goal > 0 ? json_real(row->goal) : json_null());
	json_object_set_new(document, "pass", row->goal > 0 ? json_boolean(pass) : json_null());
	json_array_append_new(rows, document);
}

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

double bench_percentile(double *values, size_t n, double p)
{
	if (!n)
		return 0;
	qsort(values, n, sizeof(*values), by_value);
	size_t at = (size_t)((double)(n - 1) * p / 100 + 0.5);
	return values[at < n ? at : n - 1];
}
