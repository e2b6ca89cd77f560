/* Synthesis: what it makes of a body computes the same and is shorter; templates are
 * suggestions only; the prover's terms mean what the executors compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these three first */
#include <cmocka.h>

#include "base/error.h"
#include "learn/bv_mcode.h"
#include "learn/proof.h"
#include "learn/ssa.h"
#include "learn/synth.h"
#include "mcode/alu.h"
#include "mcode/text.h"
#include "mcode/validate.h"

static uint64_t seed = 3;

static uint64_t next(void)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return z % 5 ? z : z % 3 ? z & 0x8080808080808080ull : z >> 50;
}

static bool is_alu(const struct mcode_op_info *info)
{
	return info && (info->form == MCODE_FORM_RR || info->form == MCODE_FORM_RRR);
}

static void one_form(Z3_context z, const struct mcode_insn *insn)
{
	for (unsigned i = 0; i < 12; i++) {
		uint64_t a = next(), b = i % 3 ? next() : next() % 70, d = next(), value;
		Z3_ast term = bv_mcode_value(z, insn, bv_const(z, 64, a), bv_const(z, 64, b),
					     bv_const(z, 64, d));
		if (!term)
			fail_msg("%s has no term", mcode_op_info(insn->op)->name);
		assert_true(bv_is_value(z, Z3_simplify(z, term), &value));
		uint64_t expected =
			mcode_alu(insn->op, insn->width_code, insn->packed, a, b, d);
		if (value != expected)
			fail_msg("%s width %u%s of %llx %llx: %llx, not %llx",
				 mcode_op_info(insn->op)->name,
				 mcode_width_bits(insn->width_code),
				 insn->packed ? " packed" : "", (unsigned long long)a,
				 (unsigned long long)b, (unsigned long long)value,
				 (unsigned long long)expected);
	}
}

static void the_prover_means_what_is_computed(void **state)
{
	unsigned count = 0;
	Z3_context z = proof_context_create();
	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		if (!is_alu(mcode_op_info((uint8_t)op)))
			continue;
		for (unsigned how = 0; how < 8; how++) {
			uint32_t pixel =
				op | (how & 3) << 13 | (how & 4 ? MCODE_G_PACKED << 8 : 0);
			struct mcode_insn insn;
			if (!mcode_decode(&pixel, 1, 0, &insn, NULL))
				continue;
			one_form(z, &insn);
			count++;
		}
	}
	assert_true(count > 200);
	proof_context_destroy(&z);
}

static struct mcode_kernel *kernel_of(const char *body)
{
	char *text = NULL;
	struct mcode_kernel *kernel = NULL;
	assert_true(asprintf(&text,
			     ".kernel t\n.slots 8\n.trip v0\n.input v1 rax\n.input v2 rcx\n"
			     ".reduce xor v4 v5\n.reduce add v6 v7\n.body\n%s",
			     body) > 0);
	struct error *err = mcode_assemble(text, strlen(text), &kernel);
	if (err)
		fail_msg("%s in:\n%s", error_message(err), text);
	free(text);
	return kernel;
}

/* A straight body on slots alone. */
static void run_body(const struct mcode_kernel *kernel, uint64_t *slots)
{
	uint64_t regs[MCODE_REGISTERS] = { 0 };
	const struct mcode_code *code = &kernel->code[MCODE_BODY];
	for (uint32_t at = 0; at < code->count;) {
		struct mcode_insn i;
		assert_true(mcode_decode(code->pixels, code->count, at, &i, NULL));
		at += i.n_pixels;
		if (i.op == MCODE_HALT)
			return;
		if (i.op == MCODE_GET)
			regs[i.rd] = slots[i.rs1];
		else if (i.op == MCODE_PUT)
			slots[i.rs1] = regs[i.rd];
		else
			regs[i.rd] = mcode_alu(i.op, i.width_code, i.packed, regs[i.rs1],
					       i.has_imm ? i.imm : regs[i.rs2], regs[i.rd]);
	}
}

static void assert_same(const struct mcode_kernel *a, const struct mcode_kernel *b)
{
	for (unsigned i = 0; i < 400; i++) {
		uint64_t x[8] = { 0, next(), next(), next() }, y[8];
		memcpy(y, x, sizeof(y));
		run_body(a, x);
		run_body(b, y);
		assert_memory_equal(x, y, sizeof(x));
	}
}

static unsigned shorten(const char *body, const struct synth_store *store,
			struct synth_result *result)
{
	struct mcode_kernel *kernel = kernel_of(body), *plain = NULL;
	assert_null(mcode_kernel_copy(kernel, &plain));
	assert_null(synth_kernel(kernel, store, result));
	assert_null(mcode_validate(kernel));
	assert_same(plain, kernel);
	unsigned count = mcode_code_instructions(&kernel->code[MCODE_BODY]);
	assert_int_equal(count, result->after);
	mcode_kernel_destroy(kernel);
	mcode_kernel_destroy(plain);
	return count;
}

