/* kernels: one row per document, with what is needed to recognise its code. refused: loops that
 * stay with QEMU. */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <xxhash.h>

#include "base/error.h"
#include "learn/learned.h"
#include "learn/library_internal.h"

enum { PREFIX_BYTES = 16, REFUSED_BYTES = 64, LEARNER_GENERATION = 6 };

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS kernels (id TEXT PRIMARY KEY, x86_hash TEXT NOT NULL,"
	" address TEXT NOT NULL, symbol TEXT, pattern TEXT NOT NULL, program TEXT,"
	" proof_ms REAL NOT NULL, tests INTEGER NOT NULL, prefix TEXT NOT NULL,"
	" head_offset INTEGER NOT NULL, code_bytes INTEGER NOT NULL,"
	" bound INTEGER NOT NULL, created INTEGER NOT NULL);"
	"CREATE INDEX IF NOT EXISTS kernels_prefix ON kernels(prefix);"
	"CREATE TABLE IF NOT EXISTS refused (key TEXT PRIMARY KEY, symbol TEXT, reason TEXT "
	"NOT "
	"NULL, seen INTEGER NOT NULL);"
	"CREATE TABLE IF NOT EXISTS templates (key TEXT PRIMARY KEY, program TEXT NOT NULL);";

static struct error *db_failed(struct library *library, const char *what)
{
	return error_create(ERR_SYSTEM, "the kernel index cannot %s: %s", what,
			    sqlite3_errmsg(library->db));
}

static void own_stmt(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

struct error *library_index_open(struct library *library)
{
	AUTO(own_free) char *path = NULL;
	if (asprintf(&path, "%s/index.sqlite", library->directory) < 0)
		return error_create(ERR_MEMORY, "out of memory");
	if (sqlite3_open(path, &library->db) != SQLITE_OK)
		return error_wrap(db_failed(library, "open"), "%s", path);
	sqlite3_busy_timeout(library->db, 10000);
	sqlite3_exec(library->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", NULL,
		     NULL, NULL);
	if (sqlite3_exec(library->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return error_wrap(db_failed(library, "be read"), "%s", path);
	return NULL;
}

static const char *text_of(const json_t *doc, const char *key)
{
	const char *text = json_string_value(json_object_get(doc, key));
	return text ? text : "";
}

static struct error *prepare(struct library *library, const char *sql, sqlite3_stmt **ret)
{
	if (sqlite3_prepare_v2(library->db, sql, -1, ret, NULL) != SQLITE_OK)
		return db_failed(library, "answer");
	return NULL;
}

static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
	sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
}

/* First bytes of the code from the head on, as hex. */
static void prefix_of(const json_t *code, char ret[2 * PREFIX_BYTES + 1])
{
	const char *bytes = text_of(code, "bytes");
	size_t skip = 2 * (size_t)json_integer_value(json_object_get(code, "head_offset"));
	size_t have = strlen(bytes) > skip ? strlen(bytes) - skip : 0;
	have = have < 2 * PREFIX_BYTES ? have : 2 * PREFIX_BYTES;
	memcpy(ret, bytes + (have ? skip : 0), have);
	ret[have] = 0;
}

struct error *library_index_add(struct library *library, const json_t *doc)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	char prefix[2 * PREFIX_BYTES + 1];
	const json_t *code = json_object_get(doc, "code");
	const json_t *from = json_object_get(doc, "provenance");
	TRY(prepare(library,
		    "INSERT OR REPLACE INTO kernels VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
		    &stmt));
	prefix_of(code, prefix);
	bind_text(stmt, 1, text_of(doc, "id"));
	bind_text(stmt, 2, text_of(doc, "x86_hash"));
	bind_text(stmt, 3, text_of(doc, "address"));
	bind_text(stmt, 4, text_of(doc, "symbol"));
	bind_text(stmt, 5, text_of(doc, "pattern"));
	bind_text(stmt, 6, text_of(from, "program"));
	sqlite3_bind_double(
		stmt, 7,
		json_number_value(json_object_get(json_object_get(doc, "proof"), "ms")));
	sqlite3_bind_int64(
		stmt, 8,
		json_integer_value(json_object_get(json_object_get(doc, "tests"), "cases")));
	bind_text(stmt, 9, prefix);
	sqlite3_bind_int64(stmt, 10, json_integer_value(json_object_get(code, "head_offset")));
	sqlite3_bind_int64(stmt, 11, (sqlite3_int64)strlen(text_of(code, "bytes")) / 2);
	sqlite3_bind_int(stmt, 12, json_is_true(json_object_get(code, "position_dependent")));
	sqlite3_bind_int64(stmt, 13, json_integer_value(json_object_get(from, "time")));
	if (sqlite3_step(stmt) != SQLITE_DONE)
		return db_failed(library, "add a kernel");
	return NULL;
}

struct error *library_index_remove(struct library *library, const char *id)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	TRY(prepare(library, "DELETE FROM kernels WHERE id = ?", &stmt));
	bind_text(stmt, 1, id);
	return sqlite3_step(stmt) == SQLITE_DONE ? NULL : db_failed(library, "remove a kernel");
}

struct error *library_index_resolve(struct library *library, const char *prefix, char **ret)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	AUTO(own_free) char *found = NULL;
	if (strlen(prefix) < 4 || strspn(prefix, "0123456789abcdef") != strlen(prefix))
		return error_hint(error_create(ERR_NOT_FOUND, "no kernel %s", prefix),
				  "`glassbox kernels` lists them");
	TRY(prepare(library, "SELECT id FROM kernels WHERE id GLOB ? || '*'", &stmt));
	bind_text(stmt, 1, prefix);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		if (found)
			return error_create(ERR_NOT_FOUND, "several kernels start with %s",
					    prefix);
		found = strdup((const char *)sqlite3_column_text(stmt, 0));
	}
	if (!found)
		return error_hint(error_create(ERR_NOT_FOUND, "no kernel %s", prefix),
				  "`glassbox kernels` lists them");
	*ret = TAKE(found);
	return NULL;
}

