#include "vm/qemu_cmdline.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* Longest value of one option that is looked at. */
#define VALUE_BYTES 1024u

/* A word list as /proc gives it: NUL after each. */
struct words {
	const char *at, *end;
};

static const char *next_word(struct words *words)
{
	if (words->at >= words->end)
		return NULL;
	const char *word = words->at;
	const char *nul = memchr(word, 0, (size_t)(words->end - word));
	if (!nul)
		return NULL;
	words->at = nul + 1;
	return word;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

bool qemu_cmdline_is_qemu(const char *text, size_t length)
{
	struct words words = { text, text + length };
	/* A private tree runs as: ld.so --library-path DIRS .../qemu-system-x86_64 ... */
	for (int i = 0; i < 6; i++) {
		const char *word = next_word(&words);
		if (!word)
			return false;
		const char *name = base_name(word);
		if (!strncmp(name, "qemu-system-", 12) || !strcmp(name, "qemu-kvm") ||
		    (!i && !strcmp(name, "kvm")))
			return true;
		if (!i && strncmp(name, "ld-linux", 8))
			return false;
	}
	return false;
}

/* Copies the value of key in "type,key=value,..." into to; doubled commas are one. False if it
 * is not there or too long. first_key names the value without a key, or NULL. */
static bool option_value(const char *options, const char *key, const char *first_key, char *to,
			 size_t size)
{
	size_t key_length = strlen(key);
	for (bool first = true; *options; first = false) {
		bool bare = first && first_key && !strcmp(first_key, key);
		size_t name = strcspn(options, "=,");
		bool match = options[name] == '='
				     ? name == key_length && !strncmp(options, key, key_length)
				     : bare;
		const char *at = options[name] == '=' ? options + name + 1 : options;
		size_t used = 0;
		for (; *at && (*at != ',' || at[1] == ','); at++) {
			at += *at == ',';
			if (match && used + 1 < size)
				to[used] = *at;
			used++;
		}
		if (match) {
			if (used >= size)
				return false;
			to[used] = 0;
			return true;
		}
		options = *at ? at + 1 : at;
	}
	return false;
}

/* "512", "512M", "1G"; a plain number counts in units of default_shift. 0 when malformed. */
static uint64_t parse_size(const char *text, int default_shift)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return 0;
	unsigned long long value = strtoull(text, &end, 0);
	static const char units[] = "BKMGT";
	int shift = default_shift;
	if (*end) {
		const char *unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return 0;
		shift = 10 * (int)(unit - units);
	}
	return shift && value >> (64 - shift) ? 0 : (uint64_t)value << shift;
}

static void parse_memory(const char *value, struct qemu_cmdline *ret)
{
	char size[64];
	if (option_value(value, "size", "size", size, sizeof(size)))
		ret->mem_bytes = parse_size(size, 20);
}

static void parse_machine(const char *value, struct qemu_cmdline *ret)
{
	char text[64];
	option_value(value, "type", "type", ret->machine, sizeof(ret->machine));
	option_value(value, "memory-backend", NULL, ret->ram_backend, sizeof(ret->ram_backend));
	option_value(value, "accel", NULL, ret->accel, sizeof(ret->accel));
	if (option_value(value, "max-ram-below-4g", NULL, text, sizeof(text)))
		ret->max_below_4g = parse_size(text, 0);
}

static void set_kind(struct cmdline_backend *backend, const char *type, bool *known)
{
	*known = true;
	if (!strcmp(type, "memory-backend-file"))
		backend->kind = BACKEND_FILE;
	else if (!strcmp(type, "memory-backend-memfd")) {
		backend->kind = BACKEND_MEMFD;
		backend->is_shared = true; /* its default */
	} else if (!strcmp(type, "memory-backend-ram"))
		backend->kind = BACKEND_RAM;
	else
		*known = false;
}

static struct error *add_backend(struct qemu_cmdline *ret,
				 const struct cmdline_backend *backend)
{
	if (ret->backends.count >= 256 || !VEC_PUSH(&ret->backends, *backend))
		return error_create(ERR_MEMORY, "too many memory backends");
	return NULL;
}

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

