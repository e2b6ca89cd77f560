#include "guest/type_print.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/btf.h"

enum {
	NESTING_MAX = 12,
	LINES_MAX = 20000, /* a hostile guest's types may nest into each other */
	DECLARATION_BYTES = 512,
};

/* A declaration grows from the inside out: before and after the name. */
struct declaration {
	char before[DECLARATION_BYTES], after[DECLARATION_BYTES];
};

static void put_before(struct declaration *d, const char *text)
{
	size_t length = strlen(text), old = strlen(d->before);
	if (length + old >= sizeof(d->before))
		return;
	memmove(d->before + length, d->before, old + 1);
	memcpy(d->before, text, length);
}

static void put_after(struct declaration *d, const char *text)
{
	size_t length = strlen(d->after);
	snprintf(d->after + length, sizeof(d->after) - length, "%s", text);
}

static const char *keyword(const struct btf_type *type)
{
	switch (type->kind) {
	case BTF_STRUCT:
		return "struct ";
	case BTF_UNION:
		return "union ";
	case BTF_ENUM:
	case BTF_ENUM64:
		return "enum ";
	case BTF_FWD:
		return type->flag ? "union " : "struct ";
	default:
		return "";
	}
}

static void put_named(struct declaration *d, const struct btf_type *type)
{
	char text[256];
	snprintf(text, sizeof(text), "%s%s ", keyword(type),
		 *type->name ? type->name : "{ ... }");
	put_before(d, text);
}

/* One step from the outermost type inwards; returns the next id, 0 at the end. */
static uint32_t declare_step(const struct btf *btf, const struct btf_type *type,
			     struct declaration *d)
{
	struct btf_type next;
	uint32_t element, count;
	char text[32];
	switch (type->kind) {
	case BTF_PTR:
		put_before(d, "*");
		if (btf_type(btf, btf_resolve(btf, type->target), &next) &&
		    (next.kind == BTF_ARRAY || next.kind == BTF_FUNC_PROTO)) {
			put_before(d, "(");
			put_after(d, ")");
		}
		break;
	case BTF_ARRAY:
		btf_array(type, &element, &count);
		snprintf(text, sizeof(text), "[%u]", count);
		put_after(d, text);
		return element;
	case BTF_FUNC_PROTO:
		put_after(d, "()");
		break;
	case BTF_CONST:
		put_before(d, "const ");
		break;
	case BTF_VOLATILE:
		put_before(d, "volatile ");
		break;
	case BTF_RESTRICT:
	case BTF_TYPE_TAG:
		break;
	default:
		put_named(d, type);
		return 0;
	}
	if (!type->target)
		put_before(d, "void ");
	return type->target;
}

static void declare(const struct btf *btf, uint32_t id, const char *name, char *text,
		    size_t size)
{
	struct declaration d = { "", "" };
	struct btf_type type;
	if (!id)
		put_before(&d, "void ");
	for (int step = 0; id && step < 32 && btf_type(btf, id, &type); step++)
		id = declare_step(btf, &type, &d);
	size_t length = strlen(d.before);
	bool space = *name || (length && d.before[length - 1] != ' ');
	if (length && !space)
		d.before[length - 1] = 0;
	snprintf(text, size, "%s%s%s", d.before, name, d.after);
}

void type_name_text(const struct btf *btf, uint32_t id, char *text, size_t size)
{
	declare(btf, id, "", text, size);
}

struct printer {
	const struct btf *btf;
	FILE *to;
	unsigned lines;
};

static void print_members(struct printer *p, const struct btf_type *type, uint64_t base_bits,
			  int depth);

static void print_line(struct printer *p, uint64_t bits, int depth, const char *text)
{
	fprintf(p->to, "/* 0x%04llx */ %*s%s\n", (unsigned long long)(bits / 8), depth * 8, "",
		text);
}

static void print_member(struct printer *p, const struct btf_member *member, uint64_t base_bits,
			 int depth)
{
	struct btf_type type;
	uint64_t bits = base_bits + member->bit_offset;
	char text[2 * DECLARATION_BYTES], line[2 * DECLARATION_BYTES + 64];
	bool nested = btf_type(p->btf, btf_resolve(p->btf, member->type), &type) &&
		      (type.kind == BTF_STRUCT || type.kind == BTF_UNION) && !*type.name;
	if (nested && depth < NESTING_MAX) {
		snprintf(line, sizeof(line), "%s{", keyword(&type));
		print_line(p, bits, depth, line);
		print_members(p, &type, bits, depth + 1);
		fprintf(p->to, "             %*s}%s%s;\n", depth * 8, "",
			*member->name ? " " : "", member->name);
		return;
	}
	declare(p->btf, member->type, member->name, text, sizeof(text));
	if (member->bit_size)
		snprintf(line, sizeof(line), "%s : %u; /* bit %u */", text, member->bit_size,
			 (unsigned)(bits % 8));
	else
		snprintf(line, sizeof(line), "%s;", text);
	print_line(p, bits, depth, line);
}

static void print_members(struct printer *p, const struct btf_type *type, uint64_t base_bits,
			  int depth)
{
	for (uint32_t n = 0; n < type->count && p->lines < LINES_MAX; n++, p->lines++) {
		struct btf_member member;
		btf_member(type, p->btf, n, &member);
		print_member(p, &member, base_bits, depth);
	}
}

static void print_enum(struct printer *p, const struct btf_type *type)
{
	const char *name;
	int64_t value;
	fprintf(p->to, "enum %s {\n", type->name);
	for (uint32_t n = 0; btf_enum_value(p->btf, type, n, &name, &value); n++)
		fprintf(p->to, "        %s = %lld,\n", name, (long long)value);
	fputs("};\n", p->to);
}

void type_print(const struct btf *btf, uint32_t id, FILE *to)
{
	struct printer p = { .btf = btf, .to = to };
	struct btf_type type;
	char text[2 * DECLARATION_BYTES];
	if (!btf_type(btf, id, &type))
		return;
	if (type.kind == BTF_TYPEDEF) {
		declare(btf, type.target, type.name, text, sizeof(text));
		fprintf(to, "typedef %s;\n", text);
		id = btf_resolve(btf, id);
		if (!btf_type(btf, id, &type) ||
		    (type.kind != BTF_STRUCT && type.kind != BTF_UNION))
			return;
	}
	if (type.kind == BTF_ENUM || type.kind == BTF_ENUM64) {
		print_enum(&p, &type);
	} else if (type.kind == BTF_STRUCT || type.kind == BTF_UNION) {
		fprintf(to, "%s%s { /* 0x%llx bytes */\n", keyword(&type), type.name,
			(unsigned long long)btf_size(btf, id));
		print_members(&p, &type, 0, 1);
		fputs("};\n", to);
	} else {
		declare(btf, id, "", text, sizeof(text));
		fprintf(to, "%s; /* %llu bytes */\n", text,
			(unsigned long long)btf_size(btf, id));
	}
}
