/* Memory of the past: what introspection found, as interval rows. A recorder turns each fresh
 * list into the few changes against the one before, so that watching an idle guest writes next
 * to nothing.
 *
 *   first_ns .. last_ns   the thing was seen at every look from first_ns to last_ns
 *   last_ns IS NULL       it was there at the latest look of its VM (table looks)
 *
 * Times are nanoseconds since 1970 of the host's clock. Thread: one per struct. */
#ifndef FACTS_FACTS_H
#define FACTS_FACTS_H
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct fact_table;
struct facts;

struct facts_params {
	const char *where; /* SQLite file or postgresql:// URL */
	const char *host; /* this host's name; NULL: gethostname */
	const char *vm;
	uint64_t keep_ns; /* rows that ended longer ago are dropped; 0: 7 days */
	uint64_t max_rows; /* per table, oldest dropped first; 0: one million */
	uint64_t max_bytes; /* of an SQLite file, oldest dropped first; 0: 256 MiB */
};

/* Opens for recording: makes or migrates the schema, takes up the rows that the last recorder
 * left open. Caller owns *ret. */
struct error *facts_open(const struct facts_params *params, struct facts **ret);
void facts_destroy(struct facts *facts);

struct facts_change {
	size_t began, ended; /* intervals */
};

/* Records that the table's things are exactly rows (array of objects) at now_ns. ret may be
 * NULL. */
struct error *facts_observe(struct facts *facts, const struct fact_table *table,
			    const json_t *rows, uint64_t now_ns, struct facts_change *ret);

/* Records one thing that has no duration, such as a VM event. */
struct error *facts_event(struct facts *facts, const char *event, const char *detail,
			  uint64_t now_ns);

/* Records the symbols of the VM's kernel (rows of the call symbols); does nothing when these
 * are the ones recorded already. */
struct error *facts_symbols(struct facts *facts, const json_t *rows, uint64_t now_ns);

/* The VM is no more: all its intervals ended at the last look. */
struct error *facts_end(struct facts *facts);

/* Says that a look at all tables ended at now_ns; also applies the bounds now and then. */
struct error *facts_look_done(struct facts *facts, uint64_t now_ns);

/* Reading, on a connection of its own that cannot write. Caller owns *ret, an array of objects.
 */
struct error *facts_query(const char *where, const char *sql, json_t **ret);

/* Whose past is read. */
struct facts_source {
	const char *where; /* as in facts_params */
	const char *host; /* NULL: this host */
	const char *vm;
};

/* Rows of table as they were at time at_ns. */
struct error *facts_at(const struct facts_source *source, const struct fact_table *table,
		       uint64_t at_ns, json_t **ret);

/* What began and ended since: objects with change ("began" or "ended"), table, time_ns, and the
 * row. */
struct error *facts_diff(const struct facts_source *source, uint64_t since_ns, json_t **ret);

struct facts_span {
	uint64_t from_ns, to_ns;
	unsigned steps; /* how many buckets the span is cut into */
};

/* How much happened when: an object with first_ns and last_ns of what was recorded, step_ns,
 * buckets (time_ns, began, ended; empty ones left out) and events. */
struct error *facts_timeline(const struct facts_source *source, const struct facts_span *span,
			     json_t **ret);

/* When anything of the VM was first and last recorded; both 0 when nothing was. */
struct error *facts_recorded(const struct facts_source *source, uint64_t *first_ns_ret,
			     uint64_t *last_ns_ret);

/* "10:02", "2026-11-22 10:02:03", "5m", "90 seconds ago", "an hour", "@1700000000". ERR_USAGE.
 */
struct error *facts_parse_time(const char *text, uint64_t now_ns, uint64_t *ret);
uint64_t facts_now(void);

/* This host's name, as rows carry it: GLASSBOX_HOST of the environment, else gethostname. */
void facts_host_name(char *to, size_t size);
#endif
