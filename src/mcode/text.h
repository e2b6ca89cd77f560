/* Kernels as text: one line per instruction, one line per table entry. Disassembling and
 * assembling again gives the same kernel. docs/pixel-cpu.md describes the language. Thread:
 * any. */
#ifndef MCODE_TEXT_H
#define MCODE_TEXT_H
#include <stddef.h>
#include <stdio.h>
struct error;
struct mcode_insn;
struct mcode_kernel;

#define MCODE_LINE 96 /* room for one instruction's text */

/* One instruction without label or newline: "add.8x8 r1, r2, #3", jumps as "jz r1, L7". */
void mcode_insn_text(const struct mcode_insn *insn, char ret[MCODE_LINE]);

/* Whole kernel, which must be valid, to a stream. ERR_SYSTEM. */
struct error *mcode_disassemble(const struct mcode_kernel *kernel, FILE *to);
/* The same as a string; caller frees *ret. */
struct error *mcode_disassemble_string(const struct mcode_kernel *kernel, char **ret);

/* Parses and validates text of any origin. Caller owns *ret. ERR_BAD_DATA names the line. */
struct error *mcode_assemble(const char *text, size_t length_bytes, struct mcode_kernel **ret);
#endif
