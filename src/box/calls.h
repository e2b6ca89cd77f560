/* Declares every call of the table, file by file. */
#ifndef BOX_CALLS_H
#define BOX_CALLS_H
#include "box/call.h"

/* call_program.c */
extern const struct call call_mcp;
extern const struct call call_serve;
#endif
