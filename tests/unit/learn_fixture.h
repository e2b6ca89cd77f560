/* Loops of learn_code.c as candidates. Thread: any. */
#ifndef LEARN_FIXTURE_H
#define LEARN_FIXTURE_H
#include <Zydis/Zydis.h>
#include <string.h>

#include "learn/vex.h"
#include "learn_sample.h"

static inline size_t sample_code_read(void *user, uint64_t gva, uint8_t *to, size_t bytes)
{
	(void)user;
	for (unsigned i = 0; i < LEARN_BUILDS; i++) {
		const struct learn_code *code = &learn_code[i];
		if (gva < code->base || gva - code->base >= code->n_bytes)
			continue;
		size_t at = gva - code->base, have = code->n_bytes - at;
		have = have < bytes ? have : bytes;
		memcpy(to, code->bytes + at, have);
		return have;
	}
	return 0;
}

static const struct code_source sample_code = { sample_code_read, NULL };

static inline const struct sample *sample_named(const char *name)
{
	const struct sample *s = learn_code[LEARN_SCALAR].samples;
	while (strcmp(s->name, name) != 0)
		s++;
	return s;
}

/* Target of the first backward jump of a function: the head of its loop. Of a nest: of the
 * last. */
static inline uint64_t sample_head(const struct sample *sample)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t at = sample->gva, head = 0;
	bool nest = strncmp(sample->name, "nest", 4) == 0;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned i = 0; i < 400; i++) {
		uint8_t bytes[15];
		size_t have = sample_code_read(NULL, at, bytes, sizeof(bytes));
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, have, &insn, op)))
			return 0;
		bool jump = insn.meta.category == ZYDIS_CATEGORY_COND_BR ||
			    insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
		if (jump && op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op[0].imm.value.s < 0)
			head = at + insn.length + (uint64_t)op[0].imm.value.s;
		if (head && (!nest || insn.mnemonic == ZYDIS_MNEMONIC_RET))
			return head;
		at += insn.length;
	}
	return head;
}
#endif
