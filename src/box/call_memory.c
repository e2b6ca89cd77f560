/* Calls that read bytes of memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/hexdump.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/space.h"
#include "vm/vm.h"

/* Longest read in one answer; larger pieces are what `dump` is for. */
#define READ_LIMIT (16u << 20)
/* Longer reads are not annotated with symbols. */
#define ANNOTATED_MAX (64u << 10)

static const struct call_param read_params[] = {
	{ "address", CALL_STRING, .positional = true, .required = true, .placeholder = "ADDR",
	  .help = "physical, or kernel address from 0xff00000000000000 on, or symbol[+N]" },
	{ "length", CALL_SIZE, .positional = true, .required = true, .placeholder = "LEN",
	  .help = "bytes, at most 16M" },
	{ "pid", CALL_INTEGER, .placeholder = "PID", .help = "ADDR is in this process" },
	{ "retries", CALL_INTEGER, .placeholder = "N",
	  .help = "how often to look again until the bytes stood still (default: 8)" },
	{ 0 },
};

/* Upper half of the canonical 48-bit (or 57-bit) addresses: never physical. */
static bool is_kernel_virtual(uint64_t address)
{
	return address >> 56 == 0xff;
}

/* One read: where from, and whether the bytes stood still meanwhile. */
struct reading {
	uint64_t address;
	uint8_t *bytes;
	size_t length;
	unsigned looks;
	enum stable_result result;
};

static struct error *read_physical(struct target *target, struct reading *reading)
{
	struct phys_mem *mem = target_memory(target);
	uint64_t gpa = reading->address;
	size_t length = reading->length;
	reading->result =
		phys_mem_read_stable(mem, gpa, reading->bytes, length, reading->looks);
	if (reading->result != STABLE_SHORT)
		return NULL;
	return error_hint(error_create(ERR_FAULT, "0x%llx+%zu is not all RAM",
				       (unsigned long long)gpa, length),
			  "RAM ends at 0x%llx; `glassbox status` shows the ranges",
			  (unsigned long long)phys_mem_end(mem));
}

static struct error *read_kernel(struct target *target, struct reading *reading)
{
	struct guest *guest = NULL;
	TRY(target_guest(target, &guest));
	guest_begin(guest);
	reading->result =
		guest_space_read_stable(guest_kernel_space(guest), reading->address,
					reading->bytes, reading->length, reading->looks, NULL);
	if (reading->result != STABLE_SHORT)
		return NULL;
	return error_create(ERR_FAULT, "0x%llx+%zu is not all mapped by the kernel",
			    (unsigned long long)reading->address, reading->length);
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

/* A number needs no kernel; a symbol does. */
static struct error *read_address(struct call_context *context, uint64_t *ret)
{
	struct guest *guest = NULL;
	const char *text = call_string(context, "address");
	char *end;
	*ret = strtoull(text, &end, 0);
	if (*text >= '0' && *text <= '9' && !*end)
		return NULL;
	TRY(call_guest(context, &guest));
	return call_address(context, guest, "address", ret);
}

static struct error *read_process(struct call_context *context, struct reading *reading)
{
	struct guest *guest = NULL;
	struct guest_space space;
	TRY(call_guest(context, &guest));
	TRY(call_space(context, guest, &space));
	size_t got = 0;
	reading->result = guest_space_read_stable(&space, reading->address, reading->bytes,
						  reading->length, reading->looks, &got);
	if (reading->result != STABLE_SHORT)
		return NULL;
	return error_create(ERR_FAULT, "0x%llx of process %llu is not mapped or not in RAM",
			    (unsigned long long)(reading->address + got),
			    (unsigned long long)call_integer(context, "pid", 0));
}

static struct error *run_read(struct call_context *context, json_t **ret)
{
	struct reading reading = { 0 };
	uint64_t length = call_integer(context, "length", 0);
	if (!length || length > READ_LIMIT)
		return error_create(ERR_USAGE, "length must be 1 to 16M");
	AUTO(own_free) uint8_t *bytes = NULL;
	struct guest *kernel = NULL;
	TRY(read_address(context, &reading.address));
	TRY(error_alloc(length, 1, &bytes));
	uint64_t address = reading.address, retries = call_integer(context, "retries", 8);
	reading.bytes = bytes;
	reading.length = length;
	reading.looks = 1 + (unsigned)(retries < 1000 ? retries : 1000);
	bool is_process = call_has(context, "pid");
	bool is_virtual = is_kernel_virtual(address);
	if (is_process)
		TRY(read_process(context, &reading));
	else if (is_virtual)
		TRY(read_kernel(context->target, &reading));
	else
		TRY(read_physical(context->target, &reading));
	if (is_virtual && length <= ANNOTATED_MAX)
		TRY(call_guest(context, &kernel));
	TRY(target_check_alive(context->target));
	AUTO(own_free) char *hex = hex_of(bytes, length);
	AUTO(own_free) char *text = hexdump_text(kernel, address, bytes, length);
	if (hex && text)
		*ret = json_pack("{s:o, s:I, s:s, s:b, s:s, s:s}", "address", call_hex(address),
				 "length", (json_int_t)length, "space",
				 is_process   ? "process"
				 : is_virtual ? "kernel"
					      : "physical",
				 "stable", reading.result == STABLE_YES, "bytes", hex, "text",
				 text);
	return hex && text ? NULL : error_create(ERR_MEMORY, "no memory for the bytes");
}

const struct call call_read = {
	.name = "read",
	.group = "addresses and bytes",
	.summary = "bytes of memory",
	.details = "Addresses with the top byte 0xff are kernel-virtual, others are "
		   "guest-physical. Reads of the kernel name the symbols that begin there and "
		   "those that words point to. What changes while it is read is read again; "
		   "\"stable\"\nin --json tells whether all bytes were there at one moment.",
	.examples = "  glassbox read demo 0x1000 64\n"
		    "  glassbox read demo init_task 256\n"
		    "  glassbox read demo 0x400000 16 --pid 1\n"
		    "  glassbox read --file dump.raw 0x1000 4K --json",
	.flags = CALL_TARGET | CALL_TEXT,
	.params = read_params,
	.run = run_read,
};
