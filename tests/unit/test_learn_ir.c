/* The rewrite rules keep the meaning: random expressions, built plainly and simplified, have
 * the same value everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these three first */
#include <cmocka.h>

#include "base/error.h"
#include "learn/bv_mcode.h"
#include "learn/ir.h"
#include "learn/proof.h"
#include "mcode/interp.h"
#include "mcode_random.h"

static uint64_t random_state = 1;

static uint64_t next(void)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t odd(void)
{
	static const uint64_t values[] = { 0,	       1,	   2,	   0x7f,
					   0x80,       0xff,	   0xffff, 0x80000000,
					   0xffffffff, 1ull << 63, ~0ull };
	return next() % 2 ? next() : values[next() % 11];
}

enum { POOL = 64 };

struct pair {
	ir_ref plain, simple;
};

static struct pair binary(struct ir *plain, struct ir *simple, enum ir_op op, struct pair a,
			  struct pair b)
{
	return (struct pair){ ir_binary(plain, op, a.plain, b.plain),
			      ir_binary(simple, op, a.simple, b.simple) };
}

static struct pair lanes(struct ir *plain, struct ir *simple, struct pair a, struct pair b)
{
	static const enum ir_op ops[] = { IR_ADD,   IR_SUB,   IR_MUL,	 IR_MINU,   IR_MAXS,
					  IR_AVGU,  IR_ADDSS, IR_SUBSU,	 IR_MASKEQ, IR_MASKGT,
					  IR_UNPKL, IR_UNPKH, IR_PACKSS, IR_PACKUS, IR_PACKT };
	enum ir_op op = ops[next() % (sizeof(ops) / sizeof(*ops))];
	uint8_t lane = (uint8_t)(8 << next() % 3);
	if (lane == 8 && op >= IR_PACKT && op <= IR_PACKUS)
		lane = 16;
	return (struct pair){ ir_lanes(plain, op, lane, a.plain, b.plain),
			      ir_lanes(simple, op, lane, a.simple, b.simple) };
}

/* One more random expression over those there are. */
static struct pair grow(struct ir *plain, struct ir *simple, const struct pair *pool,
			unsigned count)
{
	static const enum ir_op ops[] = { IR_ADD, IR_SUB, IR_MUL,  IR_AND,  IR_OR,
					  IR_XOR, IR_SHL, IR_SHR,  IR_SAR,  IR_EQ,
					  IR_LTU, IR_LTS, IR_UDIV, IR_UREM, IR_MULHU };
	struct pair a = pool[next() % count], b = pool[next() % count],
		    c = pool[next() % count];
	uint8_t wa = ir_width(plain, a.plain), wb = ir_width(plain, b.plain);
	switch (next() % 8) {
	case 0: {
		uint8_t low = (uint8_t)(next() % wa),
			width = (uint8_t)(1 + next() % (wa - low));
		return (struct pair){ ir_extract(plain, a.plain, low, width),
				      ir_extract(simple, a.simple, low, width) };
	}
	case 1: {
		uint8_t wider = (uint8_t)(wa + next() % (65u - wa));
		if (next() % 2)
			return (struct pair){ ir_zext(plain, wider, a.plain),
					      ir_zext(simple, wider, a.simple) };
		return (struct pair){ ir_sext(plain, wider, a.plain),
				      ir_sext(simple, wider, a.simple) };
	}
	case 2:
		if (wa + wb <= 64)
			return (struct pair){ ir_concat(plain, a.plain, b.plain),
					      ir_concat(simple, a.simple, b.simple) };
		break;
	case 3:
		if (wa == 1 && wb == ir_width(plain, c.plain))
			return (struct pair){ ir_ite(plain, a.plain, b.plain, c.plain),
					      ir_ite(simple, a.simple, b.simple, c.simple) };
		break;
	case 4:
		if (wa == 64 && wb == 64)
			return lanes(plain, simple, a, b);
		break;
	case 5: {
		uint64_t value = odd();
		return (struct pair){ ir_const(plain, wa, value), ir_const(simple, wa, value) };
	}
	default:
		break;
	}
	if (wa != wb)
		return a;
	return binary(plain, simple, ops[next() % (wa == 1 ? 6 : 15)], a, b);
}

static uint64_t leaf(void *user, const struct ir_node *node)
{
	return ((const uint64_t *)user)[node->imm];
}

static uint64_t value_of(const struct ir *ir, ir_ref ref, uint64_t *leaves)
{
	struct ir_env env = { leaf, leaves };
	uint64_t *memo = calloc(ir_count(ir) + 1, sizeof(*memo));
	uint8_t *done = calloc(ir_count(ir) + 1, 1);
	uint64_t value = ir_eval(ir, ref, &env, memo, done);
	free(memo);
	free(done);
	return value;
}

