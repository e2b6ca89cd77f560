/* glassbox-learner: the process that learns. Candidates come from a program file (every loop in
 * it) or, one JSON object a line, on stdin: {"head": "0x...", "base": "0x...", "bytes": hex,
 * "symbol": ..., "program": ...}. One JSON object a line goes to stdout for each. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bytes.h"
#include "base/error.h"
#include "learn/elf_loops.h"
#include "learn/learn_bench.h"
#include "learn/learner.h"
#include "learn/library.h"

struct options {
	const char *library, *function, *elf, *verify;
	unsigned cases, seconds, megabytes, bench;
	bool again;
};

enum { LINE_MAX_BYTES = 1 << 20 };

static int usage(void)
{
	fputs("usage: glassbox-learner [--library DIR] [--cases N] [--seconds N] [--megabytes "
	      "N] [--again]\n"
	      "                        [--function NAME] [--verify ID] [--bench KERNELS] [ELF "
	      "FILE]\n"
	      "Without a file: candidates on stdin, one JSON object a line.\n",
	      stderr);
	return 2;
}

static struct error *learn_one(const struct options *options, struct library *library,
			       const struct code_source *source, uint64_t head,
			       const char *symbol, const char *program)
{
	json_t *row = NULL;
	TRY(learner_learn(&(struct learner_params){ .library = library,
						    .source = source,
						    .head = head,
						    .symbol = symbol,
						    .program = program,
						    .cases = options->cases,
						    .seconds = options->seconds,
						    .megabytes = options->megabytes,
						    .again = options->again },
			  &row));
	if (!strcmp(json_string_value(json_object_get(row, "outcome")), "mismatch"))
		fprintf(stderr, "glassbox-learner: BUG in the learner at 0x%llx: %s\n",
			(unsigned long long)head,
			json_string_value(json_object_get(row, "reason")));
	json_dumpf(row, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(row);
	return NULL;
}

static struct error *learn_program(const struct options *options, struct library *library)
{
	AUTO(own_elf_code) struct elf_code *code = NULL;
	AUTO(own_free) uint64_t *heads = NULL;
	size_t count;
	TRY(elf_code_open(options->elf, &code));
	TRY(elf_code_heads(code, &heads, &count));
	struct code_source source = elf_code_source(code);
	const char *name = strrchr(options->elf, '/');
	for (size_t i = 0; i < count; i++) {
		const char *symbol = elf_code_symbol(code, heads[i]);
		if (options->function && (!symbol || strcmp(symbol, options->function) != 0))
			continue;
		TRY(learn_one(options, library, &source, heads[i], symbol,
			      name ? name + 1 : options->elf));
	}
	return NULL;
}

/* Bytes that came with a candidate. */
struct snippet {
	uint64_t base;
	size_t count;
	uint8_t bytes[LINE_MAX_BYTES / 2];
};

static size_t snippet_read(void *user, uint64_t gva, uint8_t *to, size_t bytes)
{
	const struct snippet *snippet = user;
	if (gva < snippet->base || gva - snippet->base >= snippet->count)
		return 0;
	size_t at = gva - snippet->base, have = snippet->count - at;
	have = have < bytes ? have : bytes;
	memcpy(to, snippet->bytes + at, have);
	return have;
}

static int nibble(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_snippet(const json_t *line, struct snippet *ret)
{
	const char *text = json_string_value(json_object_get(line, "bytes"));
	const char *base = json_string_value(json_object_get(line, "base"));
	if (!text || !base || strlen(text) % 2)
		return false;
	errno = 0;
	ret->base = strtoull(base, NULL, 0);
	ret->count = strlen(text) / 2;
	for (size_t i = 0; i < ret->count; i++) {
		int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		ret->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return errno == 0 && ret->count > 0;
}

static struct error *learn_line(const struct options *options, struct library *library,
				const char *text, struct snippet *snippet)
{
	json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *head = json_string_value(json_object_get(line, "head"));
	struct error *err = NULL;
	if (!head || !parse_snippet(line, snippet))
		err = error_create(ERR_BAD_DATA, "a line that is no candidate");
	struct code_source source = { snippet_read, snippet };
	if (!err)
		err = learn_one(options, library, &source, strtoull(head, NULL, 0),
				json_string_value(json_object_get(line, "symbol")),
				json_string_value(json_object_get(line, "program")));
	json_decref(line);
	return err;
}

static struct error *learn_stdin(const struct options *options, struct library *library)
{
	AUTO(own_free) char *text = NULL;
	AUTO(own_free) struct snippet *snippet = NULL;
	TRY(error_alloc(LINE_MAX_BYTES, 1, &text));
	TRY(error_alloc(1, sizeof(*snippet), &snippet));
	while (fgets(text, LINE_MAX_BYTES, stdin)) {
		AUTO(own_error) struct error *err = learn_line(options, library, text, snippet);
		if (!err)
			continue;
		fprintf(stderr, "glassbox-learner: %s\n", error_message(err));
		if (error_kind(err) != ERR_BAD_DATA)
			return TAKE(err);
	}
	return NULL;
}

/* Proves a kernel of the library again and prints the result. */
static struct error *verify(struct library *library, const char *id)
{
	json_t *row = NULL;
	TRY(library_verify(library, id, &row));
	json_dumpf(row, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(row);
	return NULL;
}

/* Rows of `bench learn`, one a line. */
static struct error *bench(const struct options *options)
{
	json_t *rows = json_array(), *row;
	size_t i;
	struct error *err = learn_bench(options->elf, options->bench, rows);
	if (!err)
		json_array_foreach(rows, i, row)
		{
			json_dumpf(row, stdout, JSON_COMPACT);
			putchar('\n');
		}
	json_decref(rows);
	return err;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = { { "library", required_argument, NULL, 'l' },
					       { "cases", required_argument, NULL, 'c' },
					       { "seconds", required_argument, NULL, 's' },
					       { "megabytes", required_argument, NULL, 'm' },
					       { "function", required_argument, NULL, 'f' },
					       { "again", no_argument, NULL, 'a' },
					       { "verify", required_argument, NULL, 'v' },
					       { "bench", required_argument, NULL, 'b' },
					       { 0 } };
	int option;
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (option) {
		case 'l':
			options->library = optarg;
			break;
		case 'c':
			options->cases = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			options->seconds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			options->megabytes = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			options->function = optarg;
			break;
		case 'a':
			options->again = true;
			break;
		case 'v':
			options->verify = optarg;
			break;
		case 'b':
			options->bench = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			return false;
		}
	}
	options->elf = optind < argc ? argv[optind++] : NULL;
	return optind == argc;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	AUTO(own_library) struct library *library = NULL;
	if (!parse_options(argc, argv, &options))
		return usage();
	setpriority(PRIO_PROCESS, 0, 10);
	AUTO(own_error)
	struct error *err =
		options.bench ? bench(&options) : library_open(options.library, &library);
	if (options.bench)
		; /* done */
	else if (!err && options.verify)
		err = verify(library, options.verify);
	else if (!err)
		err = options.elf ? learn_program(&options, library)
				  : learn_stdin(&options, library);
	if (!err)
		return 0;
	fprintf(stderr, "glassbox-learner: %s\n", error_message(err));
	return 1;
}
