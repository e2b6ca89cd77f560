/* Loops of this process as candidates. Thread: one. */
#ifndef LEARN_FIXTURE_H
#define LEARN_FIXTURE_H
#include <Zydis/Zydis.h>
#include <sys/uio.h>
#include <unistd.h>

#include "learn/vex.h"
#include "learn_sample.h"

static inline size_t own_code_read(void *user, uint64_t gva, uint8_t *to, size_t bytes)
{
	struct iovec local = { to, bytes }, remote = { (void *)(uintptr_t)gva, bytes };
	ssize_t got;
	(void)user;
	while ((got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0)) < 0 &&
	       local.iov_len > 64)
		local.iov_len = remote.iov_len = local.iov_len / 2;
	return got < 0 ? 0 : (size_t)got;
}

static const struct code_source own_code = { own_code_read, NULL };

/* Target of the first backward jump of a function: the head of its loop. */
static inline uint64_t sample_head(const struct sample *sample)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t at = (uint64_t)(uintptr_t)sample->code;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned i = 0; i < 400; i++) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, (const void *)(uintptr_t)at,
							 15, &insn, op)))
			return 0;
		bool jump = insn.meta.category == ZYDIS_CATEGORY_COND_BR ||
			    insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
		if (jump && op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op[0].imm.value.s < 0)
			return at + insn.length + (uint64_t)op[0].imm.value.s;
		at += insn.length;
	}
	return 0;
}
#endif
