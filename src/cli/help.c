#include "cli/help.h"

#include <ctype.h>
#include <string.h>

void help_usage(const struct call *call, FILE *to)
{
	fprintf(to, "glassbox %s", call->name);
	if (call->flags & CALL_TARGET)
		fputs(call->flags & CALL_LIVE_ONLY ? " VM" : " VM|--file DUMP", to);
	for (const struct call_param *param = call->params; param && param->name; param++)
		if (param->positional)
			fprintf(to, param->required ? " %s%s" : " [%s%s]",
				param->placeholder ? param->placeholder : param->name,
				param->repeated ? "..." : "");
	fputs(" [options]", to);
}

void help_option_name(const struct call_param *param, char *to, size_t size)
{
	snprintf(to, size, "%s", param->name);
	for (char *at = to; *at; at++)
		if (*at == '_')
			*at = '-';
}

static void print_option(const struct call_param *param, FILE *to)
{
	char name[40], left[96], letter[8] = "";
	help_option_name(param, name, sizeof(name));
	if (param->letter)
		snprintf(letter, sizeof(letter), "-%c, ", param->letter);
	if (param->positional)
		snprintf(left, sizeof(left), "%s",
			 param->placeholder ? param->placeholder : name);
	else if (param->type == CALL_BOOL)
		snprintf(left, sizeof(left), "%s--%s", letter, name);
	else
		snprintf(left, sizeof(left), "%s--%s %s", letter, name,
			 param->placeholder ? param->placeholder : "VALUE");
	fprintf(to, "  %-24s  %s", left, param->help ? param->help : "");
	if (param->choices)
		fprintf(to, " (%s)", param->choices);
	fputc('\n', to);
}

void help_call(const struct call *call, FILE *to)
{
	fprintf(to, "%s\n\nUsage: ", call->summary);
	help_usage(call, to);
	fputs("\n\n", to);
	if (call->details)
		fprintf(to, "%s\n\n", call->details);
	fputs("Arguments and options:\n", to);
	if (call->flags & CALL_TARGET)
		fprintf(to, "  %-24s  %s\n", "VM",
			"name or PID of a running VM (`glassbox ls`)");
	for (const struct call_param *param = call->params; param && param->name; param++)
		print_option(param, to);
	if ((call->flags & CALL_TARGET) && !(call->flags & CALL_LIVE_ONLY))
		fprintf(to, "  %-24s  %s\n", "--file DUMP",
			"work on a dump: raw, LiME, ELF core, QEMU memory file");
	if (call->flags & CALL_TARGET) {
		fprintf(to, "  %-24s  %s\n", "--symbols F",
			"take symbols from an ISF, vmlinux, System.map or BTF file");
		fprintf(to, "  %-24s  %s\n", "--no-cache",
			"find the kernel again from its bytes");
	}
	fprintf(to, "  %-24s  %s\n", "--json", "print one JSON document");
	fprintf(to, "  %-24s  %s\n", "-h, --help", "print this help");
	if (call->examples)
		fprintf(to, "\nExamples:\n%s\n", call->examples);
}

void help_overview(FILE *to)
{
	fputs("glassbox: see and accelerate what a Linux guest of stock QEMU does\n\n"
	      "Usage: glassbox COMMAND [VM] [options]\n",
	      to);
	const char *group = "";
	for (const struct call *const *call = call_table; *call; call++) {
		if (strcmp(group, (*call)->group)) {
			group = (*call)->group;
			fprintf(to, "\n%c%s:\n", toupper((unsigned char)*group), group + 1);
		}
		fprintf(to, "  %-12s  %s\n", (*call)->name, (*call)->summary);
	}
	fputs("\n`glassbox COMMAND --help` explains one command. VM is a name or a PID; "
	      "`--file DUMP` works\n"
	      "offline. `--json` prints JSON. Exit status: 0 done, 1 failed, 2 wrong usage.\n",
	      to);
}

/* Edit distance, both words at most 31 letters; longer ones never match. */
static size_t distance(const char *a, const char *b)
{
	size_t row[33], n = strlen(b);
	if (strlen(a) > 31 || n > 31)
		return 99;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t best = diagonal + (a[i] != b[j]);
			diagonal = row[j + 1];
			best = best < row[j] + 1 ? best : row[j] + 1;
			row[j + 1] = best < diagonal + 1 ? best : diagonal + 1;
		}
	}
	return row[n];
}

const char *help_nearest(const char *mistyped)
{
	const char *nearest = NULL;
	size_t best = 3;
	for (const struct call *const *call = call_table; *call; call++) {
		size_t away = distance(mistyped, (*call)->name);
		if (away < best) {
			best = away;
			nearest = (*call)->name;
		}
	}
	return nearest;
}
