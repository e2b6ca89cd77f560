/* The kernel document. Field names are a contract: docs/learning.md. */
#include <Zydis/Zydis.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "learn/learned.h"
#include "mcode/text.h"

static json_t *hex(uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	return json_string(text);
}

static json_t *bytes_hex(const uint8_t *bytes, size_t count)
{
	char text[2 * LEARNED_CODE_MAX + 1];
	for (size_t i = 0; i < count; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_string(count ? text : "");
}

static json_t *disassembly(const struct learned *learned)
{
	json_t *lines = json_array();
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	for (size_t at = 0; at < learned->code_bytes;) {
		char text[96], line[128];
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, learned->code + at,
							 learned->code_bytes - at, &insn,
							 operands)))
			break;
		ZydisFormatterFormatInstruction(&formatter, &insn, operands,
						insn.operand_count_visible, text, sizeof(text),
						learned->code_base + at, NULL);
		snprintf(line, sizeof(line), "0x%llx %s",
			 (unsigned long long)(learned->code_base + at), text);
		json_array_append_new(lines, json_string(line));
		at += insn.length;
	}
	return lines;
}

static json_t *proof_json(const struct proof *proof)
{
	json_t *steps = json_array();
	for (size_t i = 0; i < proof->steps.count; i++) {
		const struct proof_step *step = &proof->steps.items[i];
		json_array_append_new(steps,
				      json_pack("{s:s,s:s,s:f,s:b,s:s?}", "name", step->name,
						"verdict", proof_verdict_name(step->verdict),
						"ms", step->ms, "simplified",
						(int)step->simplified, "smtlib", step->smtlib));
	}
	return json_pack("{s:s,s:f,s:o}", "status", proof_verdict_name(proof->verdict), "ms",
			 proof->ms, "steps", steps);
}

static json_t *tests_json(const struct oracle_result *tests)
{
	return json_pack("{s:i,s:i,s:i,s:i,s:I,s:f,s:s}", "cases", (int)tests->cases, "states",
			 (int)tests->states, "refused", (int)tests->refused, "mismatches",
			 (int)tests->mismatches, "iterations", (json_int_t)tests->iterations,
			 "ms", tests->ms, "against", "unicorn");
}

static json_t *code_json(const struct learned *learned)
{
	return json_pack("{s:o,s:i,s:o,s:b,s:i}", "base", hex(learned->code_base),
			 "head_offset", (int)(learned->head - learned->code_base), "bytes",
			 bytes_hex(learned->code, learned->code_bytes), "position_dependent",
			 (int)learned->position_dependent, "instructions",
			 (int)learned->n_insns);
}

static json_t *costs_json(const struct learned *learned)
{
	const struct mcode_kernel *kernel = learned->kernel;
	return json_pack("{s:i,s:i,s:i}", "body",
			 (int)mcode_code_cost(&kernel->code[MCODE_BODY]), "guard",
			 (int)mcode_code_cost(&kernel->code[MCODE_GUARD]), "body_instructions",
			 (int)mcode_code_instructions(&kernel->code[MCODE_BODY]));
}

/* How the body got shorter. */
static json_t *synthesis_json(const struct synth_result *synth)
{
	double search = 0, proof = 0;
	unsigned found = 0;
	for (unsigned i = 0; i < synth->n_windows; i++) {
		search += synth->windows[i].search_ms;
		proof += synth->windows[i].proof_ms;
		found += synth->windows[i].after < synth->windows[i].before;
	}
	return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:f,s:f}", "instructions_before",
			 (int)synth->before, "instructions_after", (int)synth->after,
			 "cost_before", (int)synth->cost_before, "cost_after",
			 (int)synth->cost_after, "windows", (int)synth->n_windows, "found",
			 (int)found, "from_templates", (int)synth->templates, "search_ms",
			 search, "proof_ms", proof);
}

struct error *learned_to_json(const struct learned *learned, json_t **ret)
{
	AUTO(own_free) char *microcode = NULL;
	TRY(mcode_disassemble_string(learned->kernel, &microcode));
	json_t *doc =
		json_pack("{s:s,s:s,s:s,s:o,s:s,s:s,s:o,s:o,s:o,s:o,s:O,s:s,s:o}", "format",
			  "glassbox-kernel-1", "id", learned->id, "x86_hash", learned->x86_hash,
			  "address", hex(learned->head), "symbol", learned->symbol, "pattern",
			  learned->pattern, "proof", proof_json(learned->proof), "tests",
			  tests_json(&learned->tests), "code", code_json(learned),
			  "disassembly", disassembly(learned), "guard", learned->guard,
			  "microcode", microcode, "costs", costs_json(learned));
	if (!doc)
		return error_create(ERR_MEMORY, "out of memory");
	json_object_set_new(doc, "synthesis", synthesis_json(&learned->synth));
	json_object_set_new(doc, "times_ms",
			    json_pack("{s:f,s:f,s:f,s:f,s:f}", "lift_and_analyse",
				      learned->analyse_ms, "translate", learned->translate_ms,
				      "synthesise", learned->synth.ms, "prove",
				      learned->proof->ms, "test", learned->tests.ms));
	json_object_set_new(doc, "provenance",
			    json_pack("{s:s,s:I,s:s,s:s}", "program", learned->program, "time",
				      (json_int_t)time(NULL), "lifter", "libVEX", "prover",
				      "Z3"));
	*ret = doc;
	return NULL;
}
