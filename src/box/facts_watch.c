#include "box/facts_watch.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/error.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "facts/facts.h"
#include "facts/table.h"
#include "guest/fingerprint.h"
#include "guest/guest.h"
#include "vm/state.h"

enum { MAX_TABLES = 32, SYMBOLS_MAX = 1000000 };

struct gathered {
	const struct fact_table *table;
	json_t *rows; /* owned; NULL: the call failed */
};

struct facts_watch {
	struct facts *facts;
	char *vm;
	int lock; /* keeps other recorders out */
	bool has_symbols; /* of the kernel that runs now, in the database */
	uint64_t due_ns[MAX_TABLES];
	uint64_t
		glance_due_ns; /* earlier a glance, and what it leads to, would take too much */
	bool has_prints;
	struct guest_fingerprints prints; /* when the tables were looked at last */
	uint64_t kernel_due_ns;
	uint64_t gathered_ns; /* when */
	size_t n_gathered;
	struct gathered gathered[MAX_TABLES];
};

struct error *facts_watch_place(const char *vm, const char *where, char **ret)
{
	const char *common = getenv("GLASSBOX_DB");
	if (!where && common && *common)
		where = common;
	if (!where)
		return state_path(vm, "facts.sqlite", ret);
	*ret = strdup(where);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a path");
}

static uint32_t hash(const char *text)
{
	uint32_t sum = 2166136261u;
	for (; *text; text++)
		sum = (sum ^ (unsigned char)*text) * 16777619u;
	return sum;
}

/* One recorder per VM and database: a lock in the VM's folder, named after the place. A VM
 * without a folder has no other recorder that we could know of. */
static struct error *take_lock(struct facts_watch *watch, const char *place)
{
	AUTO(own_free) char *path = NULL;
	char name[32];
	snprintf(name, sizeof(name), "facts-%08x.lock", hash(place));
	TRY(state_path(watch->vm, name, &path));
	watch->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (watch->lock >= 0 && flock(watch->lock, LOCK_EX | LOCK_NB))
		return error_create(ERR_LIMIT, "VM %s is being recorded already", watch->vm);
	return NULL;
}

static struct error *open_all(const struct facts_watch_params *params,
			      struct facts_watch *watch)
{
	AUTO(own_free) char *place = NULL;
	TRY(facts_watch_place(params->vm, params->where, &place));
	TRY(take_lock(watch, place));
	mode_t before = umask(077);
	struct error *err = facts_open(&(struct facts_params){ .where = place,
							       .vm = params->vm,
							       .keep_ns = params->keep_ns,
							       .max_bytes = params->max_bytes },
				       &watch->facts);
	umask(before);
	return err;
}

struct error *facts_watch_create(const struct facts_watch_params *params,
				 struct facts_watch **ret)
{
	struct facts_watch *watch = NULL;
	TRY(error_alloc(1, sizeof(*watch), &watch));
	watch->lock = -1;
	watch->vm = strdup(params->vm);
	struct error *err = watch->vm ? open_all(params, watch)
				      : error_create(ERR_MEMORY, "no memory for a watch");
	if (err) {
		facts_watch_destroy(watch);
		return err;
	}
	*ret = watch;
	return NULL;
}

static void forget_gathered(struct facts_watch *watch)
{
	for (size_t i = 0; i < watch->n_gathered; i++)
		json_decref(watch->gathered[i].rows);
	watch->n_gathered = 0;
}

void facts_watch_destroy(struct facts_watch *watch)
{
	if (!watch)
		return;
	forget_gathered(watch);
	facts_destroy(watch->facts);
	own_fd(&watch->lock);
	free(watch->vm);
	free(watch);
}

/* --- gathering ------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
	struct timespec used;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* A kworker's name tells the work it did last ("kworker/0:1-events"): only what is lasting is
 * kept. */
static void drop_passing_work(json_t *rows)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *comm = json_string_value(json_object_get(row, "comm"));
		if (comm && !strncmp(comm, "kworker/", 8))
			json_object_set_new(row, "comm",
					    json_stringn(comm, strcspn(comm, "-+")));
	}
}

/* The library's kernels belong to all VMs: only those that this VM has loaded are its facts. */
static void keep_loaded_kernels(json_t *rows)
{
	for (size_t i = json_array_size(rows); i-- > 0;)
		if (!json_is_string(json_object_get(json_array_get(rows, i), "tier")))
			json_array_remove(rows, i);
}

/* The table's arguments with the VM's name in the place of '@'. */
static json_t *args_of(const struct fact_table *table, const char *vm)
{
	json_t *args = table->args ? json_loads(table->args, 0, NULL) : json_object(), *value;
	const char *key;
	json_object_foreach(args, key, value) if (json_is_string(value) &&
						  !strcmp(json_string_value(value), "@"))
		json_string_set(value, vm);
	return args;
}

