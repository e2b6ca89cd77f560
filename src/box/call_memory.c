/* Calls that read bytes of memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/calls.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/space.h"
#include "vm/vm.h"

/* Longest read in one answer; larger pieces are what `dump` is for. */
#define READ_LIMIT (16u << 20)

static const struct call_param read_params[] = {
	{ "address", CALL_INTEGER, .positional = true, .required = true, .placeholder = "ADDR",
	  .help = "guest-physical, or kernel-virtual from 0xffff800000000000 on" },
	{ "length", CALL_SIZE, .positional = true, .required = true, .placeholder = "LEN",
	  .help = "bytes, at most 16M" },
	{ 0 },
};

/* Upper half of the canonical 48-bit (or 57-bit) addresses: never physical. */
static bool is_kernel_virtual(uint64_t address)
{
	return address >> 56 == 0xff;
}

static struct error *read_physical(struct target *target, uint64_t gpa, void *bytes,
				   size_t length)
{
	struct phys_mem *mem = target_memory(target);
	if (phys_mem_read(mem, gpa, bytes, length))
		return NULL;
	return error_hint(error_create(ERR_FAULT, "0x%llx+%zu is not all RAM",
				       (unsigned long long)gpa, length),
			  "RAM ends at 0x%llx; `glassbox status` shows the ranges",
			  (unsigned long long)phys_mem_end(mem));
}

static struct error *read_kernel(struct target *target, uint64_t gva, void *bytes,
				 size_t length)
{
	struct guest *guest = NULL;
	TRY(target_guest(target, &guest));
	guest_begin(guest);
	if (guest_space_read(guest_kernel_space(guest), gva, bytes, length))
		return NULL;
	return error_create(ERR_FAULT, "0x%llx+%zu is not all mapped by the kernel",
			    (unsigned long long)gva, length);
}

static char *hex_of(const uint8_t *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * length + 1);
	for (size_t i = 0; text && i < length; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	if (text)
		text[2 * length] = 0;
	return text;
}

/* One line of the classic dump: address, 16 bytes, their characters. */
static void dump_line(FILE *to, uint64_t address, const uint8_t *bytes, size_t length)
{
	fprintf(to, "%016llx ", (unsigned long long)address);
	for (size_t i = 0; i < 16; i++) {
		if (i < length)
			fprintf(to, "%s%02x", i == 8 ? "  " : " ", bytes[i]);
		else
			fputs(i == 8 ? "    " : "   ", to);
	}
	fputs("  |", to);
	for (size_t i = 0; i < length; i++)
		fputc(bytes[i] >= 32 && bytes[i] < 127 ? bytes[i] : '.', to);
	fputs("|\n", to);
}

static char *dump_text(uint64_t address, const uint8_t *bytes, size_t length)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	for (size_t i = 0; to && i < length; i += 16)
		dump_line(to, address + i, bytes + i, length - i < 16 ? length - i : 16);
	if (to)
		fclose(to);
	return text;
}

static struct error *run_read(struct call_context *context, json_t **ret)
{
	uint64_t address = call_integer(context, "address", 0);
	uint64_t length = call_integer(context, "length", 0);
	if (!length || length > READ_LIMIT)
		return error_create(ERR_USAGE, "length must be 1 to 16M");
	AUTO(own_free) uint8_t *bytes = NULL;
	TRY(error_alloc(length, 1, &bytes));
	bool is_virtual = is_kernel_virtual(address);
	TRY(is_virtual ? read_kernel(context->target, address, bytes, length)
		       : read_physical(context->target, address, bytes, length));
	TRY(target_check_alive(context->target));
	AUTO(own_free) char *hex = hex_of(bytes, length);
	AUTO(own_free) char *text = dump_text(address, bytes, length);
	if (hex && text)
		*ret = json_pack("{s:o, s:I, s:s, s:s, s:s}", "address", call_hex(address),
				 "length", (json_int_t)length, "space",
				 is_virtual ? "kernel" : "physical", "bytes", hex, "text",
				 text);
	return hex && text ? NULL : error_create(ERR_MEMORY, "no memory for the bytes");
}

const struct call call_read = {
	.name = "read",
	.group = "addresses and bytes",
	.summary = "bytes of memory",
	.details = "Addresses with the top byte 0xff are kernel-virtual, others are "
		   "guest-physical.",
	.examples = "  glassbox read demo 0x1000 64\n"
		    "  glassbox read --file dump.raw 0x1000 4K --json",
	.flags = CALL_TARGET | CALL_TEXT,
	.params = read_params,
	.run = run_read,
};