/* What translation makes of common x86, and how many instructions it needs with halt. */
static const struct {
	const char *body;
	unsigned most;
} blocks[] = {
	{ "get r1, v1\nget r2, v2\ncmpeq.8 r3, r1, r2\nxor.8 r3, r3, #1\nput v5, r3", 5 },
	{ "get r1, v1\nget r2, v2\ncmplts.32x2 r3, r1, r2\nneg.32x2 r3, r3\nand r4, r1, r3\n"
	  "xor r5, r3, #-1\nand r6, r2, r5\nor r4, r4, r6\nput v5, r4",
	  5 },
	{ "get r1, v1\nmov.32 r1, r1\nshl.32 r2, r1, #24\nshl.32 r3, r1, #8\n"
	  "and.32 r3, r3, #0xff0000\nor.32 r2, r2, r3\nshr r3, r1, #8\nand.32 r3, r3, #0xff00\n"
	  "or.32 r2, r2, r3\nshr r3, r1, #24\nor.32 r2, r2, r3\nput v5, r2",
	  5 },
	{ "get r1, v1\nmov.16 r2, r1\nshr r3, r1, #16\nmov.16 r3, r3\nshl r2, r2, #16\n"
	  "or r2, r2, r3\nshr r3, r1, #32\nshl r3, r3, #32\nor r2, r2, r3\nput v5, r2",
	  4 },
	{ "get r1, v1\nget r2, v2\nxor r3, r2, #-1\nand r3, r1, r3\nput v7, r3", 5 },
	{ "get r1, v1\nldi r2, #5\nadd.16x4 r3, r1, r2\nput v7, r3", 4 },
	{ "get r1, v1\nget r2, v2\nmov r3, r1\ncmov r3, r2, r1\nput v7, r3\nput v5, r3", 6 },
};

static void known_blocks_get_shorter(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		struct synth_result result;
		unsigned count = shorten(blocks[i].body, NULL, &result);
		if (count > blocks[i].most)
			fail_msg("block %u: %u instructions", i, count);
		assert_true(result.cost_after <= result.cost_before);
	}
}

/* A store in memory. */
struct memory {
	unsigned count, asked;
	char key[64][1024], program[64][256];
};

static bool memory_find(void *user, const char *key, char *program, size_t size)
{
	struct memory *m = user;
	m->asked++;
	for (unsigned i = 0; i < m->count; i++) {
		if (strcmp(m->key[i], key) != 0)
			continue;
		snprintf(program, size, "%s", m->program[i]);
		return true;
	}
	return false;
}

static void memory_add(void *user, const char *key, const char *program)
{
	struct memory *m = user;
	assert_true(m->count < 64);
	snprintf(m->key[m->count], sizeof(*m->key), "%s", key);
	snprintf(m->program[m->count++], sizeof(*m->program), "%s", program);
}

static void templates_serve_other_constants(void **state)
{
	static struct memory memory;
	struct synth_store store = { memory_find, memory_add, &memory };
	struct synth_result result;
	(void)state;
	shorten("get r1, v1\nshr r2, r1, #24\nmov.8 r2, r2\nadd.8 r3, r2, #7\nput v5, r3",
		&store, &result);
	assert_true(result.n_windows > 0 && result.templates == 0);
	unsigned first = result.after;
	shorten("get r9, v2\nshr r8, r9, #40\nmov.8 r7, r8\nadd.8 r3, r7, #19\nput v7, r3",
		&store, &result);
	assert_int_equal(result.after, first);
	assert_int_equal(result.n_windows, 0); /* all known */
	assert_true(result.templates > 0);
}

static bool garbage_find(void *user, const char *key, char *program, size_t size)
{
	static const char *const garbage[] = {
		"1 2 3",	"2 0 0 9 r0;",	 "69 0 0 0 r0;",
		"2 0 0 0 c99;", "2 0 0 0 r2;",	 "2 0 0 0 #1;2 0 0 0 #1;2 0 0 0 #1;",
		"2 0 0 0 #1;",	"104 0 0 0 r0;", "255 0 0 0 r0;",
		"1 0 1 0 r0;"
	};
	unsigned *number = user;
	(void)key;
	snprintf(program, size, "%s", garbage[(*number)++ % 10]);
	return true;
}

static void wrong_templates_do_no_harm(void **state)
{
	unsigned number = 0;
	struct synth_store store = { garbage_find, NULL, &number };
	(void)state;
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
			struct synth_result result;
			shorten(blocks[i].body, &store, &result); /* stays the same function */
		}
	assert_true(number > 10);
}

/* Any simple block: the result is the same function, never longer. */
static void random_blocks_stay_the_same(void **state)
{
	static const char *const ops[] = { "add",  "sub",    "and",   "or",	"xor",
					   "shl",  "shr",    "mul",   "cmpeq",	"cmpltu",
					   "minu", "add.32", "sub.8", "xor.16", "add.8x8" };
	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		char body[512] = "get r1, v1\nget r2, v2\n";
		unsigned n = 1 + i % 5, last = 0;
		for (unsigned k = 0; k < n; k++) {
			size_t at = strlen(body);
			unsigned a = 1 + (unsigned)(next() >> 8) % (2 + k);
			unsigned b = 1 + (unsigned)(next() >> 8) % (2 + k);
			a = k ? 2 + k : a; /* every one counts */
			last = 3 + k;
			if (next() >> 3 & 1)
				snprintf(body + at, sizeof(body) - at, "%s r%u, r%u, r%u\n",
					 ops[(next() >> 4) % 14], last, a, b);
			else
				snprintf(body + at, sizeof(body) - at, "%s r%u, r%u, #%u\n",
					 ops[(next() >> 4) % 14], last, a,
					 1 + (unsigned)(next() >> 9) % 31);
		}
		snprintf(body + strlen(body), sizeof(body) - strlen(body), "put v5, r%u", last);
		struct synth_result result;
		assert_true(shorten(body, NULL, &result) <= result.before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_prover_means_what_is_computed),
		cmocka_unit_test(known_blocks_get_shorter),
		cmocka_unit_test(templates_serve_other_constants),
		cmocka_unit_test(wrong_templates_do_no_harm),
		cmocka_unit_test(random_blocks_stay_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
