/* `mcode`: a Pixel CPU kernel from one form into another. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/out_file.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "mcode/image.h"
#include "mcode/native.h"
#include "mcode/program.h"
#include "mcode/spirv.h"
#include "mcode/text.h"

enum { MOST_INPUT = 16 << 20 };

static struct error *read_file(const char *path, uint8_t **bytes_ret, size_t *size_ret)
{
	AUTO(own_file) FILE *file = fopen(path, "rbe");
	AUTO(own_free) uint8_t *bytes = NULL;
	if (!file)
		return error_system(errno, "cannot open %s", path);
	TRY(error_alloc(MOST_INPUT + 1, 1, &bytes));
	size_t size = fread(bytes, 1, MOST_INPUT + 1, file);
	if (ferror(file))
		return error_system(errno, "cannot read %s", path);
	if (size > MOST_INPUT)
		return error_create(ERR_LIMIT, "%s is too long for a kernel", path);
	*bytes_ret = TAKE(bytes);
	*size_ret = size;
	return NULL;
}

static struct error *read_kernel(const char *path, struct mcode_kernel **ret)
{
	AUTO(own_free) uint8_t *bytes = NULL;
	size_t size = 0;
	TRY(read_file(path, &bytes, &size));
	bool is_png = size > 4 && !memcmp(bytes, "\x89PNG", 4);
	struct error *err = is_png ? mcode_png_decode(bytes, size, ret)
				   : mcode_assemble((const char *)bytes, size, ret);
	return error_wrap(err, "%s", path);
}

/* The kernel in the form that was asked for. Caller frees *ret. */
static struct error *make_form(const struct mcode_kernel *kernel, const char *form,
			       uint8_t **ret, size_t *size_ret)
{
	struct mcode_spirv_layout layout;
	uint32_t *words;
	char *text;
	if (!strcmp(form, "png"))
		return mcode_png_encode(kernel, ret, size_ret);
	if (!strcmp(form, "spirv")) {
		TRY(mcode_spirv_make(kernel, 0, &words, size_ret, &layout));
		*size_ret *= sizeof(*words);
		*ret = (uint8_t *)words;
		return NULL;
	}
	if (!strcmp(form, "c"))
		TRY(mcode_native_source(kernel, &text));
	else
		TRY(mcode_disassemble_string(kernel, &text));
	*ret = (uint8_t *)text;
	*size_ret = strlen(text);
	return NULL;
}

static struct error *write_form(const char *path, const void *bytes, size_t size)
{
	AUTO(own_out_file) struct out_file *file = NULL;
	TRY(out_file_create(path, &file));
	TRY(out_file_write(file, bytes, size));
	return out_file_commit(file);
}

static struct error *run_mcode(struct call_context *context, json_t **ret)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	AUTO(own_free) uint8_t *bytes = NULL;
	AUTO(own_free) char *text = NULL;
	const char *form = call_string(context, "form"), *out = call_string(context, "output");
	size_t size = 0;
	TRY(read_kernel(call_string(context, "path"), &kernel));
	TRY(make_form(kernel, form ? form : "text", &bytes, &size));
	if (out)
		TRY(write_form(out, bytes, size));
	else if (form && (!strcmp(form, "png") || !strcmp(form, "spirv")))
		return error_create(ERR_USAGE, "--form %s needs --output FILE", form);
	TRY(mcode_disassemble_string(kernel, &text));
	json_t *made =
		json_pack("{s:s, s:i, s:i, s:s*}", "name", kernel->name, "instructions",
			  (int)mcode_code_instructions(&kernel->code[MCODE_BODY]), "cost",
			  (int)mcode_code_cost(&kernel->code[MCODE_BODY]), "text",
			  out			       ? ""
			  : form && !strcmp(form, "c") ? (const char *)bytes
						       : text);
	if (!made)
		return error_create(ERR_MEMORY, "no memory for the listing");
	*ret = made;
	return NULL;
}

static const struct call_param mcode_params[] = {
	{ "path", CALL_PATH, .positional = true, .required = true, .placeholder = "F",
	  .help = "a kernel as text or PNG" },
	{ "output", CALL_PATH, 'o', .placeholder = "F", .help = "write here instead" },
	{ "form", CALL_STRING, .placeholder = "FORM", .choices = "text,png,c,spirv",
	  .help = "text (checked and printed), picture, C source, or shader" },
	{ 0 },
};

const struct call call_mcode = {
	.name = "mcode",
	.group = "learning",
	.summary = "check a Pixel CPU kernel and turn it into text, a picture, C or SPIR-V",
	.details = "The instructions are in docs/pixel-cpu.md.",
	.examples = "  glassbox mcode sum.pxa --form png -o sum.png\n  glassbox mcode sum.png",
	.flags = CALL_CLI_ONLY | CALL_TEXT,
	.params = mcode_params,
	.run = run_mcode,
};
