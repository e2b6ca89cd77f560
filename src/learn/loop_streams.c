/* Where the loop reads and writes: addresses in closed form, grouped into streams that share a
 * base and a stride; and what keeps iterations out of each other's way. */
#include "base/error.h"
#include "learn/loop.h"

enum {
	WINDOW_MAX = 4096,
	TABLE_WRITE_MAX = 4096, /* GB_KERNEL_MAX_WIDTH: what the plugin takes */
};

/* base = rest + offset */
static ir_ref split_offset(struct loop *loop, ir_ref base, uint64_t *offset_ret)
{
	const struct ir_node node = *ir_get(loop->ir, base);
	*offset_ret = 0;
	if (node.op == IR_CONST) {
		*offset_ret = 0;
		return base;
	}
	if (node.op != IR_ADD || !ir_is_const(loop->ir, node.args[1], offset_ret))
		return base;
	return node.args[0];
}

static struct error *add_stream(struct loop *loop, const struct loop_stream *stream,
				unsigned *index_ret)
{
	if (loop->n_streams == LOOP_STREAMS_MAX)
		return error_create(ERR_LIMIT, "walks too many arrays");
	*index_ret = loop->n_streams;
	loop->streams[loop->n_streams++] = *stream;
	return NULL;
}

static struct error *find_stream(struct loop *loop, ir_ref rest, uint64_t offset,
				 int64_t stride, unsigned *index_ret, int32_t *offset_ret)
{
	for (unsigned i = 0; i < loop->n_streams; i++) {
		struct loop_stream *stream = &loop->streams[i];
		uint64_t origin;
		ir_ref base = split_offset(loop, stream->base, &origin);
		int64_t distance = (int64_t)(offset - origin);
		if (stream->region || base != rest || stream->stride != stride ||
		    distance > WINDOW_MAX || distance < -WINDOW_MAX)
			continue;
		*index_ret = i;
		*offset_ret = (int32_t)distance;
		return NULL;
	}
	struct loop_stream fresh = { .stride = stride };
	fresh.base = ir_binary(loop->ir, IR_ADD, rest, ir_const(loop->ir, 64, offset));
	*offset_ret = 0;
	return add_stream(loop, &fresh, index_ret);
}

static void widen(struct loop_stream *stream, int32_t offset, unsigned bits, bool store)
{
	int32_t end = offset + (int32_t)(bits / 8);
	if (offset < stream->low)
		stream->low = offset;
	if (end > stream->high)
		stream->high = end;
	stream->writes |= store;
	stream->reads |= !store;
}

/* base + index, with the index made from a few bits of data: a table. */
struct table {
	ir_ref base, index; /* IR_NONE: none yet */
	uint64_t constant, last; /* largest index */
};

enum { BOUND_DEPTH = 12 };

/* No smaller than ref can be, as an unsigned number. */
static uint64_t upper_bound(const struct ir *ir, ir_ref ref, unsigned depth)
{
	const struct ir_node *node = ir_get(ir, ref);
	uint64_t most = ir_mask(node->width), a = most, b = most;
	if (node->op == IR_CONST)
		return node->imm;
	if (node->lane || depth == 0)
		return most;
	if (ir_arity(node->op) > 0)
		a = upper_bound(ir, node->args[0], depth - 1);
	if (ir_arity(node->op) > 1)
		b = upper_bound(ir, node->args[1], depth - 1);
	switch (node->op) {
	case IR_ZEXT:
		return a;
	case IR_SEXT:
		return a <= ir_mask(ir_width(ir, node->args[0]) - 1u) ? a : most;
	case IR_EXTRACT:
		return a >> node->imm < most ? a >> node->imm : most;
	case IR_AND:
		return a < b ? a : b;
	case IR_OR:
	case IR_XOR:
		return a | b ? UINT64_MAX >> __builtin_clzll(a | b) : 0;
	case IR_ADD:
		return a <= most - b ? a + b : most;
	case IR_MUL:
		return a && b > most / a ? most : a * b;
	default:
		return most;
	}
}

