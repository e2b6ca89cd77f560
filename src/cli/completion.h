/* Shell completion, made from the call table. Thread: any. */
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H
#include <stdbool.h>
#include <stdio.h>

/* Writes the completion of a shell: "bash", "zsh", "fish". False: no such shell. */
bool completion_write(const char *shell, FILE *to);
#endif
