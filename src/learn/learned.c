#include "learn/learned.h"

#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/error.h"
#include "learn/prove.h"
#include "learn/translate.h"
#include "mcode/validate.h"

enum { MOVE = 0x10000000, HEADS_MAX = 6 };

void learned_destroy(struct learned *learned)
{
	if (!learned)
		return;
	mcode_kernel_destroy(learned->kernel);
	proof_destroy(learned->proof);
	json_decref(learned->guard);
	free(learned);
}

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Everything of one analysis. */
struct attempt {
	struct ir *ir;
	struct iteration *iteration;
	struct loop *loop;
	struct mcode_kernel *kernel;
};

static void attempt_deinit(struct attempt *attempt)
{
	mcode_kernel_destroy(attempt->kernel);
	free(attempt->loop);
	iteration_destroy(attempt->iteration);
	ir_destroy(attempt->ir);
	*attempt = (struct attempt){ 0 };
}

static struct error *analyse(const struct learned_params *params, const struct shape *shape,
			     uint64_t move, struct learned *learned, struct attempt *ret)
{
	double start = now_ms();
	TRY(ir_create(true, &ret->ir));
	TRY(iteration_create(
		ret->ir,
		&(struct iteration_params){
			.source = params->source, .shape = shape, .move = move, .stays = true },
		&ret->iteration));
	TRY(error_alloc(1, sizeof(*ret->loop), &ret->loop));
	TRY(loop_analyse(ret->iteration, ret->loop));
	double middle = now_ms();
	TRY(translate_loop(ret->loop, "", &ret->kernel));
	learned->analyse_ms += middle - start;
	learned->translate_ms += now_ms() - middle;
	return mcode_validate(ret->kernel);
}

static void hash_hex(const void *bytes, size_t count, char ret[LEARNED_ID])
{
	XXH128_hash_t hash = XXH3_128bits(bytes, count);
	snprintf(ret, LEARNED_ID, "%016llx%016llx", (unsigned long long)hash.high64,
		 (unsigned long long)hash.low64);
}

static struct error *take_code(const struct learned_params *params, const struct shape *shape,
			       struct learned *learned)
{
	uint64_t low = UINT64_MAX, high = 0;
	for (unsigned i = 0; i < shape->count; i++) {
		const struct shape_block *block = &shape->blocks[i];
		low = block->address < low ? block->address : low;
		high = block->address + block->n_bytes > high ? block->address + block->n_bytes
							      : high;
		learned->n_insns += block->n_insns;
	}
	if (high - low > LEARNED_CODE_MAX)
		return error_create(ERR_LIMIT, "its code spreads over %llu bytes",
				    (unsigned long long)(high - low));
	learned->head = shape->blocks[0].address;
	learned->code_base = low;
	learned->code_bytes = (uint32_t)(high - low);
	size_t have = params->source->read(params->source->user, low, learned->code,
					   learned->code_bytes);
	if (have != learned->code_bytes)
		return error_create(ERR_FAULT, "its code cannot be read");
	return NULL;
}

/* The same bytes at another place must give the same kernel, or it is bound to this one. */
static void find_position(const struct learned_params *params, const struct shape *shape,
			  struct learned *learned)
{
	struct learned unused = { 0 };
	struct attempt moved = { 0 };
	AUTO(own_error) struct error *err = analyse(params, shape, MOVE, &unused, &moved);
	learned->position_dependent = err || !mcode_kernel_equal(moved.kernel, learned->kernel);
	attempt_deinit(&moved);
}

static void make_id(struct learned *learned)
{
	uint8_t text[LEARNED_CODE_MAX + 64];
	memcpy(text, learned->code, learned->code_bytes);
	int tail = snprintf((char *)text + learned->code_bytes, 64, "/%llu/%llx/1",
			    (unsigned long long)(learned->head - learned->code_base),
			    learned->position_dependent ? (unsigned long long)learned->head
							: 0ull);
	hash_hex(text, learned->code_bytes + (size_t)tail, learned->id);
	hash_hex(learned->code, learned->code_bytes, learned->x86_hash);
}

static struct error *describe_guard(const struct loop *loop, json_t **ret)
{
	static const char *const reasons[] = { "", "short", "overlap", "wrap", "shape" };
	json_t *list = json_array();
	for (unsigned i = 0; i < loop->n_guards; i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *file = open_memstream(&text, &size);
		if (file) {
			ir_print(loop->ir, loop->guards[i], file);
			fclose(file);
		}
		json_array_append_new(list,
				      json_pack("{s:s,s:s?}", "otherwise",
						reasons[loop->reasons[i]], "holds", text));
		free(text);
	}
	*ret = list;
	return list ? NULL : error_create(ERR_MEMORY, "out of memory");
}

