/* A demo guest for benchmarks: started, told on its console what to do, stopped. Thread: one.
 */
#ifndef BOX_BENCH_GUEST_H
#define BOX_BENCH_GUEST_H
#include <stdint.h>

#include "base/own.h"
struct bench_guest;
struct error;
struct vm;

/* Boots a demo guest and waits until it is up. Caller owns *ret. */
struct error *bench_guest_start(uint64_t mem_bytes, struct bench_guest **ret);
/* The same under the plugin, on an emulated processor. */
struct error *bench_guest_start_learning(uint64_t mem_bytes, struct bench_guest **ret);
/* As that one; early is called with the VM's name as soon as its QEMU is there. */
typedef struct error *bench_guest_early(void *user, const char *vm);
struct error *bench_guest_start_early(uint64_t mem_bytes, bench_guest_early *early, void *user,
				      struct bench_guest **ret);
/* As bench_guest_start_learning, with the programs that tools/bench_guest added, if it did. */
struct error *bench_guest_start_equipped(uint64_t mem_bytes, struct bench_guest **ret);
/* Where those programs lie on the host, there or not. Caller owns *ret. */
struct error *bench_guest_extras(char **ret);
void bench_guest_stop(struct bench_guest *guest);
OWN_DECLARE(own_bench_guest, struct bench_guest *, bench_guest_stop)

struct vm *bench_guest_vm(struct bench_guest *guest); /* borrowed */
double bench_guest_boot_ms(const struct bench_guest *guest);

/* Types a line for the shell. */
struct error *bench_guest_type(struct bench_guest *guest, const char *line);

/* Types a line and waits until its output contains text. */
struct error *bench_guest_run(struct bench_guest *guest, const char *line, const char *text,
			      int timeout_ms);

/* Processor time of its busiest thread, which is the vCPU's, in milliseconds. */
double bench_guest_vcpu_ms(const struct bench_guest *guest);

/* Processor time its QEMU has used, in seconds. */
double bench_guest_cpu(const struct bench_guest *guest);
#endif
