/* Help texts, the man page and shell completion, all made from the call table. */
#ifndef CLI_HELP_H
#define CLI_HELP_H
#include <stdio.h>

#include "box/call.h"

void help_overview(FILE *to);
void help_call(const struct call *call, FILE *to);
void help_man_page(FILE *to); /* glassbox(1) in man(7) macros */
void help_bash_completion(FILE *to);

/* Names of calls that look like the mistyped one; NULL when none is near. */
const char *help_nearest(const char *mistyped);
#endif
