/* Turns argv into checked JSON arguments by a call's parameter table. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H
#include "cli/command.h"
struct error;

struct cli_parsed {
	struct cli_options options;
	bool help; /* --help was given; nothing else is filled in then */
	json_t *args; /* owned */
};

/* Parses argv[1..] for this call (argv[0] is the command's own name). ERR_USAGE. */
struct error *cli_parse(const struct call *call, int argc, char **argv, struct cli_parsed *ret);
void cli_parsed_deinit(struct cli_parsed *parsed);
#endif
