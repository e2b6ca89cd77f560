/* A dump of kernel memory:
 *
 *   init_task:                                      where a symbol begins, a line of its own
 *   ffffffff82a1aa40  00 00 ..  |................|
 *   ffffffff82a1aa50  40 aa ..  |@...............|  init_task        words that point
 *                                                              into the image or a module
 */
#include "box/hexdump.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/guest.h"
#include "guest/module_symbols.h"

enum { LINE_BYTES = 16, TEXT_BYTES = 256 };

static void put_bytes(FILE *to, uint64_t address, const uint8_t *bytes, size_t length)
{
	fprintf(to, "%016llx ", (unsigned long long)address);
	for (size_t i = 0; i < LINE_BYTES; i++) {
		if (i < length)
			fprintf(to, "%s%02x", i == 8 ? "  " : " ", bytes[i]);
		else
			fputs(i == 8 ? "    " : "   ", to);
	}
	fputs("  |", to);
	for (size_t i = 0; i < length; i++)
		fputc(bytes[i] >= 32 && bytes[i] < 127 ? bytes[i] : '.', to);
	fputc('|', to);
}

/* Names every symbol that begins in this line, and at the top the one that goes on. */
static void put_symbols(FILE *to, struct guest *guest, uint64_t address, size_t length,
			bool is_top)
{
	const char *last = "", *module;
	for (size_t i = 0; i < length; i++) {
		struct symbol symbol;
		uint64_t offset;
		char text[TEXT_BYTES];
		if (!guest_symbol_near(guest, address + i, &symbol, &module, &offset) ||
		    (offset && (i || !is_top)) || !strcmp(symbol.name, last))
			continue;
		guest_symbol_text(guest, address + i, text, sizeof(text));
		fprintf(to, "%s:\n", text);
		last = symbol.name;
	}
}

static void put_pointers(FILE *to, struct guest *guest, uint64_t address, const uint8_t *bytes,
			 size_t length)
{
	unsigned word = guest_word_bytes(guest);
	for (size_t i = (word - address % word) % word; i + word <= length; i += word) {
		struct symbol symbol;
		const char *module;
		char text[TEXT_BYTES];
		uint64_t offset, value = word == 8 ? load_u64(bytes + i) : load_u32(bytes + i);
		if (!guest_symbol_near(guest, value, &symbol, &module, &offset))
			continue;
		guest_symbol_text(guest, value, text, sizeof(text));
		fprintf(to, "  %s", text);
	}
}

char *hexdump_text(struct guest *guest, uint64_t address, const uint8_t *bytes, size_t length)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	for (size_t i = 0; to && i < length; i += LINE_BYTES) {
		size_t part = length - i < LINE_BYTES ? length - i : LINE_BYTES;
		if (guest)
			put_symbols(to, guest, address + i, part, i == 0);
		put_bytes(to, address + i, bytes + i, part);
		if (guest)
			put_pointers(to, guest, address + i, bytes + i, part);
		fputc('\n', to);
	}
	if (to)
		fclose(to);
	return text;
}
