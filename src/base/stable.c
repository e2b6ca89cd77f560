#include "base/stable.h"

#include <stdbool.h>
#include <string.h>

#define PIECE_BYTES 4096u

/* Reads all of it again and takes over what differs. False if some cannot be read any more. */
static bool look_again(const struct stable_source *source, uint64_t at, uint8_t *copy,
		       size_t length, bool *changed_ret)
{
	uint8_t piece[PIECE_BYTES];
	*changed_ret = false;
	for (size_t done = 0; done < length;) {
		/* Pieces end where pages do: a source may have to translate each of them. */
		size_t part = PIECE_BYTES - (size_t)((at + done) % PIECE_BYTES);
		if (part > length - done)
			part = length - done;
		if (source->read(source->user, at + done, piece, part) != part)
			return false;
		if (memcmp(copy + done, piece, part)) {
			memcpy(copy + done, piece, part);
			*changed_ret = true;
		}
		done += part;
	}
	return true;
}

enum stable_result stable_read(const struct stable_source *source, uint64_t at, void *to,
			       size_t length, unsigned looks, size_t *done_ret)
{
	size_t done = source->read(source->user, at, to, length);
	if (done_ret)
		*done_ret = done;
	if (done != length)
		return STABLE_SHORT;
	bool changed = true;
	for (unsigned i = 0; i < looks && changed; i++)
		if (!look_again(source, at, to, length, &changed))
			return STABLE_SHORT;
	return changed ? STABLE_TORN : STABLE_YES;
}
