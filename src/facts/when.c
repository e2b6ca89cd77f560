/* Moments as people write them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "facts/facts.h"

static const uint64_t second_ns = 1000000000u;

/* Seconds in a unit by its first letters ("m", "min", "minutes"), or 0. */
static uint64_t unit_seconds(const char *word, size_t length)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = { { "seconds", 1 },	 { "minutes", 60 },   { "hours", 3600 },
		      { "days", 86400 }, { "weeks", 604800 }, { "secs", 1 },
		      { "mins", 60 },	 { "hrs", 3600 } };
	for (size_t i = 0; length && i < sizeof(units) / sizeof(*units); i++)
		if (length <= strlen(units[i].name) &&
		    !strncasecmp(word, units[i].name, length))
			return units[i].seconds;
	return 0;
}

/* "5m", "5 minutes ago", "an hour", "last minute". */
static bool parse_ago(const char *text, uint64_t now_ns, uint64_t *ret)
{
	uint64_t count = 1;
	char *rest = (char *)text;
	if (isdigit((unsigned char)*text))
		count = strtoull(text, &rest, 10);
	else if (!strncasecmp(text, "last ", 5) || !strncasecmp(text, "the ", 4))
		rest = strchr(rest, ' ');
	else if (!strncasecmp(text, "an ", 3) || !strncasecmp(text, "a ", 2))
		rest = strchr(rest, ' ');
	rest += strspn(rest, " ");
	size_t length = strcspn(rest, " ");
	uint64_t seconds = unit_seconds(rest, length), ago_ns;
	rest += length;
	rest += strspn(rest, " ");
	if (!seconds || (*rest && strcasecmp(rest, "ago")) ||
	    __builtin_mul_overflow(count, seconds, &ago_ns) ||
	    __builtin_mul_overflow(ago_ns, second_ns, &ago_ns) || ago_ns > now_ns)
		return false;
	*ret = now_ns - ago_ns;
	return true;
}

/* "10:02" is today's, or yesterday's when that is still to come. */
static bool parse_clock(const char *text, uint64_t now_ns, uint64_t *ret)
{
	static const char *const forms[] = {
		"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d",	     "%H:%M:%S",	  "%H:%M"
	};
	time_t now = (time_t)(now_ns / second_ns);
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		struct tm moment;
		localtime_r(&now, &moment);
		moment.tm_sec = 0;
		if (i < 5)
			moment.tm_hour = moment.tm_min = 0;
		const char *end = strptime(text, forms[i], &moment);
		if (!end || (*end && strcmp(end, "Z")))
			continue;
		moment.tm_isdst = -1;
		time_t seconds = *end ? timegm(&moment) : mktime(&moment);
		if (i >= 5 && seconds > now)
			seconds -= 86400;
		if (seconds < 0)
			return false;
		*ret = (uint64_t)seconds * second_ns;
		return true;
	}
	return false;
}

/* "1700000000" or "1700000000.25": seconds since 1970, to the nanosecond. */
static bool parse_epoch(const char *text, uint64_t *ret)
{
	char *end;
	uint64_t seconds = strtoull(text, &end, 10), unit = second_ns / 10, time_ns;
	if (__builtin_mul_overflow(seconds, second_ns, &time_ns))
		return false;
	if (*end == '.')
		for (end++; isdigit((unsigned char)*end); end++, unit /= 10)
			time_ns += (uint64_t)(*end - '0') * unit;
	if (*end)
		return false;
	*ret = time_ns;
	return true;
}

struct error *facts_parse_time(const char *text, uint64_t now_ns, uint64_t *ret)
{
	text += strspn(text, " ");
	if (*text == '@' && isdigit((unsigned char)text[1]) && parse_epoch(text + 1, ret))
		return NULL;
	if (parse_clock(text, now_ns, ret) || parse_ago(text, now_ns, ret))
		return NULL;
	return error_hint(error_create(ERR_USAGE, "'%s' is not a time", text),
			  "such as 10:02, '2026-01-31 10:02', 5m, '2 hours ago', @1700000000");
}
