/* The reading side of the plugin's shared file (plugin/control.h): requests, state, rings,
 * block table, counts. Everything is read with pread: a peer that cuts the file short gives an
 * error, not a signal. Thread: one per source; several sources may open one file, one drains.
 */
#ifndef TRACE_SOURCE_H
#define TRACE_SOURCE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/own.h"
#include "plugin/control.h"
struct error;
struct trace_blocks;
struct trace_source;

/* Caller owns *ret. Fails: ERR_NOT_FOUND (no such file: the VM was started without --learn),
 * ERR_BAD_DATA, ERR_SYSTEM. */
struct error *trace_source_open(const char *path, struct trace_source **ret);
void trace_source_close(struct trace_source *source);
OWN_DECLARE(own_trace_source, struct trace_source *, trace_source_close)

/* "/dev/shm/glassbox-VM-trace" in ret. */
void trace_source_path(const char *vm, char *ret, size_t ret_bytes);

/* A copy of the control page as it is now. */
struct error *trace_source_state(struct trace_source *source, struct gb_control *ret);

/* Puts the request and waits until the plugin applied it. A guest that is paused applies
 * nothing: ERR_PEER after timeout_ms. */
struct error *trace_source_request(struct trace_source *source, const struct gb_request *wanted,
				   unsigned timeout_ms);

/* Changes what is asked for as one step, also beside other processes that do so: change() gets
 * the request in force. Fails like trace_source_request. */
typedef void trace_request_change(struct gb_request *request, const void *user);
struct error *trace_source_change(struct trace_source *source, trace_request_change *change,
				  const void *user, unsigned timeout_ms);

/* One at a time watches a guest: who drains rings or counts holds the claim, until it gives it
 * back or ends. Waits up to wait_ms; ERR_LIMIT if another one still has it. */
struct error *trace_source_claim(struct trace_source *source, unsigned wait_ms);
void trace_source_unclaim(struct trace_source *source);

unsigned trace_source_vcpus(const struct trace_source *source);

/* Copies up to capacity unread words of one vCPU's ring and gives their room back to the
 * writer. Words may end inside a record. */
struct error *trace_source_drain(struct trace_source *source, unsigned vcpu, uint64_t *words,
				 size_t capacity, size_t *n_ret);

/* Throws away what is unread in all rings. */
struct error *trace_source_skip(struct trace_source *source);

/* Records that were dropped so far, all vCPUs together. */
struct error *trace_source_dropped(struct trace_source *source, uint64_t *ret);

/* The block table as it is now. Caller owns *ret. */
struct error *trace_source_blocks(struct trace_source *source, struct trace_blocks **ret);

/* Executions per block id since the tables were cleared. Caller owns *ret (free). */
struct error *trace_source_counts(struct trace_source *source, uint32_t n, uint64_t **ret);

/* Bytes of an area, for offload's kernel table. */
struct error *trace_source_read(struct trace_source *source, uint64_t offset, void *to,
				size_t bytes);
struct error *trace_source_write(struct trace_source *source, uint64_t offset, const void *from,
				 size_t bytes);
#endif
