/* Memory of one iteration, byte by byte: a byte is known by its stream and its place from
 * base + stride k. Bytes of different streams are different as far as one of them is written:
 * that is what prove_apart shows. Each side runs its loads and stores in its own order; at the
 * end both must hold the same. */
#include <stdio.h>

#include "base/error.h"
#include "learn/prove_internal.h"

static struct prove_byte *find_byte(struct prover *p, unsigned stream, Z3_ast index,
				    int64_t offset)
{
	for (size_t i = 0; i < p->bytes.count; i++) {
		struct prove_byte *byte = &p->bytes.items[i];
		bool same = index ? byte->index && Z3_is_eq_ast(p->z, byte->index, index)
				  : !byte->index;
		if (byte->stream == stream && byte->offset == offset && same)
			return byte;
	}
	struct prove_byte fresh = { .stream = stream, .index = index, .offset = offset };
	fresh.x86 = fresh.mcode = bv_var(p->z, 8, "m", p->bytes.count);
	if (!VEC_PUSH(&p->bytes, fresh)) {
		p->out_of_memory = true;
		return NULL;
	}
	return &p->bytes.items[p->bytes.count - 1];
}

static Z3_ast read_bytes(struct prover *p, bool x86, unsigned stream, Z3_ast index,
			 int64_t offset, unsigned bits)
{
	Z3_ast value = NULL;
	for (unsigned i = 0; i < bits / 8; i++) {
		const struct prove_byte *byte = find_byte(p, stream, index, offset + i);
		if (!byte)
			return bv_const(p->z, bits, 0);
		Z3_ast now = x86 ? byte->x86 : byte->mcode;
		value = value ? Z3_mk_concat(p->z, now, value) : now;
	}
	return value;
}

static void write_bytes(struct prover *p, bool x86, unsigned stream, int64_t offset,
			Z3_ast value, Z3_ast condition)
{
	for (unsigned i = 0; i < bv_width(p->z, value) / 8; i++) {
		struct prove_byte *byte = find_byte(p, stream, NULL, offset + i);
		if (!byte)
			return;
		Z3_ast *now = x86 ? &byte->x86 : &byte->mcode;
		Z3_ast part = bv_extract(p->z, value, 8 * i, 8);
		*now = condition ? Z3_mk_ite(p->z, condition, part, *now) : part;
	}
}

/* What memory held there before the iteration, as a term. */
Z3_ast prover_first_bytes(struct prover *p, unsigned stream, Z3_ast index, int64_t offset,
			  unsigned bits)
{
	Z3_ast value = NULL;
	for (unsigned i = 0; i < bits / 8; i++) {
		const struct prove_byte *byte = find_byte(p, stream, index, offset + i);
		if (!byte)
			return bv_const(p->z, bits, 0);
		Z3_ast first = bv_var(p->z, 8, "m", (uint64_t)(byte - p->bytes.items));
		value = value ? Z3_mk_concat(p->z, first, value) : first;
	}
	return value;
}