static struct error *prove_and_test(const struct learned_params *params,
				    const struct shape *shape, struct attempt *attempt,
				    struct learned *learned)
{
	TRY(prove_kernel(&(struct prove_params){ .source = params->source,
						 .shape = shape,
						 .loop = attempt->loop,
						 .kernel = learned->kernel,
						 .keep_text = params->keep_text },
			 &learned->proof));
	if (learned->proof->verdict != PROOF_PROVED)
		return error_create(ERR_UNSUPPORTED, "not proved: %s (%s)",
				    learned->proof->failed,
				    proof_verdict_name(learned->proof->verdict));
	TRY(oracle_run(&(struct oracle_params){ .source = params->source,
						.shape = shape,
						.loop = attempt->loop,
						.kernel = learned->kernel,
						.cases = params->cases,
						.seed = XXH3_64bits(learned->id, 32) },
		       &learned->tests));
	if (learned->tests.mismatches)
		return error_create(ERR_BAD_DATA,
				    "BUG: proved, but it differs from the original code: %s",
				    learned->tests.first);
	if (learned->tests.cases < (params->cases ? params->cases : 10000))
		return error_create(ERR_UNSUPPORTED, "only %u of its tests could run",
				    learned->tests.cases);
	return NULL;
}

/* Puts the shorter kernel to proof and tests; what fails there stays as it was translated. */
static struct error *prove_shortened(const struct learned_params *params,
				     const struct shape *shape, struct attempt *attempt,
				     struct learned *learned)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *plain = NULL;
	TRY(mcode_kernel_copy(learned->kernel, &plain));
	TRY(synth_kernel(learned->kernel, params->templates, &learned->synth));
	struct error *err = mcode_validate(learned->kernel);
	if (!err)
		err = prove_and_test(params, shape, attempt, learned);
	if (!err || error_kind(err) == ERR_BAD_DATA ||
	    mcode_kernel_equal(plain, learned->kernel))
		return err;
	error_destroy(err);
	mcode_kernel_destroy(learned->kernel);
	learned->kernel = TAKE(plain);
	learned->synth.after = learned->synth.before;
	learned->synth.cost_after = learned->synth.cost_before;
	proof_destroy(learned->proof);
	learned->proof = NULL;
	return prove_and_test(params, shape, attempt, learned);
}

static struct error *learn_shape(const struct learned_params *params, const struct shape *shape,
				 struct learned *learned, struct attempt *attempt)
{
	TRY(analyse(params, shape, 0, learned, attempt));
	TRY(take_code(params, shape, learned));
	learned->kernel = TAKE(attempt->kernel);
	find_position(params, shape, learned);
	make_id(learned);
	snprintf(learned->kernel->name, sizeof(learned->kernel->name), "%s", learned->id);
	learned->pattern = attempt->loop->pattern;
	TRY(describe_guard(attempt->loop, &learned->guard));
	return params->as_translated ? prove_and_test(params, shape, attempt, learned)
				     : prove_shortened(params, shape, attempt, learned);
}

/* Candidate heads after the first: other blocks of the loop. A test at the top leaves values of
 * the last pass alive at the head, but not at the block after it. */
struct heads {
	unsigned count;
	uint64_t items[HEADS_MAX];
};

static void add_heads(struct heads *heads, const struct shape *shape)
{
	for (unsigned b = 1; b < shape->count; b++) {
		bool known = false;
		for (unsigned i = 0; i < heads->count; i++)
			known |= heads->items[i] == shape->blocks[b].address;
		if (!known && heads->count < HEADS_MAX)
			heads->items[heads->count++] = shape->blocks[b].address;
	}
}

static struct error *learn_head(const struct learned_params *params, uint64_t head,
				struct heads *heads, struct learned **ret)
{
	struct shape_list list;
	struct error *err = shape_find(params->source, head, &list);
	if (err)
		return err;
	err = NULL;
	for (unsigned i = 0; i < list.count && !*ret; i++) {
		AUTO(own_learned) struct learned *learned = NULL;
		struct attempt attempt = { 0 };
		error_destroy(err);
		err = error_alloc(1, sizeof(*learned), &learned);
		if (!err)
			err = learn_shape(params, list.shapes[i], learned, &attempt);
		attempt_deinit(&attempt);
		add_heads(heads, list.shapes[i]);
		if (!err)
			*ret = TAKE(learned);
		if (err && error_kind(err) == ERR_BAD_DATA)
			break;
	}
	shape_list_deinit(&list);
	return err;
}

struct error *learned_create(const struct learned_params *params, struct learned **ret)
{
	struct heads heads = { .count = 1, .items = { params->head } };
	struct learned *learned = NULL;
	struct error *first = NULL;
	for (unsigned i = 0; i < heads.count && !learned; i++) {
		struct error *err = learn_head(params, heads.items[i], &heads, &learned);
		if (err && error_kind(err) == ERR_BAD_DATA) {
			error_destroy(first);
			return err;
		}
		if (i == 0)
			first = err;
		else
			error_destroy(err);
	}
	if (!learned)
		return first;
	error_destroy(first);
	snprintf(learned->symbol, sizeof(learned->symbol), "%s",
		 params->symbol ? params->symbol : "");
	snprintf(learned->program, sizeof(learned->program), "%s",
		 params->program ? params->program : "");
	*ret = learned;
	return NULL;
}