/* Length of the hex text of what could be read; the text is in ret. */
static size_t read_hex(const struct code_source *source, uint64_t gva, size_t count, char *ret)
{
	uint8_t bytes[LEARNED_CODE_MAX];
	size_t have = source->read(source->user, gva, bytes, count);
	for (size_t i = 0; i < have; i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
	ret[2 * have] = 0;
	return have;
}

/* All the code bytes must be as they were. */
static bool same_code(const json_t *doc, const struct code_source *source, uint64_t head)
{
	const json_t *code = json_object_get(doc, "code");
	char have[2 * LEARNED_CODE_MAX + 1], address[24];
	const char *bytes = text_of(code, "bytes");
	uint64_t offset = (uint64_t)json_integer_value(json_object_get(code, "head_offset"));
	if (strlen(bytes) > 2 * LEARNED_CODE_MAX || offset >= strlen(bytes) / 2)
		return false;
	snprintf(address, sizeof(address), "0x%llx", (unsigned long long)head);
	if (json_is_true(json_object_get(code, "position_dependent")) &&
	    strcmp(address, text_of(doc, "address")) != 0)
		return false;
	read_hex(source, head - offset, strlen(bytes) / 2, have);
	return strcmp(have, bytes) == 0;
}

struct error *library_find(struct library *library, const struct code_source *source,
			   uint64_t head, char *id)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	char prefix[2 * PREFIX_BYTES + 1];
	if (read_hex(source, head, PREFIX_BYTES, prefix) == 0)
		return error_create(ERR_FAULT, "no code at 0x%llx", (unsigned long long)head);
	/* A loop shorter than the prefix has a shorter one. */
	TRY(prepare(
		library,
		"SELECT id FROM kernels WHERE ? GLOB prefix || '*' ORDER BY code_bytes DESC",
		&stmt));
	bind_text(stmt, 1, prefix);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		json_t *doc = NULL;
		const char *candidate = (const char *)sqlite3_column_text(stmt, 0);
		AUTO(own_error) struct error *err = library_load(library, candidate, &doc);
		bool fits = !err && same_code(doc, source, head);
		json_decref(doc);
		if (!fits)
			continue;
		snprintf(id, LEARNED_ID, "%s", candidate);
		return NULL;
	}
	return error_create(ERR_NOT_FOUND, "no kernel for this code");
}

