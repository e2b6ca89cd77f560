/* Watches one VM: asks the introspection calls that the facts tables name and records what
 * changed. A look has two halves, so that nobody who wants the VM waits for a database:
 * gathering needs the target, recording does not. What is dear to gather is gathered less
 * often: each table, and a kernel that cannot be found, takes at most one part in
 * FACTS_WATCH_SHARE of a core. Between these looks a glance at fingerprints (room guest) tells
 * whether a table has to be looked at at once, so that short lives are seen by those who come
 * often; that may take one part in FACTS_GLANCE_SHARE. Thread: one at a time. */
#ifndef BOX_FACTS_WATCH_H
#define BOX_FACTS_WATCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct facts_watch;
struct target;

enum { FACTS_WATCH_SHARE = 100, FACTS_GLANCE_SHARE = 20 };

struct facts_watch_params {
	const char *vm;
	const char
		*where; /* SQLite file or postgresql:// URL; NULL: the VM's own facts.sqlite */
	uint64_t keep_ns, max_bytes; /* bounds, see facts.h; 0: the defaults */
};

/* Caller owns *ret. ERR_LIMIT when another process records this VM there already. */
struct error *facts_watch_create(const struct facts_watch_params *params,
				 struct facts_watch **ret);
void facts_watch_destroy(struct facts_watch *watch);
OWN_DECLARE(own_facts_watch, struct facts_watch *, facts_watch_destroy)

struct facts_watch_result {
	size_t looked, began, ended; /* tables, intervals */
	size_t failed; /* tables whose call failed this time; the others were recorded */
};

/* Asks the calls of every table that is due. Needs the target; writes nothing. */
void facts_watch_gather(struct facts_watch *watch, struct target *target);

/* Writes what was gathered. ret may be NULL. */
struct error *facts_watch_record(struct facts_watch *watch, struct facts_watch_result *ret);

/* Something happened to the VM: "paused", ... */
struct error *facts_watch_event(struct facts_watch *watch, const char *event,
				const char *detail);

/* The VM is no more: its intervals end. */
struct error *facts_watch_end(struct facts_watch *watch);

/* Where the facts of a VM are: where if given, else GLASSBOX_DB of the environment, else the
 * VM's facts.sqlite. Caller owns *ret. */
struct error *facts_watch_place(const char *vm, const char *where, char **ret);
#endif
