#include "guest/vmcoreinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/phys_mem.h"
#include "guest/scan.h"

static const char first_key[] = "OSRELEASE=";
enum { FIRST_KEY_BYTES = sizeof(first_key) - 1 };

struct finder {
	uint64_t *gpas;
	size_t count;
};

static bool look_at_pages(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct finder *finder = user;
	size_t first = (size_t)(-gpa & (PHYS_PAGE_SIZE - 1));
	for (size_t at = first; at + FIRST_KEY_BYTES <= length; at += PHYS_PAGE_SIZE) {
		if (memcmp(bytes + at, first_key, FIRST_KEY_BYTES))
			continue;
		finder->gpas[finder->count++] = gpa + at;
		if (finder->count == VMCOREINFO_CANDIDATES)
			return false;
	}
	return true;
}

size_t vmcoreinfo_find(struct phys_mem *mem, uint64_t gpa_ret[VMCOREINFO_CANDIDATES])
{
	struct finder finder = { .gpas = gpa_ret };
	scan_data(mem, 0, UINT64_MAX, 0, look_at_pages, &finder);
	return finder.count;
}

bool vmcoreinfo_read(struct phys_mem *mem, uint64_t gpa, struct vmcoreinfo *ret)
{
	if (!phys_mem_read(mem, gpa, ret->text, VMCOREINFO_PAGE))
		return false;
	ret->text[VMCOREINFO_PAGE] = 0;
	ret->length_bytes = strlen(ret->text);
	ret->gpa = gpa;
	return !strncmp(ret->text, first_key, FIRST_KEY_BYTES);
}

const char *vmcoreinfo_value(const struct vmcoreinfo *info, const char *key, size_t *length_ret)
{
	size_t key_length = strlen(key);
	for (const char *line = info->text; line && *line;) {
		const char *end = strchr(line, '\n');
		size_t length = end ? (size_t)(end - line) : strlen(line);
		if (length > key_length && line[key_length] == '=' &&
		    !memcmp(line, key, key_length)) {
			*length_ret = length - key_length - 1;
			return line + key_length + 1;
		}
		line = end ? end + 1 : NULL;
	}
	return NULL;
}

/* Copies a value where strtoull can see its end. */
static bool value_text(const struct vmcoreinfo *info, const char *key, char text[32])
{
	size_t length = 0;
	const char *value = vmcoreinfo_value(info, key, &length);
	if (!value || !length || length >= 32)
		return false;
	memcpy(text, value, length);
	text[length] = 0;
	return true;
}

bool vmcoreinfo_hex(const struct vmcoreinfo *info, const char *key, uint64_t *ret)
{
	char text[32], *end;
	if (!value_text(info, key, text))
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 16);
	if (errno || *end)
		return false;
	*ret = value;
	return true;
}

bool vmcoreinfo_number(const struct vmcoreinfo *info, const char *key, int64_t *ret)
{
	char text[32], *end;
	if (!value_text(info, key, text))
		return false;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno || *end)
		return false;
	*ret = value;
	return true;
}
