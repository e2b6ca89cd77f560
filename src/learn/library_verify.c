/* Proving a stored kernel again: apart from library.c, since it brings the solver along. */
#include "base/error.h"
#include "learn/library.h"
#include "learn/proof.h"

OWN_DECLARE(own_json, json_t *, json_decref)

struct error *library_verify(struct library *library, const char *id, json_t **row_ret)
{
	AUTO(own_json) json_t *doc = NULL;
	TRY(library_load(library, id, &doc));
	const json_t *steps = json_object_get(json_object_get(doc, "proof"), "steps");
	size_t i, proved = 0;
	double total = 0;
	json_t *step;
	json_array_foreach((json_t *)(uintptr_t)steps, i, step)
	{
		const char *text = json_string_value(json_object_get(step, "smtlib"));
		double ms = 0;
		if (!text)
			return error_create(ERR_BAD_DATA, "step %zu has no text", i);
		proved += proof_recheck(text, 5000, &ms) == PROOF_PROVED;
		total += ms;
	}
	*row_ret =
		json_pack("{s:O,s:i,s:i,s:f,s:s}", "id", json_object_get(doc, "id"), "steps",
			  (int)json_array_size(steps), "proved", (int)proved, "ms", total,
			  "status", proved == json_array_size(steps) ? "proved" : "not proved");
	return *row_ret ? NULL : error_create(ERR_MEMORY, "out of memory");
}
