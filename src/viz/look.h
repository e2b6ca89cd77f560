/* What a page looks like from afar, worked out on the CPU as shaders/bring.wgsl does on the
 * GPU: for pages whose bytes have not travelled yet. Thread: any. */
#ifndef VIZ_LOOK_H
#define VIZ_LOOK_H
#include <stdint.h>

/* Four bytes, from low to high: share of bytes that are not zero, share of printable ones, mean
 * of those that are not zero, entropy; 255 is all. 0 for a page of zeros. page has 4096 bytes.
 */
uint32_t viz_look_of_page(const uint8_t *page);
#endif
