/* Trace files written and read back; exports on a trace whose stacks are known. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/control.h"
#include "plugin/record.h"
#include "trace/blocks.h"
#include "trace/export.h"
#include "trace/file.h"

/* 1000 call 2000 / 1005 ret; 2000 call 3000 / 2005 ret; 3000 nop, ret */
static const uint8_t code[] = { 0xe8, 0xfb, 0x0f, 0, 0,	   0xc3, 0xe8,
				0xfb, 0x0f, 0,	  0, 0xc3, 0x90, 0xc3 };
static const struct gb_block raw[] = {
	{ .gva = 0x1000, .code_offset = 0, .n_bytes = 5, .n_insns = 1 },
	{ .gva = 0x1005, .code_offset = 5, .n_bytes = 1, .n_insns = 1 },
	{ .gva = 0x2000, .code_offset = 6, .n_bytes = 5, .n_insns = 1 },
	{ .gva = 0x2005, .code_offset = 11, .n_bytes = 1, .n_insns = 1 },
	{ .gva = 0x3000, .code_offset = 12, .n_bytes = 2, .n_insns = 2 },
	{ .gva = 0x9000, .code_offset = 13, .n_bytes = 9, .n_insns = 2 }, /* outside the code */
};
static const int path_of_blocks[] = { 0, 2, 4, 3, 1 };

static struct trace_blocks *make_blocks(void)
{
	struct trace_blocks *blocks;
	assert_ok(trace_blocks_create(raw, 6, code, sizeof(code), &blocks));
	return blocks;
}

static void name(void *user, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes)
{
	(void)user;
	(void)cr3;
	snprintf(ret, ret_bytes, "f%x", (unsigned)gva >> 12);
}

static void round_trip(void **state)
{
	(void)state;
	char *text = NULL;
	size_t n = 0;
	struct trace_blocks *blocks = make_blocks();
	struct trace_file *file;
	uint64_t words[5];
	FILE *out = open_memstream(&text, &n);
	for (int i = 0; i < 5; i++)
		words[i] = gb_record(GB_REC_BLOCK, (unsigned)path_of_blocks[i]);
	assert_ok(trace_file_start(out));
	assert_ok(trace_file_chunk(out, TRACE_CHUNK_META, 0, "{}", 2));
	assert_ok(trace_file_chunk(out, TRACE_CHUNK_RECORDS, 3, words, sizeof(words)));
	assert_ok(trace_file_chunk(out, 999, 0, "later", 5));
	assert_ok(trace_file_blocks(out, blocks));
	assert_ok(trace_file_end(out, 7));
	fclose(out);
	assert_ok(trace_file_parse((uint8_t *)text, n, &file));
	assert_int_equal(file->n_streams, 1);
	assert_int_equal(file->streams[0].vcpu, 3);
	assert_memory_equal(file->streams[0].words, words, sizeof(words));
	assert_int_equal(file->blocks->count, 6);
	assert_memory_equal(file->blocks->items[4].bytes, "\x90\xc3", 2);
	assert_null(file->blocks->items[5].bytes);
	assert_int_equal(file->dropped, 7);
	assert_true(file->complete);
	trace_file_destroy(file);
	for (size_t cut = 0; cut < n; cut++) { /* never more than the bytes that are there */
		uint8_t *part = malloc(cut ? cut : 1);
		memcpy(part, text, cut);
		struct error *err = trace_file_parse(part, cut, &file);
		if (!err)
			trace_file_destroy(file);
		error_destroy(err);
		free(part);
	}
	free(text);
	trace_blocks_destroy(blocks);
}

static void stacks_fold(void **state)
{
	(void)state;
	char *text = NULL;
	size_t n = 0;
	struct trace_stacks *stacks;
	struct trace_blocks *blocks = make_blocks();
	assert_ok(trace_stacks_create(blocks, &stacks));
	for (int i = 0; i < 5; i++) {
		uint64_t word = gb_record(GB_REC_BLOCK, (unsigned)path_of_blocks[i]);
		assert_ok(trace_stacks_add(stacks, 0, &word, 1));
	}
	uint64_t repeat = gb_record(GB_REC_REPEAT, 1000);
	assert_ok(trace_stacks_add(stacks, 0, &repeat, 1));
	FILE *out = open_memstream(&text, &n);
	assert_ok(trace_stacks_write(stacks, out, name, NULL));
	fclose(out);
	assert_string_equal(text, "f1 1002\nf1;f2 2\nf1;f2;f3 2\n");
	free(text);
	trace_stacks_destroy(stacks);
	trace_blocks_destroy(blocks);
}

static void drcov_lists_blocks(void **state)
{
	(void)state;
	char *text = NULL;
	size_t n = 0;
	uint8_t executed[6] = { 1, 0, 1, 0, 1, 1 };
	struct trace_blocks *blocks = make_blocks();
	FILE *out = open_memstream(&text, &n);
	assert_ok(trace_export_drcov(out, blocks, executed, name, NULL));
	fclose(out);
	assert_non_null(strstr(text, "DRCOV VERSION: 2\n"));
	assert_non_null(strstr(text, "count 1\n"));
	char *table = strstr(text, "BB Table: 3 bbs\n");
	assert_non_null(table);
	uint8_t *entries = (uint8_t *)table + strlen("BB Table: 3 bbs\n");
	assert_int_equal((size_t)(text + n - (char *)entries), 24);
	uint32_t second;
	memcpy(&second, entries + 8, 4);
	assert_int_equal(second, 0x1000);
	free(text);
	trace_blocks_destroy(blocks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(stacks_fold),
		cmocka_unit_test(drcov_lists_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