/* zext(x + y), the sum staying below the narrow width. */
static bool is_wide_sum(const struct ir *ir, const struct ir_node *node)
{
	if (node->op != IR_ZEXT)
		return false;
	const struct ir_node *sum = ir_get(ir, node->args[0]);
	if (sum->op != IR_ADD || sum->lane)
		return false;
	uint64_t a = upper_bound(ir, sum->args[0], BOUND_DEPTH);
	uint64_t b = upper_bound(ir, sum->args[1], BOUND_DEPTH);
	return a <= ir_mask(sum->width) - b;
}

static bool table_collect(struct loop *loop, struct table *table, ir_ref ref, uint64_t factor)
{
	struct ir *ir = loop->ir;
	struct ir_node node = *ir_get(ir, ref);
	uint64_t value;
	if (node.op == IR_CONST) {
		table->constant += factor * node.imm;
		return true;
	}
	if (node.op == IR_ADD && !node.lane)
		return table_collect(loop, table, node.args[0], factor) &&
		       table_collect(loop, table, node.args[1], factor);
	if (node.op == IR_MUL && !node.lane && ir_is_const(ir, node.args[1], &value))
		return table_collect(loop, table, node.args[0], factor * value);
	if (is_wide_sum(ir, &node)) {
		struct ir_node sum = *ir_get(ir, node.args[0]);
		return table_collect(loop, table, ir_zext(ir, 64, sum.args[0]), factor) &&
		       table_collect(loop, table, ir_zext(ir, 64, sum.args[1]), factor);
	}
	bool moving = loop_is_data(loop, ref) || loop_depends(loop, ref, IR_INIT, CELL_K);
	ir_ref term = ir_binary(ir, IR_MUL, ref, ir_const(ir, 64, factor));
	ir_ref *into = moving ? &table->index : &table->base;
	*into = *into == IR_NONE ? term : ir_binary(ir, IR_ADD, *into, term);
	if (!moving)
		return true;
	uint64_t most = upper_bound(ir, ref, BOUND_DEPTH);
	if (most > 0xffff || factor > 64)
		return false;
	table->last += most * factor;
	return table->last <= 1 << 22;
}

/* Tables that lie together (the parts of a sliced checksum's) are one; `at` may lie before what
 * the stream has been so far. */
static void join_table(struct loop *loop, unsigned number, int64_t at, ir_ref base, int32_t end,
		       struct loop_access *access)
{
	struct loop_stream *stream = &loop->streams[number];
	if (at < 0) {
		stream->base = base;
		stream->high -= (int32_t)at;
		for (unsigned i = 0; i < loop->n_accesses; i++)
			if (loop->accesses[i].stream == number)
				loop->accesses[i].offset -= (int32_t)at;
		at = 0;
	}
	access->stream = number;
	access->offset = (int32_t)at;
	if (access->offset + end > stream->high)
		stream->high = access->offset + end;
}

static struct error *add_table(struct loop *loop, ir_ref address,
			       const struct iteration_event *event, struct loop_access *access)
{
	struct table table = { 0 };
	struct ir *ir = loop->ir;
	if (!table_collect(loop, &table, address, 1) || table.index == IR_NONE)
		return error_create(ERR_UNSUPPORTED, "%s at an address that is data",
				    event->store ? "stores" : "reads");
	ir_ref zero = ir_const(ir, 64, 0), rest = table.base == IR_NONE ? zero : table.base;
	struct loop_stream fresh = { .region = true,
				     .reads = !event->store,
				     .writes = event->store };
	fresh.base = ir_binary(ir, IR_ADD, rest, ir_const(ir, 64, table.constant));
	fresh.high = (int32_t)(table.last + event->width / 8);
	access->index = table.index;
	for (unsigned i = 0; i < loop->n_streams; i++) {
		const struct loop_stream *stream = &loop->streams[i];
		uint64_t origin;
		ir_ref base = split_offset(loop, stream->base, &origin);
		if (ir_is_const(ir, base, &origin))
			base = zero;
		int64_t at = (int64_t)(table.constant - origin);
		if (!stream->region || base != rest || at < -WINDOW_MAX * 2 ||
		    at > stream->high + WINDOW_MAX * 2)
			continue;
		join_table(loop, i, at, fresh.base, fresh.high, access);
		loop->streams[i].reads |= fresh.reads;
		loop->streams[i].writes |= fresh.writes;
		return NULL;
	}
	return add_stream(loop, &fresh, &access->stream);
}

