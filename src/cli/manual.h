/* glassbox(1), made from the call table. Thread: any. */
#ifndef CLI_MANUAL_H
#define CLI_MANUAL_H
#include <stdio.h>

/* Writes the page in man(7) macros. */
void manual_write(FILE *to);
#endif