static void refused_key(const struct code_source *source, uint64_t head, char ret[LEARNED_ID])
{
	uint8_t bytes[REFUSED_BYTES];
	size_t have = source->read(source->user, head, bytes, sizeof(bytes));
	/* A newer learner may know what an older one refused. */
	XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, have, LEARNER_GENERATION);
	snprintf(ret, LEARNED_ID, "%016llx%016llx", (unsigned long long)hash.high64,
		 (unsigned long long)hash.low64);
}

struct error *library_refuse(struct library *library, const struct code_source *source,
			     uint64_t head, const char *symbol, const char *reason)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	char key[LEARNED_ID];
	refused_key(source, head, key);
	TRY(prepare(
		library,
		"INSERT INTO refused VALUES (?,?,?,1) ON CONFLICT(key) DO UPDATE SET seen = "
		"seen + 1, reason = excluded.reason",
		&stmt));
	bind_text(stmt, 1, key);
	bind_text(stmt, 2, symbol ? symbol : "");
	bind_text(stmt, 3, reason);
	return sqlite3_step(stmt) == SQLITE_DONE ? NULL : db_failed(library, "note a refusal");
}

struct error *library_refused(struct library *library, const struct code_source *source,
			      uint64_t head, char **reason_ret)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	char key[LEARNED_ID];
	*reason_ret = NULL;
	refused_key(source, head, key);
	TRY(prepare(library, "SELECT reason FROM refused WHERE key = ?", &stmt));
	bind_text(stmt, 1, key);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		*reason_ret = strdup((const char *)sqlite3_column_text(stmt, 0));
	return NULL;
}

static json_t *column(sqlite3_stmt *stmt, int at)
{
	return json_string((const char *)sqlite3_column_text(stmt, at));
}

struct error *library_list(struct library *library, json_t **ret)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	TRY(prepare(library,
		    "SELECT id, x86_hash, address, symbol, pattern, program, proof_ms, tests"
		    " FROM kernels ORDER BY created DESC, id",
		    &stmt));
	json_t *rows = json_array();
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		json_t *row =
			json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:{s:s,s:f},s:I,s:n,s:n,s:n,s:s}",
				  "id", column(stmt, 0), "x86_hash", column(stmt, 1), "address",
				  column(stmt, 2), "symbol", column(stmt, 3), "pattern",
				  column(stmt, 4), "program", column(stmt, 5), "proof",
				  "status", "proved", "ms", sqlite3_column_double(stmt, 6),
				  "tests", (json_int_t)sqlite3_column_int64(stmt, 7), "tier",
				  "executions", "speedup", "state", "verified");
		json_array_append_new(rows, row);
	}
	*ret = rows;
	return rows ? NULL : error_create(ERR_MEMORY, "out of memory");
}

struct error *library_list_refused(struct library *library, json_t **ret)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	TRY(prepare(library,
		    "SELECT key, symbol, reason, seen FROM refused ORDER BY seen DESC, key",
		    &stmt));
	json_t *rows = json_array();
	while (sqlite3_step(stmt) == SQLITE_ROW)
		json_array_append_new(
			rows, json_pack("{s:o,s:o,s:o,s:I}", "key", column(stmt, 0), "symbol",
					column(stmt, 1), "reason", column(stmt, 2), "seen",
					(json_int_t)sqlite3_column_int64(stmt, 3)));
	*ret = rows;
	return rows ? NULL : error_create(ERR_MEMORY, "out of memory");
}

bool library_template_find(void *user, const char *key, char *program, size_t size)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	AUTO(own_error)
	struct error *err = prepare(user, "SELECT program FROM templates WHERE key = ?", &stmt);
	if (err)
		return false;
	bind_text(stmt, 1, key);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return false;
	const char *text = (const char *)sqlite3_column_text(stmt, 0);
	if (!text || strlen(text) >= size)
		return false;
	snprintf(program, size, "%s", text);
	return true;
}

void library_template_add(void *user, const char *key, const char *program)
{
	AUTO(own_stmt) sqlite3_stmt *stmt = NULL;
	AUTO(own_error)
	struct error *err =
		prepare(user, "INSERT OR REPLACE INTO templates VALUES (?, ?)", &stmt);
	if (err)
		return;
	bind_text(stmt, 1, key);
	bind_text(stmt, 2, program);
	sqlite3_step(stmt);
}