static bool is_live_load(const struct loop *loop, size_t event)
{
	const struct iteration *it = loop->iteration;
	for (size_t i = 0; i < it->events.count; i++) {
		const struct iteration_event *e = &it->events.items[i];
		if (loop_depends(loop, e->address, IR_LOAD, event) ||
		    (e->store && (loop_depends(loop, e->data, IR_LOAD, event) ||
				  loop_depends(loop, e->condition, IR_LOAD, event))))
			return true;
	}
	for (size_t i = 0; i < it->exits.count; i++)
		if (loop_depends(loop, it->exits.items[i].condition, IR_LOAD, event))
			return true;
	for (unsigned i = 0; i < loop->n_reductions; i++)
		if (loop_depends(loop, loop->reductions[i].value, IR_LOAD, event))
			return true;
	return false;
}

static struct error *place(struct loop *loop, const struct iteration_event *event,
			   struct loop_access *access)
{
	ir_ref address = loop_close(loop, event->address);
	struct loop_linear linear;
	if (loop_depends(loop, address, IR_OPAQUE, ~0ull))
		return error_create(ERR_UNSUPPORTED, "an address without a meaning here");
	if (!loop_linear(loop, address, &linear)) {
		if (event->store && !loop->serial)
			return error_create(ERR_UNSUPPORTED,
					    "stores at an address that is data");
		return add_table(loop, address, event, access);
	}
	uint64_t offset;
	ir_ref rest = split_offset(loop, linear.base, &offset);
	if ((int64_t)linear.step > 1 << 20 || (int64_t)linear.step < -(1 << 20))
		return error_create(ERR_UNSUPPORTED, "strides of more than a megabyte");
	TRY(find_stream(loop, rest, offset, (int64_t)linear.step, &access->stream,
			&access->offset));
	widen(&loop->streams[access->stream], access->offset, event->width, event->store);
	return NULL;
}

struct error *loop_find_streams(struct loop *loop)
{
	const struct iteration *iteration = loop->iteration;
	for (size_t i = 0; i < iteration->events.count; i++) {
		const struct iteration_event *event = &iteration->events.items[i];
		struct loop_access access = { .event = i };
		if (!event->store && !is_live_load(loop, i))
			continue;
		if (loop->n_accesses == LOOP_ACCESSES_MAX)
			return error_create(ERR_LIMIT, "too many loads and stores");
		TRY(place(loop, event, &access));
		if (event->store) {
			access.condition = loop_close(loop, event->condition);
			access.data = loop_close(loop, event->data);
			if (loop_depends(loop, access.data, IR_OPAQUE, ~0ull) ||
			    loop_depends(loop, access.condition, IR_OPAQUE, ~0ull))
				return error_create(
					ERR_UNSUPPORTED, "stores what has no meaning here: %s",
					iteration->opaque.count ? iteration->opaque.items[0]
								: "unknown");
		}
		loop->accesses[loop->n_accesses++] = access;
	}
	for (unsigned i = 0; i < loop->n_streams; i++)
		if (loop->streams[i].region && loop->streams[i].writes &&
		    loop->streams[i].high > TABLE_WRITE_MAX)
			return error_create(ERR_UNSUPPORTED, "writes a table of %d bytes",
					    loop->streams[i].high);
	return NULL;
}

/* Two accesses of one stream in different iterations: some q != 0 with overlapping bytes? */
static bool collide(int64_t stride, int64_t a, int64_t a_bytes, int64_t b, int64_t b_bytes)
{
	for (int64_t q = -WINDOW_MAX * 2; q <= WINDOW_MAX * 2; q++) {
		int64_t at = a + q * stride;
		if (q != 0 && at < b + b_bytes && b < at + a_bytes)
			return true;
	}
	return false;
}