static struct error *note_use(struct prover *p, const struct prove_place *at, unsigned bits,
			      bool store)
{
	struct prove_table_use use = { *at, bits, store };
	if (!VEC_PUSH(&p->uses, use))
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static struct error *body_load(void *user, unsigned stream, Z3_ast index, int64_t offset,
			       unsigned bits, Z3_ast *ret)
{
	struct prover *p = user;
	struct prove_place at = { stream, index ? Z3_simplify(p->z, index) : NULL, offset };
	if (index)
		TRY(note_use(p, &at, bits, false));
	*ret = index && prover_writes_table(p, stream)
		       ? prove_table_read(p, false, &at, bits)
		       : read_bytes(p, false, stream, at.index, offset, bits);
	return NULL;
}

static struct error *body_store(void *user, unsigned stream, Z3_ast index, int64_t offset,
				Z3_ast value, Z3_ast condition)
{
	struct prover *p = user;
	struct prove_place at = { stream, index ? Z3_simplify(p->z, index) : NULL, offset };
	if (!index) {
		write_bytes(p, false, stream, offset, value, condition);
		return NULL;
	}
	if (!p->kernel->serial || !prover_writes_table(p, stream))
		return error_create(ERR_UNSUPPORTED, "indexed stores in any order");
	prove_table_write(p, false, &at, value, condition);
	return note_use(p, &at, bv_width(p->z, value), true);
}

struct error *prove_memory_body(struct prover *p)
{
	struct bv_mcode *m = NULL;
	TRY(error_alloc(1, sizeof(*m), &m));
	bv_mcode_init(m, p->z, p->kernel);
	for (unsigned i = 0; i < MCODE_SLOTS; i++)
		m->slots[i] = p->setup[i];
	for (uint32_t i = 0; p->kernel->serial && i < p->loop->n_reductions; i++)
		if (i < p->kernel->n_reductions)
			m->slots[p->kernel->reductions[i].acc_slot] =
				bv_resize(p->z, p->acc[i], 64);
	m->load = body_load;
	m->store = body_store;
	m->user = p;
	struct error *err = bv_mcode_run(m, MCODE_BODY, p->k);
	for (unsigned i = 0; i < MCODE_SLOTS; i++)
		p->body[i] = m->slots[i];
	free(m);
	return err;
}

/* Executors end before an iteration that looks up what is outside its table. */
void prove_lookups(struct prover *p)
{
	Z3_context z = p->z;
	for (size_t i = 0; i < p->uses.count; i++) {
		const struct prove_table_use *use = &p->uses.items[i];
		const struct mcode_stream *s = &p->kernel->streams[use->at.stream];
		bool table = s->flags & MCODE_STREAM_REGION;
		Z3_ast length = table ? p->setup[s->length_slot]
				      : bv_const(z, 64, (uint64_t)(s->high - (int64_t)s->low));
		Z3_ast at = Z3_mk_bvadd(z, use->at.index,
					bv_const(z, 64, (uint64_t)(use->at.offset - s->low)));
		Z3_ast bytes = bv_const(z, 64, use->bits / 8);
		Z3_ast inside[2] = { Z3_mk_bvule(z, bytes, length),
				     Z3_mk_bvule(z, at, Z3_mk_bvsub(z, length, bytes)) };
		char name[64];
		snprintf(name, sizeof(name), "lookup %zu is in table %u", i, use->at.stream);
		prover_check(p, name, NULL, Z3_mk_and(z, 2, inside));
	}
}

/* base + stride k of a stream, as bits. */
static Z3_ast stream_address(struct prover *p, unsigned stream)
{
	const struct mcode_stream *s = &p->kernel->streams[stream];
	Z3_ast base = p->setup[s->base_slot];
	if (s->flags & MCODE_STREAM_REGION)
		return base;
	return Z3_mk_bvadd(p->z, base,
			   Z3_mk_bvmul(p->z, p->k, bv_const(p->z, 64, (uint64_t)s->stride)));
}

static bool in_window(const struct prover *p, unsigned stream, int64_t offset, unsigned bits)
{
	const struct mcode_stream *s = &p->kernel->streams[stream];
	return offset >= s->low && offset + (int64_t)(bits / 8) <= s->high;
}

static bool allows(const struct prover *p, unsigned stream, bool store)
{
	return p->kernel->streams[stream].flags &
	       (store ? MCODE_STREAM_WRITE : MCODE_STREAM_READ);
}

/* The address is plainly a place of some stream. */
static bool place_by_form(struct prover *p, const struct iteration_event *event, Z3_ast address,
			  struct prove_place *ret)
{
	for (unsigned s = 0; s < p->kernel->n_streams; s++) {
		uint64_t offset;
		if ((p->kernel->streams[s].flags & MCODE_STREAM_REGION) ||
		    !allows(p, s, event->store))
			continue;
		Z3_ast distance =
			bv_as_sum(p->z, Z3_mk_bvsub(p->z, address, stream_address(p, s)));
		if (!bv_is_value(p->z, distance, &offset) ||
		    !in_window(p, s, (int64_t)offset, event->width))
			continue;
		*ret = (struct prove_place){ s, NULL, (int64_t)offset };
		return true;
	}
	return false;
}

static bool place_in_table(struct prover *p, const struct iteration_event *event,
			   Z3_ast address, struct prove_place *ret)
{
	for (size_t i = 0; i < p->uses.count; i++) {
		const struct prove_table_use *use = &p->uses.items[i];
		if (use->bits != event->width || use->store != event->store)
			continue;
		Z3_ast base = stream_address(p, use->at.stream);
		Z3_ast at = Z3_mk_bvadd(p->z, Z3_mk_bvadd(p->z, base, use->at.index),
					bv_const(p->z, 64, (uint64_t)use->at.offset));
		struct proof_try same = { .name = "table address",
					  .goal = Z3_mk_eq(p->z, address, at),
					  .quiet = true };
		if (!proof_check(p->proof, p->z, &same))
			continue;
		*ret = use->at;
		return true;
	}
	return false;
}

/* The address equals a stream's only because counters do not wrap: as integers. */
static bool place_by_numbers(struct prover *p, const struct iteration_event *event,
			     Z3_ast address, struct prove_place *ret)
{
	struct loop *loop = p->loop;
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		const struct loop_access *access = &loop->accesses[i];
		const struct iteration_event *plain =
			&loop->iteration->events.items[access->event];
		if (plain->store != event->store || plain->width != event->width ||
		    plain->gva != event->gva || access->index != IR_NONE ||
		    access->stream >= p->kernel->n_streams ||
		    !allows(p, access->stream, event->store) ||
		    !in_window(p, access->stream, access->offset, event->width))
			continue;
		ir_ref closed = loop_close(loop, plain->address);
		Z3_ast plain_term = bv_ir_encode(&p->plain_terms, closed);
		struct proof_try same = { .name = "address",
					  .goal = Z3_mk_eq(p->z, address, plain_term),
					  .quiet = true };
		if (!proof_check(p->proof, p->z, &same) ||
		    !prove_int_address(p, "address in its stream", closed, access->stream,
				       access->offset))
			continue;
		*ret = (struct prove_place){ access->stream, NULL, access->offset };
		return true;
	}
	return false;
}

