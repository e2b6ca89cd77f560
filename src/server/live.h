/* One running VM as its viewers see it: a thread follows the dirty pages and what pages are
 * for, and marks what each viewer has not got yet. Viewers are drained by the event loop at
 * their own speed: a slow one only gets fewer, fresher pages. Lock order: the list of lives,
 * then one live.
 *
 *   live thread:  dirty pages ---> written[], kinds[] ---> a bit in every viewer's `pending`
 *   event loop:   pending bits ---> records with the bytes as they are now
 */
#ifndef SERVER_LIVE_H
#define SERVER_LIVE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct live;
struct live_viewer;
struct lives;

/* wake(user) is called from live threads when a viewer has something new; it must only poke the
 * loop. */
struct error *lives_create(void (*wake)(void *user), void *user, struct lives **ret);
void lives_destroy(struct lives *lives); /* all viewers must be gone */

/* Starts following the VM if nobody does yet. Returns at once: a VM that cannot be opened is
 * said in the stream. Caller owns *ret. */
struct error *live_viewer_create(struct lives *lives, const char *vm, struct live_viewer **ret);
void live_viewer_destroy(struct live_viewer *viewer);

/* Fills up to size bytes with whole messages of the stream (docs/stream.md). 0: nothing new
 * now. size must be at least LIVE_CHUNK_BYTES. */
enum { LIVE_CHUNK_BYTES = 64 << 10 };
size_t live_viewer_read(struct live_viewer *viewer, uint8_t *to, size_t size);

/* True once there is nothing to wait for any more: the VM is gone and that was said. */
bool live_viewer_done(struct live_viewer *viewer);

/* Frames of a camera's neighbourhood, [first, end). */
struct live_range {
	uint64_t first, end;
};
enum { LIVE_MAX_NEAR = 64 };

/* Pages of these ranges are sent first, in this order, to the viewer whose hello named this
 * stream; nothing happens when there is no such viewer (any more). */
void lives_prefer(struct lives *lives, uint64_t stream, const struct live_range *ranges,
		  size_t count);
#endif