static struct error *check_collisions(struct loop *loop)
{
	const struct iteration_event *events = loop->iteration->events.items;
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		const struct loop_access *a = &loop->accesses[i];
		if (!events[a->event].store)
			continue;
		if (loop->streams[a->stream].stride == 0)
			return error_create(ERR_UNSUPPORTED, "stores to one place again and "
							     "again");
		for (unsigned j = 0; j < loop->n_accesses; j++) {
			const struct loop_access *b = &loop->accesses[j];
			if (b->stream == a->stream &&
			    collide(loop->streams[a->stream].stride, a->offset,
				    events[a->event].width / 8, b->offset,
				    events[b->event].width / 8))
				return error_create(ERR_UNSUPPORTED,
						    "an iteration needs bytes that another "
						    "one stores");
		}
	}
	return NULL;
}

/* [start, end) of all that a stream touches, for trip >= 1. */
struct extent {
	ir_ref start, end;
};

static struct error *make_extent(struct loop *loop, const struct loop_stream *stream,
				 struct extent *ret)
{
	struct ir *ir = loop->ir;
	ir_ref last = ir_binary(ir, IR_SUB, loop->trip, ir_const(ir, 64, 1));
	ir_ref low = ir_binary(ir, IR_ADD, stream->base,
			       ir_const(ir, 64, (uint64_t)(int64_t)stream->low));
	ir_ref limit = ir_const(ir, 64, 1ull << 47);
	int64_t window = (int64_t)stream->high - stream->low;
	uint64_t size = (uint64_t)(stream->stride < 0 ? -stream->stride : stream->stride);
	ir_ref span = ir_binary(ir, IR_MUL, last, ir_const(ir, 64, size));
	TRY(loop_add_guard(loop, ir_binary(ir, IR_LTU, low, limit), LOOP_WRAP));
	ret->start = low;
	ret->end = ir_binary(ir, IR_ADD, low, ir_const(ir, 64, (uint64_t)window));
	if (stream->stride < 0) {
		TRY(loop_add_guard(loop, ir_not(ir, ir_binary(ir, IR_LTU, low, span)),
				   LOOP_WRAP));
		ret->start = ir_binary(ir, IR_SUB, low, span);
	} else {
		ret->end = ir_binary(ir, IR_ADD, ret->end, span);
	}
	return NULL;
}

static struct error *keep_apart(struct loop *loop, const struct extent *a,
				const struct extent *b)
{
	struct ir *ir = loop->ir;
	ir_ref before = ir_not(ir, ir_binary(ir, IR_LTU, b->start, a->end));
	ir_ref after = ir_not(ir, ir_binary(ir, IR_LTU, a->start, b->end));
	return loop_add_guard(loop, ir_binary(ir, IR_OR, before, after), LOOP_OVERLAP);
}

/* Trip counts are kept so small that no product of stride and trip count comes near 2^47. */
static void limit_by_stride(struct loop *loop)
{
	uint64_t most = 1;
	for (unsigned i = 0; i < loop->n_streams; i++) {
		int64_t stride = loop->streams[i].stride;
		uint64_t size = (uint64_t)(stride < 0 ? -stride : stride);
		most = size > most ? size : most;
	}
	if (most > 1 << 14)
		loop_limit_trip(loop, ir_const(loop->ir, 64, (1ull << 46) / most));
}

/* Registers of which the closed form takes the top half to be zero. */
static struct error *require_clean_tops(struct loop *loop)
{
	for (unsigned c = 0; c < CELLS; c++) {
		const struct loop_cell *cell = &loop->cells[c];
		uint8_t width = 32;
		if (cell->class == LOOP_REDUCTION &&
		    loop->reductions[cell->reduction].clean_top)
			width = loop->reductions[cell->reduction].width;
		else if (cell->class != LOOP_IV32)
			continue;
		ir_ref top = ir_extract(loop->ir, ir_leaf(loop->ir, IR_INIT, 64, c), width,
					(uint8_t)(64 - width));
		TRY(loop_add_guard(loop,
				   ir_binary(loop->ir, IR_EQ, top,
					     ir_const(loop->ir, (uint8_t)(64 - width), 0)),
				   LOOP_SHAPE));
	}
	return NULL;
}

static bool must_be_apart(const struct loop *loop, unsigned i, unsigned j)
{
	return loop->streams[i].writes && i != j && !(loop->streams[j].writes && j < i);
}

