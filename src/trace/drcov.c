/* drcov:
 *   DRCOV VERSION: 2 / DRCOV FLAVOR: glassbox / Module Table: version 2, count N / Columns: ...
 * / one line per module / BB Table: M bbs / M entries { u32 start in module, u16 bytes, u16
 * module }
 */
#include "trace/export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "trace/blocks.h"

enum { MODULE_GAP = 16 << 20, MAX_MODULES = 0xffff };

struct module {
	uint64_t start, end;
};

struct drcov {
	VEC(uint32_t) order; /* executed blocks by address */
	VEC(struct module) modules;
};

static const struct trace_blocks *sort_blocks;

static int compare_blocks(const void *a, const void *b)
{
	uint64_t x = sort_blocks->items[*(const uint32_t *)a].gva;
	uint64_t y = sort_blocks->items[*(const uint32_t *)b].gva;
	return x < y ? -1 : x > y;
}

static struct error *find_modules(struct drcov *d, const struct trace_blocks *blocks,
				  const uint8_t *executed)
{
	for (uint32_t i = 0; i < blocks->count; i++)
		if (executed[i] && blocks->items[i].n_bytes && !VEC_PUSH(&d->order, i))
			return error_create(ERR_MEMORY, "out of memory");
	sort_blocks = blocks;
	if (d->order.count)
		qsort(d->order.items, d->order.count, sizeof(uint32_t), compare_blocks);
	for (size_t i = 0; i < d->order.count; i++) {
		const struct trace_block *b = &blocks->items[d->order.items[i]];
		struct module *last =
			d->modules.count ? &d->modules.items[d->modules.count - 1] : NULL;
		uint64_t end = b->gva + b->n_bytes;
		bool joins = last && b->gva < last->end + MODULE_GAP &&
			     end - last->start < UINT32_MAX;
		if (joins)
			last->end = end > last->end ? end : last->end;
		else if (d->modules.count == MAX_MODULES)
			break;
		else if (!VEC_PUSH(&d->modules, (struct module){ b->gva, end }))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

static void write_header(FILE *out, const struct drcov *d, trace_namer *name, void *user)
{
	fprintf(out, "DRCOV VERSION: 2\nDRCOV FLAVOR: glassbox\n");
	fprintf(out, "Module Table: version 2, count %zu\n", d->modules.count);
	fprintf(out, "Columns: id, base, end, entry, checksum, timestamp, path\n");
	for (size_t i = 0; i < d->modules.count; i++) {
		const struct module *m = &d->modules.items[i];
		char path[256] = "";
		name(user, 0, m->start, path, sizeof(path));
		for (char *p = path; *p; p++)
			if (*p == '\n' || *p == ',')
				*p = ' ';
		fprintf(out,
			"%zu, 0x%016" PRIx64 ", 0x%016" PRIx64
			", 0x0000000000000000, 0x00000000, 0x00000000, %s\n",
			i, m->start, m->end, path[0] ? path : "unknown");
	}
	fprintf(out, "BB Table: %zu bbs\n", d->order.count);
}

static void write_entries(FILE *out, const struct drcov *d, const struct trace_blocks *blocks)
{
	size_t module = 0;
	for (size_t i = 0; i < d->order.count; i++) {
		const struct trace_block *b = &blocks->items[d->order.items[i]];
		while (module + 1 < d->modules.count &&
		       b->gva >= d->modules.items[module + 1].start)
			module++;
		struct {
			uint32_t start;
			uint16_t bytes, module;
		} entry = { (uint32_t)(b->gva - d->modules.items[module].start), b->n_bytes,
			    (uint16_t)module };
		fwrite(&entry, sizeof(entry), 1, out);
	}
}

struct error *trace_export_drcov(FILE *out, const struct trace_blocks *blocks,
				 const uint8_t *executed, trace_namer *name, void *user)
{
	struct drcov d = { 0 };
	struct error *err = find_modules(&d, blocks, executed);
	if (!err) {
		write_header(out, &d, name, user);
		write_entries(out, &d, blocks);
		if (ferror(out))
			err = error_system(errno, "cannot write coverage file");
	}
	VEC_FREE(&d.order);
	VEC_FREE(&d.modules);
	return err;
}
