/* Prints a call's JSON document: as JSON, as a table for a list, as "key: value" lines for one
 * thing. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "box/call.h"
struct error;

/* Fails with ERR_SYSTEM when stdout cannot be written (a full disk, a closed pipe). */
struct error *cli_print(const struct call *call, const json_t *document, bool as_json,
			FILE *to);

/* Text of a scalar for a person: "-" for null, no quotes, control characters made harmless.
 * Caller owns; NULL without memory. */
char *cli_text(const json_t *value, enum call_column_style style);
#endif
