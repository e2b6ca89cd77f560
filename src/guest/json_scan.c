#include "guest/json_scan.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void json_scan_init(struct json_scan *scan, const char *bytes, size_t length_bytes)
{
	memset(scan, 0, sizeof(*scan));
	scan->at = scan->start = bytes;
	scan->end = bytes + length_bytes;
}

void json_scan_deinit(struct json_scan *scan)
{
	free(scan->text);
	scan->text = NULL;
}

static bool fail(struct json_scan *scan)
{
	scan->failed = true;
	return false;
}

char json_scan_peek(struct json_scan *scan)
{
	if (scan->failed)
		return 0;
	while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' ||
					*scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
	return scan->at < scan->end ? *scan->at : 0;
}

static bool take(struct json_scan *scan, char wanted)
{
	if (json_scan_peek(scan) != wanted || !wanted)
		return fail(scan);
	scan->at++;
	return true;
}

bool json_scan_open(struct json_scan *scan, char bracket)
{
	if (!take(scan, bracket) || scan->depth == JSON_DEPTH_MAX)
		return fail(scan);
	scan->begun[scan->depth++] = false;
	return true;
}

/* At the closing bracket ends the level; else takes the comma in front of an element. */
static bool next_element(struct json_scan *scan, char closing)
{
	if (scan->failed || !scan->depth)
		return fail(scan);
	if (json_scan_peek(scan) == closing) {
		scan->at++;
		scan->depth--;
		return false;
	}
	bool *begun = &scan->begun[scan->depth - 1];
	if (*begun && !take(scan, ','))
		return false;
	*begun = true;
	return true;
}

bool json_scan_key(struct json_scan *scan)
{
	return next_element(scan, '}') && json_scan_string(scan) && take(scan, ':');
}

bool json_scan_item(struct json_scan *scan)
{
	return next_element(scan, ']');
}

static bool make_room(struct json_scan *scan, size_t more)
{
	if (scan->length + more <= scan->room)
		return true;
	size_t room = scan->room ? scan->room * 2 : 256;
	while (room < scan->length + more)
		room *= 2;
	char *text = realloc(scan->text, room);
	if (!text)
		return fail(scan);
	scan->text = text;
	scan->room = room;
	return true;
}

static int hex_value(char c)
{
	return isdigit((unsigned char)c) ? c - '0'
	       : c >= 'a' && c <= 'f'	 ? c - 'a' + 10
	       : c >= 'A' && c <= 'F'	 ? c - 'A' + 10
					 : -1;
}

/* Four hex digits as UTF-8. Halves of surrogate pairs stay apart: names do not use them. */
static bool take_unicode(struct json_scan *scan)
{
	unsigned code = 0;
	if (scan->end - scan->at < 4)
		return fail(scan);
	for (int i = 0; i < 4; i++) {
		int digit = hex_value(*scan->at++);
		if (digit < 0)
			return fail(scan);
		code = code << 4 | (unsigned)digit;
	}
	if (code < 0x80) {
		scan->text[scan->length++] = (char)code;
	} else if (code < 0x800) {
		scan->text[scan->length++] = (char)(0xc0 | code >> 6);
		scan->text[scan->length++] = (char)(0x80 | (code & 0x3f));
	} else {
		scan->text[scan->length++] = (char)(0xe0 | code >> 12);
		scan->text[scan->length++] = (char)(0x80 | (code >> 6 & 0x3f));
		scan->text[scan->length++] = (char)(0x80 | (code & 0x3f));
	}
	return true;
}

static bool take_escape(struct json_scan *scan)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (scan->at == scan->end)
		return fail(scan);
	char c = *scan->at++;
	if (c == 'u')
		return take_unicode(scan);
	const char *found = c ? strchr(from, c) : NULL;
	if (!found)
		return fail(scan);
	scan->text[scan->length++] = to[found - from];
	return true;
}

bool json_scan_string(struct json_scan *scan)
{
	if (!take(scan, '"'))
		return false;
	scan->length = 0;
	while (make_room(scan, 5) && scan->at < scan->end) {
		char c = *scan->at++;
		if (c == '"') {
			scan->text[scan->length] = 0;
			return true;
		}
		if (c == '\\') {
			if (!take_escape(scan))
				return false;
		} else {
			scan->text[scan->length++] = c;
		}
	}
	return fail(scan);
}

bool json_scan_number(struct json_scan *scan, uint64_t *ret)
{
	uint64_t value = 0;
	bool negative = json_scan_peek(scan) == '-', any = false, overflow = false;
	if (negative)
		scan->at++;
	for (; scan->at < scan->end && isdigit((unsigned char)*scan->at); scan->at++) {
		overflow |= __builtin_mul_overflow(value, 10u, &value);
		overflow |= __builtin_add_overflow(value, (unsigned)(*scan->at - '0'), &value);
		any = true;
	}
	while (any && scan->at < scan->end && strchr(".eE+-0123456789", *scan->at) && *scan->at)
		scan->at++;
	if (!any || overflow || scan->failed)
		return fail(scan);
	*ret = negative ? -value : value;
	return true;
}

static bool take_word(struct json_scan *scan, const char *word)
{
	size_t length = strlen(word);
	if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length))
		return fail(scan);
	scan->at += length;
	return true;
}

bool json_scan_bool(struct json_scan *scan, bool *ret)
{
	*ret = json_scan_peek(scan) == 't';
	return !scan->failed && take_word(scan, *ret ? "true" : "false");
}

bool json_scan_skip(struct json_scan *scan)
{
	uint64_t number;
	bool truth;
	switch (json_scan_peek(scan)) {
	case '{':
		if (json_scan_open(scan, '{'))
			while (json_scan_key(scan))
				json_scan_skip(scan);
		return !scan->failed;
	case '[':
		if (json_scan_open(scan, '['))
			while (json_scan_item(scan))
				json_scan_skip(scan);
		return !scan->failed;
	case '"':
		return json_scan_string(scan);
	case 't':
	case 'f':
		return json_scan_bool(scan, &truth);
	case 'n':
		return take_word(scan, "null");
	default:
		return json_scan_number(scan, &number);
	}
}
