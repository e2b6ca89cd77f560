/* The Pixel CPU's interpreter for GPUs, compiled from shaders/pixel_cpu.wgsl at build time.
 * Thread: any. */
#ifndef OFFLOAD_PIXEL_CPU_H
#define OFFLOAD_PIXEL_CPU_H
#include <stddef.h>
#include <stdint.h>

extern const uint32_t offload_pixel_cpu_words[];
extern const size_t offload_pixel_cpu_n_words; /* 0 in a build without tint */
#endif
