/* Shorter microcode for straight-line sections: small windows of instructions are replaced by
 * cheaper ones found by enumeration and proved equal on all inputs. Thread: any. */
#ifndef LEARN_PEEPHOLE_H
#define LEARN_PEEPHOLE_H
struct error;
struct mcode_kernel;

/* Rewrites the sections of a valid kernel in place. */
struct error *peephole_kernel(struct mcode_kernel *kernel);
#endif