static ir_ref start_of(struct loop *loop, const struct loop_stream *s)
{
	return ir_binary(loop->ir, IR_ADD, s->base,
			 ir_const(loop->ir, 64, (uint64_t)(int64_t)s->low));
}

/* How many iterations fit where each needs `size` bytes of room but the first. */
static ir_ref steps_in(struct loop *loop, ir_ref room, uint64_t size)
{
	struct ir *ir = loop->ir;
	if (size > 1)
		room = ir_binary(ir, IR_UDIV, room, ir_const(ir, 64, size));
	return ir_binary(ir, IR_ADD, room, ir_const(ir, 64, 1));
}

/* Where nothing counts, two streams may go on until the lower one, on its way up, and the upper
 * one, on its way down, have used up what lies between them. */
static void limit_by_distance(struct loop *loop, const struct loop_stream *a,
			      const struct loop_stream *b)
{
	struct ir *ir = loop->ir;
	const struct loop_stream *both[2] = { a, b };
	ir_ref most = ir_const(ir, 64, 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct loop_stream *low = both[!i], *high = both[i];
		uint64_t closing = (uint64_t)((low->stride > 0 ? low->stride : 0) -
					      (high->stride < 0 ? high->stride : 0));
		ir_ref from = start_of(loop, low), to = start_of(loop, high);
		ir_ref window = ir_const(ir, 64, (uint64_t)((int64_t)low->high - low->low));
		ir_ref room = ir_binary(ir, IR_SUB, to, from);
		ir_ref fits = ir_not(ir, ir_binary(ir, IR_LTU, room, window));
		ir_ref is_low = ir_binary(ir, IR_LTU, from, to);
		ir_ref steps =
			closing ? steps_in(loop, ir_binary(ir, IR_SUB, room, window), closing)
				: loop->trip;
		most = ir_ite(ir, ir_binary(ir, IR_AND, fits, is_low), steps, most);
	}
	loop_limit_trip(loop, most);
}

/* The same for a stream on its way down to address 0. */
static void limit_descents(struct loop *loop)
{
	for (unsigned i = 0; i < loop->n_streams; i++) {
		const struct loop_stream *s = &loop->streams[i];
		if (s->stride < 0)
			loop_limit_trip(loop, steps_in(loop, start_of(loop, s),
						       0 - (uint64_t)s->stride));
	}
}

static void limit_uncounted(struct loop *loop)
{
	limit_descents(loop);
	for (unsigned i = 0; i < loop->n_streams; i++)
		for (unsigned j = 0; j < loop->n_streams; j++)
			if (must_be_apart(loop, i, j))
				limit_by_distance(loop, &loop->streams[i], &loop->streams[j]);
}

struct error *loop_make_guards(struct loop *loop)
{
	struct extent extents[LOOP_STREAMS_MAX];
	if (!loop->serial)
		TRY(check_collisions(loop));
	limit_by_stride(loop);
	if (!loop->counted)
		limit_uncounted(loop);
	TRY(require_clean_tops(loop));
	ir_ref two = ir_const(loop->ir, 64, 2);
	TRY(loop_add_guard(loop, ir_not(loop->ir, ir_binary(loop->ir, IR_LTU, loop->trip, two)),
			   LOOP_SHORT));
	if (loop->iteration->uses_df) {
		ir_ref flags = ir_leaf(loop->ir, IR_INIT, 64, CELL_EFLAGS);
		TRY(loop_add_guard(loop, ir_not(loop->ir, ir_extract(loop->ir, flags, 10, 1)),
				   LOOP_SHAPE));
	}
	bool any_store = false;
	for (unsigned i = 0; i < loop->n_streams; i++) {
		TRY(make_extent(loop, &loop->streams[i], &extents[i]));
		any_store |= loop->streams[i].writes;
	}
	for (unsigned i = 0; any_store && i < loop->n_streams; i++)
		for (unsigned j = 0; j < loop->n_streams; j++)
			if (must_be_apart(loop, i, j))
				TRY(keep_apart(loop, &extents[i], &extents[j]));
	return NULL;
}