/* libvirt: -object {"qom-type":"memory-backend-memfd","id":"pc.ram","size":...} */
static struct error *parse_json_object(const char *value, struct qemu_cmdline *ret)
{
	AUTO(own_json) json_t *object = json_loads(value, 0, NULL);
	const char *type = json_string_value(json_object_get(object, "qom-type"));
	struct cmdline_backend backend = { 0 };
	bool known = false;
	if (type)
		set_kind(&backend, type, &known);
	if (!known)
		return NULL;
	copy_text(backend.id, sizeof(backend.id),
		  json_string_value(json_object_get(object, "id")));
	copy_text(backend.path, sizeof(backend.path),
		  json_string_value(json_object_get(object, "mem-path")));
	const json_t *size = json_object_get(object, "size");
	if (json_is_integer(size) && json_integer_value(size) > 0)
		backend.size_bytes = (uint64_t)json_integer_value(size);
	const json_t *share = json_object_get(object, "share");
	if (json_is_boolean(share))
		backend.is_shared = json_is_true(share);
	return add_backend(ret, &backend);
}

static struct error *parse_object(const char *value, struct qemu_cmdline *ret)
{
	char text[VALUE_BYTES];
	struct cmdline_backend backend = { 0 };
	bool known = false;
	if (*value == '{')
		return parse_json_object(value, ret);
	if (option_value(value, "qom-type", "qom-type", text, sizeof(text)))
		set_kind(&backend, text, &known);
	if (!known)
		return NULL;
	option_value(value, "id", NULL, backend.id, sizeof(backend.id));
	option_value(value, "mem-path", NULL, backend.path, sizeof(backend.path));
	if (option_value(value, "size", NULL, text, sizeof(text)))
		backend.size_bytes = parse_size(text, 0);
	if (option_value(value, "share", NULL, text, sizeof(text)))
		backend.is_shared =
			!strcmp(text, "on") || !strcmp(text, "yes") || !strcmp(text, "true");
	return add_backend(ret, &backend);
}

/* A monitor's socket: "-qmp unix:PATH,server=on" and libvirt's "-chardev socket,path=PATH". */
static void parse_qmp(const char *value, struct qemu_cmdline *ret)
{
	if (!strncmp(value, "unix:", 5)) {
		size_t length = strcspn(value + 5, ",");
		if (length < sizeof(ret->qmp_path)) {
			memcpy(ret->qmp_path, value + 5, length);
			ret->qmp_path[length] = 0;
		}
	}
}

static void parse_chardev(const char *value, struct qemu_cmdline *ret)
{
	char id[64], path[sizeof(ret->qmp_path)];
	if (!ret->qmp_path[0] && !strncmp(value, "socket,", 7) &&
	    option_value(value, "id", NULL, id, sizeof(id)) &&
	    (strstr(id, "mon") || strstr(id, "qmp")) &&
	    option_value(value, "path", NULL, path, sizeof(path)))
		copy_text(ret->qmp_path, sizeof(ret->qmp_path), path);
}

static struct error *add_ram(struct qemu_cmdline *ret, const char *id)
{
	for (size_t i = 0; i < ret->backends.count; i++)
		if (!strcmp(ret->backends.items[i].id, id))
			return VEC_PUSH(&ret->ram, i)
				       ? NULL
				       : error_create(ERR_MEMORY, "no memory for a list");
	return error_create(ERR_BAD_DATA, "its command line names no memory backend %s", id);
}

/* Legacy form of a file backend for all of RAM. */
static struct error *add_mem_path(struct qemu_cmdline *ret, const char *path)
{
	struct cmdline_backend backend = { .kind = BACKEND_FILE, .size_bytes = ret->mem_bytes };
	copy_text(backend.id, sizeof(backend.id), "pc.ram");
	copy_text(backend.path, sizeof(backend.path), path);
	TRY(add_backend(ret, &backend));
	return add_ram(ret, backend.id);
}

