/* Images that gcc made before. The key is all that gcc was given (options, linker script,
 * source); it is kept beside the image and compared as a whole, since code of a guest has part
 * in it and no hash of ours is made to withstand an attacker. Only files of this user that
 * nobody else may write are believed. A cache that cannot be read or written is one that is
 * empty. Thread: any; files appear as a whole. */
#ifndef MCODE_NATIVE_CACHE_H
#define MCODE_NATIVE_CACHE_H
#include <stddef.h>
#include <stdint.h>

/* The image kept for the key, at most most_bytes of it, or NULL. Caller frees it. */
uint8_t *native_cache_find(const char *key, size_t most_bytes, size_t *bytes_ret);
void native_cache_keep(const char *key, const uint8_t *image, size_t bytes);
#endif
