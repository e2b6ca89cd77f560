/* Filters, sorts and cuts the rows of a document by a query's where, sort and limit. Thread:
 * any. */
#ifndef FACTS_SELECT_H
#define FACTS_SELECT_H
#include <jansson.h>

/* New reference: an array of the rows that fit. */
json_t *select_rows(const json_t *rows, const json_t *query);
#endif
