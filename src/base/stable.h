/* Reads of several pages that somebody may be writing: says whether all bytes were there at one
 * moment. The bytes are copied and then read once more; when the second look finds every byte
 * as it was copied, they all had these values between the two. (A byte that changed and changed
 * back is not seen.) What differs is copied anew and looked at again, a limited number of
 * times. Thread: any. */
#ifndef BASE_STABLE_H
#define BASE_STABLE_H
#include <stddef.h>
#include <stdint.h>

enum stable_result {
	STABLE_YES,
	STABLE_TORN, /* the copy is there, its parts are of different moments */
	STABLE_SHORT, /* some of it cannot be read */
};

struct stable_source {
	/* Copies from at; returns how many bytes it could. */
	size_t (*read)(void *user, uint64_t at, void *to, size_t length);
	void *user;
};

/* looks: how often to look again, at least 1. *done_ret, if not NULL: bytes that were read. */
enum stable_result stable_read(const struct stable_source *source, uint64_t at, void *to,
			       size_t length, unsigned looks, size_t *done_ret);
#endif
