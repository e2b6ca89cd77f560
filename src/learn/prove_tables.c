/* Tables that the loop itself changes: each side's bytes as an array by index from the table's
 * base, loads and stores in that side's own order. Two indices may be the same: the theory of
 * arrays settles it. */
#include <stdio.h>

#include "learn/prove_internal.h"

enum { MCODE_SIDE, X86_SIDE };

bool prover_writes_table(const struct prover *p, unsigned stream)
{
	unsigned flags = p->kernel->streams[stream].flags;
	return flags & MCODE_STREAM_REGION && flags & MCODE_STREAM_WRITE;
}

/* What memory held there before the iteration. */
static Z3_ast first_table(struct prover *p, unsigned stream)
{
	char name[32];
	snprintf(name, sizeof(name), "table%u", stream);
	Z3_sort sort = Z3_mk_array_sort(p->z, Z3_mk_bv_sort(p->z, 64), Z3_mk_bv_sort(p->z, 8));
	return Z3_mk_const(p->z, Z3_mk_string_symbol(p->z, name), sort);
}

static Z3_ast *table_of(struct prover *p, bool x86, unsigned stream)
{
	Z3_ast *table = &p->tables[stream][x86 ? X86_SIDE : MCODE_SIDE];
	if (!*table)
		*table = first_table(p, stream);
	return table;
}

static Z3_ast byte_index(struct prover *p, const struct prove_place *at, unsigned i)
{
	Z3_ast distance = bv_const(p->z, 64, (uint64_t)(at->offset + i));
	return Z3_simplify(p->z, Z3_mk_bvadd(p->z, at->index, distance));
}

Z3_ast prove_table_read(struct prover *p, bool x86, const struct prove_place *at, unsigned bits)
{
	Z3_ast table = *table_of(p, x86, at->stream), value = NULL;
	for (unsigned i = 0; i < bits / 8; i++) {
		Z3_ast byte = Z3_mk_select(p->z, table, byte_index(p, at, i));
		value = value ? Z3_mk_concat(p->z, byte, value) : byte;
	}
	return value;
}

void prove_table_write(struct prover *p, bool x86, const struct prove_place *at, Z3_ast value,
		       Z3_ast condition)
{
	Z3_ast *table = table_of(p, x86, at->stream), next = *table;
	for (unsigned i = 0; i < bv_width(p->z, value) / 8; i++)
		next = Z3_mk_store(p->z, next, byte_index(p, at, i),
				   bv_extract(p->z, value, 8 * i, 8));
	*table = condition ? Z3_mk_ite(p->z, condition, next, *table) : next;
}

void prove_tables_equal(struct prover *p)
{
	Z3_ast stops = prover_stops(p);
	for (unsigned s = 0; s < p->kernel->n_streams; s++) {
		if (!prover_writes_table(p, s))
			continue;
		Z3_ast mcode = *table_of(p, false, s), x86 = *table_of(p, true, s);
		char name[64];
		snprintf(name, sizeof(name), "table %u", s);
		prover_check(p, name, p->done, Z3_mk_eq(p->z, x86, mcode));
		snprintf(name, sizeof(name), "table %u is left alone when it stops", s);
		if (stops)
			prover_check(p, name, stops, Z3_mk_eq(p->z, mcode, first_table(p, s)));
	}
}
