#include "mcode/spirv_words.h"

#include <string.h>

#include "base/error.h"

uint32_t spirv_id(struct spirv *sp)
{
	return sp->bound++;
}

static void push(struct spirv *sp, spirv_words *to, uint32_t word)
{
	if (!VEC_PUSH(to, word))
		sp->failed = true;
}

void spirv_put(struct spirv *sp, spirv_words *to, unsigned op, const uint32_t *operands,
	       size_t n)
{
	push(sp, to, (uint32_t)((n + 1) << 16 | op));
	for (size_t i = 0; i < n; i++)
		push(sp, to, operands[i]);
}

uint32_t spirv_op1(struct spirv *sp, unsigned op, uint32_t type, uint32_t a)
{
	uint32_t id = spirv_id(sp);
	SPIRV_PUT(sp, body, op, type, id, a);
	return id;
}

uint32_t spirv_op2(struct spirv *sp, unsigned op, uint32_t type, uint32_t a, uint32_t b)
{
	uint32_t id = spirv_id(sp);
	SPIRV_PUT(sp, body, op, type, id, a, b);
	return id;
}

uint32_t spirv_op3(struct spirv *sp, unsigned op, uint32_t type, uint32_t a, uint32_t b,
		   uint32_t c)
{
	uint32_t id = spirv_id(sp);
	SPIRV_PUT(sp, body, op, type, id, a, b, c);
	return id;
}

uint32_t spirv_glsl1(struct spirv *sp, unsigned instruction, uint32_t type, uint32_t a)
{
	uint32_t id = spirv_id(sp);
	SPIRV_PUT(sp, body, OpExtInst, type, id, sp->glsl, instruction, a);
	return id;
}

/* Finds an instruction of the globals section whose words are equal but for the result id at
 * `id_at`; returns that id or 0. */
static uint32_t find_global(const struct spirv *sp, unsigned op, size_t id_at,
			    const uint32_t *operands, size_t n)
{
	const uint32_t *w = sp->globals.items;
	for (size_t at = 0; at < sp->globals.count; at += w[at] >> 16) {
		if (w[at] != ((n + 2) << 16 | op))
			continue;
		bool equal = true;
		for (size_t i = 0; i < n; i++)
			equal &= w[at + 1 + i + (i + 1 >= id_at)] == operands[i];
		if (equal)
			return w[at + id_at];
	}
	return 0;
}

uint32_t spirv_type(struct spirv *sp, unsigned op, const uint32_t *operands, size_t n)
{
	uint32_t id = find_global(sp, op, 1, operands, n);
	if (id)
		return id;
	id = spirv_id(sp);
	push(sp, &sp->globals, (uint32_t)((n + 2) << 16 | op));
	push(sp, &sp->globals, id);
	for (size_t i = 0; i < n; i++)
		push(sp, &sp->globals, operands[i]);
	return id;
}

uint32_t spirv_pointer(struct spirv *sp, unsigned storage, uint32_t type)
{
	return SPIRV_TYPE(sp, OpTypePointer, storage, type);
}

static uint32_t constant(struct spirv *sp, const uint32_t *operands, size_t n)
{
	uint32_t id = find_global(sp, OpConstant, 2, operands, n);
	if (id)
		return id;
	id = spirv_id(sp);
	push(sp, &sp->globals, (uint32_t)((n + 2) << 16 | OpConstant));
	push(sp, &sp->globals, operands[0]);
	push(sp, &sp->globals, id);
	for (size_t i = 1; i < n; i++)
		push(sp, &sp->globals, operands[i]);
	return id;
}

uint32_t spirv_u32(struct spirv *sp, uint32_t value)
{
	return constant(sp, (const uint32_t[]){ sp->t_u32, value }, 2);
}

uint32_t spirv_u64(struct spirv *sp, uint64_t value)
{
	const uint32_t words[] = { sp->t_u64, (uint32_t)value, (uint32_t)(value >> 32) };
	return constant(sp, words, 3);
}

uint32_t spirv_true(struct spirv *sp)
{
	uint32_t id = find_global(sp, OpConstantTrue, 2, &sp->t_bool, 1);
	if (id)
		return id;
	id = spirv_id(sp);
	SPIRV_PUT(sp, globals, OpConstantTrue, sp->t_bool, id);
	return id;
}

uint32_t spirv_variable(struct spirv *sp, unsigned storage, uint32_t type)
{
	uint32_t pointer = spirv_pointer(sp, storage, type), id = spirv_id(sp);
	if (storage == StorageFunction)
		SPIRV_PUT(sp, locals, OpVariable, pointer, id, storage);
	else
		SPIRV_PUT(sp, globals, OpVariable, pointer, id, storage);
	return id;
}

uint32_t spirv_load(struct spirv *sp, uint32_t type, uint32_t pointer)
{
	return spirv_op1(sp, OpLoad, type, pointer);
}

void spirv_store(struct spirv *sp, uint32_t pointer, uint32_t value)
{
	SPIRV_PUT(sp, body, OpStore, pointer, value);
}

void spirv_label(struct spirv *sp, uint32_t label)
{
	SPIRV_PUT(sp, body, OpLabel, label);
}

void spirv_branch(struct spirv *sp, uint32_t label)
{
	SPIRV_PUT(sp, body, OpBranch, label);
}

void spirv_begin(struct spirv *sp)
{
	*sp = (struct spirv){ .bound = 1 };
	sp->t_void = spirv_id(sp);
	SPIRV_PUT(sp, globals, OpTypeVoid, sp->t_void);
	sp->t_bool = spirv_id(sp);
	SPIRV_PUT(sp, globals, OpTypeBool, sp->t_bool);
	sp->t_u32 = SPIRV_TYPE(sp, OpTypeInt, 32, 0);
	sp->t_u64 = SPIRV_TYPE(sp, OpTypeInt, 64, 0);
	sp->glsl = spirv_id(sp);
}

void spirv_free(struct spirv *sp)
{
	VEC_FREE(&sp->head);
	VEC_FREE(&sp->decorations);
	VEC_FREE(&sp->globals);
	VEC_FREE(&sp->locals);
	VEC_FREE(&sp->body);
}

struct error *spirv_end(struct spirv *sp, uint32_t **ret, size_t *n_ret)
{
	const spirv_words *sections[] = { &sp->head, &sp->decorations, &sp->globals,
					  &sp->locals, &sp->body };
	size_t n = 5;
	uint32_t *words;
	for (size_t i = 0; i < 5; i++)
		n += sections[i]->count;
	if (sp->failed)
		return error_create(ERR_MEMORY, "no memory for a shader");
	TRY(error_alloc(n, sizeof(*words), &words));
	const uint32_t header[] = { 0x07230203, 0x00010500, 0, sp->bound, 0 };
	memcpy(words, header, sizeof(header));
	size_t at = 5;
	for (size_t i = 0; i < 5; i++) {
		if (sections[i]->count)
			memcpy(words + at, sections[i]->items,
			       sections[i]->count * sizeof(*words));
		at += sections[i]->count;
	}
	*ret = words;
	*n_ret = n;
	return NULL;
}
