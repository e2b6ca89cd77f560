/* What the Pixel CPU service makes of a request before a GPU sees it. A request comes from
 * QEMU's process and may say anything: pure functions decide from a copy of it. Thread: any. */
#ifndef OFFLOAD_PIXEL_REQUEST_H
#define OFFLOAD_PIXEL_REQUEST_H
#include <stdbool.h>
#include <stdint.h>
struct gb_pixel_request;
struct mcode_kernel;

/* Whether what the kernel writes can be copied back byte for byte: every written stream moves
 * on by its own width, and each iteration stores all of it, whatever the data. */
bool pixel_kernel_suits(const struct mcode_kernel *kernel);

/* Whether no load of a suiting kernel reads from a stream after its iteration stored to it, so
 * that loads may go by memory as it was before the loop. */
bool pixel_kernel_loads_first(const struct mcode_kernel *kernel);

/* NULL if the request's iterations from these slots (after the run's setup) touch only pages
 * that the request lists, all of them in RAM, and written ones only inside its data; else why
 * not. */
const char *pixel_request_refusal(const struct mcode_kernel *kernel,
				  const struct gb_pixel_request *request, const uint32_t *pages,
				  const uint64_t *slots, uint64_t ram_pages);
#endif