static void one_round(void)
{
	static const uint8_t widths[] = { 1, 8, 16, 32, 64, 64 };
	struct ir *plain = NULL, *simple = NULL;
	struct pair pool[POOL];
	unsigned count = 0;
	assert_null(ir_create(false, &plain));
	assert_null(ir_create(true, &simple));
	for (; count < 6; count++)
		pool[count] = (struct pair){ ir_leaf(plain, IR_INIT, widths[count], count),
					     ir_leaf(simple, IR_INIT, widths[count], count) };
	while (count < POOL) {
		pool[count] = grow(plain, simple, pool, count);
		assert_int_equal(ir_width(plain, pool[count].plain),
				 ir_width(simple, pool[count].simple));
		count++;
	}
	for (unsigned try = 0; try < 8; try++) {
		uint64_t leaves[6];
		for (unsigned i = 0; i < 6; i++)
			leaves[i] = odd();
		for (unsigned i = 6; i < count; i += 3)
			assert_int_equal(value_of(plain, pool[i].plain, leaves),
					 value_of(simple, pool[i].simple, leaves));
	}
	ir_destroy(plain);
	ir_destroy(simple);
}

static void simplified_means_the_same(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		one_round();
}

static void compilers_idioms(void **state)
{
	struct ir *ir = NULL;
	(void)state;
	assert_null(ir_create(true, &ir));
	ir_ref x = ir_leaf(ir, IR_INIT, 64, 0), c = ir_leaf(ir, IR_INIT, 1, 1);
	ir_ref y = ir_leaf(ir, IR_INIT, 64, 2);
	/* (x + 4) - 4 */
	ir_ref four = ir_const(ir, 64, 4);
	assert_int_equal(ir_binary(ir, IR_SUB, ir_binary(ir, IR_ADD, x, four), four), x);
	/* (mask & x) | (~mask & y) */
	ir_ref mask = ir_sext(ir, 64, c);
	ir_ref blend = ir_binary(ir, IR_OR, ir_binary(ir, IR_AND, mask, x),
				 ir_binary(ir, IR_AND, ir_not(ir, mask), y));
	assert_int_equal(blend, ir_ite(ir, c, x, y));
	/* the low byte of a 64-bit sum is a sum of bytes */
	ir_ref low = ir_extract(ir, ir_binary(ir, IR_ADD, x, y), 0, 8);
	assert_int_equal(ir_get(ir, low)->op, IR_ADD);
	assert_int_equal(ir_width(ir, low), 8);
	/* x + 4 = x + 5 */
	ir_ref five = ir_const(ir, 64, 5);
	assert_int_equal(ir_binary(ir, IR_EQ, ir_binary(ir, IR_ADD, x, four),
				   ir_binary(ir, IR_ADD, x, five)),
			 ir_const(ir, 1, 0));
	/* max and min as SSE2 has them */
	ir_ref more = ir_lanes(ir, IR_MASKGT, 32, x, y);
	ir_ref max = ir_binary(ir, IR_OR, ir_binary(ir, IR_AND, x, more),
			       ir_binary(ir, IR_AND, ir_not(ir, more), y));
	assert_int_equal(max, ir_lanes(ir, IR_MAXS, 32, x, y));
	ir_ref min = ir_binary(ir, IR_OR, ir_binary(ir, IR_AND, y, more),
			       ir_binary(ir, IR_AND, ir_not(ir, more), x));
	assert_int_equal(min, ir_lanes(ir, IR_MINS, 32, y, x));
	ir_destroy(ir);
}

/* All ways through a section at once, against the interpreter on one of them. */
static void jumps_in_the_prover(void **state)
{
	(void)state;
	struct bv_mcode *m = calloc(1, sizeof(*m));
	assert_non_null(m);
	for (uint64_t seed = 1; seed <= 40; seed++) {
		AUTO(own_mcode_kernel)
		struct mcode_kernel *kernel = random_kernel(&(struct random_params){
			.seed = seed, .n_insns = 40, .jumps = true, .nested = true });
		struct mcode_code body = kernel->code[MCODE_BODY];
		kernel->code[MCODE_BODY] = kernel->code[MCODE_SETUP];
		kernel->code[MCODE_SETUP] = body;
		AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
		assert_null(mcode_interp_create(kernel, &interp));
		AUTO(proof_context_destroy) Z3_context z = proof_context_create();
		uint64_t guest[MCODE_GUEST_REGS] = { 0 }, slots[MCODE_SLOTS], value;
		for (unsigned i = 0; i < 8; i++)
			guest[i] = odd();
		mcode_interp_setup(interp, guest, slots);
		bv_mcode_init(m, z, kernel);
		for (uint32_t i = 0; i < kernel->n_inputs; i++)
			m->slots[kernel->inputs[i].slot] =
				bv_const(z, 64, guest[kernel->inputs[i].guest]);
		assert_null(bv_mcode_run(m, MCODE_SETUP, NULL));
		assert_null(m->reached);
		for (uint32_t i = 0; i < kernel->n_slots; i++) {
			assert_true(bv_is_value(z, Z3_simplify(z, m->slots[i]), &value));
			assert_int_equal(value, slots[i]);
		}
	}
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(simplified_means_the_same),
					    cmocka_unit_test(compilers_idioms),
					    cmocka_unit_test(jumps_in_the_prover) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
