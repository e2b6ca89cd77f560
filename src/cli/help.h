/* Help texts, made from the call table. */
#ifndef CLI_HELP_H
#define CLI_HELP_H
#include <stdio.h>

#include "box/call.h"

void help_overview(FILE *to);
void help_call(const struct call *call, FILE *to);

/* "glassbox ps VM|--file DUMP [options]" */
void help_usage(const struct call *call, FILE *to);

/* Writes the name of a parameter as an option without its "--": "no-cache". */
void help_option_name(const struct call_param *param, char *to, size_t size);

/* Names of calls that look like the mistyped one; NULL when none is near. */
const char *help_nearest(const char *mistyped);
#endif
