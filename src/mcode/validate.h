/* The gate: a kernel from a file, the library or another process is checked here before any
 * executor, prover or compiler touches it. Thread: any. */
#ifndef MCODE_VALIDATE_H
#define MCODE_VALIDATE_H
struct error;
struct mcode_kernel;

/* NULL if every rule of isa.h and program.h that can be seen without running it holds: counts
 * and slot numbers in range; every section decodes; jumps go to the start of an instruction of
 * their section; loads and stores name a stream whose flags and window allow them; guard, setup
 * and finish touch no memory; a search kernel has no stores and no reductions; names are
 * printable. ERR_BAD_DATA says which section and pixel. */
struct error *mcode_validate(const struct mcode_kernel *kernel);
#endif
