/* Turns the arguments of `run` into a struct vm_spec. Thread: any. */
#ifndef BOX_RUN_SPEC_H
#define BOX_RUN_SPEC_H
#include "box/call.h"
#include "vm/demo_guest.h"
#include "vm/spec.h"
struct error;

/* A spec and what its texts borrow from, besides the call's arguments. */
struct run_spec {
	struct vm_spec spec;
	struct demo_guest demo;
	const char **disks, **forwards, **qemu_args;
};

/* Caller deinits *ret, also on failure. ERR_USAGE, ERR_NOT_FOUND. */
struct error *run_spec_init(const struct call_context *context, struct run_spec *ret);
void run_spec_deinit(struct run_spec *run);
#endif
