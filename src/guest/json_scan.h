/* Reads JSON front to back without building a document: for files of tens of megabytes whose
 * integers need 64 bits. Strict enough to refuse nonsense; the first error sticks and
 * everything after it fails. Pure: any bytes are safe. Thread: one. */
#ifndef GUEST_JSON_SCAN_H
#define GUEST_JSON_SCAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 64 };

struct json_scan {
	const char *at, *end, *start;
	bool failed;
	unsigned depth;
	bool begun[JSON_DEPTH_MAX]; /* the object or array has had an element */
	char *text; /* the last string or key, NUL-terminated, escapes replaced */
	size_t length, room;
};

void json_scan_init(struct json_scan *scan, const char *bytes, size_t length_bytes);
void json_scan_deinit(struct json_scan *scan);

/* `if (json_scan_open(s, '{')) while (json_scan_key(s)) ...`: in the loop the key is s->text
 * and exactly one value must be read or skipped. */
bool json_scan_open(struct json_scan *scan, char bracket);
bool json_scan_key(struct json_scan *scan);
/* `if (json_scan_open(s, '[')) while (json_scan_item(s)) ...` */
bool json_scan_item(struct json_scan *scan);

bool json_scan_string(struct json_scan *scan); /* into s->text */
/* Integers; negative ones as two's complement. Fractions are cut off. */
bool json_scan_number(struct json_scan *scan, uint64_t *ret);
bool json_scan_bool(struct json_scan *scan, bool *ret);
bool json_scan_skip(struct json_scan *scan); /* any value */
char json_scan_peek(struct json_scan *scan); /* first character of the next value, or 0 */
#endif
