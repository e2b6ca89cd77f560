#include "cli/help.h"

#include <ctype.h>
#include <string.h>

static void print_usage(const struct call *call, FILE *to)
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

/* Writes "--dash-name" of a parameter into to. */
static void dashed(const struct call_param *param, char *to, size_t size)
{
	snprintf(to, size, "%s", param->name);
	for (char *at = to; *at; at++)
		if (*at == '_')
			*at = '-';
}

static void print_option(const struct call_param *param, FILE *to)
{
	char name[40], left[96], letter[8] = "";
	dashed(param, name, sizeof(name));
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
	print_usage(call, to);
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

static void man_text(const char *text, FILE *to)
{
	for (bool line_start = true; text && *text; text++) {
		if (line_start && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		fputs(*text == '\\' ? "\\e" : *text == '-' ? "\\-" : (char[]){ *text, 0 }, to);
		line_start = *text == '\n';
	}
}

static void man_call(const struct call *call, FILE *to)
{
	char name[40];
	fprintf(to, ".SS %s\n.B ", call->name);
	print_usage(call, to);
	fputs("\n.PP\n", to);
	man_text(call->summary, to);
	fputs(".\n", to);
	man_text(call->details, to);
	for (const struct call_param *param = call->params; param && param->name; param++) {
		dashed(param, name, sizeof(name));
		fprintf(to, "\n.TP\n.B %s%s\n", param->positional ? "" : "\\-\\-",
			param->positional && param->placeholder ? param->placeholder : name);
		man_text(param->help ? param->help : "", to);
	}
	fputs("\n", to);
}

void help_man_page(FILE *to)
{
	fputs(".TH GLASSBOX 1 \"\" glassbox \"User Commands\"\n.SH NAME\n"
	      "glassbox \\- see and accelerate what a Linux guest of stock QEMU does\n"
	      ".SH SYNOPSIS\n.B glassbox\n.I COMMAND\n[\\fIVM\\fR] [\\fIoptions\\fR]\n.SH "
	      "COMMANDS\n",
	      to);
	for (const struct call *const *call = call_table; *call; call++)
		man_call(*call, to);
	fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n", to);
}

void help_bash_completion(FILE *to)
{
	fputs("_glassbox() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words\n"
	      "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\twords='",
	      to);
	for (const struct call *const *call = call_table; *call; call++)
		fprintf(to, "%s ", (*call)->name);
	fputs("'\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n", to);
	for (const struct call *const *call = call_table; *call; call++) {
		char name[40];
		fprintf(to, "\t\t%s) words='--json --help", (*call)->name);
		for (const struct call_param *param = (*call)->params; param && param->name;
		     param++) {
			dashed(param, name, sizeof(name));
			if (!param->positional)
				fprintf(to, " --%s", name);
		}
		fputs((*call)->flags & CALL_TARGET ? " --file --symbols --no-cache '$(glassbox "
						     "ls --names 2>/dev/null) ;;\n"
						   : "' ;;\n",
		      to);
	}
	fputs("\t\tesac\n\tfi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\t[ \"$COMP_CWORD\" = 1 ] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n}\n"
	      "complete -F _glassbox glassbox\n",
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
