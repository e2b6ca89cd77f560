/* Compression of an endless answer: Zstandard in one stream that is flushed after each chunk,
 * as HTTP's content encoding "zstd", which browsers undo by themselves. Thread: one. */
#ifndef SERVER_STREAM_PACK_H
#define SERVER_STREAM_PACK_H
#include <stddef.h>
struct error;
struct stream_pack;

/* Caller owns *ret. Fails: ERR_MEMORY, ERR_UNSUPPORTED. */
struct error *stream_pack_create(struct stream_pack **ret);
void stream_pack_destroy(struct stream_pack *pack);

/* Room that length bytes may need. */
size_t stream_pack_bound(size_t length);

/* Writes at most size bytes to `to` and returns how many; 0 when it failed. */
size_t stream_pack_write(struct stream_pack *pack, const void *bytes, size_t length, void *to,
			 size_t size);
#endif
