/* disasm: instructions at an address, by Zydis. */
#include <Zydis/Zydis.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/space.h"

enum { MAX_INSTRUCTIONS = 4096, DEFAULT_INSTRUCTIONS = 24, MAX_LENGTH = 15 };

/* Reads up to size bytes at address, fewer at the end of what is mapped. */
static size_t read_code(struct call_context *context, struct guest *guest, uint64_t address,
			uint8_t *to, size_t size)
{
	struct guest_space space;
	bool is_virtual = call_has(context, "pid") || address >> 56 == 0xff;
	if (is_virtual) {
		struct error *err = call_space(context, guest, &space);
		error_destroy(err);
		if (err)
			return 0;
	}
	for (; size; size = size > 16 ? size - 16 : 0) {
		bool ok = is_virtual ? guest_space_read(&space, address, to, size)
				     : phys_mem_read(target_memory(context->target), address,
						     to, size);
		if (ok)
			return size;
	}
	return 0;
}

/* The symbol of a kernel address where it begins, or where the code at it belongs to. */
static json_t *symbol_of(struct guest *guest, uint64_t address)
{
	char text[512] = "";
	if (address >> 56 != 0xff)
		return json_null();
	guest_symbol_text(guest, address, text, sizeof(text));
	return *text == '0' ? json_null() : json_guest_text(text, sizeof(text));
}

static json_t *instruction_row(struct guest *guest, uint64_t address, const uint8_t *bytes,
			       const ZydisDecodedInstruction *instruction, const char *text)
{
	char hex[2 * MAX_LENGTH + 1] = "";
	for (unsigned i = 0; i < instruction->length; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	return json_pack("{s:o, s:s, s:s, s:o}", "address", call_hex(address), "bytes", hex,
			 "text", text, "symbol", symbol_of(guest, address));
}

static struct error *run_disasm(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	uint64_t address, count = call_integer(context, "count", DEFAULT_INSTRUCTIONS);
	TRY(call_guest(context, &guest));
	TRY(call_address(context, guest, "address", &address));
	if (!count || count > MAX_INSTRUCTIONS)
		return error_create(ERR_USAGE, "count must be 1 to %d", MAX_INSTRUCTIONS);
	AUTO(own_json) json_t *rows = json_array();
	AUTO(own_free) uint8_t *bytes = NULL;
	TRY(error_alloc(count, MAX_LENGTH, &bytes));
	size_t length = read_code(context, guest, address, bytes, count * MAX_LENGTH), at = 0;
	if (!length)
		return error_create(ERR_FAULT, "0x%llx is not mapped",
				    (unsigned long long)address);
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	bool is_64 = guest_word_bytes(guest) == 8;
	ZydisDecoderInit(&decoder,
			 is_64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
			 is_64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	for (uint64_t i = 0; i < count && at < length; i++) {
		ZydisDecodedInstruction instruction;
		ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
		char text[128] = "(bad)";
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes + at, length - at,
							&instruction, operands)))
			ZydisFormatterFormatInstruction(&formatter, &instruction, operands,
							instruction.operand_count_visible, text,
							sizeof(text), address + at, NULL);
		else
			instruction.length = 1;
		TRY(json_list_add(rows, instruction_row(guest, address + at, bytes + at,
							&instruction, text)));
		at += instruction.length;
	}
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_param disasm_params[] = {
	{ "address", CALL_STRING, .positional = true, .required = true, .placeholder = "ADDR",
	  .help = "address, symbol or symbol+offset; physical in the lower half unless --pid "
		  "is given" },
	{ "count", CALL_INTEGER, .positional = true, .placeholder = "N",
	  .help = "instructions; 24 if not given" },
	{ "pid", CALL_INTEGER, .placeholder = "PID", .help = "ADDR is in this process" },
	{ 0 },
};

static const struct call_column disasm_columns[] = {
	{ "address", "ADDRESS", COLUMN_RIGHT },
	{ "bytes", "BYTES", COLUMN_LEFT },
	{ "text", "INSTRUCTION", COLUMN_LEFT },
	{ "symbol", "SYMBOL", COLUMN_LEFT },
	{ 0 },
};

const struct call call_disasm = {
	.name = "disasm",
	.group = "addresses and bytes",
	.summary = "show the instructions at an address",
	.examples =
		"  glassbox disasm demo schedule 40\n  glassbox disasm demo 0x401000 --pid 42",
	.flags = CALL_TARGET,
	.params = disasm_params,
	.columns = disasm_columns,
	.run = run_disasm,
};
