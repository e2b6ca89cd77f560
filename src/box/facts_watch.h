/* Watches one VM: asks the introspection calls that the facts tables name and records what
 * changed. Thread: one at a time. */
#ifndef BOX_FACTS_WATCH_H
#define BOX_FACTS_WATCH_H
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct facts_watch;
struct target;

/* where: SQLite file or postgresql:// URL; NULL: the VM's own facts.sqlite. Caller owns *ret.
 */
struct error *facts_watch_create(const char *vm, const char *where, struct facts_watch **ret);
void facts_watch_destroy(struct facts_watch *watch);
OWN_DECLARE(own_facts_watch, struct facts_watch *, facts_watch_destroy)

struct facts_watch_result {
	size_t looked, began, ended; /* tables, intervals */
	size_t failed; /* tables whose call failed this time; the others were recorded */
};

/* Looks at every table that is due. ret may be NULL. */
struct error *facts_watch_look(struct facts_watch *watch, struct target *target,
			       struct facts_watch_result *ret);

/* Where the facts of a VM are: where if given, else its facts.sqlite. Caller owns *ret. */
struct error *facts_watch_place(const char *vm, const char *where, char **ret);
#endif
