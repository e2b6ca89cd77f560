#include "server/stream_pack.h"

#include <zstd.h>

#include "base/error.h"
#include "base/lazy_library.h"

/* Level 1: memory shrinks to a third or so at several hundred MB/s; higher levels cost the
 * event loop more than they save (docs/stream.md). Browsers refuse windows above 8 MiB. */
enum { LEVEL = 1, WINDOW_LOG = 20 };

LAZY_LIBRARY(zstd);

struct stream_pack {
	ZSTD_CCtx *context;
};

struct error *stream_pack_create(struct stream_pack **ret)
{
	struct stream_pack *pack = NULL;
	TRY(lazy_library_open(&lazy_library_zstd));
	TRY(error_alloc(1, sizeof(*pack), &pack));
	pack->context = ZSTD_createCCtx();
	if (!pack->context ||
	    ZSTD_isError(
		    ZSTD_CCtx_setParameter(pack->context, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(pack->context, ZSTD_c_windowLog, WINDOW_LOG))) {
		stream_pack_destroy(pack);
		return error_create(ERR_MEMORY, "no memory for compression");
	}
	*ret = pack;
	return NULL;
}

void stream_pack_destroy(struct stream_pack *pack)
{
	if (!pack)
		return;
	ZSTD_freeCCtx(pack->context);
	free(pack);
}

size_t stream_pack_bound(size_t length)
{
	return ZSTD_compressBound(length) + 64; /* frame and block headers of a flush */
}

size_t stream_pack_write(struct stream_pack *pack, const void *bytes, size_t length, void *to,
			 size_t size)
{
	ZSTD_inBuffer in = { bytes, length, 0 };
	ZSTD_outBuffer out = { to, size, 0 };
	size_t left = ZSTD_compressStream2(pack->context, &out, &in, ZSTD_e_flush);
	return left || in.pos != length ? 0 : out.pos;
}
