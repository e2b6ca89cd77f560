#include "fake_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static void put(void *to, uint64_t value, size_t bytes)
{
	memcpy(to, &value, bytes);
}

/* --- BTF ------------------------------------------------------------------------------ */

struct btf_builder {
	uint8_t types[8192];
	char strings[4096];
	size_t n_types_bytes, n_strings_bytes;
};

static uint32_t add_string(struct btf_builder *b, const char *text)
{
	uint32_t at = (uint32_t)b->n_strings_bytes;
	memcpy(b->strings + at, text, strlen(text) + 1);
	b->n_strings_bytes += strlen(text) + 1;
	return at;
}

static void add_u32(struct btf_builder *b, uint32_t value)
{
	put(b->types + b->n_types_bytes, value, 4);
	b->n_types_bytes += 4;
}

static void add_record(struct btf_builder *b, const char *name, unsigned kind, uint32_t count,
		       uint32_t size_or_type)
{
	add_u32(b, *name ? add_string(b, name) : 0);
	add_u32(b, kind << 24 | count);
	add_u32(b, size_or_type);
}

static void add_member(struct btf_builder *b, const char *name, uint32_t type, uint32_t bytes)
{
	add_u32(b, *name ? add_string(b, name) : 0);
	add_u32(b, type);
	add_u32(b, bytes * 8);
}

size_t fake_btf(uint8_t *to)
{
	struct btf_builder b = { .n_strings_bytes = 1 };
	add_record(&b, "int", 1, 0, 4); /* 1 */
	add_u32(&b, 0x01000020);
	add_record(&b, "char", 1, 0, 1); /* 2 */
	add_u32(&b, 0x01000008);
	add_record(&b, "", 3, 0, 0); /* 3: char [16] */
	add_u32(&b, 2);
	add_u32(&b, 1);
	add_u32(&b, 16);
	add_record(&b, "list_head", 4, 2, 16); /* 4 */
	add_member(&b, "next", 5, 0);
	add_member(&b, "prev", 5, 8);
	add_record(&b, "", 2, 0, 4); /* 5: struct list_head * */
	add_record(&b, "", 2, 0, 10); /* 6: struct task_struct * */
	add_record(&b, "", 5, 2, 8); /* 7: unnamed union */
	add_member(&b, "mm", 8, 0);
	add_member(&b, "mm_as_int", 1, 0);
	add_record(&b, "", 2, 0, 0); /* 8: void * */
	add_record(&b, "", 4, 1, 8); /* 9: unnamed struct around the union */
	add_member(&b, "", 7, 0);
	add_record(&b, "task_struct", 4, 11, FAKE_TASK_BYTES); /* 10 */
	add_member(&b, "tasks", 4, 0);
	add_member(&b, "pid", 1, 16);
	add_member(&b, "tgid", 1, 20);
	add_member(&b, "comm", 3, 24);
	add_member(&b, "__state", 1, 40);
	add_member(&b, "flags", 1, 44);
	add_member(&b, "real_parent", 6, 48);
	add_member(&b, "", 9, 56);
	add_member(&b, "start_boottime", 8, 64);
	add_member(&b, "real_cred", 8, 72);
	add_member(&b, "exit_state", 1, 80);
	add_record(&b, "page", 4, 1, 64); /* 11 */
	add_member(&b, "flags", 8, 0);
	add_record(&b, "colour", 6, 2, 4); /* 12 */
	add_u32(&b, add_string(&b, "RED"));
	add_u32(&b, 7);
	add_u32(&b, add_string(&b, "GREEN"));
	add_u32(&b, 9);
	add_record(&b, "task_t", 8, 0, 10); /* 13: typedef */
	/* A kernel's types are large: padding makes the blob pass for one. */
	add_record(&b, "padding", 6, 40000, 4); /* 14 */
	size_t padding = 40000 * 8, types = b.n_types_bytes + padding;
	memset(to, 0, 24 + types);
	put(to, 0xEB9F, 2);
	to[2] = 1;
	put(to + 4, 24, 4);
	put(to + 12, types, 4);
	put(to + 16, types, 4);
	put(to + 20, b.n_strings_bytes, 4);
	memcpy(to + 24, b.types, b.n_types_bytes);
	memcpy(to + 24 + types, b.strings, b.n_strings_bytes);
	return 24 + types + b.n_strings_bytes;
}

/* --- kallsyms -------------------------------------------------------------------------- */

