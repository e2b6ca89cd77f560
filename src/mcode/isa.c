#include "mcode/isa.h"

#include <stddef.h>
#include <string.h>

static const struct mcode_op_info op_infos[256] = {
#define MCODE_OP_ROW(op_name, op_code, op_form, op_flags, op_class, op_cost, op_text) \
	[op_code] = { .name = #op_name,                                               \
		      .code = op_code,                                                \
		      .form = MCODE_FORM_##op_form,                                   \
		      .flags = op_flags,                                              \
		      .class = MCODE_CLASS_##op_class,                                \
		      .cost = op_cost,                                                \
		      .text = op_text },
	MCODE_OPS(MCODE_OP_ROW)
#undef MCODE_OP_ROW
};

const struct mcode_op_info *mcode_op_info(uint8_t op)
{
	return op_infos[op].name ? &op_infos[op] : NULL;
}

/* The table's names are upper case; text is lower case. */
static bool name_matches(const char *upper, const char *name, unsigned length)
{
	for (unsigned i = 0; i < length; i++) {
		char c = name[i];
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if (!upper[i] || upper[i] != c)
			return false;
	}
	return !upper[length];
}

const struct mcode_op_info *mcode_op_by_name(const char *name, unsigned length)
{
	for (unsigned op = 0; op < 256; op++)
		if (op_infos[op].name && name_matches(op_infos[op].name, name, length))
			return &op_infos[op];
	return NULL;
}

const char *mcode_class_name(enum mcode_class class)
{
	static const char *const names[MCODE_CLASSES] = {
		"control", "move", "alu",   "mul",  "div",   "shift",
		"compare", "bits", "lanes", "load", "store",
	};
	return (unsigned)class < MCODE_CLASSES ? names[class] : "?";
}
