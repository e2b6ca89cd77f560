/* Each shell gets a script with the commands, their options, the options' choices, and asks
 * `glassbox ls` for names of VMs when it needs them. */
#include "cli/completion.h"

#include <string.h>

#include "box/call.h"
#include "cli/help.h"

typedef void visit_option(const struct call *call, const char *name, const char *help,
			  const char *choices, bool takes_value, FILE *to);

static void each_option(const struct call *call, visit_option *visit, FILE *to)
{
	char name[40];
	for (const struct call_param *param = call->params; param && param->name; param++) {
		if (param->positional)
			continue;
		help_option_name(param, name, sizeof(name));
		visit(call, name, param->help, param->choices, param->type != CALL_BOOL, to);
	}
	if ((call->flags & CALL_TARGET) && !(call->flags & CALL_LIVE_ONLY))
		visit(call, "file", "work on a dump", NULL, true, to);
	if (call->flags & CALL_TARGET) {
		visit(call, "symbols", "file with symbols", NULL, true, to);
		visit(call, "no-cache", "find the kernel again", NULL, false, to);
	}
	visit(call, "json", "print one JSON document", NULL, false, to);
	visit(call, "help", "explain the command", NULL, false, to);
}

/* Inside single quotes of any of the shells, with their special letters left out. */
static void print_quoted(const char *text, FILE *to)
{
	for (; text && *text; text++)
		if (!strchr("'`[]\\:", *text))
			fputc(*text, to);
}

/* --- bash ------------------------------------------------------------------------------ */

static void bash_option(const struct call *call, const char *name, const char *help,
			const char *choices, bool takes_value, FILE *to)
{
	fprintf(to, " --%s", name);
}

static void bash_choice(const struct call *call, const char *name, const char *help,
			const char *choices, bool takes_value, FILE *to)
{
	if (!choices)
		return;
	fprintf(to, "\t%s,--%s) words='", call->name, name);
	for (; *choices; choices++)
		fputc(*choices == ',' ? ' ' : *choices, to);
	fputs("' ;;\n", to);
}

static void write_bash(FILE *to)
{
	fputs("# bash completion of glassbox\n_glassbox() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
	      "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\twords='help",
	      to);
	for (const struct call *const *call = call_table; *call; call++)
		fprintf(to, " %s", (*call)->name);
	fputs("'\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
	      "\tcase ${COMP_WORDS[1]},$prev in\n",
	      to);
	for (const struct call *const *call = call_table; *call; call++)
		each_option(*call, bash_choice, to);
	fputs("\t*) case ${COMP_WORDS[1]} in\n", to);
	for (const struct call *const *call = call_table; *call; call++) {
		fprintf(to, "\t\t%s) words='", (*call)->name);
		each_option(*call, bash_option, to);
		fputs("'", to);
		if ((*call)->flags & CALL_TARGET)
			fputs("\n\t\t\t[ \"$COMP_CWORD\" = 2 ] && words=\"$words "
			      "$(_glassbox_vms)\"",
			      to);
		fputs(" ;;\n", to);
	}
	fputs("\t\thelp) words='", to);
	for (const struct call *const *call = call_table; *call; call++)
		fprintf(to, " %s", (*call)->name);
	fputs("' ;;\n\t\tesac ;;\n\tesac\n"
	      "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\t[[ $cur == -* ]] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n}\n"
	      "_glassbox_vms() {\n\tglassbox ls --json 2>/dev/null | sed -n "
	      "'s/^ *\"name\": \"\\(.*\\)\",$/\\1/p'\n}\n"
	      "complete -o filenames -F _glassbox glassbox\n",
	      to);
}

/* --- zsh ------------------------------------------------------------------------------- */

static void zsh_option(const struct call *call, const char *name, const char *help,
		       const char *choices, bool takes_value, FILE *to)
{
	fprintf(to, " '--%s[", name);
	print_quoted(help, to);
	fputc(']', to);
	if (takes_value)
		fputs(":value:", to);
	if (takes_value && choices) {
		fputc('(', to);
		for (; *choices; choices++)
			fputc(*choices == ',' ? ' ' : *choices, to);
		fputc(')', to);
	} else if (takes_value) {
		fputs("_files", to);
	}
	fputc('\'', to);
}

static void write_zsh(FILE *to)
{
	fputs("#compdef glassbox\n# zsh completion of glassbox\n"
	      "_glassbox_vms() {\n\tlocal -a vms\n\tvms=(${(f)\"$(glassbox ls --json "
	      "2>/dev/null | sed -n 's/^ *\"name\": \"\\(.*\\)\",$/\\1/p')\"})\n"
	      "\tcompadd -a vms\n}\n"
	      "_glassbox() {\n\tlocal -a commands\n\tcommands=(\n",
	      to);
	for (const struct call *const *call = call_table; *call; call++) {
		fprintf(to, "\t\t'%s:", (*call)->name);
		print_quoted((*call)->summary, to);
		fputs("'\n", to);
	}
	fputs("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n"
	      "\t\treturn\n\tfi\n\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n"
	      "\tcase $command in\n",
	      to);
	for (const struct call *const *call = call_table; *call; call++) {
		fprintf(to, "\t%s) _arguments", (*call)->name);
		each_option(*call, zsh_option, to);
		if ((*call)->flags & CALL_TARGET)
			fputs(" '1:VM:_glassbox_vms'", to);
		fputs(" '*:argument:_files' ;;\n", to);
	}
	fputs("\tesac\n}\n_glassbox \"$@\"\n", to);
}

/* --- fish ------------------------------------------------------------------------------ */

static void fish_option(const struct call *call, const char *name, const char *help,
			const char *choices, bool takes_value, FILE *to)
{
	fprintf(to, "complete -c glassbox -n '__fish_seen_subcommand_from %s' -l %s%s",
		call->name, name, takes_value ? " -r" : "");
	if (choices) {
		fputs(" -f -a '", to);
		for (; *choices; choices++)
			fputc(*choices == ',' ? ' ' : *choices, to);
		fputc('\'', to);
	}
	fputs(" -d '", to);
	print_quoted(help, to);
	fputs("'\n", to);
}

static void write_fish(FILE *to)
{
	fputs("# fish completion of glassbox\ncomplete -c glassbox -e\n"
	      "function __glassbox_vms\n\tglassbox ls --json 2>/dev/null | string replace -rf "
	      "'^ *\"name\": \"(.*)\",$' '$1'\nend\n",
	      to);
	for (const struct call *const *call = call_table; *call; call++) {
		fprintf(to, "complete -c glassbox -f -n __fish_use_subcommand -a %s -d '",
			(*call)->name);
		print_quoted((*call)->summary, to);
		fputs("'\n", to);
		if ((*call)->flags & CALL_TARGET)
			fprintf(to,
				"complete -c glassbox -n '__fish_seen_subcommand_from %s' -a "
				"'(__glassbox_vms)'\n",
				(*call)->name);
		each_option(*call, fish_option, to);
	}
}

bool completion_write(const char *shell, FILE *to)
{
	if (!strcmp(shell, "bash"))
		write_bash(to);
	else if (!strcmp(shell, "zsh"))
		write_zsh(to);
	else if (!strcmp(shell, "fish"))
		write_fish(to);
	else
		return false;
	return true;
}