static void gather_table(struct facts_watch *watch, struct target *target,
			 const struct fact_table *table)
{
	const struct call *call = call_find(table->call);
	AUTO(own_json) json_t *args = args_of(table, watch->vm);
	struct call_context context = { .target = target, .args = args };
	json_t *rows = NULL;
	struct error *err = call && call->run ? call_do(call, &context, &rows) : NULL;
	error_destroy(err);
	if (!json_is_array(rows)) {
		json_decref(rows);
		rows = NULL;
	}
	drop_passing_work(rows);
	if (!strcmp(table->name, "kernels"))
		keep_loaded_kernels(rows);
	watch->gathered[watch->n_gathered++] = (struct gathered){ table, rows };
}

/* A guest whose kernel cannot be found (yet) must not be searched through every second. */
static bool has_kernel(struct facts_watch *watch, struct target *target)
{
	struct guest *guest = NULL;
	uint64_t begin_ns = cpu_ns();
	if (watch->gathered_ns < watch->kernel_due_ns)
		return false;
	struct error *err = target_guest(target, &guest);
	if (err)
		watch->kernel_due_ns =
			watch->gathered_ns + (cpu_ns() - begin_ns) * FACTS_WATCH_SHARE;
	error_destroy(err);
	return guest;
}

/* Which fingerprint tells of changes in a table; -1: none does. */
static int print_of(const struct fact_table *table)
{
	static const char *const names[GUEST_N_PRINTS] = { "processes", "modules", "mounts",
							   "files", "sockets" };
	for (int i = 0; i < GUEST_N_PRINTS; i++)
		if (!strcmp(table->name, names[i]))
			return i;
	return -1;
}

/* Makes the tables due whose lists have changed since the last glance. */
static void glance(struct facts_watch *watch, struct target *target)
{
	struct guest_fingerprints now;
	struct guest *guest = target_guest_open(target);
	if (!guest || watch->gathered_ns < watch->glance_due_ns)
		return;
	guest_begin(guest);
	bool known = guest_fingerprints_read(guest, &now), comparable = watch->has_prints;
	for (size_t i = 0; known && comparable && fact_tables[i].name; i++) {
		int which = print_of(&fact_tables[i]);
		if (which >= 0 && now.print[which] != watch->prints.print[which])
			watch->due_ns[i] = 0;
	}
	watch->has_prints = known;
	watch->prints = now;
}

void facts_watch_gather(struct facts_watch *watch, struct target *target)
{
	uint64_t start_ns = cpu_ns();
	forget_gathered(watch);
	watch->gathered_ns = facts_now();
	if (!has_kernel(watch, target))
		return;
	glance(watch, target);
	for (size_t i = 0; fact_tables[i].name; i++) {
		const struct fact_table *table = &fact_tables[i];
		if (!table->call || watch->gathered_ns < watch->due_ns[i] ||
		    (table->is_bulk && watch->has_symbols))
			continue;
		uint64_t begin_ns = cpu_ns();
		gather_table(watch, target, table);
		uint64_t rest_ns = (cpu_ns() - begin_ns) * FACTS_WATCH_SHARE;
		uint64_t every_ns = (uint64_t)table->every_s * 900000000u;
		watch->due_ns[i] =
			watch->gathered_ns + (rest_ns > every_ns ? rest_ns : every_ns);
	}
	watch->glance_due_ns = watch->gathered_ns + (cpu_ns() - start_ns) * FACTS_GLANCE_SHARE;
}

/* --- recording ------------------------------------------------------------------------- */

static struct error *record_table(struct facts_watch *watch, const struct gathered *got,
				  struct facts_watch_result *result)
{
	struct facts_change change = { 0 };
	if (!got->rows) {
		result->failed++;
		return NULL;
	}
	result->looked++;
	if (got->table->is_bulk) {
		if (json_array_size(got->rows) <= SYMBOLS_MAX)
			TRY(facts_symbols(watch->facts, got->rows, watch->gathered_ns));
		watch->has_symbols = json_array_size(got->rows);
		return NULL;
	}
	TRY(facts_observe(watch->facts, got->table, got->rows, watch->gathered_ns, &change));
	result->began += change.began;
	result->ended += change.ended;
	return NULL;
}

struct error *facts_watch_record(struct facts_watch *watch, struct facts_watch_result *ret)
{
	struct facts_watch_result result = { 0 };
	if (ret)
		*ret = result;
	if (!watch->n_gathered)
		return NULL;
	for (size_t i = 0; i < watch->n_gathered; i++)
		TRY(record_table(watch, &watch->gathered[i], &result));
	TRY(facts_look_done(watch->facts, watch->gathered_ns));
	forget_gathered(watch);
	if (ret)
		*ret = result;
	return NULL;
}

struct error *facts_watch_event(struct facts_watch *watch, const char *event,
				const char *detail)
{
	return facts_event(watch->facts, event, detail, facts_now());
}

struct error *facts_watch_end(struct facts_watch *watch)
{
	return facts_end(watch->facts);
}