static struct error *parse_option(const char *option, const char *value,
				  struct qemu_cmdline *ret)
{
	char text[64];
	if (!strcmp(option, "m"))
		parse_memory(value, ret);
	else if (!strcmp(option, "machine") || !strcmp(option, "M"))
		parse_machine(value, ret);
	else if (!strcmp(option, "name"))
		option_value(value, "guest", "guest", ret->name, sizeof(ret->name));
	else if (!strcmp(option, "accel"))
		option_value(value, "accel", "accel", ret->accel, sizeof(ret->accel));
	else if (!strcmp(option, "object"))
		return parse_object(value, ret);
	else if (!strcmp(option, "qmp"))
		parse_qmp(value, ret);
	else if (!strcmp(option, "chardev"))
		parse_chardev(value, ret);
	else if (!strcmp(option, "smp") &&
		 option_value(value, "cpus", "cpus", text, sizeof(text)))
		ret->cpus = (unsigned)atoi(text);
	return NULL;
}

/* -numa node,memdev=ID and -mem-path need everything else parsed first. */
static struct error *parse_ram(const char *text, size_t length, struct qemu_cmdline *ret)
{
	struct words words = { text, text + length };
	const char *mem_path = NULL;
	char id[64];
	for (const char *word; (word = next_word(&words));) {
		bool numa = !strcmp(word, "-numa"), path = !strcmp(word, "-mem-path");
		const char *value = numa || path ? next_word(&words) : NULL;
		if (value && path)
			mem_path = value;
		if (value && numa && option_value(value, "memdev", NULL, id, sizeof(id)))
			TRY(add_ram(ret, id));
	}
	if (ret->ram.count)
		return NULL;
	if (ret->ram_backend[0])
		return add_ram(ret, ret->ram_backend);
	return mem_path ? add_mem_path(ret, mem_path) : NULL;
}

struct error *qemu_cmdline_parse(const char *text, size_t length, struct qemu_cmdline *ret)
{
	*ret = (struct qemu_cmdline){ .mem_bytes = 128u << 20, .cpus = 1 };
	copy_text(ret->machine, sizeof(ret->machine), "pc");
	copy_text(ret->accel, sizeof(ret->accel), "tcg");
	struct words words = { text, text + length };
	for (const char *word; (word = next_word(&words));) {
		if (!strcmp(word, "-enable-kvm")) {
			copy_text(ret->accel, sizeof(ret->accel), "kvm");
			continue;
		}
		if (*word != '-' || words.at >= words.end || *words.at == '-')
			continue;
		const char *option = word + (word[1] == '-' ? 2 : 1);
		const char *value = next_word(&words);
		if (value)
			TRY(parse_option(option, value, ret));
	}
	if (!ret->mem_bytes)
		return error_create(ERR_BAD_DATA,
				    "its command line gives an impossible RAM size");
	return parse_ram(text, length, ret);
}

void qemu_cmdline_deinit(struct qemu_cmdline *cmdline)
{
	VEC_FREE(&cmdline->backends);
	VEC_FREE(&cmdline->ram);
}

uint64_t qemu_cmdline_below_4g(const struct qemu_cmdline *cmdline)
{
	/* Each kind of machine: from this much RAM on, only so much stays below 4 GiB. */
	static const struct {
		const char *part;
		uint64_t from, below;
	} rules[] = {
		{ "microvm", 0xc0000001, 0xc0000000 },
		{ "q35", 0xb0000000, 0x80000000 },
		{ "", 0xe0000000, 0xc0000000 },
	};
	size_t i = 0;
	while (!strstr(cmdline->machine, rules[i].part))
		i++;
	uint64_t below =
		cmdline->mem_bytes >= rules[i].from ? rules[i].below : cmdline->mem_bytes;
	if (cmdline->max_below_4g && below > cmdline->max_below_4g)
		below = cmdline->max_below_4g;
	return below;
}
