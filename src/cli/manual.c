#include "cli/manual.h"

#include <ctype.h>
#include <string.h>

#include "box/call.h"
#include "cli/help.h"

/* Text of the table as running text: a dot at the start of a line would be a request. */
static void print_text(const char *text, FILE *to)
{
	for (bool line_start = true; text && *text; text++) {
		if (line_start && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		fputs(*text == '\\' ? "\\e" : *text == '-' ? "\\-" : (char[]){ *text, 0 }, to);
		line_start = *text == '\n';
	}
}

static void print_option(const struct call_param *param, FILE *to)
{
	char name[40];
	help_option_name(param, name, sizeof(name));
	const char *value = param->placeholder ? param->placeholder : "VALUE";
	fputs(".TP\n", to);
	if (param->positional) {
		fputs(".I ", to);
		print_text(param->placeholder ? value : name, to);
	} else {
		fputs(".B ", to);
		if (param->letter)
			fprintf(to, "\\-%c\\fR, \\fB", param->letter);
		fputs("\\-\\-", to);
		print_text(name, to);
		if (param->type != CALL_BOOL) {
			fputs(" \\fI", to);
			print_text(value, to);
			fputs("\\fR", to);
		}
	}
	fputc('\n', to);
	print_text(param->help ? param->help : "", to);
	if (param->choices) {
		fputs(" (", to);
		print_text(param->choices, to);
		fputc(')', to);
	}
	fputs(".\n", to);
}

static void print_call(const struct call *call, FILE *to)
{
	fprintf(to, ".SS %s\n.B ", call->name);
	help_usage(call, to);
	fputs("\n.PP\n", to);
	fputc(toupper((unsigned char)*call->summary), to);
	print_text(call->summary + 1, to);
	fputs(".\n", to);
	if (call->details) {
		print_text(call->details, to);
		fputc('\n', to);
	}
	for (const struct call_param *param = call->params; param && param->name; param++)
		print_option(param, to);
	if (call->examples) {
		fputs(".PP\n.nf\n", to);
		print_text(call->examples, to);
		fputs("\n.fi\n", to);
	}
}

static const char introduction[] =
	".TH GLASSBOX 1 \"\" \"glassbox " GLASSBOX_VERSION "\" \"User Commands\"\n"
	".SH NAME\n"
	"glassbox \\- see and accelerate what a Linux guest of stock QEMU does\n"
	".SH SYNOPSIS\n"
	".B glassbox\n.I COMMAND\n[\\fIVM\\fR] [\\fIoptions\\fR]\n"
	".SH DESCRIPTION\n"
	"Boots any x86 Linux on stock QEMU with its RAM in a shared file, finds the kernel's "
	"own\n"
	"symbols and types in those bytes, and tells what is going on: processes, files, "
	"sockets,\n"
	"modules, what every page is for. Draws that memory, answers plain questions about "
	"it,\n"
	"watches the code that runs, and runs hot loops, once proved, elsewhere. Nothing is\n"
	"installed in the guest.\n"
	".PP\n"
	".I VM\n"
	"is a name or a PID of a running QEMU;\n.B \\-\\-file \\fIDUMP\\fR\n"
	"works on a raw, LiME or ELF core dump instead.\n"
	".SH OPTIONS OF ALL COMMANDS\n"
	".TP\n.B \\-\\-json\nPrint one JSON document: an object for one thing, an array of "
	"objects\n"
	"for a list.\n"
	".TP\n.B \\-\\-file \\fIDUMP\\fR\nWork on a dump (commands that do not need a running "
	"VM).\n"
	".TP\n.B \\-\\-symbols \\fIFILE\\fR\nTake symbols from an ISF, vmlinux, System.map or "
	"BTF\n"
	"file.\n"
	".TP\n.B \\-\\-no\\-cache\nFind the kernel again from its bytes.\n"
	".TP\n.B \\-h\\fR, \\fB\\-\\-help\nExplain the command.\n"
	".SH COMMANDS\n";

static const char conclusion[] =
	".SH EXIT STATUS\n0 done, 1 failed (one line on the standard error says why), 2 wrong\n"
	"usage.\n"
	".SH ENVIRONMENT\n"
	".TP\n.B GLASSBOX_DB\nSQLite file or postgresql:// URL where the past of all VMs "
	"lies.\n"
	".TP\n.B GLASSBOX_HOST\nName of this host in a database of several.\n"
	".TP\n.B GLASSBOX_MODEL_URL\\fR, \\fBGLASSBOX_MODEL\\fR, \\fBGLASSBOX_MODEL_KEY\\fR, "
	"\\fBGLASSBOX_MODEL_TIMEOUT\n"
	"A language model's OpenAI\\-compatible endpoint for questions; none by default.\n"
	".TP\n.B GLASSBOX_QEMU\nThe QEMU to start.\n"
	".TP\n.B XDG_RUNTIME_DIR\\fR, \\fBXDG_CACHE_HOME\\fR, \\fBXDG_DATA_HOME\nAs usual.\n"
	".SH FILES\n"
	".TP\n.I $XDG_RUNTIME_DIR/glassbox/VM/\n"
	"A VM's sockets, serial.log, vm.json, audit.log and facts.sqlite (root without it:\n"
	".IR /run/glassbox/VM/ ).\n"
	".TP\n.I /dev/shm/glassbox\\-VM\\-ram\nThe guest's RAM.\n"
	".TP\n.I $XDG_DATA_HOME/glassbox/kernels/\nThe library of learned kernels.\n"
	".TP\n.I $XDG_CACHE_HOME/glassbox/\nDemo guests, the private copy of QEMU, compiled "
	"kernels; may be deleted at any time.\n"
	".SH SEE ALSO\n.BR qemu\\-system\\-x86_64 (1)\n";

void manual_write(FILE *to)
{
	fputs(introduction, to);
	for (const struct call *const *call = call_table; *call; call++)
		print_call(*call, to);
	fputs(conclusion, to);
}