struct named {
	const char *name;
	uint32_t image_offset;
};

static size_t put_tokens(uint8_t *to, size_t *index_ret, size_t align)
{
	uint8_t index[512];
	size_t at = 0;
	for (unsigned t = 0; t < 256; t++) {
		put(index + 2 * t, at, 2);
		/* Printable characters stand for themselves, the rest for two letters. */
		to[at++] = t > 32 && t < 127 ? (uint8_t)t : 'q';
		if (!(t > 32 && t < 127))
			to[at++] = 'z';
		to[at++] = 0;
	}
	at = align_up(at, align);
	*index_ret = at;
	memcpy(to + at, index, 512);
	return at + 512;
}

struct tables {
	struct named *symbols;
	size_t count;
	uint8_t *at; /* where to write next */
	uint8_t *start; /* address of kallsyms */
	enum fake_layout layout;
	size_t align;
	size_t token_index;
};

static void align_tables(struct tables *t)
{
	t->at = t->start + align_up((uint64_t)(t->at - t->start), t->align);
}

static void put_names(struct tables *t)
{
	uint8_t *num = t->at, *markers = malloc(t->count);
	size_t n_markers = 0;
	put(num, t->count, 4);
	t->at += 4;
	align_tables(t);
	uint8_t *names = t->at;
	for (size_t i = 0; i < t->count; i++) {
		if (i % 256 == 0)
			put(markers + 4 * n_markers++, (uint64_t)(t->at - names), 4);
		size_t length = strlen(t->symbols[i].name) + 1;
		*t->at++ = (uint8_t)length;
		*t->at++ = 'T';
		memcpy(t->at, t->symbols[i].name, length - 1);
		t->at += length - 1;
	}
	align_tables(t);
	memcpy(t->at, markers, 4 * n_markers);
	t->at += 4 * n_markers;
	align_tables(t);
	free(markers);
}

static void put_offsets(struct tables *t)
{
	for (size_t i = 0; i < t->count; i++) {
		uint64_t address = FAKE_IMAGE_GVA + t->symbols[i].image_offset, value;
		if (t->layout == FAKE_RELATIVE)
			value = address -
				(FAKE_IMAGE_GVA + FAKE_KALLSYMS + (uint64_t)(t->at - t->start));
		else if (t->layout == FAKE_AFTER)
			value = address - FAKE_IMAGE_GVA;
		else
			value = FAKE_IMAGE_GVA - 1 - address;
		put(t->at, value, 4);
		t->at += 4;
	}
	align_tables(t);
	if (t->layout == FAKE_RELATIVE)
		return;
	put(t->at, FAKE_IMAGE_GVA, 8);
	t->at += 8;
}

static void put_seqs(struct tables *t)
{
	for (size_t i = 0; i < t->count; i++, t->at += 3) {
		t->at[0] = (uint8_t)(i >> 16);
		t->at[1] = (uint8_t)(i >> 8);
		t->at[2] = (uint8_t)i;
	}
	align_tables(t);
}

static void put_kallsyms(struct tables *t)
{
	size_t index;
	bool before = t->layout == FAKE_OLD || t->layout == FAKE_SEQS;
	if (before)
		put_offsets(t);
	put_names(t);
	if (t->layout == FAKE_SEQS)
		put_seqs(t);
	uint8_t *tokens = t->at;
	t->at += put_tokens(tokens, &index, t->align);
	t->token_index = (size_t)(tokens - t->start) + index;
	if (!before) {
		put_offsets(t);
		put_seqs(t);
	}
}

static int by_offset(const void *left, const void *right)
{
	const struct named *a = left, *b = right;
	return a->image_offset < b->image_offset ? -1 : a->image_offset > b->image_offset;
}