static struct error *raw_event(struct prover *p, size_t i)
{
	const struct iteration_event *event = &p->raw->events.items[i];
	Z3_ast address = bv_ir_encode(&p->raw_terms, event->address);
	struct prove_place where;
	if (!place_by_form(p, event, address, &where) &&
	    !place_in_table(p, event, address, &where) &&
	    !place_by_numbers(p, event, address, &where)) {
		char name[64];
		snprintf(name, sizeof(name), "%s %zu lies in no stream",
			 event->store ? "store" : "load", i);
		prover_check(p, name, NULL, Z3_mk_false(p->z));
		p->loads[i] = bv_const(p->z, event->width, 0);
		return NULL;
	}
	bool table = where.index && prover_writes_table(p, where.stream);
	if (!event->store) {
		p->loads[i] = table ? prove_table_read(p, true, &where, event->width)
				    : read_bytes(p, true, where.stream, where.index,
						 where.offset, event->width);
		return NULL;
	}
	Z3_ast condition = bv_ir_encode(&p->raw_terms, event->condition);
	if (Z3_get_bool_value(p->z, Z3_simplify(p->z, condition)) == Z3_L_TRUE)
		condition = NULL;
	Z3_ast data = bv_ir_encode(&p->raw_terms, event->data);
	if (table)
		prove_table_write(p, true, &where, data, condition);
	else
		write_bytes(p, true, where.stream, where.offset, data, condition);
	return NULL;
}

struct error *prove_memory_raw(struct prover *p)
{
	if (p->raw->events.count > sizeof(p->loads) / sizeof(*p->loads))
		return error_create(ERR_LIMIT, "too many loads and stores");
	for (size_t i = 0; i < p->raw->events.count; i++)
		TRY(raw_event(p, i));
	return NULL;
}

/* What both sides must hold in neighbouring bytes. */
struct pair {
	Z3_ast x86, mcode;
	unsigned stream;
	int64_t last;
};

/* Adjacent bytes are compared together: whole words close by simplification. */
static struct pair next_pair(struct prover *p, size_t *at)
{
	size_t i = *at;
	const struct prove_byte *last = &p->bytes.items[i];
	struct pair pair = { .x86 = last->x86, .mcode = last->mcode, .stream = last->stream };
	for (i++; i < p->bytes.count && i % 8; i++) {
		const struct prove_byte *next = &p->bytes.items[i];
		if (next->stream != last->stream || next->index != last->index ||
		    next->offset != last->offset + 1)
			break;
		pair.x86 = Z3_mk_concat(p->z, next->x86, pair.x86);
		pair.mcode = Z3_mk_concat(p->z, next->mcode, pair.mcode);
		last = next;
	}
	pair.last = last->offset;
	*at = i;
	return pair;
}

void prove_memory_expect(struct prover *p)
{
	for (size_t i = 0; i < p->bytes.count;) {
		struct pair pair = next_pair(p, &i);
		prover_expect_equal(p, p->done, pair.x86, pair.mcode);
	}
}

void prove_memory_equal(struct prover *p)
{
	for (size_t i = 0; i < p->bytes.count;) {
		struct pair pair = next_pair(p, &i);
		if (Z3_is_eq_ast(p->z, pair.x86, pair.mcode))
			continue;
		char name[64];
		snprintf(name, sizeof(name), "memory of stream %u up to %lld", pair.stream,
			 (long long)pair.last);
		prover_check_equal(p, name, p->done, pair.x86, pair.mcode);
	}
}

/* What the kernel does not count as done, the guest does again from the start. */
void prove_memory_untouched(struct prover *p)
{
	Z3_ast stops = prover_stops(p);
	for (size_t i = 0; stops && i < p->bytes.count; i++) {
		const struct prove_byte *byte = &p->bytes.items[i];
		Z3_ast first = bv_var(p->z, 8, "m", i);
		if (Z3_is_eq_ast(p->z, byte->mcode, first))
			continue;
		char name[64];
		snprintf(name, sizeof(name), "stream %u at %lld is left alone when it stops",
			 byte->stream, (long long)byte->offset);
		prover_check(p, name, stops, Z3_mk_eq(p->z, byte->mcode, first));
	}
}
