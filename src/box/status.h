/* The answer of `status`: what is known about a VM or a dump and from where. */
#ifndef BOX_STATUS_H
#define BOX_STATUS_H
#include <jansson.h>
struct error;
struct target;

/* Caller owns *ret. A kernel that cannot be found is part of the answer, not a failure. */
struct error *status_document(struct target *target, json_t **ret);
#endif