static void add_kallsyms(struct fake_kernel *kernel, const struct fake_kernel_params *params,
			 size_t btf_bytes)
{
	static char fillers[FAKE_FILLERS][24];
	struct named symbols[FAKE_FILLERS + 8] = {
		{ "_text", 0 },
		{ "_stext", 0 },
		{ "linux_banner", 0x1000 },
		{ "init_top_pgt", FAKE_ROOT },
		{ "init_task", FAKE_TASKS },
		{ params->no_btf_symbols ? "nothing_a" : "__start_BTF", FAKE_BTF },
		{ params->no_btf_symbols ? "nothing_b" : "__stop_BTF",
		  FAKE_BTF + (uint32_t)btf_bytes },
	};
	for (uint32_t i = 0; i < FAKE_FILLERS; i++) {
		snprintf(fillers[i], sizeof(fillers[i]), "filler_%u", i);
		symbols[7 + i] = (struct named){ fillers[i], 0x80000 + 16 * i };
	}
	struct tables tables = { .symbols = symbols,
				 .count = FAKE_FILLERS + 7,
				 .start = kernel->image + FAKE_KALLSYMS,
				 .at = kernel->image + FAKE_KALLSYMS,
				 .layout = params->layout,
				 .align = params->layout == FAKE_RELATIVE ? 4 : 8 };
	qsort(symbols, tables.count, sizeof(symbols[0]), by_offset);
	put_kallsyms(&tables);
	kernel->token_index = FAKE_IMAGE_GPA + FAKE_KALLSYMS + tables.token_index;
}

/* --- the rest --------------------------------------------------------------------------- */

static void add_page_tables(struct fake_kernel *kernel, bool five_levels)
{
	unsigned levels = five_levels ? 5 : 4;
	uint64_t table = FAKE_ROOT;
	for (unsigned level = levels; level > 2; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		uint64_t index = FAKE_IMAGE_GVA >> shift & 511;
		put(kernel->image + table + 8 * index, (FAKE_IMAGE_GPA + table + 0x1000) | 3,
		    8);
		table += 0x1000;
	}
	for (uint64_t i = 0; i < 4; i++) {
		uint64_t index = (FAKE_IMAGE_GVA >> 21 & 511) + i;
		put(kernel->image + table + 8 * index, (FAKE_IMAGE_GPA + (i << 21)) | 0x80 | 3,
		    8);
	}
}

static void add_tasks(struct fake_kernel *kernel)
{
	static const char *const names[] = { "swapper/0", "init", "shell" };
	for (uint64_t i = 0; i < 3; i++) {
		uint8_t *task = kernel->image + FAKE_TASKS + i * FAKE_TASK_BYTES;
		uint64_t base = FAKE_IMAGE_GVA + FAKE_TASKS;
		put(task, base + (i + 1) % 3 * FAKE_TASK_BYTES, 8);
		put(task + 8, base + (i + 2) % 3 * FAKE_TASK_BYTES, 8);
		put(task + 16, i, 4);
		put(task + 20, i, 4);
		memcpy(task + 24, names[i], strlen(names[i]));
		put(task + 40, i == 2 ? 1 : 0, 4);
		put(task + 48, base + (i ? i - 1 : 0) * FAKE_TASK_BYTES, 8);
		put(task + 64, i * 1000, 8);
	}
}

static void add_vmcoreinfo(struct fake_kernel *kernel, const struct fake_kernel_params *params)
{
	int64_t phys_base = (int64_t)(FAKE_IMAGE_GPA - (FAKE_IMAGE_GVA - 0xffffffff80000000));
	snprintf((char *)kernel->ram + 0x5000, 4096,
		 "OSRELEASE=9.9.9-fake\nPAGESIZE=4096\nSYMBOL(_stext)=%llx\n"
		 "SIZE(page)=64\nNUMBER(phys_base)=%lld\nNUMBER(pgtable_l5_enabled)=%d\n",
		 FAKE_IMAGE_GVA, (long long)(phys_base + params->phys_base_error),
		 params->five_levels);
}

void fake_kernel_init(struct fake_kernel *kernel, const struct fake_kernel_params *params)
{
	*kernel = (struct fake_kernel){ .ram = calloc(1, FAKE_RAM_BYTES) };
	kernel->image = kernel->ram + FAKE_IMAGE_GPA;
	kernel->segment =
		(struct phys_segment){ .size_bytes = FAKE_RAM_BYTES, .host = kernel->ram };
	kernel->mem = (struct phys_mem){ .segments = &kernel->segment, .n_segments = 1 };
	strcpy((char *)kernel->image + 0x1000, "Linux version 9.9.9-fake (a@b) (cc) #1\n");
	size_t btf_bytes = fake_btf(kernel->image + FAKE_BTF);
	add_kallsyms(kernel, params, btf_bytes);
	add_page_tables(kernel, params->five_levels);
	add_tasks(kernel);
	if (!params->no_vmcoreinfo)
		add_vmcoreinfo(kernel, params);
}

void fake_kernel_deinit(struct fake_kernel *kernel)
{
	free(kernel->ram);
}
